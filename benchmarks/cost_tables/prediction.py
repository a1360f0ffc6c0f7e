"""How well cost tables predict networks that had no part in making them.

Claim: with calibration on whole networks, the mean error of 50 random networks is at most 5 %, 95 % of them are
predicted within 10 %, and their ranks correlate with 0.97 (`fbnet-micro`) or 0.98 (`fbnet-cifar`). A profile takes at
most 3 and 8 minutes. Hardware: any machine, one thread. Trials: 50 networks, each the fastest of four
measurements with all others in between, as in the profile.

    python benchmarks/cost_tables/prediction.py --spaces fbnet-micro fbnet-cifar
"""

from __future__ import annotations

import dataclasses
import sys
import time
from contextlib import closing
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import numpy as np

from benchmarks.options import BenchmarkConfig, check_at_least, read_config
from benchmarks.results import Column, TextTable, print_results
from devices.cost_tables.cost_table import TableError
from devices.factory import open_device
from devices.measurement import MeasureSettings
from devices.profiling.calibration import table_error
from devices.profiling.profile import measured_network, profile
from scripts.interface.command_line import run
from search_space.spaces import space_named

if TYPE_CHECKING:
    from typing_extensions import Self


@dataclass(frozen=True, kw_only=True, slots=True)
class CostTableConfig(BenchmarkConfig):
    """Profile a board, then predict networks that calibration never saw."""

    device: str = "host"
    """Board."""
    spaces: tuple[str, ...] = ("fbnet-micro", "fbnet-cifar")
    """Search spaces."""
    networks: int = 50
    """Networks to predict: all operators equally likely at each layer."""
    passes: int = 4
    """How often everything is measured, as in profile_device.py."""
    seed: int = 0
    """Chooses these networks."""
    quick: bool = False
    """A few networks of `fbnet-micro` only."""

    def __post_init__(self) -> None:
        check_at_least(self, networks=1, passes=1, seed=0)

    def quickened(self) -> Self:
        """Eight networks of the smallest space."""
        return dataclasses.replace(self, spaces=("fbnet-micro",), networks=8)


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """Errors of one table."""

    space: str
    table: str
    """`operator-wise` or `calibrated`."""
    seconds: float
    """How long the profile took."""
    board: str
    error: TableError


TABLE = TextTable(
    Column(title="space", width=12, left=True),
    Column(title="table", width=14, left=True),
    Column(title="mean error", width=10, form=".1%"),
    Column(title="within 10 %", width=12, form=".0%"),
    Column(title="Spearman", width=9, form=".3f"),
    Column(title="profiling", width=10, form=".1f", unit=" min"),
)


def main() -> None:
    """Print one row a space and table."""
    config = read_config(CostTableConfig)
    rows = [row for name in config.spaces for row in measured_rows(config, name)]
    content = [{**asdict(row), **asdict(row.error)} for row in rows]
    for entry in content:
        del entry["error"]
    print_results(content, [TABLE.head, *map(row_text, rows)], as_json=config.json)


def measured_rows(config: CostTableConfig, name: str) -> list[Row]:
    """Errors of the table before and after calibration."""
    space = space_named(name)
    with closing(open_device(config.device, MeasureSettings())) as device:
        start = time.perf_counter()
        found = profile(
            device, space, passes=config.passes, on_progress=lambda done, total, _what: _progress(name, done, total)
        )
        seconds = time.perf_counter() - start
        rng = np.random.default_rng(np.random.SeedSequence(config.seed, spawn_key=(99,)))
        networks = rng.integers(len(space.operators), size=(config.networks, space.num_layers)).tolist()
        passes = [
            [measured_network(device, space, indices).latency_ms for indices in networks] for _ in range(config.passes)
        ]
    measured = np.min(passes, axis=0)
    rows = []
    for kind, table in (("operator-wise", found.operator_wise), ("calibrated", found.table)):
        predicted = np.array([table.latency_of(indices) for indices in networks])
        error = table_error(predicted, measured)
        rows.append(Row(space=name, table=kind, seconds=seconds, board=table.board, error=error))
    return rows


def row_text(row: Row) -> str:
    """A line of the table."""
    error = row.error
    return TABLE.row(
        row.space, row.table, error.mean_relative, error.within_10_percent, error.spearman, row.seconds / 60
    )


def _progress(name: str, done: int, total: int) -> None:
    if done % 100 == 0 or done == total:
        sys.stderr.write(f"{name}: {done} of {total} measured\n")


if __name__ == "__main__":
    run(main)
