import math
from itertools import product
from typing import Any

import numpy as np
import pytest
import torch
from scipy.linalg import cho_factor, cho_solve
from scipy.stats import spearmanr
from torch import Tensor

from dnas.surrogate import Hyperparameters, ScoreScale, Surrogate, fit_surrogate, informative

LAYERS, OPERATORS = 3, 4
ALL = np.array(list(product(range(OPERATORS), repeat=LAYERS)))


def random_hyperparameters(seed: int = 0, log_noise: float = -1.0) -> Hyperparameters:
    rng = np.random.default_rng(seed)

    def normal(*shape: int) -> Tensor:
        return torch.from_numpy(np.asarray(rng.normal(0, 0.7, shape)))

    return Hyperparameters.of(
        (normal(OPERATORS, 2), normal(LAYERS), normal(), normal(), torch.tensor(log_noise).double(), normal())
    )


def random_data(
    count: int, seed: int = 0, layers: int = LAYERS, operators: int = OPERATORS
) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return rng.integers(operators, size=(count, layers)), rng.uniform(0.05, 0.6, count)


def surrogate_of(count: int = 9, **settings: Any) -> Surrogate:
    indices, error = random_data(count)
    return Surrogate(random_hyperparameters(**settings), ScoreScale.of(error), indices, error)


def interacting_error(indices: np.ndarray) -> np.ndarray:
    """Good where the first two layers agree, and where the third is one of two like operators."""
    return np.asarray(0.1 + 0.3 * (indices[:, 0] != indices[:, 1]) + 0.1 * (indices[:, 2] >= 2))


def kernel_by_hand(parameters: Hyperparameters, x: np.ndarray, y: np.ndarray) -> float:
    z = parameters.embedding_OE.numpy()
    relevance = np.exp(parameters.log_relevance_L.numpy())
    similar = [np.exp(-w * ((z[a] - z[b]) ** 2).sum()) for w, a, b in zip(relevance, x, y, strict=True)]
    product_part = math.exp(2 * float(parameters.log_product)) * np.prod(similar)
    return float(product_part + math.exp(2 * float(parameters.log_additive)) * np.mean(similar))


def posterior_by_hand(
    parameters: Hyperparameters, indices: np.ndarray, score: np.ndarray, new: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    def covariance(left: np.ndarray, right: np.ndarray) -> np.ndarray:
        return np.array([[kernel_by_hand(parameters, x, y) for y in right] for x in left])

    noise = math.exp(2 * float(parameters.log_noise)) + 1e-5
    factor = cho_factor(covariance(indices, indices) + noise * np.eye(len(indices)))
    mean = float(parameters.mean)
    cross = covariance(new, indices)
    return (
        mean + cross @ cho_solve(factor, score - mean),
        covariance(new, new) - cross @ cho_solve(factor, cross.T),
    )


@pytest.mark.parametrize("seed", range(3))
def test_the_posterior_is_that_of_a_second_implementation(seed: int) -> None:
    parameters = random_hyperparameters(seed)
    indices, error = random_data(11, seed)
    scale = ScoreScale.of(error)
    mean, covariance = Surrogate(parameters, scale, indices, error).scores(ALL[::5])
    by_hand = posterior_by_hand(parameters, indices, scale.scores(error), ALL[::5])
    np.testing.assert_allclose(mean.numpy(), by_hand[0])
    np.testing.assert_allclose(covariance.numpy(), by_hand[1], atol=1e-12)


@pytest.mark.parametrize("seed", range(3))
def test_the_expected_score_is_that_of_enumeration(seed: int) -> None:
    surrogate = surrogate_of(seed=seed)
    theta = torch.from_numpy(np.random.default_rng(seed).normal(0, 2, (5, LAYERS, OPERATORS)))
    probs = torch.softmax(theta, -1)
    mean, _ = surrogate.scores(ALL)
    weights = torch.stack([probs[:, layer, ALL[:, layer]] for layer in range(LAYERS)]).prod(0)
    torch.testing.assert_close(weights.sum(-1), torch.ones(5).double())
    torch.testing.assert_close(surrogate.expected_score(probs), weights @ mean)
    torch.testing.assert_close(surrogate.expected_score(probs[0]), weights[0] @ mean)


def test_the_gradient_of_the_expected_score_is_right() -> None:
    surrogate = surrogate_of()
    theta = torch.randn(2, LAYERS, OPERATORS, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda theta: surrogate.expected_score(torch.softmax(theta, -1)), (theta,))


def test_single_precision_gives_the_same_expectation() -> None:
    surrogate = surrogate_of()
    probs = torch.softmax(torch.randn(20, LAYERS, OPERATORS), -1)
    expected = surrogate.expected_score(probs)
    assert expected.dtype == torch.float32
    torch.testing.assert_close(expected.double(), surrogate.expected_score(probs.double()), rtol=1e-4, atol=1e-4)


def test_a_certain_architecture_has_its_own_score() -> None:
    surrogate = surrogate_of()
    certain = torch.nn.functional.one_hot(torch.from_numpy(ALL), OPERATORS).double()
    torch.testing.assert_close(surrogate.expected_score(certain), surrogate.scores(ALL)[0])


def test_predictions_are_moments_of_the_errors_that_samples_have() -> None:
    surrogate = surrogate_of()
    some = ALL[::9]
    samples = surrogate.sample_errors(some, 20_000, np.random.default_rng(0))
    mean, std = surrogate.predict(some)
    assert samples.shape == (20_000, len(some))
    np.testing.assert_allclose(samples.mean(0), mean, atol=0.01)
    np.testing.assert_allclose(samples.std(0), std, atol=0.01)
    scores = torch.from_numpy(samples)
    assert ((scores >= 0) & (scores <= 1)).all()


def test_samples_are_joint_and_follow_the_rng() -> None:
    """Far from the data, architectures that differ little have errors that go together."""
    surrogate = surrogate_of(2)
    twice = surrogate.sample_errors(np.array([[3, 3, 3], [3, 3, 3]]), 50, np.random.default_rng(1))
    np.testing.assert_allclose(twice[:, 0], twice[:, 1], atol=0.02)
    again = surrogate.sample_errors(np.array([[3, 3, 3], [3, 3, 3]]), 50, np.random.default_rng(1))
    assert np.array_equal(twice, again)


def test_without_noise_it_passes_through_the_data_and_is_certain_there() -> None:
    surrogate = surrogate_of(9, log_noise=-10.0)
    indices, error = random_data(9)
    mean, std = surrogate.predict(indices)
    np.testing.assert_allclose(mean, error, atol=1e-3)
    assert std.max() < 0.01


@pytest.mark.parametrize("errors", [[0.0, 0.1, 0.1, 1.0], [0.06, 0.08, 0.3, 0.9], [0.5, 0.5], [0.2, 0.2, 0.2, 0.4]])
def test_the_score_is_monotone_and_goes_back_to_the_error(errors: list[float]) -> None:
    error = np.array(errors)
    scale = ScoreScale.of(error)
    score = scale.scores(error)
    np.testing.assert_allclose(scale.errors(torch.from_numpy(score)).numpy(), error, atol=1e-12)
    assert (np.diff(score) >= 0).all()
    assert score.mean() == pytest.approx(0)
    if len(set(error)) > 1:
        assert score.std() == pytest.approx(1)
    extreme = scale.errors(torch.tensor([-1e3, 1e3]).double())
    assert 0 <= extreme[0] <= error.min()
    assert error.max() <= extreme[1] <= 1


def test_a_fit_learns_interactions_from_a_part_of_the_space() -> None:
    rng = np.random.default_rng(0)
    places = rng.permutation(len(ALL))
    seen, others = places[:40], places[40:]
    surrogate = fit_surrogate(ALL[seen], interacting_error(ALL[seen]), num_operators=OPERATORS)
    mean, std = surrogate.predict(ALL[others])
    truth = interacting_error(ALL[others])
    assert spearmanr(mean, truth).statistic > 0.85
    additive = np.eye(OPERATORS)[ALL].reshape(len(ALL), -1)
    solution, *_ = np.linalg.lstsq(additive[seen], interacting_error(ALL[seen]), rcond=None)
    additive_error = np.abs(additive[others] @ solution - truth).mean()
    assert np.abs(mean - truth).mean() < 0.5 * additive_error
    assert (std > 0).all()


def test_a_fit_raises_the_posterior_of_its_hyperparameters_and_is_the_same_each_time() -> None:
    indices, _ = random_data(30)
    error = interacting_error(indices)
    short, long, again = (
        fit_surrogate(indices, error, num_operators=OPERATORS, iterations=count).hyperparameters
        for count in (1, 60, 60)
    )
    assert all(torch.equal(one, other) for one, other in zip(long.tensors(), again.tensors(), strict=True))
    assert log_posterior(long, indices, error) > log_posterior(short, indices, error)
    warm = fit_surrogate(indices, error, num_operators=OPERATORS, start=long, iterations=1).hyperparameters
    assert log_posterior(warm, indices, error) >= log_posterior(long, indices, error) - 1e-6


def test_a_fit_ends_where_the_posterior_is_level() -> None:
    """By finite differences of the second implementation, in a few of the numbers."""
    indices, _ = random_data(15)
    error = interacting_error(indices) + np.random.default_rng(0).normal(0, 0.02, 15)
    found = fit_surrogate(indices, error, num_operators=OPERATORS, iterations=500).hyperparameters
    flat = np.concatenate([tensor.flatten().numpy() for tensor in found.tensors()])
    level = log_posterior(found, indices, error)
    for place in (0, 6, OPERATORS**2, len(flat) - 4, len(flat) - 3, len(flat) - 2, len(flat) - 1):
        for step in (-0.05, 0.05):
            moved = flat.copy()
            moved[place] += step
            assert log_posterior(found.replaced_by(moved), indices, error) < level
            moved[place] = flat[place] + 1e-4 * step
            assert abs(log_posterior(found.replaced_by(moved), indices, error) - level) < 1e-6


def log_posterior(parameters: Hyperparameters, indices: np.ndarray, error: np.ndarray) -> float:
    """The likelihood by SciPy, and the normal priors."""
    from scipy.stats import multivariate_normal

    covariance = np.array([[kernel_by_hand(parameters, x, y) for y in indices] for x in indices])
    covariance += (math.exp(2 * float(parameters.log_noise)) + 1e-5) * np.eye(len(indices))
    score = ScoreScale.of(error).scores(error)
    value = multivariate_normal.logpdf(score, np.full(len(score), float(parameters.mean)), covariance)
    centre = Hyperparameters.prior(indices.shape[1], OPERATORS)
    for found, prior, deviation in zip(parameters.tensors(), centre.tensors(), (0.4, 1, 1, 1, 1, 1), strict=True):
        value -= 0.5 * float(((found - prior) / deviation).square().sum())
    return float(value)


def test_more_architectures_than_hyperparameters_are_fitted_to_all_count() -> None:
    indices, _ = random_data(400, layers=5)
    error = np.random.default_rng(0).uniform(0.1, 0.2, 400)
    error[-1] = 0.9
    surrogate = fit_surrogate(indices, error, num_operators=OPERATORS, iterations=2)
    changed = fit_surrogate(indices[:-1], error[:-1], num_operators=OPERATORS, iterations=2)
    assert surrogate.predict(indices[-1:])[0] > changed.predict(indices[-1:])[0]


@pytest.mark.parametrize("number", [2, 7, 8, 9, 11, 100])
def test_predictions_rest_on_the_best_the_latest_and_some_of_all_others(number: int) -> None:
    error = np.random.default_rng(number).permutation(number) / number
    places = informative(error, most=8)
    assert len(places) == len(set(places.tolist())) == min(number, 8)
    assert (np.diff(places) > 0).all()
    assert set(np.argsort(error)[:2]) <= set(places)
    assert number - 1 in places
    if number == 100:
        others = sorted(set(places.tolist()) - set(np.argsort(error)[:2].tolist()))
        assert others[0] <= 2
        assert max(np.diff(others)) <= 36


def test_more_architectures_than_predictions_rest_on_do_not_make_it_larger(monkeypatch: pytest.MonkeyPatch) -> None:
    """Memory goes with the square of that number, time with its cube."""
    indices, error = random_data(60, layers=5)
    monkeypatch.setattr("dnas.surrogate.MOST_KNOWN", 60)
    whole = fit_surrogate(indices, error, num_operators=OPERATORS, iterations=2)
    monkeypatch.setattr("dnas.surrogate.MOST_KNOWN", 20)
    bounded = fit_surrogate(indices, error, num_operators=OPERATORS, iterations=2)
    assert [len(one._one_NLO) for one in (whole, bounded)] == [60, 20]
    assert bounded.scale == whole.scale
    for one, other in zip(bounded.hyperparameters.tensors(), whole.hyperparameters.tensors(), strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=0)


@pytest.mark.parametrize("error", [np.full(6, 0.3), np.array([0.1, 0.1, 0.1, 0.1, 0.1, 0.4])])
def test_errors_that_hardly_differ_can_be_fitted(error: np.ndarray) -> None:
    indices, _ = random_data(6)
    mean, std = fit_surrogate(indices, error, num_operators=OPERATORS).predict(ALL)
    assert np.isfinite(mean).all()
    assert np.isfinite(std).all()


@pytest.mark.parametrize(
    ("indices", "error", "rule"),
    [
        ([[0, 1]], [0.5], "at least two architectures and an error for each, but got 1 architectures and 1 errors"),
        ([[0, 1], [1, 1]], [0.5], "but got 2 architectures and 1 errors"),
        ([[0, 4], [1, 1]], [0.5, 0.4], r"indices in \[0, 3\], but got 0 to 4"),
        ([[0, -1], [1, 1]], [0.5, 0.4], r"indices in \[0, 3\], but got -1 to 1"),
        ([[0, 1], [1, 1]], [0.5, 1.4], r"errors must lie in \[0, 1\], but got 0.5 to 1.4"),
        ([[0, 1], [1, 1]], [0.5, math.nan], r"errors must lie in \[0, 1\], but got nan to nan"),
    ],
)
def test_data_that_make_no_sense_are_refused(indices: list[list[int]], error: list[float], rule: str) -> None:
    with pytest.raises(ValueError, match=rule):
        fit_surrogate(np.array(indices), np.array(error), num_operators=4)
