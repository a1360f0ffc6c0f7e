from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pytest

from devices.energy.mean_power import MeanPower, difference_w, mean_power, readings_in, t_quantile


def noise(rng: np.random.Generator, samples: int, correlation: float = 0.0) -> npt.NDArray[np.float64]:
    """An autoregressive series of order one with variance 1."""
    series = rng.standard_normal(samples)
    for index in range(1, samples):
        series[index] = correlation * series[index - 1] + np.sqrt(1 - correlation**2) * series[index]
    return series


def test_constant_power() -> None:
    power = mean_power(range(50), [5.0] * 50)
    assert (power.mean_w, power.standard_error_w) == pytest.approx((5.0, 0.0))
    assert (power.samples, power.degrees_of_freedom) == (50, 9)


def test_equal_samples_in_a_row_are_one_reading_unless_all_are_equal() -> None:
    assert readings_in([1.0, 1.0, 2.0, 2.0, 2.0, 1.0]) == 3
    assert readings_in([1.0, 1.0, 1.0]) == 3
    assert readings_in([1.0, 2.0, 3.0]) == 3


def test_repeating_each_reading_changes_no_interval() -> None:
    """Against the readings alone: the standard error stays, and so do its degrees of freedom."""
    powers_w = 5 + noise(np.random.default_rng(4), 60)
    once, often = mean_power(range(60), powers_w), mean_power(np.arange(600) / 10, np.repeat(powers_w, 10))
    assert (often.samples, often.degrees_of_freedom) == (once.samples, once.degrees_of_freedom) == (60, 11)
    assert often.standard_error_w == pytest.approx(once.standard_error_w, rel=0.1)
    assert often.mean_w == pytest.approx(once.mean_w, abs=0.02)


def test_a_ramp_at_uneven_times_is_integrated_exactly() -> None:
    times_s = np.sort(np.random.default_rng(0).uniform(0, 10, 60))
    expected_w = 3 + 2 * (times_s[0] + times_s[-1]) / 2
    assert mean_power(times_s, 3 + 2 * times_s).mean_w == pytest.approx(expected_w)


def test_standard_error_of_independent_samples() -> None:
    # In closed form: sigma / sqrt(n).
    rng = np.random.default_rng(1)
    found = [mean_power(range(400), 5 + 0.3 * noise(rng, 400)).standard_error_w ** 2 for _ in range(300)]
    assert np.sqrt(np.mean(found)) == pytest.approx(0.3 / np.sqrt(400), rel=0.05)


def test_standard_error_of_samples_that_are_alike() -> None:
    # In closed form: sigma / sqrt(n) * sqrt((1 + rho) / (1 - rho)) for long series.
    rng = np.random.default_rng(2)
    found = [mean_power(range(2000), noise(rng, 2000, 0.6)).standard_error_w ** 2 for _ in range(100)]
    assert np.sqrt(np.mean(found)) == pytest.approx(np.sqrt(4.0) / np.sqrt(2000), rel=0.1)


@pytest.mark.parametrize(("busy", "idle", "correlation"), [(50, 20, 0.0), (400, 60, 0.0), (500, 400, 0.5)])
def test_intervals_hold_the_truth_as_often_as_they_say(busy: int, idle: int, correlation: float) -> None:
    rng = np.random.default_rng(3)
    trials = 600
    held = 0
    for _ in range(trials):
        run = mean_power(range(busy), 5 + 0.4 * noise(rng, busy, correlation))
        rest = mean_power(range(idle), 2 + 0.1 * noise(rng, idle, correlation))
        net_w, interval_w = difference_w(run, rest)
        held += abs(net_w - 3) <= interval_w
    assert 0.92 <= held / trials <= 0.98


def test_difference_without_noise() -> None:
    assert difference_w(MeanPower(5.0, 0.0, 9, 50), MeanPower(2.0, 0.0, 3, 20)) == (3.0, 0.0)


@pytest.mark.parametrize(
    ("degrees", "quantile"), [(3, 3.18245), (4, 2.77645), (5, 2.57058), (10, 2.22814), (19, 2.09302), (1e6, 1.95997)]
)
def test_t_quantile_as_in_tables(degrees: float, quantile: float) -> None:
    assert t_quantile(degrees) == pytest.approx(quantile, rel=3e-3)


@pytest.mark.parametrize(
    ("times_s", "powers_w", "message"),
    [
        (range(7), [1.0] * 7, "at least 8 samples.*got 7 times and 7 powers"),
        (range(9), [1.0] * 8, "got 9 times and 8 powers"),
        ([0, 1, 2, 3, 3, 4, 5, 6], [1.0] * 8, "must ascend, but one step is 0.0 s"),
    ],
)
def test_samples_that_cannot_be(times_s: Sequence[float], powers_w: Sequence[float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        mean_power(times_s, powers_w)
