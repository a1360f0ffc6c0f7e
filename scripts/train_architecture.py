"""Train one network for deployment, and write its weights, ONNX file, accuracy and learning curves.

Example:
    python scripts/train_architecture.py --space fbnet-cifar --architecture fbnet-b --dataset cifar10
"""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from typing import NoReturn

from evaluation.training.config import TrainConfig
from evaluation.training.folder import TrainFolder
from scripts.interface.command_line import folder_to_resume, parse, run_watched
from scripts.interface.endings import goes_on_with
from scripts.interface.help_pages import TRAIN_ARCHITECTURE
from search_space.boundary.text import command_line

KEPT = "no finished epoch is lost"


def read_command_line(argv: Sequence[str]) -> TrainConfig:
    """The settings; with `--resume`, those of the training, unless given again."""
    folder = folder_to_resume(argv)
    if folder is None:
        return parse(TrainConfig, argv, page=TRAIN_ARCHITECTURE)
    saved = TrainFolder(folder).read_settings()
    return parse(
        TrainConfig,
        argv,
        page=TRAIN_ARCHITECTURE,
        default=dataclasses.replace(saved, out=None, resume=None, quiet=False),
    )


def main() -> int:
    """Train or go on, write everything, print the results."""
    config = read_command_line(sys.argv[1:])

    # Late, so that `--help` and mistakes in the options are answered at once.
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from evaluation.accelerators import compute_deterministically, own_device
    from evaluation.data.published import hub_notice
    from evaluation.training.allocator import keep_freed_memory
    from evaluation.training.job import EpochDone
    from evaluation.training.run import begin, prepare_training, run_training
    from evaluation.work_folder import lock_folder
    from moo.analysis.errors import share_text
    from moo.formatting import percent
    from moo.visualization.style import save_figure
    from moo.visualization.training import training_curves
    from scripts.interface.terminal import say
    from search_space.spaces import split_size

    keep_freed_memory()
    if config.deterministic:
        compute_deterministically()
    console = Console(quiet=config.quiet)
    if config.resume is not None:
        goes_on_with(_command_that_goes_on(config.resume), kept=KEPT)
    device = own_device()
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with ExitStack() as stack:
        progress = Progress(*columns, console=console, transient=True, disable=not console.is_terminal)
        stack.enter_context(progress)
        task = progress.add_task("images", total=None)

        def show(done: int, total: int) -> None:
            progress.update(task, completed=done, total=total)

        def tell(epoch: EpochDone) -> None:
            record = epoch.record
            for divergence in epoch.divergences:
                say(console, f"training {divergence}")
            figures = f"loss {record.loss:.3f}, accuracy {percent(record.accuracy)}, lr {record.lr:.2g}"
            say(console, f"epoch {record.epoch} of {epoch.epochs:.3g}: {figures}")

        if (notice := hub_notice(config.dataset)) is not None:
            say(console, notice)
        preparation = prepare_training(config, on_loading=show)
        path = preparation.folder.path
        stack.enter_context(lock_folder(path))
        begin(preparation)
        goes_on_with(_command_that_goes_on(str(path)), kept=KEPT)
        progress.reset(task, total=None, description="steps")
        result, records = run_training(preparation, device=device, on_step=show, on_epoch=tell)
    test = f"test split: top-1 {share_text(result.top1, len(preparation.splits.test))}, top-3 {percent(result.top3)}"
    name = config.architecture if len(config.architecture) <= 40 else preparation.network.id
    pixels = preparation.graph.input_shape[1]
    title = f"{name} in {split_size(config.space)[0]} at {pixels} pixels"
    subtitle = f"{config.dataset}, {result.epochs:.3g} epochs; {test}"
    # Of a training that had ended, the epochs may be lost with its checkpoint; its picture is there.
    if records:
        save_figure(training_curves(records, title, subtitle), preparation.folder.curves)
    size = f"{result.macs:,} MACs, {result.params:,} parameters, {result.seconds:.0f} s"
    say(Console(), test, size, f"Model: {preparation.folder.onnx}   Everything: {path}")
    return 0


def _command_that_goes_on(folder: str) -> str:
    return command_line(["python", "scripts/train_architecture.py", "--resume", folder])


def command() -> NoReturn:
    """The console command of this script."""
    run_watched(main)


if __name__ == "__main__":
    command()
