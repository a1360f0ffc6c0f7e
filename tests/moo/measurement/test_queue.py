from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from devices.configuration import BASE, RuntimeConfiguration
from devices.errors import BoardRefusedError, BoardUnreachableError, MeasurementError
from devices.measurement import Board, Conditions, Measurement, model_key
from devices.models import Model
from devices.replay import ReplayDevice
from moo.events import BoardBack, BoardConditions, BoardUnreachable
from moo.measurement.queue import (
    ATTEMPTS,
    Measured,
    Measurer,
    NotMeasured,
    Request,
    measure,
    start_measurer,
)
from tests.moo.conftest import MeasurementOf

PATIENCE = 20
"""Seconds after which a test that waits for a thread is taken to hang."""


class ScriptedDevice:
    """Gives, or raises, one thing after another."""

    shares_host = True
    metered = False

    def __init__(self, outcomes: Any) -> None:
        self._outcomes: list[Measurement | Exception] = list(outcomes)
        self.models: list[Any] = []
        self.closed = False

    def describe(self) -> Any:
        return Board(name="scripted", model="none", os="none", runtime="none", clock_mhz=None)

    def measure(self, model: Model, configuration: RuntimeConfiguration = BASE) -> Measurement:
        self.models.append(model)
        outcome = self._outcomes.pop(0)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    def close(self) -> None:
        self.closed = True


def request_of(name: Any) -> Any:
    return Request(name, name.encode)


def test_a_network_in_several_files_is_measured_as_one() -> None:
    files = (b"one", b"three")
    measurer = start_measurer([ReplayDevice(lambda model: float(sum(map(len, model))))])
    measurer.request(Request("000", lambda: files, is_file=True))
    (found,) = measurer.drain()
    measurer.close()
    assert isinstance(found, Measured)
    assert found.measurement.latency_ms == 8.0
    assert found.file == model_key(files)


def test_a_network_is_measured_once_if_that_is_reliable(measurement_of: MeasurementOf) -> None:
    device = ScriptedDevice([measurement_of(2.0)])
    measured = measure(device, request_of("a"))
    assert measured == Measured("a", measurement_of(2.0))
    assert device.models == [b"a"]


def test_a_failure_is_tried_again(measurement_of: MeasurementOf) -> None:
    device = ScriptedDevice([MeasurementError("hung"), measurement_of(2.0)])
    measured = measure(device, request_of("a"))
    assert measured == Measured("a", measurement_of(2.0))


def test_a_board_that_keeps_failing_is_reported_with_the_last_reason() -> None:
    device = ScriptedDevice([MeasurementError(f"crash {number}") for number in range(ATTEMPTS)])
    measured = measure(device, request_of("a"))
    assert measured == NotMeasured("a", f"crash {ATTEMPTS - 1}")
    assert len(device.models) == ATTEMPTS


def test_an_unreliable_measurement_is_repeated_and_the_fastest_kept(measurement_of: MeasurementOf) -> None:
    spread = [measurement_of(latency_ms, iqr_ms=1.0, reliable=False) for latency_ms in (2.5, 2.0, 2.25)]
    device = ScriptedDevice(spread)
    assert measure(device, request_of("a")).measurement == spread[1]
    assert len(device.models) == ATTEMPTS
    good = measurement_of(2.125)
    assert measure(ScriptedDevice([spread[0], good]), request_of("a")).measurement == good
    assert measure(ScriptedDevice([spread[1], good]), request_of("a")).measurement == spread[1]


def test_a_measurement_counts_though_a_repetition_fails(measurement_of: MeasurementOf) -> None:
    wide = measurement_of(2.0, iqr_ms=1.0, reliable=False)
    outcomes = [wide, MeasurementError("hung"), MeasurementError("hung")]
    measured = measure(ScriptedDevice(outcomes), request_of("a"))
    assert measured == Measured("a", wide)


def test_a_board_that_shares_the_host_measures_only_when_drained(measurement_of: MeasurementOf) -> None:
    device = ScriptedDevice([measurement_of(1.0), measurement_of(2.0)])
    measurer = start_measurer([device])
    threads = threading.active_count()
    measurer.request(request_of("a"))
    measurer.request(request_of("b"))
    assert measurer.waiting == 2
    assert list(measurer.collect()) == []
    assert device.models == []
    assert threading.active_count() == threads
    waiting = []
    for measured in measurer.drain():
        waiting.append((measured.network, measurer.waiting))
    assert waiting == [("a", 1), ("b", 0)]
    assert list(measurer.drain()) == []
    measurer.close()
    assert device.closed


class GatedDevice(ReplayDevice):
    """A board of its own that measures when it is let, and says when it has begun."""

    def __init__(self) -> None:
        super().__init__(self._latency_of_model)
        self.begun: list[bytes] = []
        self.has_begun = threading.Semaphore(0)
        self.gate = threading.Semaphore(0)
        self.closed = threading.Event()
        self.threads: set[str] = set()

    def _latency_of_model(self, model: Any) -> Any:
        self.threads.add(threading.current_thread().name)
        self.begun.append(model)
        self.has_begun.release()
        assert self.gate.acquire(timeout=PATIENCE)
        return float(len(model))

    def wait_until_busy(self) -> None:
        assert self.has_begun.acquire(timeout=PATIENCE)

    def close(self) -> None:
        self.closed.set()


@pytest.fixture
def gated() -> Iterator[Any]:
    device = GatedDevice()
    measurer = start_measurer([device])
    yield device, measurer
    device.gate.release(100)
    measurer.close()


def test_a_board_of_its_own_measures_while_the_search_goes_on(gated: Any) -> None:
    device, measurer = gated
    measurer.request(request_of("aa"))
    device.wait_until_busy()
    assert list(measurer.collect()) == []
    assert measurer.waiting == 1
    measurer.request(request_of("bbb"))
    assert measurer.waiting == 2
    device.gate.release()
    device.wait_until_busy()
    collected = list(measurer.collect())
    assert [(item.network, item.measurement.latency_ms) for item in collected] == [("aa", 2.0)]
    assert measurer.waiting == 1
    device.gate.release()
    assert [item.network for item in measurer.drain()] == ["bbb"]
    assert measurer.waiting == 0
    assert device.threads == {"measurer"}
    assert threading.current_thread().name not in device.threads


def test_draining_a_board_of_its_own_waits_for_what_is_being_measured(gated: Any) -> None:
    device, measurer = gated
    measurer.request(request_of("a"))
    device.wait_until_busy()
    drained = []
    waiter = threading.Thread(target=lambda: drained.extend(measurer.drain()))
    waiter.start()
    assert waiter.is_alive()
    assert drained == []
    device.gate.release()
    waiter.join(PATIENCE)
    assert [item.network for item in drained] == ["a"]


def test_closing_gives_up_the_queue_and_waits_for_what_is_being_measured(gated: Any) -> None:
    device, measurer = gated
    measurer.request(request_of("a"))
    measurer.request(request_of("b"))
    device.wait_until_busy()
    closer = threading.Thread(target=measurer.close)
    closer.start()
    while measurer.waiting > 1:
        assert closer.is_alive()
    assert not device.closed.is_set()
    device.gate.release()
    closer.join(PATIENCE)
    assert device.closed.is_set()
    assert device.begun == [b"a"]


def test_making_a_measurer_starts_nothing() -> None:
    device = GatedDevice()
    measurer = Measurer([device])
    measurer.request(request_of("a"))
    assert "measurer" not in {thread.name for thread in threading.enumerate()}
    assert measurer.waiting == 1
    measurer.close()
    assert device.closed.is_set()
    assert device.begun == []


def test_closing_an_idle_measurer_ends_its_thread() -> None:
    measurer = start_measurer([ReplayDevice(lambda model: 1.0)])
    assert "measurer" in {thread.name for thread in threading.enumerate()}
    measurer.close()
    assert "measurer" not in {thread.name for thread in threading.enumerate()}


def test_a_bug_in_a_measuring_thread_raises_instead_of_hanging() -> None:
    def broken() -> None:
        raise RuntimeError("no such weight")

    measurer = start_measurer([ReplayDevice(lambda model: 1.0)])
    errors = []

    def drain() -> None:
        try:
            list(measurer.drain())
        except RuntimeError as error:
            errors.append(str(error))

    measurer.request(Request("a", broken))  # type: ignore[arg-type]
    waiter = threading.Thread(target=drain, daemon=True)
    waiter.start()
    waiter.join(PATIENCE)
    assert errors == ["no such weight"]
    measurer.close()


def throttled(measurement: Any) -> Any:
    return replace(measurement, after=Conditions(throttled=0b100), reliable=False)


def test_a_measurement_that_throttled_is_repeated_and_the_fine_one_kept_though_it_is_slower(
    measurement_of: MeasurementOf,
) -> None:
    device = ScriptedDevice([throttled(measurement_of(1.0)), measurement_of(2.0)])
    measured = measure(device, request_of("a"))
    assert measured == Measured("a", measurement_of(2.0))


def test_measurements_that_all_throttled_are_not_used_and_the_reason_says_so(
    measurement_of: MeasurementOf,
) -> None:
    device = ScriptedDevice([throttled(measurement_of(1.0))] * ATTEMPTS)
    measured = measure(device, request_of("a"))
    assert measured == NotMeasured(
        "a", "the board throttled during every attempt: cool it, or give it a stronger supply."
    )
    assert len(device.models) == ATTEMPTS


def test_a_board_that_does_not_answer_is_not_asked_again_at_once() -> None:
    device = ScriptedDevice([BoardUnreachableError("no route")] * ATTEMPTS)
    with pytest.raises(BoardUnreachableError, match="no route"):
        measure(device, request_of("a"))
    assert len(device.models) == 1


def test_what_this_machine_refuses_is_not_measured_and_the_next_network_is(measurement_of: MeasurementOf) -> None:
    """It does not go away, so there is nothing to wait for: a clock that it does not keep while it is hot, say."""
    measurer = start_measurer([ScriptedDevice([BoardRefusedError("too hot for 1500 MHz"), measurement_of(2.0)])])
    measurer.request(request_of("a"))
    measurer.request(request_of("b"))
    assert list(measurer.drain()) == [NotMeasured("a", "too hot for 1500 MHz"), Measured("b", measurement_of(2.0))]


class AwayDevice(ReplayDevice):
    """A board of its own that is away until told to be back, and counts how often it was asked."""

    def __init__(self, *, away: bool = True) -> None:
        super().__init__(lambda model: float(len(model)))
        self.away = away
        self.asked = threading.Semaphore(0)
        self.models: list[Any] = []
        self.closed = False

    def measure(self, model: Model, configuration: RuntimeConfiguration = BASE) -> Measurement:
        self.asked.release()
        if self.away:
            raise BoardUnreachableError("no route to host")
        self.models.append(model)
        return super().measure(model)

    def wait_until_asked(self, times: int = 1) -> None:
        for _ in range(times):
            assert self.asked.acquire(timeout=PATIENCE)

    def close(self) -> None:
        self.closed = True


def measurer_of(*devices: Any, names: Any = None) -> Any:
    return start_measurer(devices, names=names, retry_seconds=(0.01, 0.02))


def test_several_boards_share_one_queue() -> None:
    devices = [GatedDevice() for _ in range(3)]
    measurer = start_measurer(devices)
    for number in range(5):
        measurer.request(request_of("a" * (number + 1)))
    for device in devices:
        device.wait_until_busy()
    assert measurer.waiting == 5
    assert not measurer.shares_host
    devices[1].gate.release(3)
    devices[1].wait_until_busy()
    devices[1].wait_until_busy()
    assert [len(device.begun) for device in devices] == [1, 3, 1]
    devices[0].gate.release()
    devices[2].gate.release()
    assert sorted(report.network for report in measurer.drain()) == ["a" * (number + 1) for number in range(5)]
    measurer.close()
    assert all(device.closed.is_set() for device in devices)


def test_a_board_that_comes_back_measures_what_waited_and_reports_each_once() -> None:
    device = AwayDevice()
    measurer = measurer_of(device, names=["ssh://pi@one"])
    for name in ("a", "bb", "ccc"):
        measurer.request(request_of(name))
    device.wait_until_asked(4)
    assert list(measurer.collect()) == [BoardUnreachable("ssh://pi@one", "no route to host")]
    assert measurer.waiting == 3
    device.away = False
    first, *measured = measurer.drain(PATIENCE)
    assert first == BoardBack("ssh://pi@one")
    assert [(item.network, item.measurement.latency_ms) for item in measured] == [
        ("a", 1.0), ("bb", 2.0), ("ccc", 3.0),
    ]  # fmt: skip
    assert measurer.waiting == 0
    measurer.close()


def test_what_a_board_left_is_measured_by_another() -> None:
    gone, there = AwayDevice(), AwayDevice(away=False)
    measurer = measurer_of(gone, there, names=["gone", "there"])
    for number in range(20):
        measurer.request(request_of("a" * (number + 1)))
    reports = list(measurer.drain(0.0))
    assert sorted(len(item.network) for item in reports if isinstance(item, Measured)) == list(range(1, 21))
    assert all(
        item == BoardUnreachable("gone", "no route to host") for item in reports if isinstance(item, BoardUnreachable)
    )
    measurer.close()


def test_draining_gives_up_after_its_patience_and_keeps_what_waits() -> None:
    devices = [AwayDevice(), AwayDevice()]
    measurer = measurer_of(*devices)
    for name in ("a", "bb", "ccc"):
        measurer.request(request_of(name))
    reports = list(measurer.drain(0.05))
    assert sorted(report.device for report in reports) == ["board 1", "board 2"]
    assert measurer.waiting == 3
    for device in devices:
        device.away = False
    measured = [item.network for item in measurer.drain(PATIENCE) if isinstance(item, Measured)]
    assert sorted(measured) == ["a", "bb", "ccc"]
    measurer.close()


class Clock:
    """Time that passes when it is told to."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def monotonic(self) -> Any:
        self.seconds += 1.0
        return self.seconds


def test_patience_begins_with_waiting_and_is_spent_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A board that was away for long before is waited for all the same; it is not waited for again and again."""
    clock = Clock()
    monkeypatch.setattr("moo.measurement.queue.time", clock)
    device = AwayDevice()
    measurer = measurer_of(device)
    measurer.request(request_of("a"))
    device.wait_until_asked(2)
    clock.seconds += 1000
    waited_from = clock.seconds
    assert list(measurer.drain(5)) == [BoardUnreachable("board 1", "no route to host")]
    assert clock.seconds - waited_from > 5
    waited_from = clock.seconds
    assert list(measurer.drain(5)) == []
    assert clock.seconds - waited_from < 5
    device.away = False
    assert len(list(measurer.drain(float("inf")))) == 2
    device.away = True
    measurer.request(request_of("b"))
    waited_from = clock.seconds
    assert list(measurer.drain(5)) == [BoardUnreachable("board 1", "no route to host")]
    assert clock.seconds - waited_from > 5
    measurer.close()


def test_closing_while_a_board_is_away_does_not_wait_for_it() -> None:
    device = AwayDevice()
    measurer = start_measurer([device], retry_seconds=(3600.0, 3600.0))
    measurer.request(request_of("a"))
    device.wait_until_asked()
    closer = threading.Thread(target=measurer.close)
    closer.start()
    closer.join(4)
    assert not closer.is_alive()
    assert device.closed
    assert measurer.waiting == 0
    assert "measurer" not in {thread.name for thread in threading.enumerate()}


def test_pauses_before_a_board_is_asked_again_grow_to_their_longest(monkeypatch: pytest.MonkeyPatch) -> None:
    device, pauses = AwayDevice(), []
    original = threading.Condition.wait_for

    def wait_for(self: Any, predicate: Any, timeout: Any = None) -> Any:
        pauses.append(timeout)
        return original(self, predicate, 0 if timeout else timeout)

    measurer = start_measurer([device], retry_seconds=(1.0, 5.0))
    monkeypatch.setattr(threading.Condition, "wait_for", wait_for)
    measurer.request(request_of("a"))
    device.wait_until_asked(6)
    measurer.close()
    assert pauses[:5] == [1.0, 2.0, 4.0, 5.0, 5.0]


def test_a_measurement_tells_the_state_that_it_left_its_board_in(measurement_of: MeasurementOf) -> None:
    after = Conditions(temperature_c=60.0, throttled=0)
    measurer = start_measurer([ScriptedDevice([replace(measurement_of(1.0), after=after)])], names=["here"])
    measurer.request(request_of("a"))
    measured, conditions = measurer.drain()
    assert isinstance(measured, Measured)
    assert isinstance(conditions, BoardConditions)
    assert (conditions.device, conditions.temperature_c, conditions.throttled) == ("here", 60.0, False)
