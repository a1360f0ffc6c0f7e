"""The candidates that are worth paying for. Start at `LocalSearch.candidates`, then `chosen_together`.

A local search climbs the expected hypervolume improvement: from the front, from what others propose and from anywhere
it goes on to neighbours of the best candidates. The best are then chosen one by one, each as if the ones before it had
come out as expected.

Shape suffixes: C candidates, J costs, K configurations, L layers, N evaluated architectures.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from moo.bayesian.improvement import Frame
from moo.bayesian.inputs import Describe, Floats, Integers
from moo.bayesian.neighbours import crossed, distinct, one_change, several_changes
from moo.bayesian.process import ERROR_OFFSET, GaussianProcess

Name = TypeVar("Name", bound=str)
WORST_SLACK = 1e-3
"""Above the worst error, where the reference's gives way to it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class LocalSearchSettings:
    """How far candidates are looked for."""

    neighbours: int = 800
    """Changes of one operator of the front that are looked at, at most."""
    others: int = 300
    """Changes of two operators of the front, crossings of it, and architectures at random: so many of each."""
    rounds: int = 4
    """How often neighbours of the best candidates are looked at."""
    beam: int = 24
    """Best candidates of each such round."""
    shortlist: int = 200
    """Candidates that are chosen from together."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class PaidSearch:
    """What is searched: errors of architectures are paid for, all else is free."""

    layers: int
    operators: int
    describe: Describe
    costs_of: Callable[[Integers], Floats]
    """One or two costs in each runtime configuration (N, K, J)."""
    reference_error: float
    reference_J: Floats
    exceeded_of: Callable[[Integers], Floats] | None = None
    """By how much architectures exceed the limits in each configuration (N, K); 0 within them; None without limits."""
    exists: Callable[[Integers], npt.NDArray[np.bool_]] | None = None
    """Which architectures are worth no look, as those that compute nothing (N,)."""

    def violation_of(self, indices_NL: Integers) -> Floats:
        """By how much architectures exceed the limits in the configuration that exceeds them least (N,)."""
        if self.exceeded_of is None:
            return np.zeros(len(indices_NL))
        least_N: Floats = self.exceeded_of(indices_NL).min(1)
        return least_N

    def frame(self, indices_NL: Integers, error_N: Floats) -> Frame:
        """Where evaluated architectures are.

        The reference's error gives way to the worst one evaluated as long as none is below it, so that what is better
        than all others adds most even there.
        """
        reference_error = self.reference_error
        if error_N.min() >= reference_error:
            reference_error = float(error_N.max()) + WORST_SLACK
        return Frame(error_N, self.costs_of(indices_NL), reference_error, self.reference_J)


@dataclass(frozen=True, eq=False)
class Candidates:
    """Architectures that were not evaluated, the most promising first."""

    indices_CL: Integers
    gain_C: Floats
    """Expected hypervolume that each adds on its own."""

    def __len__(self) -> int:
        return len(self.indices_CL)

    def best(self, count: int) -> Candidates:
        """The first ones."""
        return Candidates(self.indices_CL[:count], self.gain_C[:count])


class LocalSearch:
    """Looks for candidates by what a process expects of them."""

    def __init__(
        self,
        search: PaidSearch,
        process: GaussianProcess,
        indices_NL: Integers,
        error_N: Floats,
        settings: LocalSearchSettings,
        rng: np.random.Generator,
    ) -> None:
        """Look for nothing yet.

        Args:
            search: what is searched.
            process: fitted to what was evaluated.
            indices_NL: architectures that were evaluated; they are no candidates.
            error_N: their errors.
            settings: how far is looked.
            rng: of everything random.
        """
        self._search, self._process, self._settings, self._rng = search, process, settings, rng
        self.frame = search.frame(indices_NL, error_N)
        self._front_NL = indices_NL[_not_dominated(self.frame)]
        self._known = {row.tobytes() for row in _rows(indices_NL)}

    def judged(self, indices_CL: Integers) -> Candidates:
        """Those of given architectures that are new: looked at neither before nor now, nor evaluated."""
        rows = _rows(indices_CL)
        new = [place for place, row in enumerate(rows) if row.tobytes() not in self._known]
        rows = distinct(rows[new]) if new else rows[:0]
        self._known |= {row.tobytes() for row in rows}
        if self._search.exists is not None and len(rows):
            rows = rows[self._search.exists(rows)]
        if not len(rows):
            return Candidates(rows, np.empty(0))
        prediction = self._process.predict(self._search.describe(rows))
        gain_C = self.frame.expected_improvement(
            prediction.mean_M, prediction.deviation_M, self._search.costs_of(rows), offset=ERROR_OFFSET
        )
        violation_C = self._search.violation_of(rows)
        gain_C = np.where(violation_C > 0, -violation_C, gain_C)
        return _ordered(Candidates(rows, gain_C))

    def suits(self, indices_L: Integers) -> int:
        """The configuration in which an architecture is expected to add most, or exceeds limits least."""
        if self._search.exceeded_of is not None:
            exceeded_K = self._search.exceeded_of(indices_L[None])[0]
            if exceeded_K.min() > 0:
                return int(np.argmin(exceeded_K))
        one = self._process.predict(self._search.describe(indices_L[None]))
        gains = [
            self.frame.expected_improvement(one.mean_M, one.deviation_M, cost_J[None, None], offset=ERROR_OFFSET)
            for cost_J in self._search.costs_of(indices_L[None])[0]
        ]
        return int(np.argmax(gains))

    def candidates(self, others: Candidates | None = None) -> Candidates:
        """From the front, from anywhere and from candidates of others, climbing to better ones.

        Args:
            others: judged before; they are not among those returned.
        """
        settings, operators, rng = self._settings, self._search.operators, self._rng
        anywhere_NL = rng.integers(0, operators, (settings.others, self._search.layers))
        pool = self.judged(
            np.concatenate([
                one_change(self._front_NL, operators, settings.neighbours, rng),
                several_changes(self._front_NL, operators, 2, settings.others, rng),
                crossed(self._front_NL, settings.others, rng),
                anywhere_NL,
            ])
        )  # fmt: skip
        for _ in range(settings.rounds):
            best_NL = _joined([pool] if others is None else [pool, others]).best(settings.beam).indices_CL
            if not len(best_NL):
                break
            found = self.judged(one_change(best_NL, operators, settings.neighbours, rng))
            if not len(found):
                break
            pool = _joined([pool, found])
        return pool

    def chosen_together(self, sources: Mapping[Name, Candidates], seats: Mapping[Name, int]) -> list[tuple[Name, int]]:
        """Candidates whose evaluations are expected to add most together.

        Source: Ginsbourger et al., "Kriging is well-suited to parallelize optimization" (2010), the "kriging believer".

        Args:
            sources: candidates, by where they come from.
            seats: how many of each to choose, at most; where one has fewer, others have its seats. Where
                nothing keeps the limits, all go to what exceeds them least, of whatever source.

        Returns:
            Source and place of each, in the order of choice.
        """
        short = {name: candidates.best(self._settings.shortlist) for name, candidates in sources.items()}
        place_C = [(name, place) for name, candidates in short.items() for place in range(len(candidates))]
        if not place_C:
            return []
        indices_CL = np.concatenate([candidates.indices_CL for candidates in short.values()])
        allowed_C = np.concatenate([candidates.gain_C for candidates in short.values()]) >= 0
        if not allowed_C.any():
            # Nothing keeps the limits: what exceeds them least.
            gain_C = np.concatenate([candidates.gain_C for candidates in short.values()])
            return [place_C[place] for place in np.argsort(-gain_C, kind="stable")[: sum(seats.values())]]
        picked = self._picked(indices_CL, allowed_C, [name for name, _ in place_C], dict(seats))
        return [place_C[place] for place in picked]

    def _picked(
        self, indices_CL: Integers, allowed_C: npt.NDArray[np.bool_], name_C: Sequence[Name], left: dict[Name, int]
    ) -> list[int]:
        prediction = self._process.predict(self._search.describe(indices_CL), jointly=True)
        assert prediction.covariance_MM is not None, "it was asked for"
        covariance_CC, mean_C = prediction.covariance_MM.copy(), prediction.mean_M
        cost_CKJ, frame, free_C = self._search.costs_of(indices_CL), self.frame, allowed_C.copy()
        total = sum(left.values())
        picked: list[int] = []
        while len(picked) < total and free_C.any():
            open_C = free_C & np.array([left[name] > 0 for name in name_C])
            # Seats that a source cannot fill go to the others.
            open_C = open_C if open_C.any() else free_C
            deviation_C = np.sqrt(covariance_CC.diagonal().clip(1e-12) + prediction.noise_variance)
            gain_C = frame.expected_improvement(mean_C, deviation_C, cost_CKJ, offset=ERROR_OFFSET)
            best = int(np.where(open_C, gain_C, -1.0).argmax())
            picked.append(best)
            free_C[best] = False
            left[name_C[best]] -= 1
            frame = frame.with_point(float(np.exp(mean_C[best]) - ERROR_OFFSET), cost_CKJ[best])
            row_C = covariance_CC[best].copy()
            covariance_CC -= np.outer(row_C, row_C) / (row_C[best] + prediction.noise_variance)
        return picked


def _not_dominated(frame: Frame) -> npt.NDArray[np.intp]:
    """Places of architectures that have a point that no other's dominates."""
    error_N, cost_NKJ = frame.error_P, frame.cost_PKJ
    count, configurations, _ = cost_NKJ.shape
    point_QM = np.column_stack([np.repeat(error_N, configurations), cost_NKJ.reshape(count * configurations, -1)])
    order = np.lexsort(point_QM.T[::-1])
    kept: list[int] = []
    for place in order:
        if not kept or not (point_QM[kept] <= point_QM[place]).all(1).any():
            kept.append(int(place))
    return np.unique(np.array(kept) // configurations)


def _rows(indices_CL: Integers) -> Integers:
    return np.ascontiguousarray(indices_CL, np.intp)


def _joined(parts: Sequence[Candidates]) -> Candidates:
    return _ordered(
        Candidates(np.concatenate([part.indices_CL for part in parts]), np.concatenate([part.gain_C for part in parts]))
    )


def _ordered(candidates: Candidates) -> Candidates:
    order_C = np.argsort(-candidates.gain_C, kind="stable")
    return Candidates(candidates.indices_CL[order_C], candidates.gain_C[order_C])
