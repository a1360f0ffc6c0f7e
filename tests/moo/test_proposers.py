import numpy as np
import pytest

from dnas.losses import Coefficients
from moo.config import SearchConfig
from moo.jobs import ArchitectureJob, TupleJob
from moo.proposers import generation_size, job_of, proposal_of, proposer_of

BOUNDS = {"alpha": (0.01, 1.0), "beta": (0.5, 2.0), "gamma": (0.1, 10.0), "delta": (0.2, 3.0)}


def config_of(method, **settings):
    return SearchConfig(method=method, population=4, generations=4, samples=2, **(BOUNDS | settings))


@pytest.mark.parametrize("method", ["dnas", "random", "grid"])
def test_tuples_lie_within_bounds(method, space):
    asked = proposer_of(config_of(method), space).ask(4)
    assert len(set(asked)) == 4
    for item in asked:
        for name, (low, high) in BOUNDS.items():
            assert low * 0.999 <= getattr(item, name) <= high * 1.001


@pytest.mark.parametrize("method", ["dnas", "random", "grid", "architectures"])
def test_the_seed_decides(method, space):
    first, again, other = (proposer_of(config_of(method, seed=seed), space).ask(4) for seed in (0, 0, 1))
    assert first == again != other


def test_random_tuples_are_uniform_in_the_genome(space):
    asked = proposer_of(config_of("random"), space).ask(4000)
    logs = np.log10([item.alpha for item in asked])
    assert np.histogram(logs, bins=4, range=(-2, 0))[0] == pytest.approx(np.full(4, 1000), rel=0.15)
    assert np.mean([item.beta for item in asked]) == pytest.approx(1.25, rel=0.03)


def test_the_grid_is_walked_once_and_then_ends(space):
    proposer = proposer_of(config_of("grid"), space)
    asked = [item for _ in range(6) for item in proposer.ask(3)]
    assert len(asked) == len(set(asked)) == 16
    assert all(item.beta == item.delta == 1 for item in asked)
    alphas, gammas = sorted({item.alpha for item in asked}), sorted({item.gamma for item in asked})
    assert np.diff(np.log10(alphas)) == pytest.approx(np.full(3, 2 / 3))
    assert (gammas[0], gammas[-1]) == pytest.approx((0.1, 10.0))


@pytest.mark.parametrize("method", ["random", "grid"])
def test_a_later_start_leaves_out_what_was_proposed(method, space):
    whole = proposer_of(config_of(method), space).ask(12)
    assert list(proposer_of(config_of(method), space, start=5).ask(7)) == list(whole[5:])


def test_architectures_come_as_many_as_inner_searches_would_evaluate(space):
    config = config_of("architectures")
    assert generation_size(config) == 12
    asked = proposer_of(config, space).ask(12)
    assert all(len(item) == 3 and set(item) <= {0, 1, 2} for item in asked)
    assert generation_size(config_of("dnas")) == 4


def test_jobs_and_proposals_belong_together():
    coefficients, indices = Coefficients(1.0, 2.0, 3.0, 4.0), (0, 1, 2)
    tuple_job = job_of(coefficients, number=7, generation=1)
    architecture_job = job_of(indices, number=8, generation=2)
    assert tuple_job == TupleJob(7, 1, coefficients)
    assert architecture_job == ArchitectureJob(8, 2, indices)
    assert (proposal_of(tuple_job), proposal_of(architecture_job)) == (coefficients, indices)
