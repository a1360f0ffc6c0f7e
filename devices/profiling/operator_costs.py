"""A cost table measured on a board, operator by operator. Start with `operator_wise_table`.

Each distinct (layer shape, operator) is measured once, between one fixed convolution and one pooling, and what these
two cost alone is subtracted. A block measured by itself would also pay for a call of the runtime and for the conversion
of its input and output to the runtime's internal layout, which a whole network pays only once.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from devices.configuration import BASE, RuntimeConfiguration
from devices.cost_tables.cost_table import CostTable
from devices.device import Device
from devices.errors import MeasurementError
from devices.measurement import Measurement, Source, largest_error
from search_space.graphs import GlobalAveragePool, Graph, GraphBuilder
from search_space.onnx_files import random_weights, to_onnx
from search_space.operators import Operator
from search_space.spaces import FBNetSpace, Layer, add_block, add_head, add_stem

logger = logging.getLogger(__name__)

LEAST_LATENCY_MS = 1e-4
"""Floor of an operator that does anything at all: a difference of two times may be below it."""
PASSES = 2
"""How often each graph is measured, with all others in between; the quickest counts."""
EXTRA_PASSES = 2
"""How often a graph is measured again that has no reliable measurement."""


def operator_wise_table(
    device: Device,
    space: FBNetSpace,
    *,
    configuration: RuntimeConfiguration = BASE,
    passes: int = PASSES,
    on_progress: Callable[[int, int, str], None] = lambda done, total, name: None,
) -> CostTable:
    """Measure every operator at every layer, and stem and head.

    Equal layers share one measurement; a `skip` that is the identity costs nothing and is not measured. Entries
    are `measured` if the board measures, but their sum over a network is a prediction: label it `modelled`.

    Args:
        device: the board.
        space: the search space.
        configuration: how graphs are run.
        passes: how often each graph is measured at least.
        on_progress: called after each measurement with the number done, the number of all, and the graph's name.

    Returns:
        A table of shape (layers, operators).

    Raises:
        MeasurementError: if the board fails, or throttled at every measurement of a graph.
    """
    graphs = _graphs_to_measure(space)
    best = _measure_all(device, graphs, configuration, passes, on_progress)
    entries = {
        (layer, operator.name): _entry(best, layer, operator)
        for layer in set(space.layers)
        for operator in space.candidates
    }
    rows = [[entries[layer, operator] for operator in space.operators] for layer in space.layers]
    fixed = best["stem"] + best["head"] - best[_context_name(_head_layer(space))]
    board, sample = device.describe(), best["stem"]
    return CostTable(
        space=space.name,
        operators=space.operators,
        latency_ms=np.array([[entry.latency_ms for entry in row] for row in rows]),
        energy_mj=np.array([[entry.energy_mj for entry in row] for row in rows]),
        fixed_latency_ms=max(fixed.latency_ms, LEAST_LATENCY_MS),
        fixed_energy_mj=max(fixed.energy_mj, 0.0),
        latency_source=sample.latency_source,
        energy_source=_weakest(tuple(cost.energy_source for cost in best.values())),
        board=board.label,
        runtime=board.runtime_of(configuration),
        threads=configuration.threads,
        clock_mhz=board.clock_mhz,
        frequency_mhz=configuration.frequency_mhz,
        precision=configuration.precision,
        idle_w=next(iter(best.values())).idle_w,
        energy_error=largest_error(cost.energy_error for cost in best.values()),
        date=sample.date,
        method="operator-wise: each block between a fixed convolution and pooling, whose own cost is subtracted; "
        f"5th percentile of single runs, the lowest of {passes} passes",
    )


def number_of_graphs(space: FBNetSpace) -> int:
    """How many graphs each pass of `operator_wise_table` measures."""
    return len(_graphs_to_measure(space))


@dataclass(frozen=True, kw_only=True, slots=True)
class _Cost:
    """Cost of one graph, or a sum or difference of such costs."""

    latency_ms: float
    energy_mj: float
    latency_source: Source
    energy_source: Source
    date: str
    idle_w: float | None
    energy_error: float | None

    def __add__(self, other: _Cost) -> _Cost:
        return self._with(self.latency_ms + other.latency_ms, self.energy_mj + other.energy_mj)

    def __sub__(self, other: _Cost) -> _Cost:
        return self._with(self.latency_ms - other.latency_ms, self.energy_mj - other.energy_mj)

    def _with(self, latency_ms: float, energy_mj: float) -> _Cost:
        return replace(self, latency_ms=latency_ms, energy_mj=energy_mj)


def _graphs_to_measure(space: FBNetSpace) -> dict[str, Graph]:
    """All distinct graphs by name; the names are also the keys of the results."""
    stem, head = GraphBuilder(space.input_shape), GraphBuilder(_head_layer(space).input_shape)
    stem.add("exit", GlobalAveragePool(), add_stem(stem, space))
    add_head(head, _add_entry(head), space)
    graphs = {"stem": stem.build(), "head": head.build()}
    for layer in (*space.layers, _head_layer(space)):
        graphs[_context_name(layer)] = _in_context(layer, None)
    for layer in space.layers:
        for operator in space.candidates:
            if not _is_identity(layer, operator):
                graphs[_name(layer, operator)] = _in_context(layer, operator)
    return graphs


def _in_context(layer: Layer, operator: Operator | None) -> Graph:
    """The block between a 1x1 convolution and a pooling, or these two alone."""
    builder = GraphBuilder(layer.input_shape)
    x = _add_entry(builder)
    if operator is not None:
        x = add_block(builder, x, layer, operator, prefix="")
    builder.add("exit", GlobalAveragePool(), x)
    return builder.build()


def _add_entry(builder: GraphBuilder) -> str:
    return builder.conv("entry", Graph.INPUT, builder.input_shape[0])


def _measure_all(
    device: Device,
    graphs: dict[str, Graph],
    configuration: RuntimeConfiguration,
    passes: int,
    on_progress: Callable[[int, int, str], None],
) -> dict[str, _Cost]:
    """The quickest measurement of each graph, in passes over all of them.

    Raises:
        MeasurementError: if the board fails, or throttled at every measurement of a graph.
    """
    rng = np.random.default_rng(0)
    models = {name: to_onnx(graph, random_weights(graph, rng)) for name, graph in graphs.items()}
    best: dict[str, Measurement] = {}
    done, total = 0, passes * len(models)
    for index in range(passes + EXTRA_PASSES):
        again = [name for name in models if index < passes or not best[name].reliable]
        total = max(total, done + len(again))
        for name in again:
            measurement = device.measure(models[name], configuration)
            if name not in best or _rank(measurement) < _rank(best[name]):
                best[name] = measurement
            done += 1
            on_progress(done, total, name)
    throttled = [name for name, measurement in best.items() if measurement.throttled]
    if throttled:
        raise MeasurementError(
            f"the board throttled at every measurement of {throttled[0]!r}: cool it, or give it a stronger supply."
        )
    unsteady = sum(not measurement.reliable for measurement in best.values())
    if unsteady:
        logger.warning("%d of %d measurements spread widely; is the board busy?", unsteady, len(best))
    return {
        name: _Cost(
            latency_ms=cost.latency_ms,
            energy_mj=cost.energy_mj,
            latency_source=cost.latency_source,
            energy_source=cost.energy_source,
            date=cost.date,
            idle_w=cost.idle_w,
            energy_error=cost.energy_error,
        )
        for name, cost in best.items()
    }


def _rank(measurement: Measurement) -> tuple[bool, float]:
    """Lower is better: throttled ones last, then the quicker first, as disturbances only slow a run down."""
    return (measurement.throttled, measurement.latency_ms)


def _entry(best: dict[str, _Cost], layer: Layer, operator: Operator) -> _Cost:
    context = best[_context_name(layer)]
    if _is_identity(layer, operator):
        return context - context
    whole = best[_name(layer, operator)]
    cost = whole - context
    if cost.latency_ms >= LEAST_LATENCY_MS and cost.energy_mj > 0:
        return cost
    latency_ms = max(cost.latency_ms, LEAST_LATENCY_MS)
    return cost._with(latency_ms, max(cost.energy_mj, whole.energy_mj / whole.latency_ms * LEAST_LATENCY_MS))


def _is_identity(layer: Layer, operator: Operator) -> bool:
    return operator.is_skip and layer.keeps_shape


def _head_layer(space: FBNetSpace) -> Layer:
    """The input of the head, as a layer that keeps its shape."""
    last = space.layers[-1]
    return Layer(last.out_channels, last.out_channels, 1, -(-last.size // last.stride))


def _context_name(layer: Layer) -> str:
    return f"{layer.in_channels} channels at {layer.size}x{layer.size}: context"


def _name(layer: Layer, operator: Operator) -> str:
    return (
        f"{layer.in_channels} to {layer.out_channels} channels at {layer.size}x{layer.size}, "
        f"stride {layer.stride}: {operator.name}"
    )


def _weakest(sources: tuple[Source, ...]) -> Source:
    return "modelled" if "modelled" in sources else sources[0]
