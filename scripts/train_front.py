"""Train every network of a run's front for deployment; check, export and measure them; and make the front anew.

Example:
    python scripts/train_front.py runs/first --epochs 60
"""

from __future__ import annotations

import sys

from moo.retrain_config import TrainFrontConfig
from scripts.command_line import parse, run


def main() -> int:
    """Parse the options, train, print the front."""
    config = parse(TrainFrontConfig)

    # Late, so that `--help` and mistakes in the options are answered at once.
    from rich.console import Console

    from moo.trainings import front_trainings
    from scripts.front_table import front_table
    from scripts.network_training import train_in_run

    archive, _, failed = train_in_run(config, lambda run, archive: front_trainings(run, archive, config))
    console = Console()
    console.print(front_table(archive.front(), [archive.costs(entry) for entry in archive.front()]))
    if not archive.is_retrained:
        console.print("The front is still that of inherited errors: not all of its networks are trained.")
    console.print(
        f"Pictures: {config.run}/plots   Report: {config.run}/report.html   Networks: {config.run}/front",
        highlight=False,
        soft_wrap=True,
    )
    if failed:
        sys.stderr.write(f"{failed} could not be trained; the same command tries again.\n")
    return 1 if failed else 0


if __name__ == "__main__":
    run(main)
