"""Segments one after another against the same network and heads in one file: difference of logits, and time.

    python benchmarks/early_exits/segments.py [--spaces NAME ...] [--threads N] [--precision int8] [--quick] [--json]

Random networks of each space with two linear exits pass all of them, by ONNX Runtime. `bound` is what `run.py` of a
network that is handed over does: each segment is bound once to the arrays that it reads and writes. `through NumPy`
hands arrays from call to call, as one would write it first. Both are compared with the one file, which is bound, too.
A turn is the least of several calls; sides take turns, and a ratio is the median over the rounds.

Claims, on two cores of an x86 server that others kept busy (ONNX Runtime 1.32, one thread, fp32): logits differ by
less than 1e-6 of the largest. Bound segments take some 3.5 us more for each cut in `fbnet-micro`: +8 to +16 % of 0.05
to 0.1 ms, so that +5 % is out of reach there. In longer networks a cut costs more than the call: `fbnet-cifar` (2 ms)
+3 to +8 %, `fbnet-96-0.35` (0.4 to 0.8 ms) +6 to +20 %, `fbnet-imagenet` (12 ms) +4 to +11 %. Through NumPy
`fbnet-micro` takes +25 to +43 %.
"""

from __future__ import annotations

import dataclasses
import platform
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import onnxruntime

from benchmarks.options import BenchmarkConfig, check_at_least, read_config
from benchmarks.results import Column, TextTable, print_results
from benchmarks.turns import median_ratio, rounds_of_turns
from devices.configuration import Precision
from devices.cost_tables.analytic import analytic_cost_table
from devices.cost_tables.exit_costs import latency_shares
from devices.quantization import CALIBRATION_SAMPLES, activations_for, quantized
from evaluation.early_exits.files import branched_file, quantized_segments, segment_files
from evaluation.export import session_of
from moo.adaptation.handover.run import BoundSegment
from scripts.interface.command_line import run
from search_space.exits import Exit, candidate_exits
from search_space.onnx_files import random_weights
from search_space.segments import branched_graph
from search_space.spaces import FBNetSpace, space_named

if TYPE_CHECKING:
    from typing_extensions import Self

EXITS = 2
LONGEST_TURN_S = 0.1

Floats = npt.NDArray[np.float32]
Calls = Callable[[], list[Floats]]
"""Passes all exits; gives the scores of each."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SegmentsConfig(BenchmarkConfig):
    """Compare segments with the one file."""

    spaces: tuple[str, ...] = ("fbnet-micro", "fbnet-cifar", "fbnet-96-0.35", "fbnet-imagenet")
    """Whose networks are compared."""
    networks: int = 3
    """Networks of each space."""
    threads: int = 1
    """Of ONNX Runtime."""
    precision: Precision = "fp32"
    """Numbers that both compute with."""
    calls: int = 10
    """Calls of a turn, of which the least counts; fewer where they take more than a tenth of a second."""
    rounds: int = 30
    """Turns of each side."""
    seed: int = 0
    """Of the networks."""
    quick: bool = False
    """One network of the smallest space, three rounds."""

    def __post_init__(self) -> None:
        check_at_least(self, networks=1, threads=1, calls=1, rounds=1, seed=0)

    def quickened(self) -> Self:
        """One network of the smallest space, three rounds."""
        return dataclasses.replace(self, spaces=("fbnet-micro",), networks=1, rounds=3)


@dataclass(frozen=True, kw_only=True, slots=True)
class Comparison:
    """A network in both forms."""

    space: str
    operators: tuple[str, ...]
    layers: tuple[int, ...]
    """Where its exits are."""
    logits_difference: float
    """Largest one of all exits, relative to the largest magnitude of the one file's."""
    one_file_ms: float
    bound: float
    """Time of bound segments, as a multiple of the one file's."""
    through_numpy: float
    """The same of segments that hand NumPy's arrays on."""


def main() -> None:
    """Measure and print."""
    config = read_config(SegmentsConfig)
    table = TextTable(
        Column(title="space", width=16, left=True),
        Column(title="exits after layers", width=20, left=True),
        Column(title="one file", width=10, form=".3f", unit=" ms"),
        Column(title="bound", width=9, form="+.1%"),
        Column(title="through NumPy", width=14, form="+.1%"),
        Column(title="logits", width=9, form=".1e"),
    )
    if not config.json:
        print(table.head, flush=True)
    found = []
    for one in comparisons(config):
        found.append(one)
        if not config.json:
            layers = ", ".join(map(str, one.layers))
            row = (one.space, layers, one.one_file_ms, one.bound - 1, one.through_numpy - 1, one.logits_difference)
            print(table.row(*row), flush=True)
    versions = {"onnxruntime": onnxruntime.__version__, "machine": platform.machine()}
    print_results({**asdict(config), **versions, "networks": [asdict(one) for one in found]}, [], as_json=config.json)


def comparisons(config: SegmentsConfig) -> Iterator[Comparison]:
    """Networks of each space, one by one."""
    for name in config.spaces:
        space, rng = space_named(name), np.random.default_rng(config.seed)
        for _ in range(config.networks):
            yield compared(space, *drawn(space, rng), config, rng)


def drawn(space: FBNetSpace, rng: np.random.Generator) -> tuple[tuple[str, ...], tuple[Exit, ...]]:
    """A random network, and two of its candidate exits that are far apart."""
    table = analytic_cost_table(space)
    while True:
        operators = tuple(map(str, rng.choice(space.operators, space.num_layers)))
        try:
            candidates = candidate_exits(space, operators, latency_shares(table, space, operators).tolist())
        except ValueError:
            continue
        linear = [one for one in candidates if one.head == "linear"]
        if len(linear) >= EXITS:
            return operators, (linear[0], linear[len(linear) // 2])


def compared(
    space: FBNetSpace,
    operators: tuple[str, ...],
    exits: Sequence[Exit],
    config: SegmentsConfig,
    rng: np.random.Generator,
) -> Comparison:
    """Both forms of a network with random weights, on one random image."""
    weights = random_weights(branched_graph(space, operators, exits).graph, rng)
    segments, whole = segment_files(space, operators, exits, weights), branched_file(space, operators, exits, weights)
    images_NCHW = rng.standard_normal((CALIBRATION_SAMPLES, *space.input_shape), dtype=np.float32)
    if config.precision == "int8":
        activations = activations_for(platform.machine())
        segments = quantized_segments(segments, images_NCHW, activations)
        whole = quantized(whole, images_NCHW, activations=activations)
    x_BCHW = images_NCHW[:1].copy()
    sides = {
        "one file": one_file(whole, x_BCHW, config.threads),
        "bound": bound_segments(segments, x_BCHW, config.threads),
        "through NumPy": segments_through_numpy(segments, x_BCHW, config.threads),
    }
    expected, *others = ([logits_BK.copy() for logits_BK in side()] for side in sides.values())
    scale = max(float(np.abs(logits_BK).max()) for logits_BK in expected)
    differences = [
        float(np.abs(one - other).max()) for found in others for one, other in zip(found, expected, strict=True)
    ]
    turns = {name: partial(least_ms, side, config.calls) for name, side in sides.items()}
    times_ms = rounds_of_turns(turns, config.rounds)
    return Comparison(
        space=space.name,
        operators=operators,
        layers=tuple(one.layer for one in exits),
        logits_difference=max(differences) / scale,
        one_file_ms=statistics.median(times_ms["one file"]),
        bound=median_ratio(times_ms["bound"], times_ms["one file"]),
        through_numpy=median_ratio(times_ms["through NumPy"], times_ms["one file"]),
    )


def one_file(model: bytes, x_BCHW: Floats, threads: int) -> Calls:
    """The network with all heads in one file, bound."""
    whole = BoundSegment(model, threads, x_BCHW)

    def call() -> list[Floats]:
        whole.run()
        return list(whole.outputs.values())

    return call


def bound_segments(models: Sequence[bytes], x_BCHW: Floats, threads: int) -> Calls:
    """Segments, each bound to the maps of the one before."""
    segments: list[BoundSegment] = []
    for model in models:
        segments.append(BoundSegment(model, threads, segments[-1].outputs["maps"] if segments else x_BCHW))
    return lambda: [segment.run()[None] for segment in segments]


def segments_through_numpy(models: Sequence[bytes], x_BCHW: Floats, threads: int) -> Calls:
    """Segments that hand arrays from call to call."""
    sessions = [session_of(model, threads) for model in models]
    names = [session.get_inputs()[0].name for session in sessions]

    def call() -> list[Floats]:
        maps_BCHW, scores = x_BCHW, []
        for session, name in zip(sessions, names, strict=True):
            *maps, logits_BK = session.run(None, {name: maps_BCHW})
            scores.append(logits_BK)
            maps_BCHW = maps[0] if maps else maps_BCHW
        return scores

    return call


def least_ms(side: Calls, calls: int) -> float:
    """Time of the quickest of some calls."""
    times_s: list[float] = []
    while len(times_s) < calls and sum(times_s) < LONGEST_TURN_S:
        start = time.perf_counter()
        side()
        times_s.append(time.perf_counter() - start)
    return 1e3 * min(times_s)


if __name__ == "__main__":
    run(main)
