"""Train every network of a run's front for deployment; check, export and measure them; and make the front anew.

Example:
    python scripts/train_front.py runs/first --epochs 60
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import NoReturn

from moo.deployment.config import TrainFrontConfig, saved_recipe
from moo.execution.cluster_address import check_address
from moo.storage.run_folder import RunFolder
from scripts.interface.command_line import parse, run_watched
from scripts.interface.endings import these_words
from scripts.interface.help_pages import TRAIN_FRONT
from search_space.boundary.reading import local_path


def read_command_line(argv: Sequence[str]) -> TrainFrontConfig:
    """The settings; those of training are those that it was begun with, unless given, or unless it begins anew."""
    config = parse(TrainFrontConfig, argv, page=TRAIN_FRONT)
    if config.fresh:
        return config
    recipe = saved_recipe(RunFolder(local_path(config.run)), config.only)
    return parse(TrainFrontConfig, argv, page=TRAIN_FRONT, default=TrainFrontConfig(run=config.run, **recipe))


def main() -> int:
    """Parse the options, train, print the front."""
    config = read_command_line(sys.argv[1:])
    check_address(config.address, these_words())

    # Late, so that `--help` and mistakes in the options are answered at once.
    from rich.console import Console

    from moo.adaptation.training.backbones import stale_adaptations
    from moo.deployment.plan import front_trainings
    from scripts.interface.front_table import front_table
    from scripts.interface.network_training import print_ending, train_with_view
    from scripts.interface.terminal import say
    from search_space.boundary.text import command_line

    done = train_with_view(config, lambda run, archive, _: front_trainings(run, archive, config))
    console, archive = Console(), done.archive
    console.print(front_table(archive))
    if not archive.is_retrained:
        console.print("The front is still that of inherited errors: not all of its networks are trained.")
    if stale := stale_adaptations(RunFolder(local_path(config.run))):
        again = command_line(["python", "scripts/adapt_front.py", config.run, "--fresh"])
        say(console, f"Early exits of {', '.join(stale)} are of earlier weights; train them anew: {again}")
    return print_ending(config, done, files=f"Networks: {config.run}/front")


def command() -> NoReturn:
    """The console command of this script."""
    run_watched(main)


if __name__ == "__main__":
    command()
