"""Choose an operating point of a run's front: three to choose from, the most accurate within limits, or the knee.

Example:
    python scripts/select_network.py runs/first --max-latency-ms 5 --max-energy-mj 20 --threads 1 2
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, NoReturn

from tyro.conf import Positional, arg

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
    three_choices,
)
from moo.formatting import error_text, percent, percent_within, short
from moo.storage.run_folder import RunFolder, model_file_name
from moo.storage.search_state import command_that_goes_on, unfinished_note
from scripts.command_line import parse, run
from scripts.help_pages import SELECT_NETWORK
from search_space.boundary.reading import local_path


@dataclass(frozen=True, kw_only=True, slots=True)
class SelectConfig:
    """Choose an operating point of a run's front: the most accurate within limits, the knee, or one of three.

    An operating point is a network in a runtime configuration. Without limits and `--knee`, three are shown: the most
    accurate, the knee and the fastest above chance. The exit code is 1 where no point is within the limits.
    """

    run: Positional[str]
    """Folder of a run that has ended."""
    max_latency_ms: float | None = None
    """Latency in ms that the point may have at most."""
    max_energy_mj: float | None = None
    """Energy in mJ that the point may need at most, of the kind that the run minimised."""
    max_error: Annotated[str | None, arg(metavar="PERCENT")] = None
    """Error on the selection split that the point may have at most, in per cent: 12.5; below 1 with its sign: 0.5%."""
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
        limits = self.limits
        if self.knee and not limits.is_empty:
            raise ValueError(
                "only one of `--knee` and the limits `--max-latency-ms`, `--max-energy-mj` and `--max-error` may be "
                "given, but got both."
            )

    @property
    def limits(self) -> Limits:
        """The three limits."""
        max_error = None if self.max_error is None else share_of(self.max_error)
        return Limits(self.max_latency_ms, self.max_energy_mj, max_error)

    @property
    def wanted(self) -> ConfigurationFilter:
        """The configurations that are chosen from."""
        return ConfigurationFilter(threads=self.threads, frequencies_mhz=self.frequency_mhz, precisions=self.precision)


def share_of(text: str) -> float:
    """A percentage as a share in (0, 1].

    Raises:
        ValueError: if it is none, or may be meant as a share: below 1 it must have its sign.
    """
    number = text.strip().removesuffix("%").strip()
    try:
        value = float(number)
    except ValueError:
        raise ValueError(f"`--max-error` must be a number of per cent, as in 12.5, but got {text!r}.") from None
    if not 0 < value <= 100:
        raise ValueError(f"`0 < --max-error <= 100` must hold (per cent), but got {text!r}.")
    if value < 1 and "%" not in text:
        raise ValueError(
            f"`--max-error` is in per cent, but got {text!r}, which may be a share: write {100 * value:g} for a share, "
            f"or {number}% if you mean so little."
        )
    return value / 100


def main() -> int:
    """Parse the options, choose, print."""
    config = parse(SelectConfig, page=SELECT_NETWORK)
    run_folder = RunFolder(local_path(config.run))
    front = in_configurations(read_front(run_folder.path), config.wanted)
    if note := unfinished_note(run_folder):
        sys.stderr.write(f"{note} {command_that_goes_on(run_folder)}\n")
    if not config.knee and config.limits.is_empty:
        return _three(run_folder, front, as_json=config.json)
    chosen = knee(front) if config.knee else best_within(front, config.limits)
    shown = chosen or nearest_to(front, config.limits)
    folder = run_folder.networks / shown.id
    exceeded = excesses(shown, config.limits)
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


def _three(run: RunFolder, front: Sequence[FrontPoint], *, as_json: bool) -> int:
    """Print the three to choose from."""
    choices = three_choices(front)
    if as_json:
        content = [{"choice": name, "network": _facts(point, run.networks / point.id)} for name, point in choices]
        print(json.dumps({"choices": content}, indent=2))
        return 0
    columns = [("", *_ROWS), *((name, *_cells(point, run)) for name, point in choices)]
    widths = [max(map(len, column)) for column in columns]
    for line in zip(*columns, strict=True):
        print("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())
    for name, point in choices:
        print(f"{name}: {_file_text(point, run.networks / point.id)}")
    if choices[0][1].beats_guessing is False:
        print("The best network is not better than always answering the commonest class: too few images or too short.")
    return 0


_ROWS = ("network", "configuration", "accuracy", "on the", "latency", "energy", "parameters", "file size")


def _cells(point: FrontPoint, run: RunFolder) -> tuple[str, ...]:
    """What the column of a choice has in each of `_ROWS`."""
    expected = point.expected
    file = run.networks / point.id / model_file_name(point.precision)
    accuracy, split = percent(1 - point.error), "selection split"
    if expected is not None:
        ends = (None if end is None else 1 - end for end in (expected.high, expected.low))
        accuracy, split = percent_within(1 - expected.error, *ends), f"{expected.split} split"
    return (
        point.id,
        "not recorded" if point.configuration is None else point.configuration.label,
        accuracy + " !" * (point.beats_guessing is False),
        f"{split}, {point.error_source}",
        f"{short(point.latency_ms)} ms {point.latency_source}",
        f"{short(point.energy_mj)} mJ {point.energy_source}",
        "not recorded" if point.params is None else f"{point.params:,}",
        f"{file.stat().st_size / 1000:,.0f} kB" if file.is_file() else "not there",
    )


def _facts(point: FrontPoint, folder: Path) -> dict[str, object]:
    """A point for JSON: its fields, with the configuration's label, and the paths that are there."""
    configuration, file = point.configuration, folder / model_file_name(point.precision)
    same_as = None if point.same_as is None else dict(zip(("id", "configuration"), point.same_as, strict=True))
    return asdict(point) | {
        "configuration": None if configuration is None else asdict(configuration) | {"label": configuration.label},
        "same_as": same_as,
        "folder": str(folder) if folder.is_dir() else None,
        "file": str(file) if file.is_file() else None,
    }


def _text(point: FrontPoint, folder: Path) -> str:
    configuration = "not recorded (a run of an earlier version)"
    if point.configuration is not None:
        configuration = point.configuration.label
    kind = {"net": "above idle", "gross": "with idle power", "period": "in a period"}[point.energy_kind]
    off = error_text([point.energy_error]) if point.energy_source == "modelled" else ""
    error = percent_within(point.error, point.error_low, point.error_high)
    lines = [
        f"network        {point.id}",
        f"configuration  {configuration}",
        f"error          {error} (selection split, {point.error_source} weights, {point.precision})",
        *_expected_text(point),
        f"latency        {short(point.latency_ms)} ms {point.latency_source}",
        f"energy         {short(point.energy_mj)} mJ {point.energy_source}{off}, {kind}",
        f"file           {_file_text(point, folder)}",
    ]
    return "\n".join(lines)


def _expected_text(point: FrontPoint) -> list[str]:
    """The error on the test split, whether it beats guessing, and the cheaper point that is as good."""
    lines = []
    if point.expected is not None and point.expected.split == "test":
        expected = point.expected
        lines.append(f"               {percent_within(expected.error, expected.low, expected.high)} on the test split")
    if point.beats_guessing is False:
        lines.append("               not better than always answering the commonest class")
    if point.same_as is not None:
        identifier, label = point.same_as
        where = "" if label is None else f" in {label}"
        lines.append(f"               not significantly below that of {identifier}{where}, which costs less")
    return lines


def _file_text(point: FrontPoint, folder: Path) -> str:
    file = folder / model_file_name(point.precision)
    return f"{file}{'' if file.is_file() else ' (not there: the run has not written it)'}"


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
