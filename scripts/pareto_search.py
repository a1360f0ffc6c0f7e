"""Find the accuracy / latency / energy Pareto front of a board."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import NoReturn

from moo.config import SearchConfig, defaults_from_run
from moo.execution.cluster_address import check_address
from moo.storage.run_folder import RunFolder
from moo.storage.search_state import command_that_goes_on
from scripts.interface.command_line import folder_to_resume, is_given, named_folder, parse, run_watched
from scripts.interface.endings import LONGEST_MESSAGE, goes_on_with, stopped_by, these_words, told, write_line
from scripts.interface.help_pages import PARETO_SEARCH
from search_space.boundary.reading import local_path
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
    saved = RunFolder(source).read_settings(option="--from")
    defaults = defaults_from_run(saved, same_images=not is_given(argv, "--dataset"))
    return parse(SearchConfig, argv, page=PARETO_SEARCH, default=defaults)


def main() -> int:
    """Run or resume a search."""
    config = read_command_line(sys.argv[1:])
    check_address(config.address, these_words())

    # Late, so that `--help` and mistakes in the options are answered at once.
    from rich.console import Console

    from evaluation.data.published import hub_notice
    from moo import events
    from moo.analysis.representatives import verdict_of
    from moo.event_log import EventLog
    from moo.execution.gauges import RunGauges
    from moo.execution.ray_backend import start_ray_backend
    from moo.search.drawing import FrontDrawing
    from moo.search.gauges import GaugeListener
    from moo.search.loop import run_search
    from moo.search.outputs import write_pictures_and_report
    from moo.search.preparation import prepare
    from moo.visualization.tensorboard import TensorBoardWriter
    from scripts.interface.front_table import front_table
    from scripts.interface.live_view import LiveView
    from scripts.interface.run_log import RunLog
    from scripts.interface.terminal import say

    console = Console(quiet=config.quiet)
    folder = None if config.resume is None else local_path(config.resume)
    if folder is not None:
        goes_on_with(command_that_goes_on(RunFolder(folder)))

    def note(event: events.Event) -> None:
        if isinstance(event, events.RunStarted):
            goes_on_with(command_that_goes_on(RunFolder(Path(event.folder))))

    try:
        event_log = EventLog(command_line(these_words()), stopped_by=stopped_by)
        with RunLog() as log, event_log, LiveView(console) as view:

            def loading(done: int, total: int) -> None:
                events.told_to(event_log, view)(events.StageProgress("loading", done, total))

            if (notice := hub_notice(config.dataset)) is not None:
                say(console, notice)
            preparation = prepare(
                config,
                on_loading=loading,
                on_choice=lambda text: say(console, f"space: {text}"),
            )
            folder = preparation.folder.path
            backend = start_ray_backend(
                preparation.setup,
                workers=config.workers,
                gpus_per_worker=config.gpus_per_worker,
                address=config.address,
                dashboard=config.dashboard,
                run=folder,
            )
            gauges = RunGauges(folder)
            writer, drawing = TensorBoardWriter(preparation.folder.tensorboard), FrontDrawing(preparation.folder)
            try:
                listeners = (note, log, event_log, view, writer, drawing, GaugeListener(gauges))
                archive = run_search(preparation, backend, events.told_to(*listeners))
            finally:
                drawing.close()
                writer.close()
                gauges.close()
                backend.close()
            write_pictures_and_report(preparation, archive)
    except (Exception, KeyboardInterrupt) as error:
        return _ended_early(error, folder)
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


def _ended_early(error: BaseException, folder: Path | None) -> int:
    """Says why a run ends, and draws what it has found, if anything; returns the exit code."""
    from moo.search.artifacts import SearchFailedError
    from moo.search.drawing import draw_unfinished

    if isinstance(error, SearchFailedError):
        write_line(f"error: {one_line(error, most=LONGEST_MESSAGE)}")
        code: int | None = 1
    else:
        code = told(error)
    # Drawing fails where the disk is full, too.
    with suppress(OSError, ValueError):
        if folder is not None and draw_unfinished(RunFolder(folder)) and code is not None:
            there = one_line(folder, most=LONGEST_MESSAGE)
            write_line(f"Report so far: {there}/report.html   Front so far: {there}/front.json")
    if code is None:
        raise error
    return code


def command() -> NoReturn:
    """The console command of this script."""
    run_watched(main)


if __name__ == "__main__":
    command()
