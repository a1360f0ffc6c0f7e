"""How `select_network.py` tells of the points that are chosen. Start with `PointTexts`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from evaluation.errors import ERROR_NAMES, GUESSES
from moo.analysis.selection import Excess, FrontPoint
from moo.formatting import error_text, percent, percent_within, short
from moo.storage.run_folder import RunFolder, model_file_name

Point = TypeVar("Point")
ENERGIES = {"net": "above idle", "gross": "with idle power", "period": "in a period"}


@dataclass(frozen=True, kw_only=True, slots=True)
class PointTexts(Generic[Point]):
    """What is said of the points of one kind of front."""

    rows: tuple[str, ...]
    """Names of what a table has of several points."""
    cells: Callable[[Point], tuple[str, ...]]
    """What a point has in each of these."""
    text: Callable[[Point], str]
    """Several lines on one point."""
    facts: Callable[[Point], dict[str, Any]]
    """The same for JSON."""
    place: Callable[[Point], str]
    """Where its files are, below a table."""
    guess: Callable[[Point], str]
    """What a network that is no better than it was compared with."""
    latency: str = "latency"
    """Name of the latency that is limited."""
    latency_key: str = "latency_ms"
    """Its key in `facts`."""

    def excess(self, excess: Excess) -> str:
        """A limit that a point exceeds: `latency 4.00 ms where 3.20 ms is allowed (+25.0 %)`."""
        name, _, unit = excess.quantity.partition("_")
        unit = {"ms": " ms", "mj": " mJ"}.get(unit, "")
        numbers = (excess.value, excess.limit)
        value, limit = (f"{short(number)}{unit}" if unit else percent(number) for number in numbers)
        name = self.latency if name == "latency" else name
        return f"{name} {value} where {limit} is allowed (+{short(100 * excess.ratio)} %)"

    def excess_facts(self, excess: Excess) -> dict[str, Any]:
        """The same for JSON."""
        quantity = self.latency_key if excess.quantity == "latency_ms" else excess.quantity
        return asdict(excess) | {"quantity": quantity}


def static_texts(run: RunFolder) -> PointTexts[FrontPoint]:
    """What is said of points of front.json.

    Args:
        run: whose files are named.
    """
    return PointTexts(
        rows=("network", "configuration", "accuracy", "on the", "latency", "energy", "parameters", "file size"),
        cells=lambda point: _cells(point, run.networks / point.id),
        text=lambda point: _text(point, run.networks / point.id),
        facts=lambda point: _facts(point, run.networks / point.id),
        place=lambda point: file_text(run.networks / point.id / _file_name(point)),
        guess=lambda point: GUESSES[point.error_kind],
    )


def _file_name(point: FrontPoint) -> str:
    return model_file_name(point.precision, "ort" if point.configuration is None else point.configuration.runtime)


def file_text(file: Path) -> str:
    """A file's path, and whether it is there."""
    return f"{file}{'' if file.is_file() else ' (not there: the run has not written it)'}"


def table_lines(columns: list[tuple[str, ...]]) -> list[str]:
    """Columns of texts side by side, a line a row."""
    widths = [max(map(len, column)) for column in columns]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in zip(*columns, strict=True)
    ]


def _cells(point: FrontPoint, folder: Path) -> tuple[str, ...]:
    expected, file = point.expected, folder / _file_name(point)
    accuracy, split = percent(1 - point.error), "selection split"
    if expected is not None:
        ends = (None if end is None else 1 - end for end in (expected.high, expected.low))
        accuracy, split = percent_within(1 - expected.error, *ends), f"{expected.split} split"
    return (
        point.id,
        "not recorded" if point.configuration is None else point.configuration.label,
        accuracy + " !" * (point.beats_guessing is False),
        f"{'balanced, ' * (point.error_kind == 'balanced')}{split}, {point.error_source}",
        f"{short(point.latency_ms)} ms {point.latency_source}",
        f"{short(point.energy_mj)} mJ {point.energy_source}",
        "not recorded" if point.params is None else f"{point.params:,}",
        f"{file.stat().st_size / 1000:,.0f} kB" if file.is_file() else "not there",
    )


def _facts(point: FrontPoint, folder: Path) -> dict[str, Any]:
    """Its fields, with the configuration's label, and the paths that are there."""
    configuration, file = point.configuration, folder / _file_name(point)
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
    off = error_text([point.energy_error]) if point.energy_source == "modelled" else ""
    error = percent_within(point.error, point.error_low, point.error_high)
    name = ERROR_NAMES[point.error_kind]
    lines = [
        f"network        {point.id}",
        f"configuration  {configuration}",
        f"{name:14} {error} (selection split, {point.error_source} weights, {point.precision})",
        *_expected_text(point),
        f"latency        {short(point.latency_ms)} ms {point.latency_source}",
        f"energy         {short(point.energy_mj)} mJ {point.energy_source}{off}, {ENERGIES[point.energy_kind]}",
        f"file           {file_text(folder / _file_name(point))}",
    ]
    return "\n".join(lines)


def _expected_text(point: FrontPoint) -> list[str]:
    """The error on the test split, whether it beats guessing, and the cheaper point that is as good."""
    lines = []
    if point.expected is not None and point.expected.split == "test":
        expected = point.expected
        lines.append(f"               {percent_within(expected.error, expected.low, expected.high)} on the test split")
    if point.beats_guessing is False:
        lines.append(f"               not better than {GUESSES[point.error_kind]}")
    if point.same_as is not None:
        identifier, label = point.same_as
        where = "" if label is None else f" in {label}"
        lines.append(f"               not significantly below that of {identifier}{where}, which costs less")
    return lines
