"""Train and measure published networks like a run's front, and draw them into its pictures.

Example:
    python scripts/compare_baselines.py runs/first
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from moo.retrain_config import CompareBaselinesConfig, front_recipe
from moo.run_folder import RunFolder
from scripts.command_line import parse, run


def read_command_line(argv: Sequence[str]) -> CompareBaselinesConfig:
    """The settings; those of training are the front's, unless given."""
    config = parse(CompareBaselinesConfig, argv)
    recipe: dict[str, Any] = front_recipe(RunFolder(Path(config.run).expanduser()))
    return parse(CompareBaselinesConfig, argv, default=CompareBaselinesConfig(run=config.run, **recipe))


def main() -> int:
    """Parse the options, train, print the comparison."""
    config = read_command_line(sys.argv[1:])

    # Late, so that `--help` and mistakes in the options are answered at once.
    from rich.console import Console

    from moo.baselines import baseline_trainings
    from scripts.front_table import baselines_table
    from scripts.network_training import train_in_run

    archive, networks, failed = train_in_run(config, lambda run, archive: baseline_trainings(run, config))
    console = Console()
    console.print(baselines_table(networks, archive))
    console.print(
        f"Pictures: {config.run}/plots   Report: {config.run}/report.html   Files: {config.run}/baselines",
        highlight=False,
        soft_wrap=True,
    )
    if failed:
        sys.stderr.write(f"{failed} could not be trained; the same command tries again.\n")
    return 1 if failed else 0


if __name__ == "__main__":
    run(main)
