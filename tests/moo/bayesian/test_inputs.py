from __future__ import annotations

import numpy as np

from moo.bayesian.inputs import LayerwiseInputs, centre_and_scale
from tests.moo.bayesian.known import ALL, ENERGY_LO, LATENCY_LO, LAYERS, OPERATORS, summed

IDLE_LO = np.zeros((LAYERS, OPERATORS), bool)
IDLE_LO[1:, 0] = True


def inputs_of() -> LayerwiseInputs:
    return LayerwiseInputs(
        np.stack([LATENCY_LO, ENERGY_LO]), np.array([0.3, 0.0]), groups=[range(1), range(1, 4)], idle_LO=IDLE_LO
    )


def test_numbers_are_logarithms_of_costs_and_depths_of_groups_at_unit_scale() -> None:
    """Each is a straight line of what it stands for, with the same line for all architectures."""
    found = inputs_of()(ALL)
    np.testing.assert_array_equal(found.category_NL, ALL)
    expected = [
        np.log(summed(LATENCY_LO, ALL) + 0.3),
        np.log(summed(ENERGY_LO, ALL)),
        np.ones(len(ALL)),
        (ALL[:, 1:] != 0).mean(1),
    ]
    assert found.number_NF.shape == (len(ALL), 4)
    for number_N, expected_N in zip(found.number_NF.T, expected, strict=True):
        if np.ptp(expected_N) > 0:
            assert np.corrcoef(number_N, expected_N)[0, 1] > 1 - 1e-9
            assert abs(number_N.mean()) < 0.2
            assert 0.8 < number_N.std() < 1.2
        else:
            # The first layer is never idle, which tells nothing.
            np.testing.assert_allclose(number_N, 0.0, atol=1e-9)


def test_the_same_architecture_always_has_the_same_numbers() -> None:
    np.testing.assert_array_equal(inputs_of()(ALL).number_NF[5:8], inputs_of()(ALL[5:8]).number_NF)


def test_some_of_them_are_taken_by_their_places() -> None:
    found = inputs_of()(ALL)
    some = found[np.array([7, 3])]
    assert len(some) == 2
    np.testing.assert_array_equal(some.category_NL, ALL[[7, 3]])
    np.testing.assert_array_equal(some.number_NF, found.number_NF[[7, 3]])


def test_costs_of_zero_have_numbers_too() -> None:
    free_LO = LATENCY_LO.copy()
    free_LO[:, 0] = 0
    inputs = LayerwiseInputs(
        np.stack([free_LO, np.zeros_like(free_LO)]), np.zeros(2), groups=[range(LAYERS)], idle_LO=IDLE_LO
    )
    number_NF = inputs(ALL).number_NF
    assert np.isfinite(number_NF).all()
    free_N = (ALL == 0).all(1)
    assert free_N.sum() == 1
    assert number_NF[free_N, 0] == number_NF[:, 0].min() < number_NF[~free_N, 0].min()


def test_numbers_that_are_always_the_same_keep_their_scale() -> None:
    # The deviation of equal values is not always 0.
    centre_F, scale_F = centre_and_scale(np.column_stack([np.full(15_625, np.log(28_000.1)), np.arange(15_625.0)]))
    np.testing.assert_allclose(centre_F, [np.log(28_000.1), 7812])
    assert scale_F[0] == 1
    assert scale_F[1] > 4000
