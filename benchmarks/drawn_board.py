"""A board drawn at random, whose kinds of operators each scale in their own way with threads, clock and precision.

Nothing runs: latencies are computed from the nodes of a model. Start with `DrawnBoard`.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from math import prod

import numpy as np
import onnx

from devices.configuration import RuntimeConfiguration
from devices.measurement import model_key

KINDS = ("1x1", "dense", "grouped", "depthwise 3x3", "depthwise 5x5", "moved")
"""Kinds of operators; `moved` is all that computes next to nothing: shuffles, additions, pooling, ReLU."""
CLOCKS_MHZ = (1500, 1000, 600)
"""The top clock, at which speeds hold, and two below."""


@dataclass(frozen=True)
class Work:
    """What one node of a model does."""

    kind: int
    macs: float
    numbers: float
    """Read and written, weights included."""


class DrawnBoard:
    """Latencies of a board that is drawn from a seed.

    A node takes the time of its arithmetic, of its traffic and of its start. Each kind of operator has its own speed,
    its own gain from threads, and its own gain from int8; only arithmetic and starts follow the clock, so that kinds
    differ in how they scale with it. A measurement is off by a noise of its own.
    """

    def __init__(self, seed: np.random.SeedSequence, *, noise: float) -> None:
        """A board.

        Args:
            seed: draws it.
            noise: standard deviation of the logarithm of each measurement.
        """
        rng = np.random.default_rng(seed)
        kinds = len(KINDS)
        self.macs_per_ms = 8e6 * np.exp(rng.normal(0, 0.3, kinds)) * np.array([1.0, 1.2, 0.6, 0.3, 0.4, 0.5])
        self.numbers_per_ms = 1.2e6 * np.exp(rng.normal(0, 0.4, kinds))
        self.start_ms = 2e-3 * np.exp(rng.normal(0, 0.3, kinds))
        self.thread_exponent = rng.uniform(0.4, 0.95, kinds)
        self.traffic_thread_exponent = rng.uniform(0.1, 0.5, kinds)
        self.int8_speed = rng.uniform(1.2, 3.5, kinds)
        self.int8_traffic = rng.uniform(1.5, 4.0, kinds)
        self.int8_start = rng.uniform(1.0, 3.0, kinds)
        self._noise_seed = int(seed.generate_state(1)[0])
        self._noise = noise
        self._works = lru_cache(maxsize=4096)(works_of)

    def latency_ms(self, model: bytes, configuration: RuntimeConfiguration) -> float:
        """What the board takes for a model, without noise."""
        threads, int8 = configuration.threads, configuration.precision == "int8"
        slower = CLOCKS_MHZ[0] / (configuration.frequency_mhz or CLOCKS_MHZ[0])
        total = 0.0
        for work in self._works(model):
            kind = work.kind
            arithmetic = work.macs / self.macs_per_ms[kind] / threads ** self.thread_exponent[kind]
            traffic = work.numbers / self.numbers_per_ms[kind] / threads ** self.traffic_thread_exponent[kind]
            start = self.start_ms[kind] * (1 + 0.2 * (threads - 1))
            if int8:
                arithmetic, traffic = arithmetic / self.int8_speed[kind], traffic / self.int8_traffic[kind]
                start *= self.int8_start[kind]
            total += (arithmetic + start) * slower + traffic
        return total

    def measured_ms(self, model: bytes, configuration: RuntimeConfiguration) -> float:
        """The same with the noise of one measurement, which is equal at each repetition."""
        digits = int(model_key(model)[:12], 16)
        label = int.from_bytes(configuration.label.encode(), "big") % 2**32
        rng = np.random.default_rng([self._noise_seed, digits, label])
        return self.latency_ms(model, configuration) * float(np.exp(self._noise * rng.standard_normal()))


def works_of(model: bytes) -> tuple[Work, ...]:
    """What each node of a serialised ONNX model does, batch size 1."""
    graph = onnx.shape_inference.infer_shapes(onnx.load_from_string(model)).graph
    values = [*graph.input, *graph.value_info, *graph.output]
    shapes = {value.name: [size.dim_value or 1 for size in value.type.tensor_type.shape.dim] for value in values}
    weights = {entry.name: list(entry.dims) for entry in graph.initializer}
    works = []
    for node in graph.node:
        out = prod(shapes[node.output[0]])
        numbers = out + sum(prod(shapes.get(name) or weights[name]) for name in node.input)
        if node.op_type not in ("Conv", "Gemm"):
            works.append(Work(KINDS.index("moved"), 0.0, numbers))
            continue
        weight = weights[node.input[1]]
        macs = out * prod(weight[1:]) if node.op_type == "Conv" else prod(weight)
        works.append(Work(_kind(node, weight), macs, numbers))
    return tuple(works)


def _kind(node: onnx.NodeProto, weight: list[int]) -> int:
    groups = next((attribute.i for attribute in node.attribute if attribute.name == "group"), 1)
    if groups > 1 and weight[1] == 1:
        return KINDS.index("depthwise 5x5" if weight[2] > 3 else "depthwise 3x3")
    if groups > 1:
        return KINDS.index("grouped")
    return KINDS.index("dense" if len(weight) == 4 and weight[2] > 1 else "1x1")
