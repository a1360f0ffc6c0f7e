"""Train and measure published networks like a run's front, and draw them into its pictures.

Example:
    python scripts/compare_baselines.py runs/first
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import NoReturn

from moo.deployment.config import CompareBaselinesConfig, saved_recipe
from moo.execution.cluster_address import check_address
from moo.storage.run_folder import RunFolder
from scripts.interface.command_line import parse, run_watched
from scripts.interface.endings import these_words
from scripts.interface.help_pages import COMPARE_BASELINES
from search_space.boundary.reading import local_path


def read_command_line(argv: Sequence[str]) -> CompareBaselinesConfig:
    """The settings; those of training from scratch are the front's, unless given."""
    config = parse(CompareBaselinesConfig, argv, page=COMPARE_BASELINES)
    recipe = saved_recipe(RunFolder(local_path(config.run)))
    recipe.pop("fine_tune", None)
    # The front's minutes are no measure for larger networks and images.
    minutes = config.pretrained_minutes or config.minutes
    default = CompareBaselinesConfig(run=config.run, pretrained_minutes=minutes, **recipe)
    return parse(CompareBaselinesConfig, argv, page=COMPARE_BASELINES, default=default)


def main() -> int:
    """Parse the options, train, print the comparison."""
    config = read_command_line(sys.argv[1:])
    check_address(config.address, these_words())

    # Late, so that `--help` and mistakes in the options are answered at once.
    from rich.console import Console

    from moo.analysis.alternatives import alternatives, verdict
    from moo.deployment.baselines import baseline_trainings
    from scripts.interface.front_table import alternatives_table, baselines_table
    from scripts.interface.network_training import print_ending, train_with_view
    from scripts.interface.terminal import say

    done = train_with_view(config, lambda run, _, tell: baseline_trainings(run, config, tell))
    console = Console()
    candidates = alternatives(done.archive, done.baselines, done.space)
    console.print(alternatives_table(candidates, done.archive))
    say(console, verdict(candidates))
    if scratch := [network for network in done.networks if network.pretrained is None]:
        console.print(baselines_table(scratch, done.archive))
    return print_ending(config, done, files=f"Files: {config.run}/baselines")


def command() -> NoReturn:
    """The console command of this script."""
    run_watched(main)


if __name__ == "__main__":
    command()
