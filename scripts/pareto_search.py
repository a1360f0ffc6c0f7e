"""Find the accuracy / latency / energy Pareto front of a board."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from moo.config import SearchConfig
from moo.storage.run_folder import RunFolder
from moo.storage.search_state import command_that_goes_on
from scripts.command_line import folder_to_resume, is_given, named_folder, parse, run
from scripts.help_pages import PARETO_SEARCH
from search_space.boundary.text import command_line, one_line


def read_command_line(argv: Sequence[str]) -> SearchConfig:
    """The settings; with `--resume`, those of the run, unless given again."""
    folder = folder_to_resume(argv)
    if folder is None:
        return _from_another_run(argv)
    saved = RunFolder(folder).read_settings()
    # Without its boards, as those that are given are added to the default's.
    default = dataclasses.replace(saved, out=None, resume=None, quiet=False, device=())
    config = _with_one_end(parse(SearchConfig, argv, page=PARETO_SEARCH, default=default), argv)
    return config if config.device else dataclasses.replace(config, device=saved.device)


def _with_one_end(config: SearchConfig, argv: Sequence[str]) -> SearchConfig:
    """The settings of a resumed run, whose end is what was given last: generations, or a time.

    A grid keeps its generations, which say what it consists of; a time may end it sooner.

    Raises:
        ValueError: if both are given.
    """
    generations, minutes = is_given(argv, "--generations"), is_given(argv, "--minutes")
    if config.method == "grid" or config.minutes is None or not (generations or minutes):
        return config
    if generations and minutes:
        raise ValueError(
            "`--generations` must go with a search that ends with them, but --minutes ends it by time: omit one of "
            "the two."
        )
    if generations:
        return dataclasses.replace(config, minutes=None)
    return dataclasses.replace(config, generations=SearchConfig().generations)


def _from_another_run(argv: Sequence[str]) -> SearchConfig:
    """The settings of a new run; with `--from`, those of that run are the defaults, but for its board and its end."""
    source = named_folder(argv, "--from")
    if source is None:
        return parse(SearchConfig, argv, page=PARETO_SEARCH)
    defaults, saved = SearchConfig(), RunFolder(source).read_settings(option="--from")
    of_its_images = ("image_column", "label_column")
    own = (
        "dataset",
        *(() if is_given(argv, "--dataset") else of_its_images),
        "resize",
        "skip_broken",
        "space",
        "size",
        "weight_sharing",
        "seed",
        "flip",
        "augment",
        "balanced",
        "samples",
        "loss",
    )
    taken = {name: getattr(saved, name) for name in own}
    return parse(SearchConfig, argv, page=PARETO_SEARCH, default=dataclasses.replace(defaults, **taken))


def main() -> int:
    """Run or resume a search."""
    config = read_command_line(sys.argv[1:])

    # Late, so that `--help` and mistakes in the options are answered at once.
    from rich.console import Console

    from moo.analysis.representatives import verdict_of
    from moo.events import told_to
    from moo.execution.ray_backend import start_ray_backend
    from moo.search.artifacts import SearchFailedError
    from moo.search.drawing import FrontDrawing
    from moo.search.loop import run_search
    from moo.search.outputs import write_pictures_and_report
    from moo.search.preparation import prepare
    from moo.visualization.tensorboard import TensorBoardWriter
    from scripts.front_table import front_table
    from scripts.live_view import LiveView
    from scripts.terminal import say

    console = Console(quiet=config.quiet)
    folder: Path | None = None
    try:
        with LiveView(console) as view:
            preparation = prepare(
                config,
                on_loading=view.loading,
                on_choice=lambda text: say(console, f"space: {text}"),
            )
            folder = preparation.folder.path
            backend = start_ray_backend(
                preparation.setup, workers=config.workers, address=config.address, dashboard=config.dashboard
            )
            writer, drawing = TensorBoardWriter(preparation.folder.tensorboard), FrontDrawing(preparation.folder)
            try:
                archive = run_search(preparation, backend, told_to(view, writer, drawing))
            finally:
                drawing.close()
                writer.close()
                backend.close()
            write_pictures_and_report(preparation, archive)
    except KeyboardInterrupt:
        sys.stderr.write("\nStopped; nothing that had ended is lost.\n")
        there = folder is not None and (folder / "config.json").exists()
        if folder is None or not there:
            sys.stderr.write("Nothing was written.\n")
        else:
            sys.stderr.write(f"{_so_far(folder)}Go on with: {command_that_goes_on(RunFolder(folder))}\n")
        return 130
    except SearchFailedError as error:
        sys.stderr.write(f"error: {one_line(error, most=2000)}\n")
        sys.stderr.write(_so_far(folder))
        return 1
    except Exception:
        _so_far(folder)
        raise
    result = Console()
    result.print(front_table(archive, front_size=config.front_size))
    train = command_line(["python", "scripts/train_front.py", str(folder)])
    say(
        result,
        f"Pictures: {folder}/plots   Report: {folder}/report.html   Networks: {folder}/front",
        f"Look at how it was found: {command_line(['tensorboard', '--logdir', f'{folder}/tensorboard'])}",
        verdict_of(archive) or f"Train them for deployment: {train}",
    )
    return 0


def _so_far(folder: Path | None) -> str:
    """Draws what a stopped run has found, if anything; says where it is."""
    from moo.search.drawing import draw_unfinished

    if folder is None or not draw_unfinished(RunFolder(folder)):
        return ""
    return one_line(f"Report so far: {folder}/report.html   Front so far: {folder}/front.json", most=2000) + "\n"


def command() -> NoReturn:
    """The console command of this script."""
    run(main)


if __name__ == "__main__":
    command()
