import math

import numpy as np
import numpy.typing as npt
import pytest
import torch

from dnas.relaxation import (
    TemperatureSchedule,
    entropy,
    gumbel_noise,
    gumbel_softmax,
    mode_and_samples,
    mode_indices,
    one_hot,
    random_theta,
    sample_indices,
)

DRAWS = 3000


def close(counts: npt.ArrayLike, probs: npt.NDArray[np.float64]) -> bool:
    """Whether frequencies lie within four and a half standard deviations of their probabilities."""
    frequencies = np.asarray(counts) / DRAWS
    return bool((np.abs(frequencies - probs) < 4.5 * np.sqrt(probs * (1 - probs) / DRAWS)).all())


def test_temperature_decays_by_the_same_factor() -> None:
    schedule = TemperatureSchedule(start=8.0, end=0.5)
    assert [schedule.at(progress) for progress in (0, 0.25, 0.5, 0.75, 1)] == pytest.approx([8, 4, 2, 1, 0.5])


@pytest.mark.parametrize(("start", "end"), [(1.0, 2.0), (1.0, 0.0), (1.0, -1.0), (math.nan, 1.0), (math.inf, 1.0)])
def test_temperatures_that_make_no_sense_are_refused(start: float, end: float) -> None:
    with pytest.raises(ValueError, match="`0 < end <= start` must hold for the temperature, but got .*start="):
        TemperatureSchedule(start, end)


@pytest.mark.parametrize("temperature", [1e-3, 0.5, 5.0, 1e3])
def test_rows_of_a_relaxed_sample_sum_to_one(temperature: float) -> None:
    rng = np.random.default_rng(0)
    relaxed_LO = gumbel_softmax(10 * torch.randn(50, 9), gumbel_noise(50, 9, rng), temperature)
    assert (relaxed_LO >= 0).all()
    torch.testing.assert_close(relaxed_LO.sum(-1), torch.ones(50))


def test_a_relaxed_sample_is_one_hot_when_cold_and_uniform_when_hot() -> None:
    theta_LO, noise_LO = torch.randn(50, 9), gumbel_noise(50, 9, np.random.default_rng(0))
    chosen = mode_indices(theta_LO + noise_LO)
    torch.testing.assert_close(gumbel_softmax(theta_LO, noise_LO, 1e-4), one_hot(chosen, 9))
    torch.testing.assert_close(gumbel_softmax(theta_LO, noise_LO, 1e6), torch.full((50, 9), 1 / 9), rtol=0, atol=1e-4)


def test_relaxed_samples_choose_operators_as_often_as_softmax_says() -> None:
    """The Gumbel-max trick."""
    theta_O = torch.tensor([0.0, 1.0, -1.0, 2.0])
    noise_LO = gumbel_noise(DRAWS, 4, np.random.default_rng(0))
    chosen = gumbel_softmax(theta_O.expand(DRAWS, 4), noise_LO, 0.7).argmax(-1)
    assert close(np.bincount(chosen, minlength=4), torch.softmax(theta_O.double(), -1).numpy())


def test_samples_are_as_frequent_as_softmax_says() -> None:
    theta_LO = torch.tensor([[0.0, 1.0, -1.0], [3.0, 3.0, -50.0]])
    rng = np.random.default_rng(0)
    samples = np.array([sample_indices(theta_LO, rng) for _ in range(DRAWS)])
    for layer, probs_O in enumerate(torch.softmax(theta_LO.double(), -1).numpy()):
        assert close(np.bincount(samples[:, layer], minlength=3), probs_O)


def test_layers_are_sampled_independently() -> None:
    rng = np.random.default_rng(0)
    samples = np.array([sample_indices(torch.zeros(2, 2), rng) for _ in range(DRAWS)])
    assert close(np.bincount(samples @ [2, 1], minlength=4), np.full(4, 0.25))


def test_mode_is_the_most_probable_operator() -> None:
    assert mode_indices(torch.tensor([[0.0, 2.0, 1.0], [3.0, -1.0, 2.0]])) == (1, 0)


def test_one_hot_by_hand() -> None:
    assert one_hot((2, 0), 3).tolist() == [[0, 0, 1], [1, 0, 0]]


def test_entropy_is_that_of_uniform_certain_and_mixed_rows() -> None:
    assert float(entropy(torch.zeros(4, 9))) == pytest.approx(math.log(9))
    assert float(entropy(1000 * one_hot((0, 3), 9))) == 0
    theta_LO = torch.log(torch.tensor([[0.25, 0.75], [0.5, 0.5]]))
    by_hand = (-0.25 * math.log(0.25) - 0.75 * math.log(0.75) + math.log(2)) / 2
    assert float(entropy(theta_LO)) == pytest.approx(by_hand)


def test_entropy_of_a_certain_row_has_a_finite_gradient() -> None:
    theta_LO = (1000 * one_hot((0, 3), 9)).requires_grad_()
    torch.autograd.backward(entropy(theta_LO))
    assert theta_LO.grad is not None
    assert theta_LO.grad.isfinite().all()


def test_initial_theta_has_the_scale_that_was_asked_for_and_follows_the_rng() -> None:
    thetas = [random_theta(200, 9, scale=0.3, rng=np.random.default_rng(1)) for _ in range(2)]
    assert torch.equal(*thetas)
    assert thetas[0].dtype == torch.float32
    assert float(thetas[0].std()) == pytest.approx(0.3, rel=0.1)
    assert not random_theta(3, 9, scale=0.0, rng=np.random.default_rng(1)).any()


def test_mode_and_samples_are_different_and_the_mode_comes_first() -> None:
    theta_LO = torch.tensor([[0.0, 1.0, 0.0], [0.0, 0.0, 1.0]])
    drawn = mode_and_samples(theta_LO, 5, np.random.default_rng(0))
    assert drawn[0] == (1, 2)
    assert len(drawn) == len(set(drawn)) == 6


def test_a_certain_theta_gives_its_mode_alone() -> None:
    theta_LO = torch.tensor([[100.0, 0.0], [0.0, 100.0]])
    assert mode_and_samples(theta_LO, 3, np.random.default_rng(0)) == [(0, 1)]
