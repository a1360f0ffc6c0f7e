"""LiteRT files of random networks: how long writing one takes, and how quick it is beside its ONNX file.

    python benchmarks/litert/files.py [--quick] [--json] [--space fbnet-cifar]

Goal: at most 50 ms to write the file of a network of 22 layers. Both runtimes run the same network on one thread in
turns, one image at a time; a network's time is the 5th percentile of single runs.
"""

from __future__ import annotations

import dataclasses
import platform
import statistics
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from benchmarks.options import BenchmarkConfig, check_at_least, read_config
from benchmarks.results import print_results
from devices.quantization import activations_for, quantized
from evaluation.export import session_of
from evaluation.litert_files import LiteRtRunner
from scripts.interface.command_line import run
from search_space.litert.conversion import litert_file
from search_space.litert.files import to_litert
from search_space.onnx_files import INPUT_NAME, random_weights, to_onnx
from search_space.spaces import space_named

if TYPE_CHECKING:
    from typing_extensions import Self


@dataclass(frozen=True, kw_only=True, slots=True)
class FilesConfig(BenchmarkConfig):
    """Write files of random networks, and run them."""

    space: str = "fbnet-cifar"
    """Of the networks."""
    networks: int = 12
    """Random ones."""
    runs: int = 100
    """Of each file, in turns."""
    seed: int = 0
    """Of networks, weights and image."""

    def __post_init__(self) -> None:
        check_at_least(self, networks=1, runs=1)

    def quickened(self) -> Self:
        """Two networks, five runs."""
        return dataclasses.replace(self, networks=2, runs=5)


@dataclass(frozen=True, kw_only=True, slots=True)
class NetworkTimes:
    """Times of one network in ms, each the least or a low quantile."""

    write_litert: float
    write_onnx: float
    fp32_litert: float
    fp32_onnx: float
    int8_litert: float
    int8_onnx: float


def main() -> None:
    """Measure and print."""
    config = read_config(FilesConfig)
    times = measured(config)
    medians = {name: statistics.median(asdict(one)[name] for one in times) for name in asdict(times[0])}
    most = max(one.write_litert for one in times)
    ratios = {
        precision: statistics.median(
            asdict(one)[f"{precision}_litert"] / asdict(one)[f"{precision}_onnx"] for one in times
        )
        for precision in ("fp32", "int8")
    }
    print_results(
        {"space": config.space, "medians_ms": medians, "most_write_litert_ms": most, "litert_over_onnx": ratios},
        [
            f"{config.space}, {len(times)} random networks, one thread",
            f"writing: LiteRT {medians['write_litert']:.1f} ms, at most {most:.1f}, ONNX {medians['write_onnx']:.1f}",
            *(
                f"{name}: LiteRT takes {ratios[name]:.2f} of ONNX Runtime's time "
                f"({medians[f'{name}_litert']:.3f} ms against {medians[f'{name}_onnx']:.3f} ms)"
                for name in ratios
            ),
        ],
        as_json=config.json,
    )


def measured(config: FilesConfig) -> list[NetworkTimes]:
    """Times of random networks."""
    space, rng = space_named(config.space), np.random.default_rng(config.seed)
    activations = activations_for(platform.machine())
    image_CHW = rng.standard_normal(space.input_shape, np.float32)
    times = []
    for _ in range(config.networks):
        graph = space.graph(tuple(rng.choice(space.operators, space.num_layers)))
        weights = random_weights(graph, rng)
        write_litert = min(_ms(partial(to_litert, graph, weights)) for _ in range(3))
        write_onnx = min(_ms(partial(to_onnx, graph, weights)) for _ in range(3))
        onnx = {"fp32": to_onnx(graph, weights)}
        onnx["int8"] = quantized(onnx["fp32"], activations=activations)
        in_turns: dict[str, Callable[[], object]] = {}
        for precision, file in onnx.items():
            session = session_of(file, 1)
            runner = LiteRtRunner(litert_file(onnx["fp32"], quantized=None if precision == "fp32" else file))
            in_turns[f"{precision}_onnx"] = partial(session.run, None, {INPUT_NAME: image_CHW[None]})
            in_turns[f"{precision}_litert"] = partial(runner.run, image_CHW)
        seen: dict[str, list[float]] = {name: [] for name in in_turns}
        for _ in range(config.runs):
            for name, call in in_turns.items():
                seen[name].append(_ms(call))
        low = {name: float(np.percentile(values, 5)) for name, values in seen.items()}
        times.append(NetworkTimes(write_litert=write_litert, write_onnx=write_onnx, **low))
    return times


def _ms(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    call()
    return 1e3 * (time.perf_counter() - start)


if __name__ == "__main__":
    run(main)
