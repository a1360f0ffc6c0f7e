"""Steps on a device, timed and looked into: how much of the time its kernels run, and how often the host waits."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

import torch
from torch._C._autograd import DeviceType
from torch.profiler import ProfilerActivity, profile

from benchmarks.turns import seconds_of, synchronize

WARM_UP_STEPS = 12
"""Each shape that a sampled path meets first has preparations."""
TRIAL_STEPS = 4
PROFILED_STEPS = 8


@dataclass(frozen=True, kw_only=True, slots=True)
class StepFigures:
    """Of steps with so many images each."""

    images_per_second: float
    step_ms: float
    kernel_share: float | None
    """Time of all kernels over the time of the steps; None without a GPU, as are the next two."""
    launches: float | None
    """Kernels, copies and fills a step."""
    waits: int | None
    """Calls of a step for which the host waited, as CUDA tells."""
    peak_memory_mb: float | None
    """That torch had allocated on the GPU."""


def step_figures(steps: Callable[[int], None], batch: int, seconds: float) -> StepFigures:
    """Time as many steps as fill about that many seconds, after others that warm up.

    Args:
        steps: makes so many steps.
        batch: images of a step.
        seconds: to be filled.
    """
    steps(WARM_UP_STEPS)
    number = max(TRIAL_STEPS, round(seconds * TRIAL_STEPS / seconds_of(lambda: steps(TRIAL_STEPS))))
    on_gpu = torch.cuda.is_available()
    if on_gpu:
        torch.cuda.reset_peak_memory_stats()
    step_seconds = seconds_of(lambda: steps(number)) / number
    memory = torch.cuda.max_memory_allocated() / 1e6 if on_gpu else None
    share = launches = waits = None
    if on_gpu:
        kernel_seconds, launches = _profiled(steps)
        share = kernel_seconds / step_seconds
        # What a run of steps waits for besides, at its start and end, is the same for few and for many.
        waits = (_waits(lambda: steps(2 * PROFILED_STEPS)) - _waits(lambda: steps(PROFILED_STEPS))) // PROFILED_STEPS
    return StepFigures(
        images_per_second=batch / step_seconds,
        step_ms=1e3 * step_seconds,
        kernel_share=share,
        launches=launches,
        waits=waits,
        peak_memory_mb=memory,
    )


def _profiled(steps: Callable[[int], None]) -> tuple[float, float]:
    """Seconds of kernels and launches of a step; twice as many steps less as many leave out start and end."""
    (few_us, few), (many_us, many) = (_kernels(partial(steps, n)) for n in (PROFILED_STEPS, 2 * PROFILED_STEPS))
    return (many_us - few_us) / 1e6 / PROFILED_STEPS, (many - few) / PROFILED_STEPS


def _kernels(call: Callable[[], None]) -> tuple[float, int]:
    """Microseconds and number of all that ran on the device."""
    with profile(activities=[ProfilerActivity.CUDA]) as found:
        call()
        synchronize()
    on_device = [event for event in found.events() or () if event.device_type == DeviceType.CUDA]
    return sum(event.time_range.elapsed_us() for event in on_device), len(on_device)


def _waits(call: Callable[[], None]) -> int:
    """How often the host waited for the device in a call."""
    with _told_waits() as told:
        call()
    return len(told)


@contextmanager
def _told_waits() -> Iterator[list[warnings.WarningMessage]]:
    synchronize()
    before = torch.cuda.get_sync_debug_mode()
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        torch.cuda.set_sync_debug_mode("warn")
        try:
            yield told
        finally:
            torch.cuda.set_sync_debug_mode(before)
            told[:] = [one for one in told if "synchroniz" in str(one.message)]
