import pytest

from devices.errors import MeasurementError
from devices.measurement import model_key
from devices.replay import ReplayDevice, recorded


def test_latencies_are_computed_from_the_model() -> None:
    device = ReplayDevice(lambda model: float(len(model)))
    assert device.measure(b"four").latency_ms == 4.0
    assert device.measure(b"four") == device.measure(b"four")
    device.close()


def test_recorded_latencies_are_found_by_the_models_hash() -> None:
    device = ReplayDevice(recorded({model_key(b"one"): 1.0, model_key(b"two"): 2.0}))
    assert [device.measure(model).latency_ms for model in (b"two", b"one")] == [2.0, 1.0]


def test_an_unrecorded_model_fails_as_on_a_board() -> None:
    with pytest.raises(MeasurementError, match="no latency is recorded"):
        ReplayDevice(recorded({})).measure(b"three")


def test_replayed_numbers_are_never_called_measured() -> None:
    measurement = ReplayDevice(lambda model: 1.0).measure(b"")
    assert (measurement.latency_source, measurement.energy_source) == ("modelled", "modelled")
    assert "replay" in measurement.board


@pytest.mark.parametrize("shares_host", [True, False])
def test_it_shares_the_host_when_told_so(*, shares_host: bool) -> None:
    assert ReplayDevice(lambda model: 1.0, shares_host=shares_host).shares_host is shares_host
