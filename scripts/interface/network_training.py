"""What `train_front` and `compare_baselines` share: progress in the terminal, and what they print at the end."""

from __future__ import annotations

import sys

from rich.console import Console

from moo import events
from moo.deployment.config import RunTrainingConfig
from moo.deployment.job import TrainedInRun, TrainingsOf, train_in_run
from moo.event_log import EventLog
from scripts.interface.endings import goes_on_with, same_command, stopped_by, these_words
from scripts.interface.run_log import RunLog
from scripts.interface.terminal import LONGEST, say
from scripts.interface.training_view import TrainingView
from search_space.boundary.reading import local_path
from search_space.boundary.text import command_line, one_line


def train_with_view(config: RunTrainingConfig, trainings_of: TrainingsOf) -> TrainedInRun:
    """Train networks in a run folder, with progress in the terminal.

    Args:
        config: how to train.
        trainings_of: chooses the networks.

    Raises:
        ValueError: for every kind of bad input.
        MachineryError: if what trains them died.
    """
    kept = "no finished epoch is lost"
    goes_on_with(same_command(), kept=kept)

    def note(event: events.Event) -> None:
        if isinstance(event, events.TrainingsStarted):
            goes_on_with(same_command(omitted="--fresh"), kept=kept)

    view = TrainingView(Console(quiet=config.quiet))
    path, words = local_path(config.run), command_line(these_words())
    with RunLog(path) as log, EventLog(words, path, stopped_by=stopped_by) as event_log, view:
        return train_in_run(config, trainings_of, events.told_to(note, log, event_log, view))


def print_ending(config: RunTrainingConfig, done: TrainedInRun, *, files: str) -> int:
    """Print where everything lies and what is missing; returns the exit code.

    Args:
        config: how networks were trained.
        done: the networks trained.
        files: word and place of what was trained, as in `Networks: runs/first/front`.
    """
    places = f"Pictures: {config.run}/plots   Report: {config.run}/report.html   {files}"
    say(Console(), places)
    if done.missing is None:
        return 0
    sys.stderr.write(f"{one_line(done.missing, most=LONGEST)}\n")
    return 1
