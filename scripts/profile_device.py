"""Make the cost tables of a board: what every operator of a search space costs on it, however networks are run.

Examples:
    python scripts/profile_device.py --device ssh://pi@raspberrypi.local --space fbnet-cifar --out pi4.json
    python scripts/profile_device.py --threads 1 2 4 --frequency-mhz 1500 2400 --precision fp32 int8
    python scripts/profile_device.py --configurations base
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import ExitStack
from functools import partial
from typing import NoReturn

from rich.console import Console

from moo.profiling.config import ProfileConfig
from scripts.interface.command_line import parse, run_watched
from scripts.interface.endings import goes_on_with, same_command
from scripts.interface.help_pages import PROFILE_DEVICE
from scripts.interface.terminal import plain, say
from search_space.boundary.reading import local_path
from search_space.boundary.text import command_line, one_line


def main() -> int:
    """Profile all boards, write their tables and pictures, print the results."""
    config = parse(ProfileConfig, page=PROFILE_DEVICE)

    # Late, so that `--help` and mistakes in the options are answered at once.
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from devices.errors import MeasurementError
    from devices.measurement import MeasureSettings
    from devices.profiling.profile import few_shot_profile, profile
    from moo.measurement.boards import open_for_profile, tables_named
    from search_space.spaces import space_named

    console = Console()
    if config.list_meters:
        _print_meters(console)
        return 0
    kept = "what was measured is kept"
    goes_on_with(same_command(), kept=kept)
    space = space_named(config.space, size=config.size)
    source = None if config.like is None else tables_named(config.like, space).base
    settings = MeasureSettings()
    columns = (TextColumn("{task.fields[board]}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with ExitStack() as stack:
        devices = open_for_profile(config.device or ("host",), settings, meter=config.meter)
        for _, device in devices:
            stack.callback(device.close)
        from moo.profiling.boards import chosen_configurations, profile_boards, time_needed

        progress = Progress(*columns, TextColumn("{task.description}"), console=console, disable=config.quiet)
        try:
            configurations = chosen_configurations(devices, config.given_configurations)
            if not config.quiet:
                for name, device in devices:
                    text = time_needed(
                        space,
                        configurations[name],
                        settings,
                        metered=device.metered,
                        like=source is not None,
                        networks=config.networks,
                        passes=config.passes,
                    )
                    say(console, f"{name}: {text}")
            tasks = {name: progress.add_task("connecting", total=None, board=plain(name)) for name, _ in devices}
            stack.enter_context(progress)
            profiles = profile_boards(
                devices,
                space,
                settings,
                configurations=configurations,
                method=profile if source is None else partial(few_shot_profile, source=source),
                out=None if config.out is None else local_path(config.out),
                networks=config.networks,
                seed=config.seed,
                passes=config.passes,
                fresh=config.fresh,
                on_progress=lambda name, done, total, what: progress.update(
                    tasks[name], completed=done, total=total, description=plain(what)
                ),
            )
        except MeasurementError as error:
            sys.stderr.write(
                f"error: {one_line(error, most=2000)} What was measured is kept: give the command again to go on.\n"
            )
            return 1
    for item in profiles:
        say(console, f"{item.device}: {item.table}   picture: {item.picture}", item.summary)
        if len(item.family.members) > 1:
            _print_rows(console, item.rows)
    first, size = profiles[0], () if config.size is None else ("--size", str(config.size))
    words = ["--device", first.device, "--space", config.space, *size, "--cost-table", str(first.table)]
    command = command_line(["python", "scripts/pareto_search.py", *words])
    say(console, f"Search with it: {command}{config.runtime_options}")
    return 0


def _print_rows(console: Console, rows: Sequence[Sequence[str]]) -> None:
    from rich.table import Table

    table = Table(box=None, padding=(0, 2))
    for number, column in enumerate(rows[0]):
        table.add_column(column, justify="right" if number else "left", no_wrap=True)
    for row in rows[1:]:
        table.add_row(*map(plain, row))
    console.print(table)


def _print_meters(console: Console) -> None:
    from rich.table import Table

    from devices.meters.catalogue import available_meters

    table = Table(box=None, padding=(0, 2))
    for column in ("meter", "here", "why"):
        table.add_column(column)
    for meter in available_meters():
        table.add_row(meter.name, "[green]yes[/]" if meter.available else "no", plain(meter.reason))
    console.print(table)


def command() -> NoReturn:
    """The console command of this script."""
    run_watched(main)


if __name__ == "__main__":
    command()
