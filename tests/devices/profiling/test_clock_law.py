import numpy as np
import pytest

from devices.profiling.clock_law import ClockLaw, fitted_share, pooled_share, shares_of


def test_the_law_by_hand() -> None:
    law = ClockLaw(share=0.76, top_mhz=1500)
    assert law.factor(1500) == pytest.approx(1)
    assert law.factor(750) == pytest.approx(1.76)
    assert ClockLaw(share=1.0, top_mhz=1500).factor(600) == pytest.approx(2.5)
    assert ClockLaw(share=0.0, top_mhz=1500).factor(600) == pytest.approx(1)


def test_a_law_told_from_another_clock_is_the_same() -> None:
    law = ClockLaw(share=0.76, top_mhz=1500)
    other = law.at_top(1000)
    for mhz in (600, 800, 1000):
        assert law.factor(1000) * other.factor(mhz) == pytest.approx(law.factor(mhz))


def test_coefficients_of_networks_are_those_they_were_made_with() -> None:
    shares = np.array([0.5, 0.76, 1.0])
    top_ms = np.array([1.0, 7.0, 3.0])
    low_ms = top_ms * (shares * 1500 / 600 + 1 - shares)
    np.testing.assert_allclose(shares_of(top_ms, low_ms, top_mhz=1500, low_mhz=600), shares)


def test_the_fitted_coefficient_has_the_smallest_mean_relative_error() -> None:
    rng = np.random.default_rng(0)
    gain = 1.5
    for count in (1, 2, 3, 10, 11):
        shares = rng.uniform(0.4, 1.0, count)

        def error(share: float, shares: np.ndarray[tuple[int], np.dtype[np.float64]] = shares) -> float:
            return float(np.abs((1 + gain * share) / (1 + gain * shares) - 1).mean())

        best = min(error(share) for share in np.linspace(0.3, 1.1, 2001))
        assert error(fitted_share(shares, gain=gain)) <= best + 1e-3


def test_one_disturbed_network_has_no_hold() -> None:
    assert fitted_share(np.array([0.7, 0.71, 0.72, 0.73, 9.0]), gain=1.5) == pytest.approx(0.71, abs=0.02)


def test_a_board_that_is_quicker_at_a_lower_clock_is_taken_not_to_follow_it() -> None:
    assert fitted_share(np.array([-0.2, -0.1, -0.3]), gain=1.0) == 0


def test_few_networks_are_drawn_towards_the_base_the_more_the_more_they_differ() -> None:
    assert pooled_share(0.6, 3, towards=0.8, spread=0.0) == pytest.approx(0.6)
    near, far = (pooled_share(0.6, 3, towards=0.8, spread=spread) for spread in (0.02, 0.5))
    assert 0.6 < near < 0.61
    assert 0.7 < far < 0.8


@pytest.mark.parametrize("share", [-0.1, float("nan"), float("inf")])
def test_coefficients_out_of_range(share: float) -> None:
    with pytest.raises(ValueError, match="`share >= 0` must hold"):
        ClockLaw(share=share, top_mhz=1500)


def test_networks_must_be_measured_at_two_clocks_in_order() -> None:
    one = np.ones(1)
    with pytest.raises(ValueError, match="1 at 1500 MHz and 0 at 600 MHz"):
        shares_of(one, one[:0], top_mhz=1500, low_mhz=600)
    with pytest.raises(ValueError, match="must be below the top one, but got 1500 and 1500 MHz"):
        shares_of(one, one, top_mhz=1500, low_mhz=1500)
