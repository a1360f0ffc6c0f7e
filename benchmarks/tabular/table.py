"""NAS-Bench-201 as a table: accuracies that are counted, costs that may be read freely, and what a set is worth.

Shape suffixes: L layers, M objectives, N architectures, O operators, T thetas.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from moo.storage.pareto import hypervolume
from search_space.boundary.text import reason_of
from search_space.nas_bench_201 import NasBench201Space, parse_cell

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.intp]

SPACE = NasBench201Space()
SHAPE = (len(SPACE.operators),) * SPACE.num_layers
NUMBER_OF_ARCHITECTURES = int(np.prod(SHAPE))
HIGHEST_ERROR = 0.9
"""Architectures of this error or more, that of chance, do not count."""


class BudgetSpentError(Exception):
    """A method asked for the accuracy of one more architecture than it may see."""


@dataclass(frozen=True)
class Table:
    """Error and costs of every architecture, in the order of `all_architectures`."""

    error_N: Floats
    cost_NC: Floats
    """One or two costs, in the unit of their columns."""

    @property
    def objectives_NM(self) -> Floats:  # noqa: N802
        """Error and costs."""
        return np.column_stack([self.error_N, self.cost_NC])

    def hypervolume_of(self, places: Sequence[int]) -> float:
        """Share of the box that some architectures dominate.

        Objectives are scaled to [0, 1] over all architectures with an error below that of chance; the reference point
        is 1 for each. Source: MODNAS (Sukthanker et al., ICLR 2025), section 4.
        """
        counted_N = self.error_N < HIGHEST_ERROR
        counted_NM = self.objectives_NM[counted_N]
        low_M, high_M = counted_NM.min(0), counted_NM.max(0)
        some = np.array([place for place in places if counted_N[place]], int)
        scaled_NM = (self.objectives_NM[some] - low_M) / np.where(high_M > low_M, high_M - low_M, 1)
        return hypervolume(scaled_NM, np.ones(len(low_M)))


class LookUps:
    """The accuracies of a table: counts distinct architectures, and refuses more than the budget."""

    def __init__(self, table: Table, budget: int) -> None:
        self._error_N = table.error_N
        self._budget = budget
        self._places: dict[int, None] = {}

    @property
    def places(self) -> list[int]:
        """Architectures that were looked up, in that order."""
        return list(self._places)

    @property
    def left(self) -> int:
        """How many more may be looked up."""
        return self._budget - len(self._places)

    def error_of(self, indices: Sequence[int]) -> float:
        """Error of one architecture.

        Raises:
            BudgetSpentError: if the budget does not allow a look-up of another architecture.
        """
        place = int(np.ravel_multi_index(tuple(indices), SHAPE))
        if place not in self._places and not self.left:
            raise BudgetSpentError(
                f"at most {self._budget} architectures may be looked up, but another was asked for; see `left`."
            )
        self._places[place] = None
        return float(self._error_N[place])


class TabularExpectation:
    """The exact expectation of a tabular value under a product distribution."""

    def __init__(self, value_N: Floats) -> None:
        self._value_OR = torch.from_numpy(value_N).float().reshape(SHAPE[0], -1)

    def __call__(self, probs_TLO: Tensor) -> Tensor:
        """Expected value, of the leading shape of `probs`."""
        flat_TLO = probs_TLO.reshape(-1, *probs_TLO.shape[-2:])
        value_TR = flat_TLO[:, 0] @ self._value_OR
        for layer in range(1, len(SHAPE)):
            rest_TOR = value_TR.reshape(len(flat_TLO), SHAPE[layer], -1)
            value_TR = torch.bmm(flat_TLO[:, layer, None], rest_TOR)[:, 0]
        return value_TR.reshape(probs_TLO.shape[:-2])


def all_architectures() -> Integers:
    """Indices of every architecture, shape (15625, 6), in the order of tables."""
    return np.stack(np.unravel_index(np.arange(NUMBER_OF_ARCHITECTURES), SHAPE), -1).astype(np.intp)


def read_table(accuracy: tuple[Path, str], costs: Sequence[tuple[Path, str]]) -> Table:
    """Join columns of CSV files by their column `index`.

    Args:
        accuracy: a file with `arch_str` (NAS-Bench-201's strings), and its column of accuracy in percent.
        costs: files and columns of costs.

    Raises:
        ValueError: if a file or column is missing, a value is no number or out of range, or the files do not have all
            15,625 architectures, each once.
    """
    rows = _read_rows(accuracy[0], ("index", "arch_str", accuracy[1]))
    operators = {name: index for index, name in enumerate(SPACE.operators)}
    cells = np.array([[operators[name] for name in parse_cell(row["arch_str"] or "")] for row in rows.values()])
    places = np.ravel_multi_index(tuple(cells.T), SHAPE)
    if len(set(places.tolist())) != NUMBER_OF_ARCHITECTURES:
        raise ValueError(
            f"`arch_str` must have each architecture once, but some repeat in {accuracy[0]}; correct the file."
        )
    percent_N = _numbers(rows, accuracy)
    if not ((percent_N >= 0) & (percent_N <= 100)).all():
        raise ValueError(
            f"`{accuracy[1]}` must be in percent, 0 to 100, but goes from {percent_N.min()} to {percent_N.max()} in "
            f"{accuracy[0]}; choose another --accuracy-column."
        )
    if not (percent_N > 100 * (1 - HIGHEST_ERROR)).any():
        raise ValueError(
            f"`{accuracy[1]}` must be in percent and somewhere above chance, but is {percent_N.max():g} at most in "
            f"{accuracy[0]}; multiply fractions by 100, or choose another --accuracy-column."
        )
    values = [1 - percent_N / 100]
    for path, column in costs:
        others = _read_rows(path, ("index", column))
        if others.keys() != rows.keys():
            raise ValueError(
                f"`index` must have the same values in {path} and {accuracy[0]}, but differs; correct one."
            )
        cost_N = _numbers({index: others[index] for index in rows}, (path, column))
        if not (cost_N > 0).all():
            raise ValueError(
                f"`{column}` must be positive, but goes down to {cost_N.min()} in {path}; correct the file."
            )
        values.append(cost_N)
    ordered_NM = np.column_stack(values)[np.argsort(places)]
    return Table(ordered_NM[:, 0], ordered_NM[:, 1:])


def _read_rows(path: Path, columns: Sequence[str]) -> dict[str, dict[str, str]]:
    """Rows by `index`."""
    try:
        with path.open(newline="") as file:
            reader = csv.DictReader(file)
            missing = [column for column in columns if column not in (reader.fieldnames or ())]
            if missing:
                present = ", ".join(reader.fieldnames or ())
                raise ValueError(
                    f"a table must have the column `{missing[0]}`, but {path} has {present}; choose one of these."
                )
            rows = list(reader)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        reason = getattr(error, "strerror", None) or reason_of(error)
        raise ValueError(f"a table must be a CSV file, but {path} cannot be read: {reason}.") from error
    by_index = {row["index"]: row for row in rows}
    if len(rows) != NUMBER_OF_ARCHITECTURES or len(by_index) != len(rows):
        raise ValueError(
            f"a table must have {NUMBER_OF_ARCHITECTURES} rows with an `index` each, but {path} has {len(rows)} rows "
            f"with {len(by_index)} different ones; give the whole table."
        )
    return by_index


def _numbers(rows: dict[str, dict[str, str]], source: tuple[Path, str]) -> Floats:
    path, column = source
    try:
        numbers_N = np.array([float(row[column]) for row in rows.values()])
    except (TypeError, ValueError) as error:
        raise ValueError(f"`{column}` must be numbers, but {path} has others: {error}.") from error
    if not np.isfinite(numbers_N).all():
        raise ValueError(f"`{column}` must be finite numbers, but {path} has others; correct the file.")
    return numbers_N
