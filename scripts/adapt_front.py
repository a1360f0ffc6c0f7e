"""Give the trained networks of a run early exits, search how to use them on the board, and write the front.

Example:
    python scripts/adapt_front.py runs/first --max-exits 2
"""

from __future__ import annotations

import sys
from typing import NoReturn

from moo.adaptation.config import AdaptFrontConfig
from moo.execution.cluster_address import check_address
from scripts.interface.command_line import parse, run_watched
from scripts.interface.endings import goes_on_with, same_command, stopped_by, these_words
from scripts.interface.help_pages import ADAPT_FRONT


def main() -> int:
    """Parse the options, adapt, print the front and what exits gain."""
    config = parse(AdaptFrontConfig, sys.argv[1:], page=ADAPT_FRONT)
    check_address(config.address, these_words())

    # Late, so that `--help` and mistakes in the options are answered at once.
    from rich.console import Console

    from moo import events
    from moo.adaptation.job import adapt_in_run
    from moo.event_log import EventLog
    from scripts.interface.front_table import adaptive_table
    from scripts.interface.run_log import RunLog
    from scripts.interface.terminal import LONGEST, say, tell
    from scripts.interface.training_view import TrainingView
    from search_space.boundary.reading import local_path
    from search_space.boundary.text import command_line, one_line

    kept = "no finished epoch is lost"
    goes_on_with(same_command(), kept=kept)

    def note(event: events.Event) -> None:
        if isinstance(event, events.AdaptationStarted):
            goes_on_with(same_command(omitted="--fresh"), kept=kept)

    view = TrainingView(Console(quiet=config.quiet))
    path, words = local_path(config.run), command_line(these_words())
    with RunLog(path) as log, EventLog(words, path, stopped_by=stopped_by) as event_log, view:
        done = adapt_in_run(config, events.told_to(note, log, event_log, view))
    console = Console()
    console.print(adaptive_table(done.front, done.energy_label))
    tell(console, done.gains)
    say(console, f"Report: {config.run}/report.html   Networks: {config.run}/front/<id>/adaptive")
    if done.missing is None:
        return 0
    sys.stderr.write(f"{one_line(done.missing, most=LONGEST)}\n")
    return 1


def command() -> NoReturn:
    """The console command of this script."""
    run_watched(main)


if __name__ == "__main__":
    command()
