"""What `train_front` and `compare_baselines` share: progress in the terminal, and what they print at the end."""

from __future__ import annotations

import sys
from pathlib import Path

from rich.console import Console

from moo.deployment.config import RunTrainingConfig
from moo.deployment.job import TrainedInRun, TrainingsOf, train_in_run
from scripts.terminal import LONGEST, say
from scripts.training_view import TrainingView
from search_space.boundary.text import command_line, one_line


def train_with_view(config: RunTrainingConfig, trainings_of: TrainingsOf) -> TrainedInRun:
    """Train networks in a run folder, with progress in the terminal.

    Args:
        config: how to train.
        trainings_of: chooses the networks.

    Raises:
        ValueError: for every kind of bad input.
        SystemExit: with 130 after Ctrl-C, once the command that goes on was printed.
    """
    view = TrainingView(Console(quiet=config.quiet))
    try:
        with view:
            return train_in_run(config, trainings_of, view)
    except KeyboardInterrupt:
        words = [word for word in sys.argv[1:] if word != "--fresh" or not view.has_begun]
        command = command_line(["python", f"scripts/{Path(sys.argv[0]).name}", *words])
        sys.stderr.write(f"\nStopped; no finished epoch is lost. Go on with: {command}\n")
        raise SystemExit(130) from None


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
