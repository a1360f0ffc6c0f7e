"""What the image layout and the quick depthwise gradient are worth on this CPU, as ratios measured in one run.

    python benchmarks/kernels.py [--quick] [--json] [--threads N]

Claims, on two cores of an AMD EPYC (Zen 3), torch 2.13, one thread: weight steps in channels-last layout are about 1.5
times as fast as in the contiguous one; a 5x5 depthwise convolution on 4x4 maps, forward and backward, several times.
"""

from __future__ import annotations

import dataclasses
import statistics
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks.options import BenchmarkConfig, check_at_least, read_config
from benchmarks.results import print_results
from benchmarks.turns import median_ratio, rounds_of_turns, seconds_of
from dnas.pretraining import sampled_path
from dnas.supernets.build import build_supernet
from dnas.supernets.depthwise import depthwise_conv
from scripts.interface.command_line import run
from search_space.spaces import space_named

if TYPE_CHECKING:
    from typing_extensions import Self


@dataclass(frozen=True, kw_only=True, slots=True)
class KernelsConfig(BenchmarkConfig):
    """Time image layouts and depthwise gradients in pairs."""

    threads: int = 1
    """CPU threads of torch."""
    rounds: int = 15
    """Turns of each side."""
    quick: bool = False
    """Three rounds."""

    def __post_init__(self) -> None:
        check_at_least(self, threads=1, rounds=1)

    def quickened(self) -> Self:
        """Three rounds."""
        return dataclasses.replace(self, rounds=3)


@dataclass(frozen=True)
class Pair:
    """Medians of two sides."""

    slow_ms: float
    fast_ms: float
    ratio: float
    """Median over the rounds."""


def main() -> None:
    """Measure and print."""
    config = read_config(KernelsConfig)
    torch.set_num_threads(config.threads)
    pairs = {"channels-last layout": layout(config.rounds), "quick depthwise gradient": depthwise(config.rounds)}
    results = {name: asdict(pair) for name, pair in pairs.items()}
    print_results(
        {"threads": config.threads, "torch": torch.__version__, "results": results},
        [
            f"{name}: {pair.ratio:.2f} times ({pair.slow_ms:.2f} ms against {pair.fast_ms:.2f} ms)"
            for name, pair in pairs.items()
        ],
        as_json=config.json,
    )


def timed_pair(slow: Callable[[], None], fast: Callable[[], None], rounds: int) -> Pair:
    """Time both in turns, after a call of each to warm up."""
    slow()
    fast()
    seconds = rounds_of_turns({"slow": partial(seconds_of, slow), "fast": partial(seconds_of, fast)}, rounds)
    return Pair(
        1e3 * statistics.median(seconds["slow"]),
        1e3 * statistics.median(seconds["fast"]),
        median_ratio(seconds["slow"], seconds["fast"]),
    )


def layout(rounds: int) -> Pair:
    """Weight steps of `fbnet-micro`, batch 64: contiguous images against channels-last ones, the same paths."""
    space = space_named("fbnet-micro")
    supernet = build_supernet(space, "shared")
    contiguous_BCHW = torch.randn(64, *space.input_shape)
    channels_last_BCHW = contiguous_BCHW.contiguous(memory_format=torch.channels_last)

    def steps(x_BCHW: Tensor) -> None:
        rng = np.random.default_rng(0)
        for _ in range(4):
            supernet.zero_grad()
            torch.autograd.backward(sampled_path(supernet, rng)(x_BCHW).square().mean())

    return timed_pair(partial(steps, contiguous_BCHW), partial(steps, channels_last_BCHW), rounds)


def depthwise(rounds: int) -> Pair:
    """Forward and backward of a 5x5 depthwise convolution, 384 channels, 4x4 maps, batch 64: PyTorch's and ours."""
    x_BCHW = torch.randn(64, 384, 4, 4).contiguous(memory_format=torch.channels_last).requires_grad_()
    weight = torch.randn(384, 1, 5, 5, requires_grad=True)
    gradient_BCHW = torch.randn(64, 384, 4, 4).contiguous(memory_format=torch.channels_last)

    def step(conv: Callable[[], Tensor]) -> None:
        torch.autograd.grad(conv(), (x_BCHW, weight), gradient_BCHW)

    return timed_pair(
        lambda: step(lambda: F.conv2d(x_BCHW, weight, padding=2, groups=384)),
        lambda: step(lambda: depthwise_conv(x_BCHW, weight, 1)),
        rounds,
    )


if __name__ == "__main__":
    run(main)
