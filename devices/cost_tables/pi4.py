"""Published latencies of a Raspberry Pi 4, the base of the built-in boards. Start with `pi4_cost_table`.

Errors of the operator model for shapes that are not in the table, each stage predicted by a model that never saw it
(`benchmarks/built_in_boards/pi4_model.py`): operators 12.4 % on average, whole networks 1.0 % with one stage predicted
and 3.8 % with all seven. Array shapes: L layers, O operators, in the order of `OPERATORS`.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from devices.configuration import BASE
from devices.cost_tables.cost_table import CostTable, check_fits
from devices.cost_tables.operator_model import OperatorLatency, OperatorModel, fit_operator_model
from devices.energy.power_model import RASPBERRY_PI_4
from devices.measurement import Source
from search_space.block_graph import block_graph
from search_space.operators import OPERATOR_NAMES, OPERATORS
from search_space.spaces import FBNetSpace, Layer, space_named

TABLE_PATH = Path(__file__).with_name("pi4_fbnet_cifar.json")
SPACE = "fbnet-cifar"
"""Preset with the shapes of the published table."""

Array = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class PublishedLatencies:
    """The published table in the shapes of `fbnet-cifar`."""

    space: FBNetSpace
    """With the table's number of classes."""
    above_skip_ms_LO: Array
    """What each operator takes beyond `skip` in its place: shape (L, O), last column 0."""
    all_skip_ms: float
    """The network that skips at every layer: stem, head and the strided 1x1 convolutions of `skip`."""
    source: str

    @property
    def stage_of_layer(self) -> Array:
        """Index of each layer's stage, shape (L,)."""
        return np.repeat(np.arange(len(self.space.stages)), [stage.layers for stage in self.space.stages])


def pi4_cost_table(space: FBNetSpace) -> CostTable:
    """Costs of a Raspberry Pi 4 for a space.

    In the shapes of `fbnet-cifar` the entries are the published ones. The published sums tell an operator only from
    `skip` in its place, so `skip` is 0 at every layer and its strided 1x1 convolutions are in the fixed cost. With
    other than 100 classes the classifier's share of the fixed cost is corrected by the operator model.

    For other shapes an operator model fitted to the published table predicts `skip`, stem and head, and those layers
    whose shape is not in the published table. Such a table is `modelled`; so is one with another classifier.

    Energy is that of the power model of a Raspberry Pi 4 with one thread, so it is proportional to latency.

    Args:
        space: any space of the FBNet family; its operators may be some of the nine.

    Source: HW-NAS-Bench (ICLR 2021) via HELP (NeurIPS 2021), MIT. The runtime and its threads are not published with
    the figures; from the speed, one thread is assumed.
    """
    published = published_latencies()
    if has_published_shapes(space, published):
        return _table_of_published_shapes(space, published)
    model = fitted_model(published)
    known = dict(zip(published.space.layers, published.above_skip_ms_LO, strict=True))
    rows = [_modelled_row(layer, model, known.get(layer)) for layer in space.layers]
    method = f"operator model fitted to the published Raspberry Pi 4 table of {SPACE}"
    if shared := sum(layer in known for layer in space.layers):
        method += f"; in {shared} of {len(rows)} layers the published differences between operators"
    return _table(
        space,
        np.array(rows),
        _modelled_fixed_ms(space, model),
        source="modelled",
        method=method,
    )


def published_latencies() -> PublishedLatencies:
    """The published table, read from the package."""
    content = json.loads(TABLE_PATH.read_text())
    space = space_named(SPACE).with_classes(content["classes"])
    columns = [OPERATOR_NAMES.index(name) for name in content["operators"]]
    above_skip_ms_LO = np.zeros((space.num_layers, len(OPERATOR_NAMES)))
    for shape in content["shapes"]:
        above_skip_ms_LO[np.ix_(shape["layers"], columns)] = shape["latency_ms"]
    return PublishedLatencies(space, above_skip_ms_LO, content["all_skip_latency_ms"], content["source"])


def has_published_shapes(space: FBNetSpace, published: PublishedLatencies) -> bool:
    """Whether a space has the table's layers, stem and head; its operators and number of classes may differ."""
    return space.layers == published.space.layers and _frame(space) == _frame(published.space)


def fitted_model(published: PublishedLatencies, *, without_stage: int | None = None) -> OperatorModel:
    """The operator model fitted to the published table.

    Args:
        published: the table.
        without_stage: index of a stage that the model must not see.
    """
    return fit_operator_model(
        [
            OperatorLatency(block_graph(layer, operator), block_graph(layer, OPERATORS[-1]), float(latency_ms))
            for layer, stage, row in zip(
                published.space.layers, published.stage_of_layer, published.above_skip_ms_LO, strict=True
            )
            for operator, latency_ms in zip(OPERATORS[:-1], row[:-1], strict=True)
            if stage != without_stage
        ]
    )


def held_out_ms(published: PublishedLatencies) -> Array:
    """The table, each stage predicted by a model fitted to the other six: shape (L, O), last column 0."""
    predicted_LO = np.zeros_like(published.above_skip_ms_LO)
    for stage in range(len(published.space.stages)):
        model = fitted_model(published, without_stage=stage)
        for index in np.flatnonzero(published.stage_of_layer == stage):
            row = np.array(_modelled_row(published.space.layers[index], model, None))
            predicted_LO[index] = row - row[-1]
    return predicted_LO


def _table_of_published_shapes(space: FBNetSpace, published: PublishedLatencies) -> CostTable:
    same_classes = space.classes == published.space.classes
    fixed_ms = published.all_skip_ms
    method = f"{published.source}; what an operator takes beyond `skip`, with the skips of all layers in the fixed cost"
    if not same_classes:
        model = fitted_model(published)
        fixed_ms += _modelled_fixed_ms(space, model) - _modelled_fixed_ms(published.space, model)
        method += f"; the classifier changed from {published.space.classes} to {space.classes} classes by a model"
    source: Source = "published" if same_classes else "modelled"
    return _table(space, published.above_skip_ms_LO, fixed_ms, source=source, method=method)


def _table(space: FBNetSpace, latency_ms_LO: Array, fixed_ms: float, *, source: Source, method: str) -> CostTable:
    power = RASPBERRY_PI_4
    latency_ms = latency_ms_LO[:, [OPERATOR_NAMES.index(name) for name in space.operators]]
    table = CostTable(
        space=space.name,
        operators=space.operators,
        latency_ms=latency_ms,
        energy_mj=power.energy_mj(1.0, BASE) * latency_ms,
        fixed_latency_ms=fixed_ms,
        fixed_energy_mj=power.energy_mj(fixed_ms, BASE),
        latency_source=source,
        energy_source="modelled",
        idle_w=power.idle_w,
        energy_error=power.relative_error,
        board="pi4 (Raspberry Pi 4, published figures)",
        runtime="not stated by the source",
        threads=1,
        clock_mhz=None,
        date=None,
        method=f"{method}; energy: {power.description}",
    )
    check_fits(table, space)
    return table


def _modelled_row(layer: Layer, model: OperatorModel, above_skip_ms: Array | None) -> list[float]:
    """Latency of all nine operators, with the published differences to `skip` where there are any."""
    if above_skip_ms is None:
        return [model.latency_ms(block_graph(layer, operator)) for operator in OPERATORS]
    skip_ms = model.latency_ms(block_graph(layer, OPERATORS[-1]))
    return [skip_ms + float(difference) for difference in above_skip_ms]


def _modelled_fixed_ms(space: FBNetSpace, model: OperatorModel) -> float:
    """Stem and head: what is left of the network that skips everywhere."""
    skip = OPERATORS[-1]
    skips_ms = sum(model.latency_ms(block_graph(layer, skip)) for layer in space.layers)
    return model.latency_ms(space.graph((skip.name,) * space.num_layers)) - skips_ms


def _frame(space: FBNetSpace) -> tuple[int, ...]:
    return (space.input_size, space.stem_channels, space.stem_stride, space.last_channels)
