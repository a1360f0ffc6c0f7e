"""How well one profile, and about ten networks for each configuration, predict networks however a board runs them.

Claims: on boards drawn at random, whose operators each scale in their own way with threads, clock and precision, the
mean error of unseen networks is at most 5 %, at clocks that were never measured, too. On this machine, with one and two
threads, in fp32 and int8, it is at most 6 %, and ranks correlate with 0.97.

    python benchmarks/configurations.py [--boards 10] [--device host] [--passes 4] [--quick] [--json]

Drawn boards take some seconds, and their figures do not depend on the machine; `--device None` is these alone. A board
takes minutes: measure while nothing else runs.
"""

from __future__ import annotations

import dataclasses
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from scipy.stats import spearmanr

from benchmarks.drawn_board import CLOCKS_MHZ, DrawnBoard
from benchmarks.options import BenchmarkConfig, check_at_least, read_config
from benchmarks.results import Column, TextTable, print_results
from devices.configuration import RuntimeConfiguration, configurations_of
from devices.cost_tables.cost_table import CostTable
from devices.factory import open_device
from devices.measurement import MeasureSettings
from devices.profiling.family import FamilyProfile, profile_family
from devices.profiling.lower_clocks import ConfigurationProfile
from devices.profiling.profile import measured_runs
from devices.replay import ReplayDevice
from scripts.interface.command_line import run
from search_space.onnx_files import random_weights, to_onnx
from search_space.spaces import FBNetSpace, space_named

if TYPE_CHECKING:
    from typing_extensions import Self

Array = npt.NDArray[np.float64]

DRAWN = configurations_of((1, 2, 4), CLOCKS_MHZ, ("fp32", "int8"))
"""Configurations of drawn boards."""
MEASURED = configurations_of((1, 2), (None,), ("fp32", "int8"))
"""Configurations of the board."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ConfigurationsConfig(BenchmarkConfig):
    """Profile boards in several configurations, then predict networks that had no part in it."""

    boards: int = 10
    """Boards drawn at random."""
    noise: float = 0.01
    """Standard deviation of the logarithm of their measurements."""
    unseen: int = 20
    """Networks to predict in each configuration: all operators equally likely at each layer."""
    space: str = "fbnet-micro"
    """Search space."""
    device: str | None = "host"
    """Board to measure on; `None` leaves it out."""
    passes: int = 4
    """How often everything is measured there, as in profile_device.py."""
    seed: int = 0
    """Draws boards and networks."""
    quick: bool = False
    """Two drawn boards, and nothing is measured."""

    def __post_init__(self) -> None:
        check_at_least(self, boards=1, noise=0, unseen=3, passes=1, seed=0)

    def quickened(self) -> Self:
        """Drawn boards alone."""
        return dataclasses.replace(self, boards=2, device=None)


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """One configuration of one board."""

    board: str
    configuration: str
    way: str
    """`profile`, `ten networks`, `lowest clock`, or `clock in between`."""
    stated_error: float
    """The table's own: of networks left out."""
    mean_error: float
    """Mean of |predicted / true - 1| of unseen networks."""
    worst_error: float
    spearman: float


TABLE = TextTable(
    Column(title="board", width=16, left=True),
    Column(title="configuration", width=24, left=True),
    Column(title="table by", width=17, left=True),
    Column(title="stated", width=7, form=".1%"),
    Column(title="mean error", width=10, form=".1%"),
    Column(title="worst", width=6, form=".1%"),
    Column(title="Spearman", width=9, form=".3f"),
)


def main() -> None:
    """Profile, predict, print."""
    config = read_config(ConfigurationsConfig)
    space = space_named(config.space)
    rng = np.random.default_rng(np.random.SeedSequence(config.seed, spawn_key=(99,)))
    unseen = rng.integers(len(space.operators), size=(config.unseen, space.num_layers)).tolist()
    drawn = [row for number in range(config.boards) for row in drawn_rows(space, unseen, config, number)]
    measured: list[Row] = []
    load, seconds = None, None
    if config.device is not None:
        before = os.getloadavg()[0]
        measured, seconds = measured_rows(space, unseen, config)
        load = (before, os.getloadavg()[0])
    content = {
        "drawn": [asdict(row) for row in drawn],
        "measured": [asdict(row) for row in measured],
        "load_before_and_after": load,
        "profile_seconds": seconds,
    }
    print_results(content, lines(drawn, measured, config, load, seconds), as_json=config.json)


def drawn_rows(space: FBNetSpace, unseen: list[list[int]], config: ConfigurationsConfig, number: int) -> list[Row]:
    """Errors on one drawn board, against latencies without noise."""
    board = DrawnBoard(np.random.SeedSequence(config.seed, spawn_key=(number,)), noise=config.noise)
    device = ReplayDevice(board.measured_ms, cores=4, frequencies_mhz=tuple(reversed(CLOCKS_MHZ)))
    family = profile_family(device, space, DRAWN, passes=1, seed=config.seed)
    models = [model_of(space, indices) for indices in unseen]
    return rows_of(
        f"drawn {number + 1}",
        family,
        unseen,
        {item: np.array([board.latency_ms(model, item) for model in models]) for item in DRAWN},
    )


def measured_rows(space: FBNetSpace, unseen: list[list[int]], config: ConfigurationsConfig) -> tuple[list[Row], float]:
    """Errors on a real board, and the seconds that its profile took."""
    assert config.device is not None, "it was checked"
    with closing(open_device(config.device, MeasureSettings())) as device:
        family = profile_family(device, space, MEASURED, passes=config.passes, seed=config.seed, on_progress=_progress)
        runs = [(configuration, indices) for indices in unseen for configuration in MEASURED]
        found = measured_runs(device, space, runs, config.passes, lambda done, total, _: _progress(done, total, ""))
    latency_ms = np.array([measurement.latency_ms for measurement in found]).reshape(len(unseen), len(MEASURED))
    truth = dict(zip(MEASURED, latency_ms.T, strict=True))
    return rows_of(config.device, family, unseen, truth), family.seconds


def rows_of(
    board: str, family: FamilyProfile, unseen: list[list[int]], truth: dict[RuntimeConfiguration, Array]
) -> list[Row]:
    """One row a configuration."""
    rows = []
    for member in family.members:
        predicted_ms = _predictions(member.table, unseen)
        true_ms = truth[member.configuration]
        relative = np.abs(predicted_ms / true_ms - 1)
        assert member.table.error is not None, "a profile always has an error"
        rows.append(
            Row(
                board=board,
                configuration=member.configuration.label,
                way=way_of(member, is_base=member is family.members[0]),
                stated_error=member.table.error.mean_relative,
                mean_error=float(relative.mean()),
                worst_error=float(relative.max()),
                spearman=float(spearmanr(predicted_ms, true_ms).statistic),
            )
        )
    return rows


def way_of(member: ConfigurationProfile, *, is_base: bool) -> str:
    """How a table came about."""
    if is_base:
        return "profile"
    if member.law is None:
        return "ten networks"
    return "lowest clock" if len(member.measurements) else "clock in between"


def model_of(space: FBNetSpace, indices: list[int]) -> bytes:
    """A network as a serialised ONNX model."""
    graph = space.graph(tuple(space.operators[index] for index in indices))
    return to_onnx(graph, random_weights(graph, np.random.default_rng(0)))


def lines(
    drawn: Sequence[Row],
    measured: Sequence[Row],
    config: ConfigurationsConfig,
    load: tuple[float, float] | None,
    seconds: float | None,
) -> Iterator[str]:
    """Means over drawn boards by the way of their tables, the worst of them, and each configuration of the board."""
    yield f"{config.boards} drawn boards, {len(DRAWN)} configurations each, {config.unseen} unseen networks"
    yield TABLE.head
    for way in dict.fromkeys(row.way for row in drawn):
        own = [row for row in drawn if row.way == way]
        yield TABLE.row(
            "mean of all",
            f"{len(own)} configurations",
            way,
            np.mean([row.stated_error for row in own]),
            np.mean([row.mean_error for row in own]),
            max(row.worst_error for row in own),
            np.mean([row.spearman for row in own]),
        )
    yield _text(max(drawn, key=lambda row: row.mean_error))
    if measured:
        assert load is not None, "it was measured"
        assert seconds is not None, "it was measured"
        yield ""
        yield f"profiled in {seconds / 60:.1f} min; load of the machine {load[0]:.1f} before, {load[1]:.1f} after"
        yield TABLE.head
        yield from map(_text, measured)
        yield f"mean error {np.mean([row.mean_error for row in measured]):.1%}"


def _text(row: Row) -> str:
    return TABLE.row(
        row.board, row.configuration, row.way, row.stated_error, row.mean_error, row.worst_error, row.spearman
    )


def _predictions(table: CostTable, networks: list[list[int]]) -> Array:
    return np.array([table.latency_of(indices) for indices in networks])


def _progress(done: int, total: int, _name: str) -> None:
    if done % 100 == 0 or done == total:
        sys.stderr.write(f"{done} of {total} measured\n")


if __name__ == "__main__":
    run(main)
