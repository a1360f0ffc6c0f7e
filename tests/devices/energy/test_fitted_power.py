from collections.abc import Callable, Iterable
from dataclasses import replace

import numpy as np
import pytest

from devices.configuration import RuntimeConfiguration, configurations_of
from devices.energy.fitted_power import corners_of, fitted_power_model, fitted_where_metered
from devices.energy.power_model import HOST_POWER_MODEL, RASPBERRY_PI_4, RASPBERRY_PI_5, PowerModel
from devices.measurement import Conditions, Measurement
from devices.replay import ReplayDevice

TRUE = PowerModel(
    idle_w=2.9,
    shared_w=0.61,
    thread_w=0.71,
    top_mhz=1500,
    volts=((600, 0.80), (1500, 0.90)),
    description="the board of the test",
)
ALL = configurations_of((1, 2, 4), (600, 1000, 1500), ("fp32", "int8"))


def metered(
    configurations: Iterable[RuntimeConfiguration],
    *,
    power: PowerModel = TRUE,
    networks: int = 3,
    volts: bool = True,
    noise: Callable[[], float] = lambda: 1.0,
) -> list[Measurement]:
    """Networks on a replay board, as a meter on such a board gives them."""
    device = ReplayDevice(lambda model: float(len(model)), cores=4, power_model=power)
    found = []
    for configuration in configurations:
        for size in range(1, networks + 1):
            measurement = device.measure(bytes(size), configuration)
            mhz = configuration.frequency_mhz
            told = power.volts_at(mhz) if volts and mhz is not None and power.volts else None
            found.append(
                replace(
                    measurement,
                    energy_mj=measurement.energy_mj * noise(),
                    energy_source="measured",
                    meter="ina219",
                    after=Conditions(clock_mhz=mhz, volts=told),
                )
            )
    return found


def test_the_corners_are_lowest_and_top_clock_with_fewest_and_most_threads() -> None:
    assert corners_of(ALL) == configurations_of((1, 4), (600, 1500))
    assert corners_of(configurations_of((1, 4))) == configurations_of((1, 4))
    assert corners_of(configurations_of((2,), (None, 600, 1000))) == configurations_of((2,), (None, 600))
    assert corners_of(reversed(ALL))[0] == min(ALL)


@pytest.mark.parametrize("prior", [RASPBERRY_PI_4, RASPBERRY_PI_5], ids=["own", "of another board"])
def test_a_replay_board_gives_back_its_watts(prior: PowerModel) -> None:
    fitted = fitted_power_model(metered(corners_of(ALL)), prior)
    for configuration in corners_of(ALL):
        assert fitted.net_w(configuration) == pytest.approx(TRUE.net_w(configuration), rel=0.01)
    assert fitted.idle_w == TRUE.idle_w
    assert fitted.relative_error == pytest.approx(0, abs=1e-9)
    assert fitted.description == "fitted to 12 networks metered on replay (no board) by ina219"


def test_a_replay_board_gives_back_its_coefficients_and_watts_in_between() -> None:
    """The voltage of the test's board rises evenly, as that of its prior does: no clock in between was metered."""
    prior = replace(RASPBERRY_PI_4, volts=((600, 0.9), (1500, 1.0)))
    fitted = fitted_power_model(metered(corners_of(ALL)), prior)
    assert (fitted.shared_w, fitted.thread_w) == (pytest.approx(0.61, rel=0.01), pytest.approx(0.71, rel=0.01))
    for configuration in ALL:
        assert fitted.net_w(configuration) == pytest.approx(TRUE.net_w(configuration), rel=0.01)


def test_voltages_that_the_board_does_not_tell_are_the_priors() -> None:
    prior = replace(TRUE, shared_w=0.2, thread_w=1.5, idle_w=1.0)
    fitted = fitted_power_model(metered(corners_of(ALL), volts=False), prior)
    assert (fitted.shared_w, fitted.thread_w) == (pytest.approx(0.61), pytest.approx(0.71))
    assert fitted.volts == TRUE.volts


def test_noise_of_the_meter_is_stated_as_error_and_averaged_out() -> None:
    rng = np.random.default_rng(0)
    noisy = metered(corners_of(ALL), networks=10, noise=lambda: float(rng.normal(1, 0.05)))
    fitted = fitted_power_model(noisy, RASPBERRY_PI_4)
    assert fitted.relative_error == pytest.approx(0.05, rel=0.3)
    for configuration in corners_of(ALL):
        assert fitted.net_w(configuration) == pytest.approx(TRUE.net_w(configuration), rel=0.03)


def test_one_number_of_threads_keeps_the_split_of_the_prior() -> None:
    fitted = fitted_power_model(metered(configurations_of((2,), (600, 1500))), RASPBERRY_PI_4)
    assert fitted.shared_w / fitted.thread_w == pytest.approx(RASPBERRY_PI_4.shared_w / RASPBERRY_PI_4.thread_w)
    two = RuntimeConfiguration(threads=2, frequency_mhz=1500)
    assert fitted.net_w(two) == pytest.approx(TRUE.net_w(two))


def test_a_board_whose_clock_is_never_set_is_fitted_by_threads_alone() -> None:
    host = replace(HOST_POWER_MODEL, shared_w=3.0, thread_w=7.0)
    fitted = fitted_power_model(metered(configurations_of((1, 2)), power=host), HOST_POWER_MODEL)
    assert (fitted.shared_w, fitted.thread_w, fitted.top_mhz) == (pytest.approx(3.0), pytest.approx(7.0), None)


def test_a_prior_without_a_clock_takes_the_top_one_of_the_networks() -> None:
    fitted = fitted_power_model(metered(corners_of(ALL)), HOST_POWER_MODEL)
    assert fitted.top_mhz == 1500
    for configuration in ALL:
        assert fitted.net_w(configuration) == pytest.approx(TRUE.net_w(configuration), rel=0.01)


def test_no_coefficient_falls_below_zero() -> None:
    steep = [
        replace(measurement, energy_mj=measurement.energy_mj * measurement.threads)
        for measurement in metered(configurations_of((1, 4), (1500,)))
    ]
    fitted = fitted_power_model(steep, RASPBERRY_PI_4)
    assert fitted.shared_w == 0.0
    assert fitted.thread_w > 0
    assert fitted.relative_error > 0.1


def test_what_cannot_be_fitted_is_refused_and_leaves_the_prior() -> None:
    measured = metered(corners_of(ALL), networks=1)
    modelled = [replace(measurement, energy_source="modelled") for measurement in measured]
    with pytest.raises(ValueError, match="needs 4 measured energies, but got 0"):
        fitted_power_model(modelled, RASPBERRY_PI_4)
    shrinking = [
        replace(measurement, energy_mj=measurement.energy_mj / measurement.threads**3) for measurement in measured
    ]
    with pytest.raises(ValueError, match="must grow with the number of threads"):
        fitted_power_model(shrinking, RASPBERRY_PI_4)
    assert fitted_where_metered(modelled, RASPBERRY_PI_4) is RASPBERRY_PI_4
    assert fitted_where_metered(measured, RASPBERRY_PI_4) == fitted_power_model(measured, RASPBERRY_PI_4)
