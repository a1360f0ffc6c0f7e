"""The outer level: which networks get exits."""

from __future__ import annotations

import numpy as np
import pytest

from moo.adaptation.training.backbones import chosen_networks
from moo.analysis.near_front import NEAR, CandidateNetworks, candidate_networks, volumes_behind
from moo.storage.archive import Archive, objectives_of
from moo.storage.pareto import hypervolume, non_dominated
from tests.moo.conftest import TrainedOf, archive_in_configurations


def test_the_volume_behind_a_front_is_that_between_it_and_the_point() -> None:
    reference = np.array([1.0, 10.0, 10.0])
    front = np.array([[0.2, 5.0, 5.0], [0.5, 2.0, 5.0]])
    points = np.array([[0.2, 5.0, 5.0], [0.1, 9.0, 9.0], [0.3, 6.0, 6.0], [0.6, 6.0, 6.0]])
    found = volumes_behind(points, front, reference, most=1.0)
    # Boxes (0.1 x 1 x 1) / 100; then (0.4 x 1 x 1 + 0.1 x 4 x 1 - 0.1 x 1 x 1) / 100.
    assert found == pytest.approx([0.0, 0.0, 0.001, 0.007])
    assert volumes_behind(points, front, reference, most=0.002)[3] == np.inf


def test_by_random_points_it_is_what_the_front_dominates_below_each() -> None:
    rng = np.random.default_rng(0)
    points = rng.random((60, 3))
    front = points[non_dominated(points)]
    for point, volume in zip(points, volumes_behind(points, front, np.ones(3), most=np.inf), strict=True):
        drawn = rng.random((20_000, 3)) * point
        share = (front[None] <= drawn[:, None]).all(-1).any(-1).mean()
        assert volume == pytest.approx(share * point.prod(), abs=0.01)


def trained(archive: Archive, names: list[str], trained_of: TrainedOf) -> None:
    for name in names:
        archive.set_trained(name, trained_of(name, error=archive[name].error))


def test_networks_near_the_front_come_after_those_on_it(trained_of: TrainedOf) -> None:
    archive = archive_in_configurations()
    found = candidate_networks(archive)
    assert found.trained == ()
    front = {point.id for point in archive.inherited_front()}
    names = [entry.architecture.id for entry in found.untrained]
    assert set(names[: len(front)]) == front
    objectives = objectives_of(archive.inherited_front())
    reference = np.array(archive.reference_point)
    limit = NEAR * hypervolume(objectives, reference)
    for entry in archive.entries:
        own = objectives_of([point for point in archive.points() if point.id == entry.architecture.id])
        is_near = volumes_behind(own, objectives, reference, most=np.inf).min() <= limit
        assert (entry.architecture.id in names) == is_near
    trained(archive, names[2:4], trained_of)
    again = candidate_networks(archive)
    assert {entry.architecture.id for entry in again.trained} == set(names[2:4])
    assert {entry.architecture.id for entry in again.untrained} == set(names) - set(names[2:4])


def test_there_are_no_more_than_asked_for(trained_of: TrainedOf) -> None:
    archive = archive_in_configurations()
    names = [entry.architecture.id for entry in candidate_networks(archive).untrained]
    few = candidate_networks(archive, most=2)
    assert [entry.architecture.id for entry in few.untrained] == names[:2]


def test_only_names_trained_networks(trained_of: TrainedOf) -> None:
    archive = archive_in_configurations()
    last = archive.entries[-1].architecture.id
    trained(archive, [last], trained_of)
    candidates = candidate_networks(archive)
    (chosen,) = chosen_networks(candidates, archive, (last,))
    assert chosen.architecture.id == last
    with pytest.raises(ValueError, match=f"which are {last}, but got '000'"):
        chosen_networks(candidates, archive, ("000",))
    assert chosen_networks(CandidateNetworks(candidates.untrained), archive, ()) == ()
