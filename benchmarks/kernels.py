"""What the image layout and the quick depthwise gradient are worth on this CPU, as ratios measured in one run.

    python benchmarks/kernels.py [--quick] [--json] [--threads N]

Claims, on two cores of an AMD EPYC (Zen 3), torch 2.13, one thread: weight steps in channels-last layout are about 1.5
times as fast as in the contiguous one; a 5x5 depthwise convolution on 4x4 maps, forward and backward, several times.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F

from dnas.build import build_supernet
from dnas.depthwise import depthwise_conv
from dnas.pretraining import sampled_path
from search_space.spaces import space_named


def ratio(slow: Callable[[], None], fast: Callable[[], None], rounds: int) -> dict[str, float]:
    """Median times in ms of both, run in turns, and the median ratio of pairs."""
    slow()
    fast()
    pairs = [(_seconds(slow), _seconds(fast)) for _ in range(rounds)]
    return {
        "slow_ms": 1e3 * statistics.median(a for a, _ in pairs),
        "fast_ms": 1e3 * statistics.median(b for _, b in pairs),
        "ratio": statistics.median(a / b for a, b in pairs),
    }


def layout(rounds: int) -> dict[str, float]:
    """Weight steps of `fbnet-micro`, batch 64: contiguous images against channels-last ones, the same paths."""
    space = space_named("fbnet-micro")
    supernet = build_supernet(space, "shared")
    contiguous = torch.randn(64, *space.input_shape)
    channels_last = contiguous.contiguous(memory_format=torch.channels_last)

    def steps(images: torch.Tensor) -> None:
        rng = np.random.default_rng(0)
        for _ in range(4):
            supernet.zero_grad()
            torch.autograd.backward(sampled_path(supernet, images, rng).square().mean())

    return ratio(lambda: steps(contiguous), lambda: steps(channels_last), rounds)


def depthwise(rounds: int) -> dict[str, float]:
    """Forward and backward of a 5x5 depthwise convolution, 384 channels, 4x4 maps, batch 64: PyTorch's and ours."""
    x = torch.randn(64, 384, 4, 4).contiguous(memory_format=torch.channels_last).requires_grad_()
    weight = torch.randn(384, 1, 5, 5, requires_grad=True)
    gradient = torch.randn(64, 384, 4, 4).contiguous(memory_format=torch.channels_last)

    def run(conv: Callable[[], torch.Tensor]) -> None:
        torch.autograd.grad(conv(), (x, weight), gradient)

    return ratio(
        lambda: run(lambda: F.conv2d(x, weight, padding=2, groups=384)),
        lambda: run(lambda: depthwise_conv(x, weight, 1)),
        rounds,
    )


def _seconds(function: Callable[[], None]) -> float:
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="few rounds")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--threads", type=int, default=1, help="CPU threads of torch")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    rounds = 3 if options.quick else 15
    results = {"channels-last layout": layout(rounds), "quick depthwise gradient": depthwise(rounds)}
    if options.json:
        print(json.dumps({"threads": options.threads, "torch": torch.__version__, "results": results}))
        return
    for name, figures in results.items():
        print(f"{name}: {figures['ratio']:.2f} times ({figures['slow_ms']:.2f} ms against {figures['fast_ms']:.2f} ms)")


if __name__ == "__main__":
    main()
