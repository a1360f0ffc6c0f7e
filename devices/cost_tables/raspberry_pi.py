"""The built-in boards `pi4` and `pi5` over clocks, threads and precisions. Start with `built_in_tables`.

The base of `pi4` is published (`pi4.py`); all else follows from it by laws that are fitted to published figures
(`benchmarks/built_in_boards/laws.py` fits them anew and states their errors), so it is labelled `modelled`.
Array shapes: L layers, O operators, F counts of the operator model.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from devices.configuration import BASE, PRECISIONS, RuntimeConfiguration, configurations_of
from devices.cost_tables.cost_table import CostTable
from devices.cost_tables.family import CostTables
from devices.cost_tables.operator_model import COUNTS, graph_counts
from devices.cost_tables.pi4 import fitted_model, has_published_shapes, pi4_cost_table, published_latencies
from devices.energy.power_model import RASPBERRY_PI_4, RASPBERRY_PI_5, PowerModel
from devices.measurement import ModelledCosts
from search_space.block_graph import block_graph
from search_space.graphs import Graph
from search_space.operators import OPERATORS
from search_space.spaces import FBNetSpace

CORES = 4
SERIAL_DENSE = 0.30
"""Share of a dense operation's arithmetic that further threads do not make quicker (Amdahl's law)."""
SERIAL_OTHER = 0.53
"""The same of all else that grows with the operation: depthwise arithmetic, and numbers that are moved."""
INT8_DEPTHWISE = 0.55
"""Time in int8 over time in fp32, under TensorFlow Lite on a Raspberry Pi 4: depthwise arithmetic and weights."""
INT8_OTHER = 0.37
"""The same of all else but the cost of an operation as such, which stays."""

Array = npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, slots=True)
class BuiltInBoard:
    """A Raspberry Pi, told by what it differs in from the published table of a Raspberry Pi 4."""

    model: str
    clocks_mhz: tuple[int, ...]
    """Those of the built-in configurations; the first is the top clock, at which the other figures hold."""
    highest_mhz: int
    """Highest clock that the board has without overclocking; the lowest is the last of `clocks_mhz`."""
    time: float
    """Of one thread in fp32, over that of the published table."""
    clock_share: float
    """a: share of the time that goes with the clock."""
    int8_scale: float
    """What int8's factors are multiplied by on this board."""
    power: PowerModel
    sources: str
    """Of these figures, with their errors."""


BUILT_IN_BOARDS = {
    "pi4": BuiltInBoard(
        model="Raspberry Pi 4",
        clocks_mhz=(1500, 1000, 600),
        highest_mhz=1800,
        time=1.0,
        clock_share=0.76,
        int8_scale=1.28,
        power=RASPBERRY_PI_4,
        sources="clock: a = 0.76 (9 networks on two boards, each left out in turn 3.4 %)",
    ),
    "pi5": BuiltInBoard(
        model="Raspberry Pi 5",
        clocks_mhz=(2400, 2000, 1500),
        highest_mhz=2400,
        time=0.288,
        clock_share=0.73,
        int8_scale=0.89,
        power=RASPBERRY_PI_5,
        sources="0.288 of a Pi 4's time (ncnn, 10 networks, each left out in turn 6.1 %, corrected for fp16 and the "
        "Pi 4's clock); clock: a = 0.73",
    ),
}


def built_in_configurations(name: str) -> tuple[RuntimeConfiguration, ...]:
    """What a search of a built-in board chooses among: three clocks, 1, 2 and 4 threads, fp32 and int8; the base first.

    Raises:
        ValueError: if no board has this name.
    """
    return configurations_of((1, 2, 4), _board(name).clocks_mhz, PRECISIONS)


def built_in_tables(
    name: str, space: FBNetSpace, configurations: Sequence[RuntimeConfiguration] | None = None
) -> CostTables:
    """Cost tables of a built-in board.

    One thread in fp32 at the top clock of `pi4` is its published table (`pi4_cost_table`); every other entry is that
    of the same operator multiplied by factors for the board, the clock, the threads and the precision:

    - clock: t(f) = t(f0) (a f0 / f + 1 - a);
    - threads: t(n) = t(1) (s + (1 - s) / n), s by kind of work, 1 for the cost of an operation as such;
    - precision: a factor by kind of work, 1 for the cost of an operation as such.

    How much of each kind an operator has is the operator model's answer. Energies are those of the board's power
    model.

    Args:
        name: `pi4` or `pi5`.
        space: any space of the FBNet family.
        configurations: which, and in which order; all that are built in by default. Any clock between the board's
            lowest and highest will do; without a clock, the top one of the built-in configurations is meant.

    Raises:
        ValueError: if no board has this name, or it cannot run in one of the configurations.
    """
    board = _board(name)
    chosen = built_in_configurations(name) if configurations is None else tuple(configurations)
    for configuration in chosen:
        _check(name, board, configuration)
    work = _Work.of(space)
    return CostTables([_table(name, board, work, configuration) for configuration in chosen])


def modelled_costs(name: str, graph: Graph, configuration: RuntimeConfiguration) -> ModelledCosts:
    """Costs of any graph on a built-in board, by the operator model and the laws of `built_in_tables`.

    The model was fitted to operators of 4 to 32 pixels; beyond that it extrapolates.

    Args:
        name: `pi4` or `pi5`.
        graph: of a network.
        configuration: how it runs; without a clock, at the board's top one.

    Raises:
        ValueError: if no board has this name, or it cannot run in the configuration.
    """
    board = _board(name)
    _check(name, board, configuration)
    prices_F = fitted_model(published_latencies()).ms_per_count
    mhz = configuration.frequency_mhz or board.clocks_mhz[0]
    latency_ms = float(graph_counts(graph) @ (prices_F * _factors(board, configuration, mhz)))
    return ModelledCosts(
        latency_ms=latency_ms,
        energy_mj=board.power.energy_mj(latency_ms, replace(configuration, frequency_mhz=mhz)),
        idle_w=board.power.idle_w,
        energy_error=board.power.relative_error,
    )


def _factors(board: BuiltInBoard, configuration: RuntimeConfiguration, mhz: int) -> Array:
    """Time over that of the published table, for each of the `COUNTS`: shape (F,)."""
    clock = clock_factor(board.clock_share, board.clocks_mhz[0], mhz)
    factors_F: Array = board.time * clock * thread_factors(configuration.threads)
    if configuration.precision == "int8":
        factors_F = factors_F * int8_factors(board.int8_scale)
    return factors_F


def thread_factors(threads: int) -> Array:
    """Time with some threads over time with one, for each of the `COUNTS`: shape (F,)."""
    serial = np.array(
        [_by_kind(count, dense=SERIAL_DENSE, depthwise=SERIAL_OTHER, moved=SERIAL_OTHER) for count in COUNTS]
    )
    factors: Array = serial + (1 - serial) / threads
    return factors


def int8_factors(scale: float = 1.0) -> Array:
    """Time in int8 over time in fp32, for each of the `COUNTS`: shape (F,).

    Args:
        scale: 1 for TensorFlow Lite on a Raspberry Pi 4.
    """
    return np.array(
        [
            _by_kind(count, dense=scale * INT8_OTHER, depthwise=scale * INT8_DEPTHWISE, moved=scale * INT8_OTHER)
            for count in COUNTS
        ]
    )


def clock_factor(share: float, top_mhz: int, mhz: int) -> float:
    """Time at a clock over time at the top clock, with the share of the time that goes with the clock."""
    return share * top_mhz / mhz + 1 - share


@dataclass(frozen=True, eq=False)
class _Work:
    """What networks of a space consist of, priced by the operator model in ms of the published table."""

    table: CostTable
    """The published base."""
    priced_LOF: Array
    """Of each operator; of what it has beyond `skip` where the table has no more."""
    fixed_F: Array

    @classmethod
    def of(cls, space: FBNetSpace) -> _Work:
        published = published_latencies()
        prices_F = fitted_model(published).ms_per_count
        counts_LOF = np.array(
            [[graph_counts(block_graph(layer, operator)) for operator in space.candidates] for layer in space.layers]
        )
        skip = OPERATORS[-1]
        skips_LF = np.array([graph_counts(block_graph(layer, skip)) for layer in space.layers])
        fixed_F = graph_counts(space.graph((skip.name,) * space.num_layers))
        if has_published_shapes(space, published):
            counts_LOF = counts_LOF - skips_LF[:, None]
        else:
            fixed_F = fixed_F - skips_LF.sum(0)
        return cls(pi4_cost_table(space), counts_LOF * prices_F, fixed_F * prices_F)

    def ratios(self, factors_F: Array) -> Array:
        """Time over that of the table, of each operator, shape (L, O); 1 for one without any."""
        before_LO = self.priced_LOF.sum(-1)
        ratio: Array = np.where(before_LO > 0, (self.priced_LOF @ factors_F) / np.where(before_LO > 0, before_LO, 1), 1)
        return ratio

    def fixed_ratio(self, factors_F: Array) -> float:
        """The same of stem and head."""
        return float(self.fixed_F @ factors_F / self.fixed_F.sum())


def _table(name: str, board: BuiltInBoard, work: _Work, configuration: RuntimeConfiguration) -> CostTable:
    top_mhz = board.clocks_mhz[0]
    mhz = configuration.frequency_mhz or top_mhz
    base = replace(work.table, frequency_mhz=configuration.frequency_mhz)
    if board.time == 1 and configuration in (BASE, replace(BASE, frequency_mhz=top_mhz)):
        return base
    factors_F = _factors(board, configuration, mhz)
    latency_ms = base.latency_ms * work.ratios(factors_F)
    fixed_ms = base.fixed_latency_ms * work.fixed_ratio(factors_F)
    mj_per_ms = board.power.energy_mj(1.0, replace(configuration, frequency_mhz=mhz))
    return replace(
        base,
        latency_ms=latency_ms,
        energy_mj=mj_per_ms * latency_ms,
        fixed_latency_ms=fixed_ms,
        fixed_energy_mj=mj_per_ms * fixed_ms,
        latency_source="modelled",
        energy_source="modelled",
        board=f"{name} ({board.model}, modelled from published figures)",
        runtime="modelled",
        threads=configuration.threads,
        precision=configuration.precision,
        idle_w=board.power.idle_w,
        energy_error=board.power.relative_error,
        method=_method(board, work.table, configuration),
    )


def _method(board: BuiltInBoard, base: CostTable, configuration: RuntimeConfiguration) -> str:
    latency, _, _ = base.method.partition("; energy: ")
    laws = [f"scaled to {configuration.label} on a {board.model} by laws fitted to published figures, {board.sources}"]
    if configuration.threads > 1:
        laws.append(
            "threads: Amdahl's law by kind of operator (ncnn on a Pi 4, 7 networks, each left out in turn 12 %)"
        )
    if configuration.precision == "int8":
        laws.append(
            "int8: factors by kind of operator (MLPerf, 21 networks, each left out in turn 8 %; runtimes differ by "
            "a quarter and more)"
        )
    return f"{latency}; {'; '.join(laws)}; energy: {board.power.description}"


def _by_kind(count: str, *, dense: float, depthwise: float, moved: float) -> float:
    if count == "operations":
        return 1.0
    if count == "dense MACs":
        return dense
    return depthwise if count.startswith("depthwise") else moved


def _board(name: str) -> BuiltInBoard:
    if name not in BUILT_IN_BOARDS:
        raise ValueError(f"a built-in board must be one of {', '.join(BUILT_IN_BOARDS)}, but got {name!r}.")
    return BUILT_IN_BOARDS[name]


def _check(name: str, board: BuiltInBoard, configuration: RuntimeConfiguration) -> None:
    if configuration.runtime != "ort":
        raise ValueError(
            f"`--runtime litert` needs a board that measures, but the figures of {name} are of ONNX Runtime: give "
            "`--device ssh://...` or `--device host`, or omit it."
        )
    if configuration.threads > CORES:
        raise ValueError(
            f"`threads` must be at most {CORES}, the cores of {name}, but got {configuration.threads}: lower it."
        )
    lowest, mhz = board.clocks_mhz[-1], configuration.frequency_mhz
    if mhz is not None and not lowest <= mhz <= board.highest_mhz:
        raise ValueError(
            f"`frequency_mhz` must be from {lowest} to {board.highest_mhz} on {name}, but got {mhz}: use "
            f"{', '.join(map(str, board.clocks_mhz))}, say."
        )
