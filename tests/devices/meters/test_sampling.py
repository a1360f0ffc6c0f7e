import itertools
import threading
import time
from typing import NoReturn

import pytest

from devices.meters.power_meter import MeterError, NotTheBoardError, Reading
from devices.meters.sampling import ATTEMPTS, Sampler


class FakeMeter:
    """Gives what it is told to, one reading after the other; then it hangs."""

    name = "fake"
    period_s = 0.001
    window_s = 0.002
    step_w = 0.0

    def __init__(self, *readings: Reading | Exception) -> None:
        self.readings = list(readings)
        self.never = threading.Event()

    def read(self) -> Reading:
        if not self.readings:
            self.never.wait()
        reading = self.readings.pop(0)
        if isinstance(reading, Exception):
            raise reading
        return reading


def ramp(count: int) -> list[Reading]:
    return [Reading(float(second), 2.0 * second) for second in range(count)]


def test_a_window_of_samples() -> None:
    sampler = Sampler(lambda: FakeMeter(*ramp(9)))
    assert sampler.window(2.5, 6.0) == ramp(7)[3:]
    assert sampler.window(-5.0, 0.0) == ramp(1)
    assert sampler.window(3.2, 3.8) == []
    assert sampler.describe() == ("fake", 1.0, 0.002, 0.0)


def test_the_period_needs_some_samples() -> None:
    with pytest.raises(MeterError, match="the fake must give a sample"):
        Sampler(lambda: FakeMeter(*ramp(4)), hang_seconds=0.2).describe()
    quick = [Reading(1e-6 * count, 1.0) for count in range(9)]
    assert Sampler(lambda: FakeMeter(*quick)).describe() == ("fake", 0.001, 0.002, 0.0)


def test_a_meter_that_hangs() -> None:
    sampler = Sampler(lambda: FakeMeter(*ramp(3)), hang_seconds=0.2)
    with pytest.raises(MeterError, match="the fake must give a sample within 0.2 s, but did not"):
        sampler.window(0.0, 60.0)


def test_a_meter_that_cannot_be_opened() -> None:
    def refuse() -> NoReturn:
        raise MeterError("no such bus")

    with pytest.raises(MeterError, match="no such bus"):
        Sampler(refuse).describe()


def test_single_failures_are_passed_over() -> None:
    failures = [MeterError("glitch")] * (ATTEMPTS - 1)
    sampler = Sampler(lambda: FakeMeter(*ramp(2), *failures, *ramp(5)[2:]))
    assert sampler.window(0.0, 4.0) == ramp(5)


@pytest.mark.parametrize(
    ("failures", "message"),
    [
        ([MeterError("unplugged")] * ATTEMPTS, "unplugged"),
        ([Reading(3.0, float("nan"))] * ATTEMPTS, "finite power, but got nan"),
        ([ZeroDivisionError("a bug")], "ZeroDivisionError: a bug"),
        ([NotTheBoardError("the power must keep its sign")], "must keep its sign"),
    ],
)
def test_failures_that_last_are_told(failures: list[Reading | Exception], message: str) -> None:
    sampler = Sampler(lambda: FakeMeter(*ramp(3), *failures))
    with pytest.raises(MeterError, match=message):
        sampler.window(0.0, 60.0)
    with pytest.raises(MeterError, match=message):
        sampler.describe()


def test_samples_that_are_no_longer_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("devices.meters.sampling.RING_SAMPLES", 4)
    sampler = Sampler(lambda: FakeMeter(*ramp(9)))
    assert sampler.window(5.0, 8.0) == ramp(9)[5:]
    with pytest.raises(MeterError, match="the last 4 samples of fake are kept"):
        sampler.window(4.0, 8.0)


def test_readings_come_at_the_meters_pace() -> None:
    class Ticking(FakeMeter):
        period_s = 0.01

        def read(self) -> Reading:
            return Reading(time.monotonic(), 1.0)

    sampler = Sampler(Ticking)
    start_s = time.monotonic()
    found = sampler.window(start_s, start_s + 0.5)
    # Only that steps are uneven, and never much shorter than a period: a busy machine makes them longer.
    steps = {round(later.time_s - earlier.time_s, 4) for earlier, later in itertools.pairwise(found)}
    assert len(found) <= 60
    assert len(steps) > 1
