import math

import pytest
import torch

from dnas.losses import LOSSES, Coefficients, additive_loss, multiplicative_loss

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
@pytest.mark.parametrize("name", ["alpha", "beta", "gamma", "delta"])
def test_coefficients_must_be_positive(name: str, value: float) -> None:
    values = {"alpha": 1.0, "beta": 1.0, "gamma": 1.0, "delta": 1.0, name: value}
    with pytest.raises(ValueError, match=f"`{name} > 0` must hold for the coefficients, but got {name}={value}"):
        Coefficients(**values)
