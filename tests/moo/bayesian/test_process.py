from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from moo.bayesian import process as module
from moo.bayesian.inputs import ArchitectureInputs
from moo.bayesian.process import (
    BOUND,
    ERROR_OFFSET,
    GaussianProcess,
    Prediction,
    ProcessHyperparameters,
    fit_process,
    log_errors,
)
from tests.moo.bayesian.known import ALL, ERROR_LO, LAYERS, OPERATORS, described, errors_of

ORDER = np.random.default_rng(0).permutation(len(ALL))
SEEN, UNSEEN = ALL[ORDER[:40]], ALL[ORDER[40:]]


@pytest.fixture(scope="module")
def fitted() -> GaussianProcess:
    return fit_process(described(SEEN), errors_of(SEEN), operators=OPERATORS)


def test_what_was_seen_is_predicted_as_it_was_seen(fitted: GaussianProcess) -> None:
    """Errors without noise: predictions interpolate them."""
    np.testing.assert_allclose(fitted.predict(described(SEEN)).mean_M, log_errors(errors_of(SEEN)), atol=0.02)


def test_what_was_not_seen_is_predicted_well(fitted: GaussianProcess) -> None:
    prediction = fitted.predict(described(UNSEEN))
    true = log_errors(errors_of(UNSEEN))
    off = prediction.mean_M - true
    assert np.sqrt(np.mean(off**2)) < 0.25 * true.std()
    # As often within two standard deviations as should be.
    assert np.mean(np.abs(off) < 2 * prediction.deviation_M) > 0.85


def test_uncertainty_is_least_where_something_was_seen_and_rises_with_distance() -> None:
    prior = ProcessHyperparameters.prior(LAYERS, OPERATORS, 0)
    known = GaussianProcess(prior, described(ALL[[0, 80]]), np.array([0.3, 0.5]))
    steps = np.array([[0, 0, 0, 0], [1, 0, 0, 0], [1, 1, 0, 0]])
    variance = known.predict(described(steps)).variance_M
    assert variance[0] < variance[1] < variance[2]
    scale = known.predict(described(steps)).noise_variance / float(prior.noise_variance())
    assert variance[2] < float(prior.prior_variance()) * scale
    # It is less the more is seen.
    more = GaussianProcess(prior, described(ALL[[0, 80, 40]]), np.array([0.3, 0.5, 0.4]))
    ratio = more.predict(described(steps)).noise_variance / known.predict(described(steps)).noise_variance
    assert (more.predict(described(steps)).variance_M < ratio * variance).all()


@pytest.mark.parametrize("numbers", [0, 2])
def test_predictions_are_those_of_the_textbook(numbers: int) -> None:
    """Rasmussen and Williams, Eqs. 2.25 and 2.26, with the kernel written out."""
    rng = np.random.default_rng(1)
    seen = ArchitectureInputs(SEEN[:12], rng.standard_normal((12, numbers)))
    new = ArchitectureInputs(UNSEEN[:7], rng.standard_normal((7, numbers)))
    error_N = errors_of(SEEN[:12])
    first = ProcessHyperparameters.prior(LAYERS, OPERATORS, numbers)
    flat = np.concatenate([tensor.flatten().numpy() for tensor in first.tensors()])
    parameters = first.replaced_by(flat + 0.2 * rng.standard_normal(len(flat)))
    embedding, mean = parameters.embedding_OE.numpy(), float(parameters.mean)

    def kernel(left: ArchitectureInputs, right: ArchitectureInputs) -> Any:
        covariance = np.zeros((len(left), len(right)))
        for i in range(len(left)):
            for j in range(len(right)):
                apart = embedding[left.category_NL[i]] - embedding[right.category_NL[j]]
                by_layer = (apart**2).sum(1)
                by_number = (left.number_NF[i] - right.number_NF[j]) ** 2
                for k in range(len(parameters.log_scale_K)):
                    exponent = np.exp(parameters.log_relevance_KL[k].numpy()) @ by_layer
                    exponent += np.exp(parameters.log_relevance_KF[k].numpy()) @ by_number
                    covariance[i, j] += np.exp(2 * float(parameters.log_scale_K[k]) - exponent)
        return covariance

    value = log_errors(error_N)
    score = (value - value.mean()) / value.std()
    noisy = kernel(seen, seen) + float(parameters.noise_variance()) * np.eye(12)
    cross = kernel(new, seen)
    expected = cross @ np.linalg.solve(noisy, score - mean) + mean
    covariance = kernel(new, new) - cross @ np.linalg.solve(noisy, cross.T)
    found = GaussianProcess(parameters, seen, error_N).predict(new, jointly=True)
    np.testing.assert_allclose(found.mean_M, expected * value.std() + value.mean())
    assert found.covariance_MM is not None
    np.testing.assert_allclose(found.covariance_MM, covariance * value.var(), atol=1e-10)
    np.testing.assert_allclose(found.variance_M, covariance.diagonal() * value.var(), atol=1e-10)


def test_noise_is_no_part_of_the_variance_and_counts_for_an_evaluation() -> None:
    """Errors that scatter by a tenth: fits tell the scatter from what architectures do."""
    rng = np.random.default_rng(2)
    twice = np.concatenate([ALL, ALL])
    error_N = np.exp(log_errors(errors_of(twice)) + 0.1 * rng.standard_normal(len(twice))) - ERROR_OFFSET
    found = fit_process(described(twice), error_N, operators=OPERATORS).predict(described(ALL))
    assert np.sqrt(found.noise_variance) == pytest.approx(0.1, rel=0.25)
    assert np.sqrt(found.variance_M).max() < 0.1
    np.testing.assert_allclose(found.deviation_M**2, found.variance_M + found.noise_variance)
    # The mean of two with noise: nearer to the truth than each.
    assert np.std(found.mean_M - log_errors(errors_of(ALL))) < 0.06


def test_errors_are_those_of_a_log_normal() -> None:
    prediction = Prediction(
        mean_M=np.log([0.1, 0.4]), covariance_MM=None, variance_M=np.array([0.03, 0.0]), noise_variance=0.01
    )
    mean_M, deviation_M = prediction.errors()
    drawn = np.exp(np.random.default_rng(0).normal(np.log(0.1), 0.2, 400_000)) - ERROR_OFFSET
    assert mean_M[0] == pytest.approx(drawn.mean(), rel=5e-3)
    assert deviation_M[0] == pytest.approx(drawn.std(), rel=1e-2)
    assert deviation_M[1] == pytest.approx(0.04, rel=0.02)


def test_a_fit_is_deterministic_and_begins_where_it_is_told_to() -> None:
    inputs, error_N = described(SEEN[:20]), errors_of(SEEN[:20])
    fits = [fit_process(inputs, error_N, operators=OPERATORS) for _ in range(2)]
    for first, second in zip(*(fit.hyperparameters.tensors() for fit in fits), strict=True):
        assert torch.equal(first, second)
    first_M, second_M = (fit.predict(described(UNSEEN)).mean_M for fit in fits)
    np.testing.assert_array_equal(first_M, second_M)
    again = fit_process(inputs, error_N, operators=OPERATORS, start=fits[0].hyperparameters, iterations=0)
    np.testing.assert_allclose(again.predict(described(UNSEEN)).mean_M, fits[0].predict(described(UNSEEN)).mean_M)
    unfitted = fit_process(inputs, error_N, operators=OPERATORS, iterations=0)
    prior = ProcessHyperparameters.prior(LAYERS, OPERATORS, 0)
    assert all(map(torch.equal, unfitted.hyperparameters.tensors(), prior.tensors()))


def test_a_fit_follows_the_gradient_of_what_it_minimises() -> None:
    rng = np.random.default_rng(3)
    prior = ProcessHyperparameters.prior(LAYERS, OPERATORS, 2)
    inputs = ArchitectureInputs(SEEN[:15], rng.standard_normal((15, 2)))
    points, score_N = module._points(inputs, OPERATORS), torch.from_numpy(rng.standard_normal(15))
    flat = np.concatenate([tensor.flatten().numpy() for tensor in prior.tensors()])
    flat += 0.3 * rng.standard_normal(len(flat))

    def value_at(changed: Any) -> float:
        return module._negative_log_posterior(prior.replaced_by(changed), prior, points, score_N)[0]

    tensors = [tensor.requires_grad_() for tensor in prior.replaced_by(flat).tensors()]
    _, like = module._negative_log_posterior(ProcessHyperparameters.of(tensors), prior, points, score_N)
    gradient = np.concatenate([part.flatten().numpy() for part in torch.autograd.grad(like, tensors)])
    steps = 1e-5 * np.eye(len(flat))
    numeric = [(value_at(flat + step) - value_at(flat - step)) / 2e-5 for step in steps]
    np.testing.assert_allclose(gradient, numeric, rtol=1e-4, atol=1e-6)


def test_what_the_numbers_tell_is_learnt() -> None:
    """Errors follow from a number alone; operators say nothing."""
    rng = np.random.default_rng(4)
    number_NF = rng.standard_normal((60, 2))
    inputs = ArchitectureInputs(rng.integers(0, OPERATORS, (60, LAYERS)), number_NF)
    error_N = 0.3 * np.exp(0.5 * np.sin(number_NF[:, 0]))
    some, others = np.arange(40), np.arange(40, 60)
    found = fit_process(inputs[some], error_N[some], operators=OPERATORS).predict(inputs[others])
    off = found.mean_M - log_errors(error_N[others])
    assert np.sqrt(np.mean(off**2)) < 0.2 * log_errors(error_N).std()


def test_what_matters_is_told_from_what_does_not() -> None:
    """Of four layers the first alone decides."""
    error_N = ERROR_LO[0, ALL[:, 0]]
    parameters = fit_process(described(ALL[::2]), error_N[::2], operators=OPERATORS).hyperparameters
    relevance_L = parameters.log_relevance_KL.exp().mul(parameters.log_scale_K.mul(2).exp()[:, None]).sum(0)
    assert int(relevance_L.argmax()) == 0


@pytest.mark.parametrize("error_N", [np.full(5, 0.4), np.zeros(5), np.array([0.2, 0.2, 0.2, 0.2, 1.0])])
def test_errors_without_any_spread_are_no_trouble(error_N: Any) -> None:
    found = fit_process(described(SEEN[:5]), error_N, operators=OPERATORS).predict(described(UNSEEN), jointly=True)
    for figure in (found.mean_M, found.deviation_M, *found.errors()):
        assert np.isfinite(figure).all()


def test_the_same_architecture_twice_is_no_trouble() -> None:
    twice = SEEN[[0, 0, 1, 1, 2]]
    found = fit_process(described(twice), np.array([0.2, 0.3, 0.5, 0.5, 0.4]), operators=OPERATORS)
    (first,) = found.predict(described(SEEN[:1])).errors()[0]
    assert 0.2 < first < 0.35


def test_of_very_many_the_informative_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hyper-parameters follow from some evenly spaced ones, predictions from the best and others."""
    monkeypatch.setattr(module, "MOST_FITTED", 20)
    monkeypatch.setattr(module, "MOST_KNOWN", 30)
    found = fit_process(described(ALL), errors_of(ALL), operators=OPERATORS)
    assert len(found._weights_N) == 30
    best = ALL[[int(errors_of(ALL).argmin())]]
    np.testing.assert_allclose(found.predict(described(best)).mean_M, log_errors(errors_of(best)), atol=0.1)


@pytest.mark.parametrize(
    ("architectures", "errors"), [(0, 0), (1, 1), (3, 2), (2, 3)]
)  # fmt: skip
def test_too_few_architectures_and_missing_errors_are_refused(architectures: int, errors: int) -> None:
    with pytest.raises(ValueError) as caught:
        fit_process(described(ALL[:architectures]), np.full(errors, 0.5), operators=OPERATORS)
    assert str(caught.value) == (
        "a Gaussian process must have at least two architectures and an error for each, but got "
        f"{architectures} architectures and {errors} errors."
    )


def test_no_step_of_the_fit_makes_a_covariance_singular() -> None:
    """The search for hyper-parameters may step to any corner of the bounds; networks may be all but equal."""
    rng = np.random.default_rng(0)
    half, numbers = rng.integers(0, 5, (150, 6)), 2 * rng.normal(size=(150, 8))
    inputs = ArchitectureInputs(
        np.concatenate([half, half]), np.concatenate([numbers, numbers + 1e-7 * rng.normal(size=numbers.shape)])
    )
    error_N = rng.uniform(0.1, 0.9, 300)
    prior = ProcessHyperparameters.prior(6, 5, 8)
    for _ in range(10):
        sides = [np.where(rng.random(tensor.numel()) < 0.5, -BOUND, BOUND) for tensor in prior.tensors()]
        corner = prior.replaced_by(np.concatenate(sides))
        corner.log_scale_K.fill_(BOUND)
        corner.log_noise.fill_(-BOUND)
        process = fit_process(inputs, error_N, operators=5, start=corner, iterations=0)
        assert np.isfinite(process.predict(inputs).mean_M).all()
