"""What a device can do at best: copies, launches, and depthwise convolutions of each shape of a space."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import product

import torch
import torch.nn.functional as F

from benchmarks.turns import seconds_of
from search_space.spaces import FBNetSpace

COPIED_NUMBERS = 2**26
LAUNCHES = 2000
TURNS = 5
REPEATS = 10
LAYOUTS = {"NHWC": torch.channels_last, "NCHW": torch.contiguous_format}
TYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}


@dataclass(frozen=True, kw_only=True, slots=True)
class DepthwiseFigures:
    """One depthwise convolution, forward and backward together."""

    channels: int
    size: int
    kernel: int
    stride: int
    layout: str
    dtype: str
    first_ms: float
    """The first call, with its preparations."""
    ms: float
    bandwidth_share: float
    """Time that reading and writing its maps takes at the speed of a copy, over its time."""


def copy_terabytes(device: torch.device) -> float:
    """Terabytes a second that a copy within the device's memory reads and writes."""
    source = torch.empty(COPIED_NUMBERS, device=device)
    target = torch.empty_like(source)
    return 2 * source.nbytes / _median_seconds(lambda: target.copy_(source)) / 1e12


def launch_us(device: torch.device) -> float:
    """Microseconds of host time that one small operation takes."""
    x = torch.zeros(1, device=device)

    def launches() -> None:
        for _ in range(LAUNCHES):
            x.add_(1)

    return 1e6 * _median_seconds(launches) / LAUNCHES


def depthwise_figures(
    space: FBNetSpace, device: torch.device, *, batch: int, terabytes: float
) -> Iterator[DepthwiseFigures]:
    """Each different shape of the widest candidates, in both layouts and number formats."""
    expansion = max(operator.expansion for operator in space.candidates)
    kernels = sorted({operator.kernel for operator in space.candidates if not operator.is_skip})
    shapes = dict.fromkeys((layer.in_channels * expansion, layer.size, layer.stride) for layer in space.layers)
    for (channels, size, stride), kernel, (layout, memory_format), (name, dtype) in product(
        shapes, kernels, LAYOUTS.items(), TYPES.items()
    ):
        x = torch.randn(batch, channels, size, size, device=device, dtype=dtype).to(memory_format=memory_format)
        weight = torch.randn(channels, 1, kernel, kernel, device=device, dtype=dtype)
        x, weight = x.requires_grad_(), weight.requires_grad_()
        output = F.conv2d(x, weight, stride=stride, padding=kernel // 2, groups=channels)
        gradient = torch.randn_like(output)

        both = partial(_both_ways, x, weight, gradient, stride)
        first = seconds_of(both)
        seconds = _median_seconds(partial(_repeated, both)) / REPEATS
        # Each map is read or written: x and y forwards; x, gradient and gradient of x backwards.
        least = (3 * x.nbytes + 2 * output.nbytes) / (terabytes * 1e12)
        yield DepthwiseFigures(
            channels=channels,
            size=size,
            kernel=kernel,
            stride=stride,
            layout=layout,
            dtype=name,
            first_ms=1e3 * first,
            ms=1e3 * seconds,
            bandwidth_share=least / seconds,
        )


def _both_ways(x: torch.Tensor, weight: torch.Tensor, gradient: torch.Tensor, stride: int) -> None:
    y = F.conv2d(x, weight, stride=stride, padding=weight.shape[-1] // 2, groups=weight.shape[0])
    torch.autograd.grad(y, (x, weight), gradient)


def _repeated(call: Callable[[], None]) -> None:
    for _ in range(REPEATS):
        call()


def _median_seconds(call: Callable[[], object]) -> float:
    seconds_of(call)
    return statistics.median(seconds_of(call) for _ in range(TURNS))
