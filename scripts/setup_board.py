"""Make a board ready to measure: check it, install the runtimes there, start the agent once.

Example:
    python scripts/setup_board.py ssh://pi@raspberrypi.local
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from tyro.conf import Positional

from devices.configuration import RuntimeName
from scripts.interface.command_line import parse, run_watched
from scripts.interface.endings import goes_on_with, same_command
from scripts.interface.help_pages import SETUP_BOARD


@dataclass(frozen=True, kw_only=True, slots=True)
class SetupConfig:
    """Make a board ready to measure: check it, install the runtimes there, start the agent once (docs/boards.md)."""

    device: Positional[str]
    """The board, as in `ssh://pi@raspberrypi.local` or `ssh://pi@192.168.1.20:2222`."""
    runtime: tuple[RuntimeName, ...] = ("onnxruntime",)
    """What is installed: `onnxruntime`, which is always needed, and `litert` besides."""
    wheels: str | None = None
    """Folder with the wheels to install, for a board without internet."""
    python: str | None = None
    """An interpreter on the board that has onnxruntime and numpy already; by default a virtual environment is made."""
    quiet: bool = False
    """Print only the result."""


def main() -> None:
    """Parse the options, set the board up, print what it is."""
    config = parse(SetupConfig, page=SETUP_BOARD)

    # Late, so that `--help` and mistakes in the options are answered at once.
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    from devices.agent.setup.board_setup import LAST_STEP, STEPS, set_up_board
    from devices.agent.ssh_address import BoardAddress, SshOptions
    from devices.errors import MeasurementError
    from scripts.interface.terminal import plain, say
    from search_space.boundary.text import command_line

    address = BoardAddress.parse(config.device)
    goes_on_with(same_command(), kept="what was set up stays")
    console = Console()
    columns = (BarColumn(), TimeElapsedColumn(), TextColumn("{task.description}"))
    with Progress(*columns, console=console, disable=config.quiet) as progress:
        task = progress.add_task(LAST_STEP, total=len(STEPS) + 1)
        try:
            report = set_up_board(
                address,
                SshOptions.from_environment(),
                python=config.python,
                litert="litert" in config.runtime,
                wheels=None if config.wheels is None else Path(config.wheels),
                on_step=lambda done, step: progress.update(task, completed=done, description=plain(step)),
            )
        except MeasurementError as error:
            raise ValueError(str(error)) from None
    board = report.board
    say(console, f"{board.label} is ready:")
    for line in report.summary:
        say(console, f"  {line}")
    for warning in report.warnings:
        say(console, f"note: {warning}")
    profile = ["python", "scripts/profile_device.py", "--device", str(address), "--space", "fbnet-cifar"]
    search = ["python", "scripts/pareto_search.py", "--dataset", "cifar10", "--space", "fbnet-cifar"]
    say(console, f"Profile it: {command_line([*profile, '--out', 'board.json'])}")
    say(console, f"Then search: {command_line([*search, '--device', str(address), '--cost-table', 'board.json'])}")


def command() -> NoReturn:
    """The console command of this script."""
    run_watched(main)


if __name__ == "__main__":
    command()
