"""Networks on the front of a search and near it: those that may get early exits. Start with `candidate_networks`.

The best network as it is need not be the best one with exits, so that those near the front count, too.
Shape suffixes: N points, M objectives.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from moo.storage.archive import Archive, Entry, objectives_of
from moo.storage.pareto import Floats, hypervolume

NEAR = 0.02
"""Of a front's hypervolume: a network is near it where the front dominates it by no more."""
MOST_NETWORKS = 32


@dataclass(frozen=True)
class CandidateNetworks:
    """Networks that may get exits."""

    entries: tuple[Entry, ...]
    """Those of the front first, then the nearest to it."""

    @property
    def trained(self) -> tuple[Entry, ...]:
        """Those that are trained, in their order."""
        return tuple(entry for entry in self.entries if entry.trained is not None)

    @property
    def untrained(self) -> tuple[Entry, ...]:
        """Those that are not, in their order."""
        return tuple(entry for entry in self.entries if entry.trained is None)


def candidate_networks(archive: Archive, *, most: int = MOST_NETWORKS) -> CandidateNetworks:
    """The networks on the front of a search, and those near it: at most so many, and all that are trained of the front.

    Nearness is judged with inherited errors, which all networks have.

    Args:
        archive: of a run that has ended.
        most: networks.
    """
    points = archive.points()
    front = archive.inherited_front()
    if not front:
        return CandidateNetworks(())
    reference = np.array(archive.reference_point)
    near = NEAR * hypervolume(objectives_of(front), reference)
    behind_N = volumes_behind(objectives_of(points), objectives_of(front), reference, most=near)
    best: dict[str, float] = {}
    for point, behind in zip(points, behind_N, strict=True):
        best[point.id] = min(float(behind), best.get(point.id, np.inf))
    on_front = {point.id for point in front}
    final = {point.id for point in archive.front()}
    ids = sorted(
        (name for name, behind in best.items() if behind <= near or name in on_front | final),
        key=lambda name: (name not in on_front, name not in final, best[name], name),
    )[:most]
    return CandidateNetworks(tuple(archive[name] for name in ids))


def volumes_behind(points_NM: Floats, front_NM: Floats, reference_M: Floats, *, most: float) -> Floats:
    """By how much a front dominates each point: the share of the box up to the reference point that lies between.

    It is the hypervolume of the front with the point as its reference, 0 where nothing dominates the point.

    Args:
        points_NM: objectives, shape (N, M).
        front_NM: a non-dominated set.
        reference_M: the reference point.
        most: where one point of the front alone makes it more, it is infinity.
    """
    points_NM, front_NM = points_NM / reference_M, front_NM / reference_M
    volumes_N = np.zeros(len(points_NM))
    for row, point_M in enumerate(points_NM):
        single = np.clip(point_M - front_NM, 0, None).prod(1)
        if single.max(initial=0.0) > most:
            volumes_N[row] = np.inf
        elif single.any() and (point_M > 0).all():
            ahead_NM = front_NM[(front_NM < point_M).all(1)]
            volumes_N[row] = hypervolume(ahead_NM, point_M) * point_M.prod()
    return volumes_N
