import itertools
from dataclasses import dataclass

import numpy as np
import pytest

from dnas.inner_search import ThetaResult
from dnas.losses import Coefficients
from moo.analysis.drawn import drawn_architectures, theta_probs
from moo.storage.store import StoredTrial, StoreReader
from moo.trials import ArchitectureTrial, CoefficientTrial, Trial

PROBS_LO = np.array([[0.6, 0.3, 0.1], [0.5, 0.25, 0.25], [0.8, 0.2, 0.0]])


def by_hand() -> dict[tuple[int, ...], float]:
    every = itertools.product(range(3), repeat=3)
    return {one: float(np.prod([PROBS_LO[layer, op] for layer, op in enumerate(one)])) for one in every}


@pytest.mark.parametrize("count", [1, 5, 18])
def test_the_most_probable_are_those_of_all(count: int) -> None:
    found = drawn_architectures(PROBS_LO, count)
    expected = sorted(by_hand().values(), reverse=True)[:count]
    assert [one.probability for one in found] == pytest.approx(expected)
    assert len({one.indices for one in found}) == count
    assert all(one.probability == pytest.approx(by_hand()[one.indices]) for one in found)


def test_drawn_ones_follow_the_distribution_and_do_not_repeat() -> None:
    firsts = [drawn_architectures(PROBS_LO, 1, seed=seed)[0].indices[0] for seed in range(600)]
    assert np.bincount(firsts, minlength=3) / 600 == pytest.approx(PROBS_LO[0], abs=0.07)
    found = drawn_architectures(PROBS_LO, 12, seed=3)
    assert len({one.indices for one in found}) == 12
    assert found == drawn_architectures(PROBS_LO, 12, seed=3)
    assert all(one.probability > 0 for one in found)


@pytest.mark.parametrize(
    ("count", "seed", "rule"),
    [
        (0, None, "`1 <= --count <= 1000` must hold, but got 0"),
        (1001, None, "must hold, but got 1001"),
        (19, None, "at most what theta gives, 18 architectures, but got 19"),
        (19, 0, "at most what theta gives, 18 architectures in 3,800 draws, but got 19"),
    ],
)
def test_counts_that_theta_does_not_give_are_refused(count: int, seed: int | None, rule: str) -> None:
    with pytest.raises(ValueError, match=rule):
        drawn_architectures(PROBS_LO, count, seed=seed)


@dataclass
class FakeStore:
    kinds: dict[int, str]

    def trials(self) -> dict[int, StoredTrial]:
        return {number: self._trial(number, kind) for number, kind in self.kinds.items()}

    def theta(self, trial_id: int) -> ThetaResult:
        assert self.kinds[trial_id] == "theta"
        return ThetaResult(np.log(PROBS_LO + 1e-30).astype(np.float32), (), PROBS_LO[None].astype(np.float32))

    def _trial(self, number: int, kind: str) -> StoredTrial:
        trial: Trial = CoefficientTrial(number, 0, Coefficients(1.0, 1.0, 1.0, 1.0))
        if kind == "surrogate":
            trial = ArchitectureTrial(id=number, generation=0, indices=(0, 0, 0))
        objectives = None if kind == "failed" else (0.1, 1.0, 1.0)
        return StoredTrial(trial=trial, objectives=objectives, architecture_id=None, seconds=0.0, traceback=None)


STORE: StoreReader = FakeStore({0: "theta", 1: "theta", 2: "surrogate", 3: "failed", 4: "theta"})  # type: ignore[assignment]


def test_theta_as_probabilities() -> None:
    np.testing.assert_allclose(theta_probs(STORE, 4), PROBS_LO, atol=1e-6)


@pytest.mark.parametrize(
    ("trial", "rule"),
    [
        (9, "one of the run's trials with a theta, 0 to 1, 4, but got 9"),
        (2, "trial 2 has none: its architecture was proposed without a search of theta on the supernet"),
        (3, "trial 3 has none: it failed"),
    ],
)
def test_trials_without_a_theta_are_refused(trial: int, rule: str) -> None:
    with pytest.raises(ValueError, match=rule):
        theta_probs(STORE, trial)
