"""Runs that a meter reads along, on a fake agent: which energies count, which are measured anew, which are modelled."""

import re

import pytest

from devices.agent.device import LONGEST_SECONDS, METERED_ATTEMPTS, METERED_RUNS
from devices.configuration import BASE, RuntimeConfiguration
from devices.energy.meter import MeteredEnergy, TooFewSamplesError
from devices.energy.power_model import HOST_POWER_MODEL
from devices.errors import MeasurementError
from tests.devices.agent.test_device import FakeLink, FakeMeter, device_over, metered, told


@pytest.fixture(autouse=True)
def no_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("devices.agent.device.SETTLE_SECONDS", 0.0)


def test_a_meter_reads_along_from_after_cooling_and_runs_are_longer() -> None:
    link = FakeLink()
    with device_over(link, cooldown_seconds=0.0, metered_seconds=2.0) as device:
        device.attach_meter(FakeMeter(link))
        measurement = device.measure(b"")
    assert (measurement.energy_mj, measurement.energy_source, measurement.meter) == (3.5, "measured", "fake")
    expected = ["start", "describe", "idle", "put", "measure", (7.0, 10.0, 1500, 3.0), "remove"]
    assert told(link) == [*expected, "end", "close meter", "close"]
    (measure,) = link.requests("measure")
    assert (measure["min_seconds"], measure["max_runs"], measure["timeout_seconds"]) == (3.0, METERED_RUNS, 63.0)


SHORT = TooFewSamplesError("a metered run needs 20 samples, but fake gave 3.")


@pytest.mark.parametrize(
    ("energies", "seconds", "energy_mj"),
    [
        ([metered(10.0, 2.0)], [3], 10.0),
        ([metered(10.0, 4.0), metered(11.0, 1.0)], [3, 12], 11.0),
        ([metered(10.0, 2.1), metered(11.0, 1.0)], [3, 6], 11.0),
        ([metered(-1.0, 0.1), metered(11.0, 1.0)], [3, 24], 11.0),
        ([metered(4e-14, 7.0), metered(9.0, 3.0), metered(11.0, 1.0)], [3, 24, 60], 11.0),
        ([SHORT, metered(11.0, 1.0)], [3, 24], 11.0),
    ],
)
def test_an_energy_in_doubt_is_measured_again_for_longer(
    energies: list[MeteredEnergy | Exception], seconds: list[float], energy_mj: float
) -> None:
    link = FakeLink()
    with device_over(link) as device:
        device.attach_meter(meter := FakeMeter(link))
        meter.energies = energies
        measurement = device.measure(b"")
    assert [request["min_seconds"] for request in link.requests("measure")] == pytest.approx(seconds)
    assert (measurement.energy_mj, measurement.energy_source, measurement.energy_note) == (energy_mj, "measured", None)


@pytest.mark.parametrize(
    ("energy", "reason"),
    [
        (metered(10.0, 4.0), r"the 95 % interval of fake was 40 % of the energy either way, where 20 % are allowed"),
        (metered(-1.0, 0.1), r"fake gave -1 mJ above idle, with a 95 % interval of 0.1 mJ either way, where it must"),
        (metered(0.0, 0.0), r"fake gave 0 mJ above idle"),
        (metered(4e-14, 7.0), r"95 % interval of fake was \d+ % of the energy either way"),
        (SHORT, r"needs 20 samples, but fake gave 3"),
    ],
)
def test_an_energy_that_stays_in_doubt_is_modelled_and_the_reason_told(
    energy: MeteredEnergy | Exception, reason: str, caplog: pytest.LogCaptureFixture
) -> None:
    link = FakeLink()
    with device_over(link) as device:
        device.attach_meter(meter := FakeMeter(link))
        meter.energies = [energy]
        measurement, again = device.measure(b""), device.measure(b"")
    assert len(link.requests("measure")) == 2 * METERED_ATTEMPTS
    assert max(request["min_seconds"] for request in link.requests("measure")) <= LONGEST_SECONDS
    assert measurement.energy_mj == again.energy_mj == HOST_POWER_MODEL.energy_mj(2.0, BASE)
    assert (measurement.energy_source, measurement.energy_interval_mj, measurement.meter) == ("modelled", None, None)
    assert measurement.energy_note is not None
    assert re.search(reason, measurement.energy_note)
    (record,) = caplog.records
    assert re.search(f"on fake .fake. is modelled, not measured: .*{reason}", record.getMessage())


def test_what_other_networks_took_stands_in_for_an_energy_in_doubt() -> None:
    link = FakeLink()
    with device_over(link) as device:
        device.attach_meter(meter := FakeMeter(link))
        meter.energies = [metered(8.0, 0.1), metered(12.0, 0.1), metered(9.0, 0.1), metered(11.0, 0.1), metered(10, 9)]
        sources = [device.measure(b"").energy_source for _ in range(4)]
        doubtful = device.measure(b"")
        assert (sources, doubtful.energy_source) == (["measured"] * 4, "modelled")
        assert doubtful.energy_mj == pytest.approx(10.0, rel=0.05)
        assert doubtful.idle_w == 3.0


UNPLUGGED = MeasurementError("the meter could not samples: the um25c must stay connected.")


def test_a_meter_that_is_unplugged_for_a_moment_is_opened_anew() -> None:
    link = FakeLink()
    with device_over(link) as device:
        device.attach_meter(meter := FakeMeter(link))
        meter.energies = [UNPLUGGED, metered(11.0, 1.0)]
        measurement = device.measure(b"")
    assert (measurement.energy_mj, measurement.energy_source) == (11.0, "measured")
    assert [request["min_seconds"] for request in link.requests("measure")] == [3.0, 3.0]


def test_a_meter_that_stays_unplugged_ends_no_profile(caplog: pytest.LogCaptureFixture) -> None:
    class GoneMeter(FakeMeter):
        gone = False

        @property
        def seconds_needed(self) -> float:
            if self.gone:
                raise UNPLUGGED
            return 3.0

        @seconds_needed.setter
        def seconds_needed(self, value: float) -> None:
            pass

    link = FakeLink()
    with device_over(link) as device:
        device.attach_meter(meter := GoneMeter(link))
        meter.energies = [UNPLUGGED]
        first = device.measure(b"")
        meter.gone = True
        second = device.measure(b"")
        meter.gone, meter.energies = False, [metered(11.0, 1.0)]
        third = device.measure(b"")
    assert [item.energy_source for item in (first, second, third)] == ["modelled", "modelled", "measured"]
    assert first.energy_note == second.energy_note == str(UNPLUGGED)
    assert [request["min_seconds"] >= 3 for request in link.requests("measure")] == [True, True, False, True]
    assert sum("must stay connected" in record.getMessage() for record in caplog.records) == 1


def test_a_meter_that_needs_longer_than_the_longest_run_gets_it_once() -> None:
    link = FakeLink()
    with device_over(link) as device:
        device.attach_meter(meter := FakeMeter(link))
        meter.seconds_needed = 90.0
        meter.energies = [metered(10.0, 4.0)]
        assert device.measure(b"").energy_source == "modelled"
    assert [request["min_seconds"] for request in link.requests("measure")] == [90.0]


def test_idle_power_is_measured_once_at_the_lowest_clock_for_all_configurations() -> None:
    link = FakeLink(frequencies_mhz=[600, 1000, 1500])
    with device_over(link, cooldown_seconds=0.0) as device:
        device.attach_meter(FakeMeter(link))
        for mhz in (1500, 600, None):
            device.measure(b"", RuntimeConfiguration(frequency_mhz=mhz))
    clocks = [request["frequency_mhz"] for request in link.requests("set_frequency")]
    assert clocks == [600, 1500, 600, None]
    assert link.events.count("idle") == 1
    assert told(link).index("set_frequency") < link.events.index("idle") < told(link).index("measure")
    assert [event[3] for event in link.events if isinstance(event, tuple)] == [3.0] * 3


def test_where_no_clock_can_be_set_idle_power_is_the_governors() -> None:
    link = FakeLink(declined=["set_frequency"], frequencies_mhz=[600, 1500])
    with device_over(link) as device:
        device.attach_meter(FakeMeter(link))
        assert device.measure(b"").energy_source == "measured"


def test_idle_power_outlives_the_agent_and_the_process() -> None:
    idle_w = []
    for measured_w in (3.0, 3.05, 4.0):
        link = FakeLink()
        with device_over(link) as device:
            device.attach_meter(meter := FakeMeter(link))
            meter.idle_w = measured_w
            device.measure(b"")
            device._drop_channel()
            device.measure(b"")
        assert (link.events.count("start"), link.events.count("idle")) == (2, 1)
        idle_w += [event[3] for event in link.events if isinstance(event, tuple)]
    assert idle_w == [3.0, 3.0, 3.0, 3.0, 4.0, 4.0]


def test_a_board_rests_before_its_idle_power_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("devices.agent.device.SETTLE_SECONDS", 6.0)
    link = FakeLink()
    with device_over(link) as device:
        monkeypatch.setattr(device._closed, "wait", lambda seconds: link.events.append(f"rest for {seconds:g} s"))
        device.attach_meter(FakeMeter(link))
        device.measure(b"")
    assert link.events.index("rest for 6 s") == link.events.index("idle") - 1
