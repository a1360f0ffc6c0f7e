from __future__ import annotations

import numpy as np
import pytest

from devices.configuration import configurations_of
from dnas.losses import Coefficients
from moo.algorithms.base import ConfiguredProposal
from moo.algorithms.genomes import ArchitectureGenome, CoefficientBounds, ConfiguredGenome
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


def test_a_coefficient_that_is_fixed_has_no_gene() -> None:
    bounds = CoefficientBounds((0.2, 0.2), (0.3, 2.0), (0.001, 10.0), (1.0, 1.0))
    assert bounds.lower == pytest.approx((0.3, -3.0))
    assert bounds.upper == pytest.approx((2.0, 1.0))
    assert bounds.decode((1.5, 0.0)) == Coefficients(0.2, 1.5, 1.0, 1.0)
    assert bounds.encode(Coefficients(0.2, 1.5, 1.0, 1.0)) == pytest.approx((1.5, 0.0))


def test_coefficients_that_are_all_fixed_have_no_genes_and_may_be_switched_off() -> None:
    bounds = CoefficientBounds((0.0, 0.0), (1.0, 1.0), (0.0, 0.0), (1.0, 1.0))
    assert (bounds.lower, bounds.upper) == ((), ())
    assert bounds.decode(()) == Coefficients(0.0, 1.0, 0.0, 1.0)
    assert bounds.encode(Coefficients(0.0, 1.0, 0.0, 1.0)) == ()


CONFIGURATIONS = configurations_of(threads=(1, 2, 4), precisions=("fp32", "int8"))


def test_a_configuration_is_one_more_gene() -> None:
    genome = ConfiguredGenome(BOUNDS, CONFIGURATIONS)
    assert genome.lower == (*BOUNDS.lower, 0)
    assert genome.upper[:-1] == BOUNDS.upper
    coefficients = Coefficients(1.0, 1.0, 0.1, 2.0)
    for configuration in CONFIGURATIONS:
        proposal = ConfiguredProposal(coefficients, configuration)
        assert genome.decode(genome.encode(proposal)) == proposal


def test_every_gene_within_bounds_is_a_configuration_and_each_has_an_equal_share() -> None:
    genome = ConfiguredGenome(BOUNDS, CONFIGURATIONS)
    genes = np.random.default_rng(0).uniform(genome.lower, genome.upper, (6000, 5))
    found = [genome.decode(row).configuration for row in genes]
    assert [found.count(one) for one in CONFIGURATIONS] == pytest.approx([1000] * 6, rel=0.12)
    assert genome.decode(genome.lower).configuration == CONFIGURATIONS[0]
    assert genome.decode(genome.upper).configuration == CONFIGURATIONS[-1]


def test_of_architectures_a_configuration_is_its_index() -> None:
    genome = ConfiguredGenome(ArchitectureGenome(3, 4), CONFIGURATIONS, real=False)
    assert (genome.lower, genome.upper) == ((0, 0, 0, 0), (3, 3, 3, 5))
    proposal = ConfiguredProposal((0, 3, 1), CONFIGURATIONS[5])
    assert genome.encode(proposal) == (0, 3, 1, 5)
    assert genome.decode((0, 3, 1, 5)) == proposal


def test_fixed_coefficients_leave_the_configuration_alone() -> None:
    fixed = CoefficientBounds((0.2, 0.2), (1.0, 1.0), (0.0, 0.0), (1.0, 1.0))
    genome = ConfiguredGenome(fixed, CONFIGURATIONS)
    assert (len(genome.lower), len(genome.upper)) == (1, 1)
    assert genome.decode((4.2,)) == ConfiguredProposal(Coefficients(0.2, 1.0, 0.0, 1.0), CONFIGURATIONS[4])
