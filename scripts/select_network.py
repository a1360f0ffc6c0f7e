"""Choose one operating point of a run's front: the most accurate within limits, or the knee.

Example:
    python scripts/select_network.py runs/first --max-latency-ms 5 --max-energy-mj 20 --threads 1 2
"""

from __future__ import annotations

import json
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NoReturn

from tyro.conf import Positional

from devices.configuration import Precision
from moo.analysis.selection import (
    ConfigurationFilter,
    Excess,
    FrontPoint,
    Limits,
    best_within,
    excesses,
    in_configurations,
    knee,
    nearest_to,
    read_front,
)
from moo.formatting import error_text, percent, short
from moo.storage.run_folder import RunFolder, model_file_name
from moo.storage.search_state import command_that_goes_on, unfinished_note
from scripts.command_line import parse, run
from scripts.help_pages import SELECT_NETWORK


@dataclass(frozen=True, kw_only=True, slots=True)
class SelectConfig:
    """Choose one operating point of a run's front: the most accurate within limits, or the knee.

    An operating point is a network in a runtime configuration. The exit code is 1 where no point is within the limits.
    """

    run: Positional[str]
    """Folder of a run that has ended."""
    max_latency_ms: float | None = None
    """Latency in ms that the point may have at most."""
    max_energy_mj: float | None = None
    """Energy in mJ that the point may need at most, of the kind that the run minimised."""
    max_error: float | None = None
    """Error on the selection split that the point may have at most, in (0, 1]."""
    knee: bool = False
    """Instead of limits: the point where the front bulges most towards the ideal."""
    threads: tuple[int, ...] = ()
    """Choose among points with these numbers of threads; by default with any."""
    frequency_mhz: tuple[int, ...] = ()
    """Choose among points with these clocks of the cores in MHz; by default with any."""
    precision: tuple[Precision, ...] = ()
    """Choose among points of these precisions; by default of any."""
    json: bool = False
    """Print JSON instead of text; where none is within the limits, the nearest one and what it exceeds."""

    def __post_init__(self) -> None:
        if self.knee == (not self.limits.is_empty):
            raise ValueError(
                "either `--knee` or at least one of `--max-latency-ms`, `--max-energy-mj` and `--max-error` must be "
                f"given, but got {'both' if self.knee else 'neither'}."
            )

    @property
    def limits(self) -> Limits:
        """The three limits."""
        return Limits(self.max_latency_ms, self.max_energy_mj, self.max_error)

    @property
    def wanted(self) -> ConfigurationFilter:
        """The configurations that are chosen from."""
        return ConfigurationFilter(threads=self.threads, frequencies_mhz=self.frequency_mhz, precisions=self.precision)


def main() -> int:
    """Parse the options, choose, print."""
    config = parse(SelectConfig, page=SELECT_NETWORK)
    front = in_configurations(read_front(Path(config.run)), config.wanted)
    chosen = knee(front) if config.knee else best_within(front, config.limits)
    shown = chosen or nearest_to(front, config.limits)
    run_folder = RunFolder(Path(config.run))
    folder = run_folder.networks / shown.id
    exceeded = excesses(shown, config.limits)
    if note := unfinished_note(run_folder):
        sys.stderr.write(f"{note} {command_that_goes_on(run_folder)}\n")
    if config.json:
        content = {
            "qualifies": chosen is not None,
            "network": _facts(shown, folder),
            "exceeded": [*map(asdict, exceeded)],
        }
        print(json.dumps(content, indent=2))
    elif chosen is not None:
        print(_text(chosen, folder))
    if chosen is None:
        reasons = ", ".join(_excess_text(excess) for excess in exceeded)
        nearest = shown.id if shown.configuration is None else f"{shown.id} in {shown.configuration.label}"
        sys.stderr.write(f"No point of {len(front)} is within the limits; the nearest, {nearest}, has {reasons}.\n")
    return 0 if chosen else 1


def _facts(point: FrontPoint, folder: Path) -> dict[str, object]:
    """A point for JSON: its fields, with the configuration's label, and the paths that are there."""
    configuration, file = point.configuration, folder / model_file_name(point.precision)
    return asdict(point) | {
        "configuration": None if configuration is None else asdict(configuration) | {"label": configuration.label},
        "folder": str(folder) if folder.is_dir() else None,
        "file": str(file) if file.is_file() else None,
    }


def _text(point: FrontPoint, folder: Path) -> str:
    configuration = "not recorded (a run of an earlier version)"
    if point.configuration is not None:
        configuration = point.configuration.label
    file = folder / model_file_name(point.precision)
    missing = "" if file.is_file() else " (not there: the run has not written it)"
    kind = {"net": "above idle", "gross": "with idle power", "period": "in a period"}[point.energy_kind]
    off = error_text([point.energy_error]) if point.energy_source == "modelled" else ""
    return (
        f"network        {point.id}\n"
        f"configuration  {configuration}\n"
        f"error          {percent(point.error)} (selection split, {point.error_source} weights, {point.precision})\n"
        f"latency        {short(point.latency_ms)} ms {point.latency_source}\n"
        f"energy         {short(point.energy_mj)} mJ {point.energy_source}{off}, {kind}\n"
        f"file           {file}{missing}"
    )


def _excess_text(excess: Excess) -> str:
    name, _, unit = excess.quantity.partition("_")
    unit = {"ms": " ms", "mj": " mJ"}.get(unit, "")
    value, limit = (f"{short(number)}{unit}" if unit else percent(number) for number in (excess.value, excess.limit))
    return f"{name} {value} where {limit} is allowed (+{short(100 * excess.ratio)} %)"


def command() -> NoReturn:
    """The console command of this script."""
    run(main)


if __name__ == "__main__":
    command()
