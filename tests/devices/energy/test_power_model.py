import pytest

from devices.energy.power_model import HOST_POWER_MODEL, PowerModel


def test_energy_is_power_times_time_times_threads() -> None:
    model = PowerModel(idle_w=3.0, active_w_per_thread=2.5, description="a test")
    assert model.energy_mj(4.0, 3) == 2.5 * 4.0 * 3


def test_idle_power_is_no_part_of_the_energy() -> None:
    quiet, loud = (PowerModel(idle_w, 1.0, "a test") for idle_w in (0.0, 50.0))
    assert quiet.energy_mj(7.0, 1) == loud.energy_mj(7.0, 1)


def test_the_host_model_says_that_it_is_nominal() -> None:
    assert "nominal" in HOST_POWER_MODEL.description


@pytest.mark.parametrize(("idle_w", "active_w", "rule"), [(-1, 1, "idle_w >= 0"), (0, 0, "per_thread > 0")])
def test_impossible_powers_are_refused(idle_w: float, active_w: float, rule: str) -> None:
    with pytest.raises(ValueError, match=rule):
        PowerModel(idle_w, active_w, "a test")
