"""Latency and energy of every operator at every layer, with where they come from; read and written as JSON.

Array shapes: L layers, O operators. Start with `read_cost_table`; the file's form is `cost_table_schema.json`.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import numpy.typing as npt

from devices.configuration import Precision, RuntimeConfiguration, runtime_in
from devices.measurement import LARGEST, Source
from search_space.boundary import reading
from search_space.boundary.sealing import unsealed, write_sealed_json
from search_space.boundary.text import one_line, shown
from search_space.spaces import MOST_LAYERS, SearchSpace

SCHEMA_PATH = Path(__file__).with_name("cost_table_schema.json")

Array = npt.NDArray[np.float64]
SMALLEST = 1e-100
"""Of a cost that is not 0, in ms or mJ: less overflows where it divides."""
MOST_BYTES = 16 * 2**20
"""Of a file; a table of 22 layers has 10,000."""
MOST_ERRORS = 100
"""Breaches of the schema among which the one to tell is looked for."""
LONGEST_METHOD = 2000
"""Characters of the sentence on how a table was obtained."""


@dataclass(frozen=True)
class TableError:
    """How far sums of a table are from networks measured whole, each predicted without its own measurement."""

    networks: int
    mean_relative: float
    """Mean of |predicted / measured - 1| of latency."""
    within_10_percent: float
    """Share of networks whose latency is predicted within 10 %."""
    spearman: float | None
    """Rank correlation of predicted and measured latency; None for fewer than three networks."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class CostTable:
    """Costs of all operators of a space on one board; the arrays are read-only.

    The sources say how the entries were obtained. A network's cost as the sum of entries is a prediction, so it is
    `modelled` even where every entry was measured.
    """

    space: str
    """Name of the search space."""
    operators: tuple[str, ...]
    latency_ms: Array
    """Shape (L, O)."""
    energy_mj: Array
    """Shape (L, O); above idle."""
    fixed_latency_ms: float
    """Stem, head and the runtime's overhead, which every network of the space pays."""
    fixed_energy_mj: float
    latency_source: Source
    energy_source: Source
    board: str
    runtime: str
    threads: int
    clock_mhz: float | None
    date: str | None
    """ISO 8601, UTC; None for a table without any measurement."""
    method: str
    """One sentence on how the table was obtained."""
    frequency_mhz: int | None = None
    """Clock that was set; None if the board's governor decided."""
    precision: Precision = "fp32"
    idle_w: float | None = None
    """Idle power of the board, in W: what gross energy adds; None if it is not known."""
    energy_error: float | None = None
    """How far modelled energies may be off, as a fraction; None where they were measured, or it is not known."""
    error: TableError | None = None
    """None if no network was measured whole."""

    def __post_init__(self) -> None:
        for name in ("board", "runtime", "method", "date"):
            text = getattr(self, name)
            object.__setattr__(self, name, None if text is None else one_line(text, most=LONGEST_METHOD))
        for name in ("latency_ms", "energy_mj"):
            costs = np.array(getattr(self, name), dtype=np.float64)
            costs.setflags(write=False)
            object.__setattr__(self, name, costs)
            self._check(name, costs)
        if self.latency_ms.shape != self.energy_mj.shape:
            raise ValueError(
                f"`latency_ms` and `energy_mj` must have one shape, but got {self.latency_ms.shape} and "
                f"{self.energy_mj.shape}."
            )
        for name in ("fixed_latency_ms", "fixed_energy_mj"):
            value = getattr(self, name)
            if not 0 <= value <= LARGEST:
                raise ValueError(f"`{name}` must be from 0 to {LARGEST:g}, but got {value:g}.")

    @property
    def configuration(self) -> RuntimeConfiguration:
        """How networks are run that cost this."""
        return RuntimeConfiguration(
            runtime=runtime_in(self.runtime),
            threads=self.threads,
            frequency_mhz=self.frequency_mhz,
            precision=self.precision,
        )

    @property
    def num_layers(self) -> int:
        """Number of searchable layers, L."""
        return len(self.latency_ms)

    def latency_of(self, indices: Sequence[int]) -> float:
        """Predicted latency of a network in ms: the fixed cost and one entry for each layer.

        Args:
            indices: for each layer an index into `operators`, length L.

        Raises:
            ValueError: if the number of indices or one of them does not fit.
        """
        return self.fixed_latency_ms + float(self._chosen(self.latency_ms, indices).sum())

    def energy_of(self, indices: Sequence[int]) -> float:
        """Predicted energy of a network in mJ; arguments and errors as for `latency_of`."""
        return self.fixed_energy_mj + float(self._chosen(self.energy_mj, indices).sum())

    def slowest_ms(self) -> float:
        """Latency of the network of each layer's slowest operator."""
        return self.fixed_latency_ms + float(self.latency_ms.max(axis=1).sum())

    def highest_mj(self) -> float:
        """Energy of the network of each layer's operator with the highest energy."""
        return self.fixed_energy_mj + float(self.energy_mj.max(axis=1).sum())

    def to_json(self) -> dict[str, object]:
        """A plain dictionary in the form of `cost_table_schema.json`."""
        content: dict[str, object] = {entry.name: getattr(self, entry.name) for entry in fields(self)}
        content["operators"] = list(self.operators)
        content["latency_ms"] = self.latency_ms.tolist()
        content["energy_mj"] = self.energy_mj.tolist()
        content["error"] = None if self.error is None else asdict(self.error)
        return content

    def write(self, path: Path) -> None:
        """Write the table as JSON, for `read_cost_table`."""
        write_sealed_json(path, self.to_json())

    def _check(self, name: str, costs: Array) -> None:
        if costs.ndim != 2 or not len(costs) or costs.shape[1] != len(self.operators):
            raise ValueError(
                f"`{name}` must have shape (layers, {len(self.operators)}), one column an operator, "
                f"but got {costs.shape}."
            )
        wrong = np.argwhere(~((costs == 0) | ((costs >= SMALLEST) & (costs <= LARGEST))))
        if len(wrong):
            layer, operator = wrong[0]
            raise ValueError(
                f"`{name}` must be 0, or from {SMALLEST:g} to {LARGEST:g}, but is {costs[layer, operator]} at layer "
                f"{layer}, "
                f"operator {one_line(self.operators[operator])}, on board {shown(self.board)}."
            )

    def _chosen(self, costs: Array, indices: Sequence[int]) -> Array:
        if len(indices) != len(costs) or not all(0 <= index < costs.shape[1] for index in indices):
            raise ValueError(
                f"an architecture must have {len(costs)} indices, one a layer, in [0, {costs.shape[1] - 1}], "
                f"but got {tuple(indices)}."
            )
        chosen: Array = costs[np.arange(len(costs)), np.asarray(indices, dtype=np.intp)]
        return chosen


def read_cost_table(path: Path) -> CostTable:
    """A table from a JSON file.

    Raises:
        ValueError: naming the file, the rule that it breaks, and what it holds; for a missing entry also layer,
            operator and board.
    """
    return cost_table_from(read_json(path), path)


def read_json(path: Path) -> Any:
    """What a cost table file holds.

    Raises:
        ValueError: if it is missing, not JSON, or does not match its seal.
    """
    content = reading.read_json(path, what="a cost table file", most=MOST_BYTES)
    try:
        return unsealed(content)
    except ValueError as error:
        raise ValueError(
            f"a cost table file must be whole, but {str(path)!r} is not: {error}. Restore it from a copy, or make it "
            "anew."
        ) from None


def cost_table_from(content: Any, path: Path) -> CostTable:
    """The table that `CostTable.to_json` gave.

    Args:
        content: as read from the file.
        path: of the file, for messages.

    Raises:
        ValueError: as `read_cost_table`.
    """
    validator = jsonschema.Draft202012Validator(json.loads(SCHEMA_PATH.read_text()))
    _check_lengths(content, path)
    broken = jsonschema.exceptions.best_match(itertools.islice(validator.iter_errors(content), MOST_ERRORS))
    if broken is not None:
        where = "".join(f"[{part}]" if isinstance(part, int) else f"`{part}`" for part in broken.path)
        raise ValueError(
            f"in the cost table file {str(path)!r}, at {where or 'the top'}: {one_line(broken.message, most=200)}."
        )
    _check_complete(content, path)
    content["operators"] = tuple(content["operators"])
    # Older files have an empty text where there is no date.
    content["date"] = content["date"] or None
    if content.get("error") is not None:
        content["error"] = TableError(**content["error"])
    try:
        return CostTable(**content)
    except ValueError as error:
        raise ValueError(f"in the cost table file {str(path)!r}: {error}") from None


def check_fits(table: CostTable, space: SearchSpace) -> None:
    """Check that a table is for this space.

    Raises:
        ValueError: if space, operators or number of layers differ.
    """
    for rule, got, expected in (
        ("space", table.space, space.name),
        ("operators", ", ".join(table.operators), ", ".join(space.operators)),
        ("number of layers", table.num_layers, space.num_layers),
    ):
        if got != expected:
            raise ValueError(
                f"the {rule} of a cost table must be that of the search space, {expected}, but the table of board "
                f"{shown(table.board)} has {one_line(got)}: profile the board for this space."
            )
    for name, highest in (("latency", table.slowest_ms()), ("energy", table.highest_mj())):
        if not highest > 0:
            raise ValueError(f"the highest {name} of a cost table must be above 0, but it is 0: profile the board.")


def _check_complete(content: dict[str, Any], path: Path) -> None:
    operators = content["operators"]
    for name in ("latency_ms", "energy_mj"):
        for layer, row in enumerate(content[name]):
            if len(row) > len(operators):
                raise ValueError(
                    f"in the cost table file {str(path)!r}: each row of `{name}` must have {len(operators)} entries, "
                    f"one an operator, but layer {layer} has {len(row)}."
                )
            padded = row + [None] * (len(operators) - len(row))
            if None in padded:
                raise ValueError(
                    f"the cost table file {str(path)!r} must have all entries, but `{name}` lacks layer {layer}, "
                    f"operator {one_line(operators[padded.index(None)])}, on board {shown(content['board'])}."
                )


def _check_lengths(content: Any, path: Path) -> None:
    """Before the schema, which would go through millions of entries."""
    lists = [value for value in content.values() if isinstance(value, list)] if isinstance(content, dict) else []
    longest = max((len(one) for value in lists for one in (value, *value) if isinstance(one, list)), default=0)
    if longest > MOST_LAYERS or len(lists) > len(fields(CostTable)):
        raise ValueError(
            f"in the cost table file {str(path)!r}: a table must have at most {MOST_LAYERS} layers and operators, but "
            f"a list has {longest} entries."
        )
