import threading

import pytest

from devices.device import MeasurementError
from devices.measurement import Board
from devices.replay import ReplayDevice
from moo.measuring import ATTEMPTS, Measurer, Request, measure

PATIENCE = 20
"""Seconds after which a test that waits for a thread is taken to hang."""


class ScriptedDevice:
    """Gives, or raises, one thing after another."""

    shares_host = True

    def __init__(self, outcomes):
        self._outcomes = list(outcomes)
        self.models = []
        self.closed = False

    def describe(self):
        return Board("scripted", "none", "none", "none", 1, None)

    def measure(self, model):
        self.models.append(model)
        outcome = self._outcomes.pop(0)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    def close(self):
        self.closed = True


def request_of(name):
    return Request(name, name.encode)


def test_a_network_is_measured_once_if_that_is_reliable(measurement_of):
    device = ScriptedDevice([measurement_of(2.0)])
    measured = measure(device, request_of("a"))
    assert (measured.architecture_id, measured.measurement, measured.reason) == ("a", measurement_of(2.0), "")
    assert device.models == [b"a"]


def test_a_failure_is_tried_again(measurement_of):
    device = ScriptedDevice([MeasurementError("hung"), measurement_of(2.0)])
    measured = measure(device, request_of("a"))
    assert (measured.measurement, measured.reason) == (measurement_of(2.0), "")


def test_a_board_that_keeps_failing_is_reported_with_the_last_reason():
    device = ScriptedDevice([MeasurementError(f"crash {number}") for number in range(ATTEMPTS)])
    measured = measure(device, request_of("a"))
    assert measured.measurement is None
    assert measured.reason == f"crash {ATTEMPTS - 1}"
    assert len(device.models) == ATTEMPTS


def test_an_unreliable_measurement_is_repeated_and_the_fastest_kept(measurement_of):
    spread = [measurement_of(latency_ms, iqr_ms=1.0, reliable=False) for latency_ms in (2.5, 2.0, 2.25)]
    device = ScriptedDevice(spread)
    assert measure(device, request_of("a")).measurement == spread[1]
    assert len(device.models) == ATTEMPTS
    good = measurement_of(2.125)
    assert measure(ScriptedDevice([spread[0], good]), request_of("a")).measurement == good
    assert measure(ScriptedDevice([spread[1], good]), request_of("a")).measurement == spread[1]


def test_a_measurement_counts_though_a_repetition_fails(measurement_of):
    wide = measurement_of(2.0, iqr_ms=1.0, reliable=False)
    outcomes = [wide, MeasurementError("hung"), MeasurementError("hung")]
    measured = measure(ScriptedDevice(outcomes), request_of("a"))
    assert (measured.measurement, measured.reason) == (wide, "")


def test_a_board_that_shares_the_host_measures_only_when_drained(measurement_of):
    device = ScriptedDevice([measurement_of(1.0), measurement_of(2.0)])
    measurer = Measurer([device])
    threads = threading.active_count()
    measurer.request(request_of("a"))
    measurer.request(request_of("b"))
    assert measurer.waiting == 2
    assert list(measurer.collect()) == []
    assert device.models == []
    assert threading.active_count() == threads
    waiting = []
    for measured in measurer.drain():
        waiting.append((measured.architecture_id, measurer.waiting))
    assert waiting == [("a", 1), ("b", 0)]
    assert list(measurer.drain()) == []
    measurer.close()
    assert device.closed


class GatedDevice(ReplayDevice):
    """A board of its own that measures when it is let, and says when it has begun."""

    def __init__(self):
        super().__init__(self._latency_of_model)
        self.begun: list[bytes] = []
        self.has_begun = threading.Semaphore(0)
        self.gate = threading.Semaphore(0)
        self.closed = threading.Event()
        self.threads: set[str] = set()

    def _latency_of_model(self, model):
        self.threads.add(threading.current_thread().name)
        self.begun.append(model)
        self.has_begun.release()
        assert self.gate.acquire(timeout=PATIENCE)
        return float(len(model))

    def wait_until_busy(self):
        assert self.has_begun.acquire(timeout=PATIENCE)

    def close(self):
        self.closed.set()


@pytest.fixture
def gated():
    device = GatedDevice()
    measurer = Measurer([device])
    yield device, measurer
    device.gate.release(100)
    measurer.close()


def test_a_board_of_its_own_measures_while_the_search_goes_on(gated):
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
    assert [(item.architecture_id, item.measurement.latency_ms) for item in collected] == [("aa", 2.0)]
    assert measurer.waiting == 1
    device.gate.release()
    assert [item.architecture_id for item in measurer.drain()] == ["bbb"]
    assert measurer.waiting == 0
    assert device.threads == {"measurer"}
    assert threading.current_thread().name not in device.threads


def test_draining_a_board_of_its_own_waits_for_what_is_being_measured(gated):
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
    assert [item.architecture_id for item in drained] == ["a"]


def test_closing_gives_up_the_queue_and_waits_for_what_is_being_measured(gated):
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


def test_closing_an_idle_measurer_ends_its_thread():
    measurer = Measurer([ReplayDevice(lambda model: 1.0)])
    assert "measurer" in {thread.name for thread in threading.enumerate()}
    measurer.close()
    assert "measurer" not in {thread.name for thread in threading.enumerate()}


def test_an_error_of_ours_beside_the_search_comes_up_instead_of_a_hang():
    def broken():
        raise RuntimeError("no such weight")

    measurer = Measurer([ReplayDevice(lambda model: 1.0)])
    errors = []

    def drain():
        try:
            list(measurer.drain())
        except RuntimeError as error:
            errors.append(str(error))

    measurer.request(Request("a", broken))
    waiter = threading.Thread(target=drain, daemon=True)
    waiter.start()
    waiter.join(PATIENCE)
    assert errors == ["no such weight"]
    measurer.close()
