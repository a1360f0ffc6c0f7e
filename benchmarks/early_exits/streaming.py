"""How well a policy's latency follows from the ways through a network, and what cutting it into segments costs.

Claims: the mean latency of streamed images is within 5 % of the sum of shares times measured ways; a network in
segments that nothing leaves early takes at most 5 % more than the same in one file, unless it takes only some 0.1 ms.

    python benchmarks/early_exits/streaming.py [--device host] [--rounds 6] [--quick] [--json]

Everything has a turn in each round, and the least of all rounds counts. It takes minutes: measure while nothing else
runs. Weights are random, as times do not depend on them; thresholds let the wanted shares of images leave.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from benchmarks.options import BenchmarkConfig, check_at_least, read_config
from benchmarks.results import Column, TextTable, print_results
from devices.agent.device import AgentDevice
from devices.configuration import PRECISIONS, Precision, RuntimeConfiguration
from devices.factory import open_device
from devices.measurement import MeasureSettings
from devices.quantization import activations_for, quantized
from devices.replay import in_onnx_runtime
from devices.streaming import Images
from scripts.interface.command_line import run
from search_space.exits import Exit
from search_space.onnx_files import INPUT_NAME, random_weights, to_onnx
from search_space.segments import PREVIOUS_NAME, segments_of
from search_space.spaces import FBNetSpace, space_named

if TYPE_CHECKING:
    from typing_extensions import Self

Floats = npt.NDArray[np.float64]

SPACES = ("fbnet-micro", "fbnet-cifar")
OPERATOR = "k3_e3"
PLACES = (1 / 3, 2 / 3)
"""Where networks have exits, as shares of their layers."""
SHARES: dict[str, tuple[float, float]] = {"a third each": (1 / 3, 1 / 2), "most early": (0.7, 2 / 3), "few": (0.1, 0.1)}
"""By name: the share of images that leave at the first exit, and of the others at the second."""


@dataclass(frozen=True, kw_only=True, slots=True)
class StreamingConfig(BenchmarkConfig):
    """Stream images through networks with two early exits, and measure their ways."""

    device: str = "host"
    """Board to measure on."""
    threads: tuple[int, ...] = (1, 2)
    """Threads of the runtime."""
    images: int = 60
    """Images of each stream."""
    rounds: int = 6
    """Turns that everything has."""
    seed: int = 0
    """Draws weights and images."""
    quick: bool = False
    """The small network alone, in one thread, in two rounds."""

    def __post_init__(self) -> None:
        check_at_least(self, images=10, rounds=1, seed=0)

    def quickened(self) -> Self:
        """Some seconds."""
        return dataclasses.replace(self, threads=(1,), images=12, rounds=2)


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class CutNetwork:
    """A network in one file and in segments, in one precision, with images."""

    space: str
    precision: Precision
    static: bytes
    segments: tuple[bytes, ...]
    images_NCHW: Images
    thresholds: dict[str, tuple[float, ...]]
    """By the name of `SHARES`."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """One policy of a network in one configuration, its latencies in ms."""

    space: str
    configuration: str
    policy: str
    static_ms: float
    """In one file."""
    last_ms: float
    """In segments, past all exits."""
    worst_over_static: float
    """`last_ms / static_ms - 1`."""
    summed_ms: float
    """Sum of shares times measured ways."""
    streamed_ms: float
    streamed_over_summed: float
    """`streamed_ms / summed_ms - 1`."""


TABLE = TextTable(
    Column(title="space", width=12, left=True),
    Column(title="configuration", width=13, left=True),
    Column(title="leave", width=12, left=True),
    Column(title="static", width=7, form=".3f"),
    Column(title="past all", width=8, form=".3f"),
    Column(title="more", width=7, form="+.1%"),
    Column(title="summed", width=7, form=".3f"),
    Column(title="streamed", width=8, form=".3f"),
    Column(title="more", width=7, form="+.1%"),
)


def main() -> None:
    """Measure in turns, print."""
    config = read_config(StreamingConfig)
    before = os.getloadavg()[0]
    device = open_device(config.device, MeasureSettings(min_seconds=0.1))
    assert isinstance(device, AgentDevice)
    with device:
        machine = device.describe().machine
        networks = [
            cut_network(space_named(name), precision, machine, config)
            for name in (SPACES[:1] if config.quick else SPACES)
            for precision in PRECISIONS
        ]
        rows = [row for network in networks for row in rows_of(device, network, config)]
    load = (before, os.getloadavg()[0])
    print_results({"rows": [asdict(row) for row in rows], "load": load}, lines(rows, load), as_json=config.json)


def cut_network(space: FBNetSpace, precision: Precision, machine: str | None, config: StreamingConfig) -> CutNetwork:
    """A network of random weights with two exits."""
    rng = np.random.default_rng(config.seed)
    operators = (OPERATOR,) * space.num_layers
    exits = [Exit(round(place * space.num_layers), "linear") for place in PLACES]
    parts = segments_of(space, operators, exits)
    graph = space.graph(operators)
    weights = random_weights(graph, rng)
    for part in parts:
        weights = random_weights(part.graph, rng) | weights
    files = [to_onnx(graph, weights)]
    for number, part in enumerate(parts):
        files.append(
            to_onnx(part.graph, weights, outputs=part.outputs, input_name=PREVIOUS_NAME if number else INPUT_NAME)
        )
    if precision == "int8":
        files = [quantized(file, activations=activations_for(machine)) for file in files]
    images_NCHW = rng.standard_normal((config.images, *space.input_shape), np.float32)
    confidence_EN = confidences(files[1:-1], images_NCHW)
    return CutNetwork(
        space=space.name,
        precision=precision,
        static=files[0],
        segments=tuple(files[1:]),
        images_NCHW=images_NCHW,
        thresholds={name: thresholds_for(confidence_EN, shares) for name, shares in SHARES.items()},
    )


def confidences(files: Sequence[bytes], images_NCHW: Images) -> Floats:
    """Largest softmax of each exit, shape (E, N)."""
    found = np.empty((len(files), len(images_NCHW)))
    runs = [in_onnx_runtime(file) for file in files]
    for number in range(len(images_NCHW)):
        maps = images_NCHW[[number]]
        for place, one in enumerate(runs):
            maps, scores_1K = one(maps)
            found[place, number] = 1 / np.exp(scores_1K - scores_1K.max()).sum()
    return found


def thresholds_for(confidence_EN: Floats, shares: Sequence[float]) -> tuple[float, ...]:
    """Thresholds by which, at each exit, a share of those who come there leave."""
    thresholds, stay_N = [], np.ones(confidence_EN.shape[1], bool)
    for confidence_N, share in zip(confidence_EN, shares, strict=True):
        thresholds.append(float(np.clip(np.quantile(confidence_N[stay_N], 1 - share), 0, 1)))
        stay_N &= confidence_N <= thresholds[-1]
    return tuple(thresholds)


def rows_of(device: AgentDevice, network: CutNetwork, config: StreamingConfig) -> list[Row]:
    """A row for each policy and number of threads."""
    asked = [RuntimeConfiguration(threads=threads, precision=network.precision) for threads in config.threads]
    ways = range(len(network.segments))
    static_ms = dict.fromkeys(asked, np.inf)
    way_ms_X = {configuration: np.full(len(ways), np.inf) for configuration in asked}
    image_ms_N = {(item, name): np.full(config.images, np.inf) for item in asked for name in network.thresholds}
    left_N: dict[tuple[RuntimeConfiguration, str], tuple[int, ...]] = {}
    for _ in range(config.rounds):
        for item in asked:
            static_ms[item] = min(static_ms[item], device.measure(network.static, item).latency_ms)
            for way in ways:
                measured_ms = device.measure(network.segments[: way + 1], item).latency_ms
                way_ms_X[item][way] = min(way_ms_X[item][way], measured_ms)
            for name, thresholds in network.thresholds.items():
                found = device.stream(network.segments, thresholds, network.images_NCHW, item, passes=5)
                image_ms_N[item, name] = np.minimum(image_ms_N[item, name], found.latencies_ms)
                left_N[item, name] = found.ways
    rows = []
    for (item, name), ways_N in left_N.items():
        last_ms, summed_ms = float(way_ms_X[item][-1]), float(way_ms_X[item][list(ways_N)].mean())
        streamed_ms = float(image_ms_N[item, name].mean())
        rows.append(
            Row(
                space=network.space,
                configuration=item.label,
                policy=name,
                static_ms=static_ms[item],
                last_ms=last_ms,
                worst_over_static=last_ms / static_ms[item] - 1,
                summed_ms=summed_ms,
                streamed_ms=streamed_ms,
                streamed_over_summed=streamed_ms / summed_ms - 1,
            )
        )
    return rows


def lines(rows: Sequence[Row], load: tuple[float, float]) -> list[str]:
    """The table, and the load, which tells whether the figures are worth anything."""
    table = [TABLE.row(*asdict(row).values()) for row in rows]
    return [TABLE.head, *table, f"load average: {load[0]:.1f} before, {load[1]:.1f} after"]


if __name__ == "__main__":
    run(main)
