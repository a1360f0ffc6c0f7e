from dataclasses import replace
from typing import Any

import pytest

from devices.configuration import BASE, RuntimeConfiguration
from devices.energy.power_model import (
    HOST_POWER_MODEL,
    RASPBERRY_PI_3B_PLUS,
    RASPBERRY_PI_4,
    RASPBERRY_PI_5,
    PowerModel,
    power_model_of,
)

MODEL = PowerModel(idle_w=3.0, shared_w=0.5, thread_w=2.5, description="a test")
CLOCKED = replace(MODEL, top_mhz=2000, volts=((1000, 0.75), (2000, 1.0)))


def test_energy_is_power_times_time_for_the_load_and_each_thread() -> None:
    assert MODEL.energy_mj(4.0, RuntimeConfiguration(threads=3)) == (0.5 + 2.5 * 3) * 4.0


def test_idle_power_is_no_part_of_the_energy() -> None:
    quiet, loud = (replace(MODEL, idle_w=idle_w) for idle_w in (0.0, 50.0))
    assert quiet.energy_mj(7.0, BASE) == loud.energy_mj(7.0, BASE)


def test_power_goes_with_the_clock_and_the_square_of_the_voltage() -> None:
    slow = RuntimeConfiguration(threads=2, frequency_mhz=1000)
    assert CLOCKED.net_w(slow) == pytest.approx(5.5 * 0.5 * 0.75**2)
    assert CLOCKED.net_w(slow, volts=0.9) == pytest.approx(5.5 * 0.5 * 0.9**2)
    assert CLOCKED.net_w(RuntimeConfiguration(threads=2)) == 5.5
    assert MODEL.net_w(slow) == 5.5


def test_voltages_are_interpolated_and_end_at_the_known_ones() -> None:
    assert [CLOCKED.volts_at(mhz) for mhz in (500, 1000, 1400, 3000)] == pytest.approx([0.75, 0.75, 0.85, 1.0])


@pytest.mark.parametrize(
    ("model", "power_model"),
    [
        ("Raspberry Pi 3 Model B Plus Rev 1.3", RASPBERRY_PI_3B_PLUS),
        ("Raspberry Pi 4 Model B Rev 1.4", RASPBERRY_PI_4),
        ("Raspberry Pi Compute Module 4 Rev 1.0", RASPBERRY_PI_4),
        ("Raspberry Pi 5 Model B Rev 1.0", RASPBERRY_PI_5),
        ("Orange Pi", RASPBERRY_PI_4),
    ],
)
def test_a_board_is_known_by_its_name(model: str, power_model: PowerModel) -> None:
    assert power_model_of(model) is power_model


def test_this_machine_is_no_raspberry_pi_unless_it_says_so() -> None:
    assert power_model_of("AMD EPYC", shares_host=True) is HOST_POWER_MODEL
    assert power_model_of("Raspberry Pi 5 Model B Rev 1.0", shares_host=True) is RASPBERRY_PI_5


def test_the_host_model_says_that_it_is_nominal() -> None:
    assert "nominal" in HOST_POWER_MODEL.description


@pytest.mark.parametrize(
    ("changes", "rule"),
    [
        ({"idle_w": -1}, "idle_w >= 0"),
        ({"shared_w": -1}, "shared_w >= 0"),
        ({"thread_w": 0}, "thread_w > 0"),
        ({"volts": ((1500, 0.8), (1000, 0.7))}, "must ascend, but got \\[1500, 1000\\]"),
    ],
)
def test_impossible_powers_are_refused(changes: dict[str, Any], rule: str) -> None:
    with pytest.raises(ValueError, match=rule):
        replace(MODEL, **changes)
