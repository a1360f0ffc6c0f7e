import math

import pytest
import torch

from dnas.losses import LOSSES, CoefficientBatch, Coefficients, additive_loss, multiplicative_loss

COEFFICIENTS = Coefficients(alpha=0.5, beta=2.0, gamma=0.25, delta=0.5)


def test_additive_loss_by_hand() -> None:
    loss = additive_loss(torch.tensor(1.5), torch.tensor(3.0), torch.tensor(4.0), COEFFICIENTS)
    assert float(loss) == pytest.approx(1.5 + 0.5 * 9 + 0.25 * 2)


def test_multiplicative_loss_by_hand() -> None:
    relative_latency, relative_energy = (math.e**3 - 1) / 1000, (math.e**4 - 1) / 1000
    loss = multiplicative_loss(
        torch.tensor(1.5), torch.tensor(relative_latency), torch.tensor(relative_energy), COEFFICIENTS
    )
    assert float(loss) == pytest.approx(1.5 * (0.5 * 3**2) * (0.25 * math.sqrt(4)))


def test_both_losses_rise_with_all_that_is_minimised() -> None:
    for loss_of in LOSSES.values():
        inputs = torch.tensor([1.5, 0.7, 1.2], requires_grad=True)
        (gradient,) = torch.autograd.grad(loss_of(inputs[0], inputs[1], inputs[2], COEFFICIENTS), inputs)
        assert (gradient > 0).all()


@pytest.mark.parametrize("value", [0.0, -0.2, math.nan, math.inf])
@pytest.mark.parametrize("name", ["beta", "delta"])
def test_exponents_must_be_positive(name: str, value: float) -> None:
    values = {"alpha": 1.0, "beta": 1.0, "gamma": 1.0, "delta": 1.0, name: value}
    with pytest.raises(ValueError, match=f"`{name} > 0` must hold for the coefficients, but got {name}={value}"):
        Coefficients(**values)


@pytest.mark.parametrize("value", [-0.2, math.nan, math.inf])
@pytest.mark.parametrize("name", ["alpha", "gamma"])
def test_weights_must_not_be_negative(name: str, value: float) -> None:
    values = {"alpha": 1.0, "beta": 1.0, "gamma": 1.0, "delta": 1.0, name: value}
    with pytest.raises(ValueError, match=f"`{name} >= 0` must hold for the coefficients, but got {name}={value}"):
        Coefficients(**values)


def test_a_weight_of_0_switches_a_term_off() -> None:
    cross_entropy, latency, energy = (torch.tensor(value) for value in (1.5, 0.7, 1.2))
    off = Coefficients(0.0, 0.5, 0.0, 2.0)
    for loss_of in LOSSES.values():
        assert loss_of(cross_entropy, latency, energy, off) == cross_entropy
    latency_alone = Coefficients(0.2, 0.6, 0.0, 1.0)
    fbnet = 1.5 * 0.2 * math.log(1 + 1000 * 0.7) ** 0.6
    assert LOSSES["multiplicative"](cross_entropy, latency, energy, latency_alone).item() == pytest.approx(fbnet)


def test_switched_off_terms_of_a_batch_are_told_apart() -> None:
    batch = CoefficientBatch.of([Coefficients(0.2, 0.6, 0.0, 1.0), Coefficients(0.0, 0.6, 0.3, 1.0)])
    each = [torch.full((2,), value) for value in (1.5, 0.7, 1.2)]
    for loss_of in LOSSES.values():
        together = loss_of(each[0], each[1], each[2], batch)
        alone = [
            loss_of(each[0][0], each[1][0], each[2][0], Coefficients(*values))
            for values in ((0.2, 0.6, 0.0, 1.0), (0.0, 0.6, 0.3, 1.0))
        ]
        torch.testing.assert_close(together, torch.stack(alone))
