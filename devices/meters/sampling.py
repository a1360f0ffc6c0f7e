"""A meter that is read continually in a thread of its own, and the ring of its latest samples."""

from __future__ import annotations

import math
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import NamedTuple

from devices.meters.power_meter import MeterError, NotTheBoardError, PowerMeter, Reading

RING_SAMPLES = 100_000
"""Samples kept: more than a quarter of an hour of the quickest meter."""

ATTEMPTS = 3
"""Failed readings in a row after which a meter is given up."""

HANG_SECONDS = 10.0
"""Time without a sample after which a meter is considered hung."""

FIRST_SAMPLES, PERIOD_SAMPLES = 5, 20
"""Fewest and most samples that the period is worked out from."""

GOLDEN = (math.sqrt(5) - 1) / 2


class Description(NamedTuple):
    """What is known of a meter that is being read."""

    name: str
    period_s: float
    """Mean step between its latest samples."""
    window_s: float
    """`PowerMeter.window_s`."""
    step_w: float = 0.0
    """`PowerMeter.step_w`, as far as its samples have shown it."""

    @property
    def guard_s(self) -> float:
        """A sample this far from either end of a load depends on that load alone."""
        return max(self.window_s, self.period_s)


def step_s(period_s: float, number: int) -> float:
    """Time from one sample to the next one.

    Steps are uneven, and average to the period, so that no periodic load stays in step with them.
    """
    return period_s * (0.75 + 0.5 * (number * GOLDEN % 1))


def mean_step_s(readings: Sequence[Reading]) -> float:
    """Mean step between readings, of which there are two at least."""
    return (readings[-1].time_s - readings[0].time_s) / (len(readings) - 1)


class Sampler:
    """Samples of one meter, which is opened in the thread, too, as that may hang as well."""

    def __init__(self, open_meter: Callable[[], PowerMeter], *, hang_seconds: float = HANG_SECONDS) -> None:
        self._open_meter = open_meter
        self._hang_seconds = hang_seconds
        self._changed = threading.Condition()
        self._ring: deque[Reading] = deque(maxlen=RING_SAMPLES)
        self._taken = 0
        self._name = "meter"
        self._nominal_period_s = self._window_s = self._step_w = 0.0
        self._error: str | None = None
        threading.Thread(target=self._run, daemon=True).start()

    def describe(self) -> Description:
        """The meter, with its period as the latest samples show it.

        Raises:
            MeterError: if it cannot be opened or gives no first samples.
        """
        self._wait_until(lambda: self._taken >= FIRST_SAMPLES)
        with self._changed:
            latest = [self._ring[index] for index in range(max(-len(self._ring), -PERIOD_SAMPLES), 0)]
        return Description(self._name, max(mean_step_s(latest), self._nominal_period_s), self._window_s, self._step_w)

    def window(self, since_s: float, until_s: float) -> list[Reading]:
        """The samples of a time, in order; waits until it is over.

        Raises:
            MeterError: if the meter fails or hangs, or the samples are no longer kept.
        """
        self._wait_until(lambda: bool(self._ring) and self._ring[-1].time_s >= until_s)
        found: list[Reading] = []
        with self._changed:
            for reading in reversed(self._ring):
                if reading.time_s < since_s:
                    break
                if reading.time_s <= until_s:
                    found.append(reading)
            lost = self._taken > len(self._ring) and self._ring[0].time_s > since_s
        if lost:
            raise MeterError(
                f"the last {RING_SAMPLES} samples of {self._name} are kept, but a time before them was asked for: "
                "take a shorter run."
            )
        return found[::-1]

    def _wait_until(self, ready: Callable[[], bool]) -> None:
        with self._changed:
            while self._error is None and not ready():
                taken = self._taken
                self._changed.wait(self._hang_seconds)
                if taken == self._taken and self._error is None:
                    raise MeterError(
                        f"the {self._name} must give a sample within {self._hang_seconds:g} s, but did not: "
                        "unplug it, plug it in again, and check its address."
                    )
            if self._error is not None:
                raise MeterError(self._error)

    def _run(self) -> None:
        try:
            meter = self._open_meter()
            self._name, self._nominal_period_s, self._window_s = meter.name, meter.period_s, meter.window_s
            self._sample(meter)
        except Exception as error:
            known = isinstance(error, (MeterError, ValueError))
            with self._changed:
                self._error = str(error) if known else f"{type(error).__name__}: {error}"
                self._changed.notify_all()

    def _sample(self, meter: PowerMeter) -> None:
        failures = 0
        due_s = time.monotonic()
        while True:
            due_s = max(due_s + step_s(meter.period_s, self._taken), time.monotonic())
            time.sleep(max(0.0, due_s - time.monotonic()))
            try:
                reading = meter.read()
                if not math.isfinite(reading.power_w):
                    raise MeterError(
                        f"the {meter.name} must give a finite power, but got {reading.power_w}: try again."
                    )
            except NotTheBoardError:
                # A mean over what is left of a run would be one of something else.
                raise
            except MeterError:
                failures += 1
                if failures == ATTEMPTS:
                    raise
                continue
            failures = 0
            with self._changed:
                self._ring.append(reading)
                self._taken += 1
                self._step_w = meter.step_w
                self._changed.notify_all()
