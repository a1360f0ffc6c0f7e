"""Cost tables of other systems, recognised by their content. Start with `read_any_cost_tables`.

Two text forms besides this project's JSON, both with one line a layer and without stem and head: HANNA's (nine
numbers a line, latency in seconds, and a second file like it for energy in joules), and the lookup table of the
PyTorch reproduction of FBNet (operator names, then latency in microseconds). See `docs/published_tables.md`.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from devices.configuration import BASE
from devices.cost_tables.cost_table import MOST_BYTES, CostTable, check_fits
from devices.cost_tables.family import CostTables, read_cost_tables
from devices.cost_tables.other_shapes import check_shapes
from devices.cost_tables.text_tables import Row, TextTable, is_number, parse_text_table
from devices.energy.power_model import HOST_POWER_MODEL
from search_space.boundary.reading import local_path, read_text
from search_space.boundary.text import shown
from search_space.operators import OPERATOR_NAMES, REPRODUCTION_NAMES, canonical_operator, why_no_operator
from search_space.spaces import SearchSpace, split_size

Array = npt.NDArray[np.float64]


def read_any_cost_table(path: str | Path, space: SearchSpace, *, energy_path: str | Path | None = None) -> CostTable:
    """The base of `read_any_cost_tables`; arguments and errors are the same."""
    return read_any_cost_tables(path, space, energy_path=energy_path).base


def read_any_cost_tables(path: str | Path, space: SearchSpace, *, energy_path: str | Path | None = None) -> CostTables:
    """Cost tables from a file of any of the three forms, checked against the space; only JSON may have several.

    A text table says nothing about its board. It is labelled `published`, since its figures are adopted unchanged. It
    has no stem and head, so the fixed cost is 0. Without an energy file its energy is that of the nominal power model
    with one thread, labelled `modelled`. Which space it is for, a comment `# space: NAME` in it says, or else its
    latencies must not fit the shapes of another one much better (`devices.cost_tables.other_shapes`).

    Args:
        path: this project's JSON, HANNA's latency file, or the lookup table of the PyTorch reproduction of FBNet.
        space: the space that the table must be for.
        energy_path: HANNA's energy file, for a text table.

    Raises:
        ValueError: if a file is missing, truncated, in none of these forms or for another space, or has entries that
            are not numbers of at least 0. The message, a single line, names the file and what was expected, and for a
            wrong entry the layer and operator.
    """
    path, energy_path = local_path(path), None if energy_path is None else local_path(energy_path)
    text = _text_of(path)
    if text.lstrip().startswith(("{", "[")):
        if energy_path is not None:
            raise ValueError(
                f"an energy file must come with a text table only, but the JSON table {str(path)!r} has its own "
                f"energies: leave {str(energy_path)!r} out."
            )
        return _read_json(path, space)
    return CostTables([_read_text_table(text, path, space, energy_path)])


def _read_text_table(text: str, path: Path, space: SearchSpace, energy_path: Path | None) -> CostTable:
    _check_family(path, space)
    cells = parse_text_table(text, path)
    latency = _latencies(cells, path, space)
    doubts = check_shapes(latency.values, space, path) if cells.space is None else ""
    energy = HOST_POWER_MODEL.description if energy_path is None else f"read from {energy_path.name}"
    return CostTable(
        space=space.name,
        operators=space.operators,
        latency_ms=latency.values,
        energy_mj=_energy_mj(latency.values, energy_path, space),
        fixed_latency_ms=0.0,
        fixed_energy_mj=0.0,
        latency_source="published",
        energy_source="modelled" if energy_path is None else "published",
        energy_error=HOST_POWER_MODEL.relative_error if energy_path is None else None,
        board=f"not stated in {path.name}",
        runtime="not stated",
        threads=1,
        clock_mhz=None,
        date=None,
        method=f"read from a table in the form of {latency.form}; it has no stem and head, so the fixed cost is 0"
        f"{doubts}; energy: {energy}",
    )


def split_table_paths(text: str) -> tuple[Path, Path | None]:
    """Latency and energy file from what a user types: `LATENCY_FILE` or `LATENCY_FILE,ENERGY_FILE`.

    Raises:
        ValueError: if there are more than two, or one is empty.
    """
    with contextlib.suppress(OSError, ValueError):
        # What is too long for a name, or has the home of nobody, is none.
        if local_path(text).is_file():
            return local_path(text), None
    parts = [part.strip() for part in text.split(",")]
    if len(parts) > 2 or not all(parts):
        raise ValueError(f"a cost table must be given as `FILE` or `LATENCY_FILE,ENERGY_FILE`, but got {shown(text)}.")
    return Path(parts[0]), Path(parts[1]) if len(parts) == 2 else None


@dataclass(frozen=True, eq=False)
class _Latencies:
    values: Array
    """In ms or mJ, shape (layers, operators of the space)."""
    form: str


def _read_json(path: Path, space: SearchSpace) -> CostTables:
    tables = read_cost_tables(path)
    try:
        check_fits(tables.base, space)
    except ValueError as error:
        raise ValueError(f"in the cost table file {str(path)!r}: {error}") from None
    return tables


def _latencies(cells: TextTable, path: Path, space: SearchSpace) -> _Latencies:
    _check_space(cells, path, space)
    if cells.names is None:
        values = _numbers(cells.rows, path, space, columns=OPERATOR_NAMES, unit="seconds", per_unit=1e3)
        return _Latencies(values, "HANNA")
    columns = _columns(cells.names, path, space)
    values = _numbers(cells.rows, path, space, columns=columns, unit="microseconds", per_unit=1e-3)
    return _Latencies(values, "the PyTorch reproduction of FBNet")


def _energy_mj(latency_ms: Array, energy_path: Path | None, space: SearchSpace) -> Array:
    if energy_path is None:
        return np.asarray(HOST_POWER_MODEL.energy_mj(1.0, BASE) * latency_ms)
    cells = parse_text_table(_text_of(energy_path), energy_path)
    _check_space(cells, energy_path, space)
    columns = OPERATOR_NAMES if cells.names is None else _columns(cells.names, energy_path, space)
    return _numbers(cells.rows, energy_path, space, columns=columns, unit="joules", per_unit=1e3)


def _check_space(cells: TextTable, path: Path, space: SearchSpace) -> None:
    if cells.space not in (None, space.name):
        raise ValueError(
            f"a cost table must be for the space that it is given for, `{space.name}`, but {str(path)!r} says that it "
            f"is for {shown(cells.space)}."
        )


def _columns(names: Row, path: Path, space: SearchSpace) -> tuple[str, ...]:
    """The operator of each column of a lookup table of the reproduction."""
    columns = tuple(canonical_operator(name) for name in names)
    for name, column in zip(names, columns, strict=True):
        if column not in OPERATOR_NAMES:
            raise ValueError(
                f"the first line of the cost table file {str(path)!r} must be nine numbers or names of "
                f"{', '.join(REPRODUCTION_NAMES)}, but has {_shortened(name)}{why_no_operator(name)}"
            )
        if columns.count(column) > 1:
            raise ValueError(
                f"the cost table file {str(path)!r} must name each operator once, but repeats {_shortened(name)}."
            )
    for operator in space.operators:
        if operator not in columns:
            raise ValueError(
                f"the cost table file {str(path)!r} must have all operators of `{space.name}`, but its first line "
                f"lacks {operator}."
            )
    return columns


def _numbers(
    rows: Sequence[Row], path: Path, space: SearchSpace, *, columns: tuple[str, ...], unit: str, per_unit: float
) -> Array:
    """The table, in ms or mJ: shape (layers, operators of the space)."""
    where = (
        f"the cost table file {str(path)!r} must have {space.num_layers} lines of {len(columns)} numbers in {unit}, "
    )
    where += f"one line a layer of `{space.name}` and one number an operator, but"
    if len(rows) > space.num_layers:
        raise ValueError(f"{where} has {len(rows)} lines: it is for another space.")
    for layer, row in enumerate(rows):
        if len(row) > len(columns):
            raise ValueError(f"{where} has {len(row)} at layer {layer}, beyond operator {columns[-1]}.")
        for operator, word in zip(columns, row, strict=False):
            if not is_number(word) or not (math.isfinite(float(word)) and float(word) >= 0):
                raise ValueError(
                    f"{where} at layer {layer}, operator {operator}, has {_shortened(word)}, which is not a number "
                    "of at least 0."
                )
        if len(row) < len(columns):
            raise ValueError(f"{where} lacks layer {layer}, operator {columns[len(row)]}.")
    if len(rows) < space.num_layers:
        raise ValueError(f"{where} has {len(rows)} lines: it lacks layer {len(rows)}, operator {columns[0]}.")
    values = np.array([[float(word) * per_unit for word in row] for row in rows])
    return values[:, [columns.index(operator) for operator in space.operators]]


def _check_family(path: Path, space: SearchSpace) -> None:
    if space.vocabulary != OPERATOR_NAMES:
        raise ValueError(
            f"a text table must be for a space of the FBNet family, but {str(path)!r} was given for `{space.name}`."
        )
    name, size = split_size(space.name)
    if size is not None:
        raise ValueError(
            f"a text table must be for a space at its own size, as it does not say which, but {str(path)!r} was given "
            f"for `{name}` at {size} pixels: omit `--size`, or profile the board."
        )


def _text_of(path: Path) -> str:
    text = read_text(path, what="a cost table file", most=MOST_BYTES)
    if not text.strip():
        raise ValueError(f"a cost table file must be JSON or a text table, but {str(path)!r} is empty.")
    return text


def _shortened(word: str) -> str:
    return shown(word, most=44)
