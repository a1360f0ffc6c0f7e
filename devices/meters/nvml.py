"""NVIDIA GPUs, by the driver's own library."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from devices.meters.power_meter import MeterError, Reading


class Nvml:
    """Mean power of one GPU since the last reading, by its energy counter; power now where it has no such counter."""

    name = "nvml"
    period_s = 0.5
    """The counter moves every 20 to 100 ms, which each step is uncertain by."""
    window_s = 0.42
    """Half of the longest step between two readings, and a step of the counter."""
    step_w = 0.0
    WINDOW_WITHOUT_COUNTER_S = 1.2
    """Power now is a mean of up to a second, and as old as a step (NVML API reference, `nvmlDeviceGetPowerUsage`)."""

    def __init__(self, library: Any, *, index: int = 0, clock: Callable[[], float] = time.monotonic) -> None:
        """Find the GPU.

        Args:
            library: the module `pynvml`.
            index: number of the GPU, from 0.
            clock: time in s.

        Raises:
            MeterError: if there is no such GPU.
        """
        self._library = library
        self._index = index
        self._clock = clock
        try:
            library.nvmlInit()
            self._handle = library.nvmlDeviceGetHandleByIndex(index)
        except library.NVMLError as error:
            raise MeterError(f"GPU {index} must be there, but got {error}: see `nvidia-smi --list-gpus`.") from error
        self._energy_mj: float | None = None
        try:
            self._energy_mj, self._time_s = self._counter()
        except library.NVMLError:
            self._time_s = clock()
            self.window_s = self.WINDOW_WITHOUT_COUNTER_S

    def read(self) -> Reading:
        """Power of the GPU.

        Raises:
            MeterError: if the driver does not answer.
        """
        try:
            if self._energy_mj is None:
                return Reading(self._clock(), self._library.nvmlDeviceGetPowerUsage(self._handle) / 1000)
            before_mj, before_s = self._energy_mj, self._time_s
            self._energy_mj, self._time_s = self._counter()
        except self._library.NVMLError as error:
            raise MeterError(
                f"GPU {self._index} must answer, but got {error}: see whether `nvidia-smi` works."
            ) from error
        power_w = (self._energy_mj - before_mj) / 1000 / (self._time_s - before_s)
        return Reading((before_s + self._time_s) / 2, power_w)

    def _counter(self) -> tuple[float, float]:
        start_s = self._clock()
        energy_mj = float(self._library.nvmlDeviceGetTotalEnergyConsumption(self._handle))
        return energy_mj, (start_s + self._clock()) / 2


def open_library() -> Any:
    """The module `pynvml`.

    Raises:
        MeterError: if it is not installed.
    """
    try:
        import pynvml
    except ImportError:
        raise MeterError("NVIDIA GPUs need `nvidia-ml-py`: install it with `pip install nvidia-ml-py`.") from None
    return pynvml
