"""Three points of a front to choose from: most accurate, knee, fastest above chance. Start with `three_of`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Objectives = tuple[float, float, float]
"""Error, latency in ms, energy in mJ."""
MOST_ACCURATE, KNEE, FASTEST = "most accurate", "knee", "fastest"
ABOVE_CHANCE = "fastest above chance"


@dataclass(frozen=True)
class Choice:
    """A point to choose, and why."""

    roles: tuple[str, ...]
    """What it is, `most accurate`, `knee` or `fastest above chance`; several where these coincide."""
    place: int
    """Among the points that were given."""

    @property
    def name(self) -> str:
        """All that it is, as people read it."""
        return ", ".join(self.roles)


def three_of(objectives: Sequence[Objectives], beats_guessing: Sequence[bool | None]) -> tuple[Choice, ...]:
    """The most accurate point, the knee, and the fastest above chance; fewer where they coincide.

    Where no point is known to be better than guessing, the third is the fastest of all, and called no more than that.

    Args:
        objectives: error, latency in ms and energy in mJ of points that can be told apart; at least one.
        beats_guessing: whether each is better than guessing; None where that is not known.
    """
    places = range(len(objectives))
    above = [place for place in places if beats_guessing[place]]
    fastest = min(above or places, key=lambda place: (objectives[place][1], objectives[place]))
    wanted = (
        (MOST_ACCURATE, min(places, key=lambda place: objectives[place])),
        (KNEE, knee_place(objectives)),
        (ABOVE_CHANCE if above else FASTEST, fastest),
    )
    roles: dict[int, list[str]] = {}
    for role, place in wanted:
        roles.setdefault(place, []).append(role)
    return tuple(Choice(tuple(names), place) for place, names in roles.items())


def knee_place(objectives: Sequence[Objectives]) -> int:
    """Place of the point where the points bulge most towards the ideal one.

    Error, latency and energy are normalised to [0, 1] over the points. The extremes are the points that are best in one
    of them; they span a plane, or a line where one point is best in two. The knee is the point that lies farthest, at a
    right angle, on that side of it where the ideal point (0, 0, 0) is. Where no point lies there (there are only two,
    say, or the front bulges away from the ideal) it is the most accurate one.

    Source: Das, "On characterizing the 'knee' of the Pareto curve based on normal-boundary intersection", Structural
    Optimization 18 (1999), 107-115. Departure: of the points at hand the farthest is taken, not the solution of the
    normal-boundary subproblem.

    Args:
        objectives: error, latency in ms and energy in mJ; at least one point.
    """
    order = sorted(range(len(objectives)), key=lambda place: objectives[place])
    ordered = np.array([objectives[place] for place in order])
    return order[int(np.argmax(np.round(bulge(ordered), 12)))]


def bulge(objectives: Floats) -> Floats:
    """How far each point lies beyond the plane or line through the extremes, towards the ideal point.

    Args:
        objectives: shape (N, M), all minimised, N >= 1; they are normalised to [0, 1] here, and those of one value
            only are left out.

    Returns:
        Shape (N,): signed distances in the normalised space, 0 for the extremes.
    """
    low, high = objectives.min(axis=0), objectives.max(axis=0)
    varies = high > low
    if not varies.any():
        return np.zeros(len(objectives))
    normalised = ((objectives - low) / np.where(varies, high - low, 1.0))[:, varies]
    totals = normalised.sum(axis=1)
    extremes = normalised[[int(np.lexsort((totals, column))[0]) for column in normalised.T]]
    spread = (extremes[1:] - extremes[0]).T
    along = spread @ np.linalg.pinv(spread)
    towards_ideal = -(extremes[0] - along @ extremes[0])
    length = float(np.linalg.norm(towards_ideal))
    if length < 1e-12:
        return np.zeros(len(objectives))
    distances: Floats = (normalised - extremes[0]) @ towards_ideal / length
    return distances
