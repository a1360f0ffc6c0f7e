from __future__ import annotations

import numpy as np
import pytest

from dnas.losses import Coefficients
from moo.algorithms.genomes import CoefficientBounds
from moo.config import SearchConfig
from moo.search.proposals import bounds_of

BOUNDS = CoefficientBounds((0.01, 100.0), (0.3, 2.0), (0.001, 10.0), (0.5, 4.0))


def test_the_genome_is_logarithmic_in_the_weights_and_linear_in_the_exponents() -> None:
    assert BOUNDS.lower == pytest.approx((-2.0, 0.3, -3.0, 0.5))
    assert BOUNDS.upper == pytest.approx((2.0, 2.0, 1.0, 4.0))
    assert BOUNDS.decode((0.0, 1.0, -1.0, 2.0)) == Coefficients(1.0, 1.0, 0.1, 2.0)


def test_the_corners_decode_to_the_bounds() -> None:
    low, high = BOUNDS.decode(BOUNDS.lower), BOUNDS.decode(BOUNDS.upper)
    for name in ("alpha", "beta", "gamma", "delta"):
        assert (getattr(low, name), getattr(high, name)) == pytest.approx(getattr(BOUNDS, name))


def test_genes_within_bounds_decode_to_coefficients_within_bounds() -> None:
    genes = np.random.default_rng(0).uniform(BOUNDS.lower, BOUNDS.upper, (200, 4))
    for row in genes:
        coefficients = BOUNDS.decode(row)
        for name in ("alpha", "beta", "gamma", "delta"):
            low, high = getattr(BOUNDS, name)
            value = getattr(coefficients, name)
            assert type(value) is float
            assert low * (1 - 1e-12) <= value <= high * (1 + 1e-12)


def test_bounds_are_those_of_the_settings() -> None:
    config = SearchConfig(alpha=(1.0, 2.0), beta=(3.0, 4.0), gamma=(5.0, 6.0), delta=(7.0, 8.0))
    assert bounds_of(config) == CoefficientBounds((1.0, 2.0), (3.0, 4.0), (5.0, 6.0), (7.0, 8.0))
