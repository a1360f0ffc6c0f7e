from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from dnas.losses import Coefficients
from moo.config import SearchConfig
from moo.search.proposals import (
    algorithm_of,
    expected_trials,
    generation_size,
    proposal_of,
    settled_for,
    tell_algorithm,
    trial_of,
)
from moo.trials import ArchitectureTrial, CoefficientTrial
from search_space.spaces import FBNetSpace

BOUNDS = {"alpha": (0.01, 1.0), "beta": (0.5, 2.0), "gamma": (0.1, 10.0), "delta": (0.2, 3.0)}


def config_of(method: Any, **settings: Any) -> Any:
    return SearchConfig(method=method, population=4, generations=4, **(BOUNDS | {"samples": 2} | settings))


@pytest.mark.parametrize("method", ["dnas", "random", "grid"])
def test_tuples_lie_within_bounds(method: str, space: FBNetSpace) -> None:
    asked = algorithm_of(config_of(method), space).ask(4)
    assert len(set(asked)) == 4
    for item in asked:
        for name, (low, high) in BOUNDS.items():
            assert low * 0.999 <= getattr(item, name) <= high * 1.001


@pytest.mark.parametrize("method", ["dnas", "random", "grid", "architectures"])
def test_the_seed_decides(method: str, space: FBNetSpace) -> None:
    first, again, other = (algorithm_of(config_of(method, seed=seed), space).ask(4) for seed in (0, 0, 1))
    assert first == again != other


def test_random_tuples_are_uniform_in_the_genome(space: FBNetSpace) -> None:
    asked = algorithm_of(config_of("random"), space).ask(4000)
    logs = np.log10([item.alpha for item in asked])
    assert np.histogram(logs, bins=4, range=(-2, 0))[0] == pytest.approx(np.full(4, 1000), rel=0.15)
    assert np.mean([item.beta for item in asked]) == pytest.approx(1.25, rel=0.03)


def test_the_grid_is_walked_once_and_then_ends(space: FBNetSpace) -> None:
    algorithm = algorithm_of(config_of("grid"), space)
    asked = [item for _ in range(6) for item in algorithm.ask(3)]
    assert len(asked) == len(set(asked)) == 16
    assert all(item.beta == item.delta == 1 for item in asked)
    alphas, gammas = sorted({item.alpha for item in asked}), sorted({item.gamma for item in asked})
    assert np.diff(np.log10(alphas)) == pytest.approx(np.full(3, 2 / 3))
    assert (gammas[0], gammas[-1]) == pytest.approx((0.1, 10.0))


@pytest.mark.parametrize("method", ["random", "grid"])
def test_a_later_start_leaves_out_what_was_proposed(method: str, space: FBNetSpace) -> None:
    whole = algorithm_of(config_of(method), space).ask(12)
    assert list(algorithm_of(config_of(method), space, start=5).ask(7)) == list(whole[5:])


def test_architectures_come_as_many_as_inner_searches_would_evaluate(space: FBNetSpace) -> None:
    config = config_of("architectures")
    assert generation_size(config) == 12
    asked = algorithm_of(config, space).ask(12)
    assert all(len(item) == 3 and set(item) <= {0, 1, 2} for item in asked)  # type: ignore[arg-type]
    assert generation_size(config_of("dnas")) == 4


def test_jobs_and_proposals_belong_together() -> None:
    coefficients, indices = Coefficients(1.0, 2.0, 3.0, 4.0), (0, 1, 2)
    tuple_job = trial_of(coefficients, number=7, generation=1)
    architecture_job = trial_of(indices, number=8, generation=2)
    assert tuple_job == CoefficientTrial(7, 1, coefficients)
    assert architecture_job == ArchitectureTrial(id=8, generation=2, indices=indices)
    assert (proposal_of(tuple_job), proposal_of(architecture_job)) == (coefficients, indices)


@pytest.mark.parametrize(
    ("options", "gpus", "proposals", "beside"),
    [
        ({}, 0, None, None),
        ({}, 4, 8, True),
        ({}, 64, 64, True),
        ({"proposals": 5}, 64, 5, True),
        ({"propose_beside": False}, 64, 64, False),
        ({"propose_beside": True}, 0, None, True),
        ({"adaptive": True}, 64, None, None),
    ],
)
def test_settings_that_are_left_open_follow_from_the_gpus_of_a_new_run(
    options: Any, gpus: int, proposals: int | None, beside: bool | None
) -> None:
    found = settled_for(config_of("dnas", **options), gpus=gpus)
    assert (found.proposals, found.propose_beside) == (proposals, beside)
    assert settled_for(found, gpus=1000) == found or not gpus or options.get("adaptive")


@pytest.mark.parametrize(("method", "jobs"), [("dnas", 4 + 3 * 8), ("random", 16), ("architectures", 48)])
def test_the_number_of_jobs_is_known_beforehand(method: str, jobs: Any) -> None:
    assert expected_trials(config_of(method)) == jobs
    assert expected_trials(config_of("dnas", supernet_generations=2)) == 2 * 4 + 2 * 8
    assert expected_trials(config_of("dnas", independent=True)) == 16


def test_a_proposer_is_not_told_what_a_surrogate_proposed(space: FBNetSpace) -> None:
    algorithm = algorithm_of(config_of("dnas"), space)
    (asked,) = algorithm.ask(1)
    assert isinstance(asked, Coefficients)
    proposed = ArchitectureTrial(id=5, generation=1, indices=(0, 0, 0), coefficients=asked)
    tell_algorithm(algorithm, "dnas", proposed, (0.1, 1.0, 1.0))
    tell_algorithm(algorithm, "dnas", CoefficientTrial(0, 0, asked), (0.2, 1.0, 1.0))
    assert len(algorithm.genes) == 1  # type: ignore[attr-defined]
