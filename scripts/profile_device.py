"""Make the cost table of a board: what every operator of a search space costs on it.

Example:
    python scripts/profile_device.py --device ssh://pi@raspberrypi.local --space fbnet-cifar --out pi4.json
"""

from __future__ import annotations

import sys
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from rich.console import Console
from rich.markup import escape
from tyro.conf import UseAppendAction

from devices.measurement import MeasureSettings, Precision
from scripts.command_line import parse, run


@dataclass(frozen=True)
class ProfileConfig:
    """Make the cost table of a board: what every operator of a search space costs on it.

    What was measured is kept, so that an interrupted profile goes on where it was, and a second one is there at once.
    """

    device: Annotated[tuple[str, ...], UseAppendAction] = ()
    """Board: `host` (this machine, the default) or `ssh://user@host[:port]`. Give it several times for several."""
    space: str = "fbnet-micro"
    """A preset or a .yaml file (docs/search_spaces.md)."""
    meter: str = "auto"
    """Energy meter, as in `ina219`, `um25c:/dev/rfcomm0@here`, `none` (docs/meters.md)."""
    threads: int = 1
    """Threads of the runtime on the board."""
    frequency_mhz: int | None = None
    """Clock to set on the board; by default its governor decides."""
    precision: Precision = "fp32"
    """Numbers that networks compute with."""
    networks: int | None = None
    """Whole networks that calibrate the table; by default three for each layer, and at least 30."""
    seed: int = 0
    """Chooses these networks."""
    out: str | None = None
    """Table to write (.json), by default profiles/<board>-<space>.json; its picture goes beside it. For several boards
    a folder."""
    fresh: bool = False
    """Measure again what was measured before."""
    list_meters: bool = False
    """Say which energy meters this machine has, and end."""
    quiet: bool = False
    """Print only the result."""

    def __post_init__(self) -> None:
        if self.networks is not None and self.networks < 3:
            raise ValueError(f"`--networks >= 3` must hold, but got {self.networks}.")
        if self.out is not None and (len(self.device) > 1) == self.out.endswith(".json"):
            rule = "a folder for several boards" if len(self.device) > 1 else "a .json file for one board"
            raise ValueError(f"`--out` must be {rule}, but got {self.out!r}.")


def main() -> int:
    """Profile all boards, write their tables and pictures, print what came of it."""
    config = parse(ProfileConfig)

    # Late, so that `--help` and mistakes in the options are answered at once.
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from devices.device import MeasurementError
    from moo.board_profiles import profile_boards
    from moo.boards import open_for_profile
    from search_space.spaces import space_named

    console = Console()
    if config.list_meters:
        _print_meters(console)
        return 0
    space = space_named(config.space)
    settings = MeasureSettings(threads=config.threads, frequency_mhz=config.frequency_mhz, precision=config.precision)
    columns = (TextColumn("{task.fields[board]}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with ExitStack() as stack:
        devices = open_for_profile(config.device or ("host",), settings, meter=config.meter)
        for _, device in devices:
            stack.callback(device.close)
        progress = Progress(*columns, TextColumn("{task.description}"), console=console, disable=config.quiet)
        tasks = {name: progress.add_task("connecting", total=None, board=name) for name, _ in devices}
        stack.enter_context(progress)
        try:
            profiles = profile_boards(
                devices,
                space,
                settings,
                out=None if config.out is None else Path(config.out).expanduser(),
                networks=config.networks,
                seed=config.seed,
                fresh=config.fresh,
                on_progress=lambda name, done, total, what: progress.update(
                    tasks[name], completed=done, total=total, description=what
                ),
            )
        except MeasurementError as error:
            sys.stderr.write(f"error: {error} What was measured is kept: give the command again to go on.\n")
            return 1
    for profile in profiles:
        text = f"{profile.device}: {profile.table}   picture: {profile.picture}\n  {profile.summary}"
        console.print(text, highlight=False, soft_wrap=True)
    first = profiles[0]
    console.print(
        f"Search with it: python scripts/pareto_search.py --device {first.device} --space {config.space} "
        f"--cost-table {first.table}",
        highlight=False,
        soft_wrap=True,
    )
    return 0


def _print_meters(console: Console) -> None:
    from rich.table import Table

    from devices.meters.catalogue import available_meters

    table = Table(box=None, padding=(0, 2))
    for column in ("meter", "here", "why"):
        table.add_column(column)
    for meter in available_meters():
        table.add_row(meter.name, "[green]yes[/]" if meter.available else "no", escape(meter.reason))
    console.print(table)


if __name__ == "__main__":
    run(main)
