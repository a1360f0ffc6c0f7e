from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from moo.analysis.representatives import Representative, distinct_front, is_more_accurate, representatives, verdict_of
from moo.storage.archive import Archive, Entry, OperatingPoint
from moo.storage.origin import SearchDataset, SplitSizes
from tests.moo.conftest import DATASET, EntryOf, TrainedOf

IMAGES = 200
DATA = replace(DATASET, images=replace(DATASET.images, selection=IMAGES))


def right_but(*wrong: int) -> bytes:
    right_N = np.ones(IMAGES, bool)
    right_N[list(wrong)] = False
    return np.packbits(right_N).tobytes()


def evaluated(entry: Entry, wrong: range) -> Entry:
    return replace(entry, error=len(wrong) / IMAGES, correct=right_but(*wrong))


@pytest.fixture
def front(entry_of: EntryOf) -> Any:
    """The dearer, the fewer errors; `333` gets all of what `000` gets right and 4 images more, `888` gets 8 more."""
    archive = Archive((1.0, 10.0, 20.0), data=DATA)
    archive.add(evaluated(entry_of((0, 0, 0), latency_ms=1.0, energy_mj=2.0), range(40)))
    archive.add(evaluated(entry_of((1, 1, 1), latency_ms=2.0, energy_mj=4.0), range(36)))
    archive.add(evaluated(entry_of((2, 2, 2), latency_ms=3.0, energy_mj=6.0), range(32)))
    return archive


def ids(found: tuple[Representative, ...]) -> list[tuple[str, list[str]]]:
    return [(one.point.id, [other.id for other in one.others]) for one in found]


def test_the_cheapest_stands_for_those_that_are_not_significantly_better(front: Archive) -> None:
    # Four images to none have a mid-p of 1/32, eight of 1/512: both are significant, as errors are on the same images.
    assert ids(representatives(front.front(), DATA)) == [("888", []), ("333", []), ("000", [])]
    front.add(evaluated(replace(front["888"], trial_id=-1), range(3, 40)))
    # 888 now errs in 37 images: 3 to none have 1/16.
    assert ids(representatives(front.front(), DATA)) == [("333", []), ("000", [])]


def test_pairs_are_told_apart_where_shares_alone_are_not(front: Archive) -> None:
    best, middle, cheapest = front.front()
    assert is_more_accurate(middle, cheapest, DATA)
    without = [replace(point, entry=replace(point.entry, correct=None)) for point in front.front()]
    assert not is_more_accurate(without[1], without[2], DATA)
    assert ids(representatives(without, DATA)) == [("000", ["333", "888"])]
    assert not is_more_accurate(best, replace(cheapest, entry=without[2].entry), DATA)


def test_more_right_images_with_as_many_lost_are_no_better(entry_of: EntryOf) -> None:
    archive = Archive((1.0, 10.0, 20.0), data=DATA)
    archive.add(evaluated(entry_of((0, 0, 0), latency_ms=1.0), range(40)))
    archive.add(evaluated(entry_of((1, 1, 1), latency_ms=2.0, energy_mj=2.0), range(40, 76)))
    assert ids(representatives(archive.front(), DATA)) == [("000", ["333"])]
    assert [point.id for point in distinct_front(archive)] == ["000"]
    # What the search goes on with is the whole front.
    assert [point.id for point in archive.front()] == ["333", "000"]


def test_a_point_that_needs_less_energy_is_not_merged(entry_of: EntryOf) -> None:
    archive = Archive((1.0, 10.0, 20.0), data=DATA)
    archive.add(evaluated(entry_of((0, 0, 0), latency_ms=1.0, energy_mj=5.0), range(40)))
    archive.add(evaluated(entry_of((1, 1, 1), latency_ms=2.0, energy_mj=4.0), range(40)))
    assert [place for _, place in ids(representatives(archive.front(), DATA))] == [[], []]


def test_a_point_goes_to_the_most_accurate_of_those_that_are_as_good(entry_of: EntryOf) -> None:
    archive = Archive((1.0, 10.0, 20.0), data=DATA)
    archive.add(evaluated(entry_of((0, 0, 0), latency_ms=1.0, energy_mj=5.0), range(40)))
    archive.add(evaluated(entry_of((1, 1, 1), latency_ms=2.0, energy_mj=4.0), range(39)))
    archive.add(evaluated(entry_of((2, 2, 2), latency_ms=3.0, energy_mj=6.0), range(38)))
    assert ids(representatives(archive.front(), DATA)) == [("333", ["888"]), ("000", [])]


def test_a_network_no_better_than_guessing_stands_for_none_that_is(entry_of: EntryOf) -> None:
    few = replace(DATASET, images=SplitSizes(weights=9, theta=9, selection=40, test=40), guessing_error=0.75)
    archive = Archive((1.0, 10.0, 20.0), data=few)
    archive.add(entry_of((0, 0, 0), 0.65, 1.0, 1.0))
    archive.add(entry_of((1, 1, 1), 0.55, 2.0, 2.0))
    assert ids(representatives(archive.front(), few)) == [("333", []), ("000", [])]
    assert ids(representatives(archive.front(), replace(few, guessing_error=None))) == [("000", ["333"])]


def test_nor_one_that_the_test_split_shows_to_be_no_better(entry_of: EntryOf) -> None:
    few = replace(
        DATASET,
        images=SplitSizes(weights=9, theta=9, selection=31, test=31),
        guessing_error=0.7,
        test_guessing_error=0.7,
    )
    archive = Archive((1.0, 10.0, 20.0), data=few)
    archive.add(entry_of((0, 0, 0), 0.45, 1.0, 1.0))
    archive.add(entry_of((1, 1, 1), 0.3, 2.0, 2.0))
    assert ids(representatives(archive.front(), few)) == [("000", ["333"])]
    archive.set_test_error("000", 0.6)
    archive.set_test_error("333", 0.3)
    assert ids(representatives(archive.front(), few)) == [("333", []), ("000", [])]
    assert verdict_of(archive) == ""


def test_without_images_every_difference_counts(entry_of: EntryOf) -> None:
    archive = Archive((1.0, 10.0, 20.0))
    archive.add(entry_of((0, 0, 0), 0.5, 1.0, 1.0))
    archive.add(entry_of((1, 1, 1), 0.499, 2.0, 2.0))
    assert ids(representatives(archive.front(), None)) == [("333", []), ("000", [])]


def test_right_images_are_those_of_inherited_weights_alone(entry_of: EntryOf, trained_of: TrainedOf) -> None:
    archive = Archive((1.0, 10.0, 20.0), data=DATA)
    for indices, wrong, latency_ms in (((0, 0, 0), 40, 1.0), ((1, 1, 1), 36, 2.0)):
        entry = evaluated(entry_of(indices, latency_ms=latency_ms, energy_mj=latency_ms), range(wrong))
        archive.add(replace(entry, trained=trained_of(entry.architecture.id, error=entry.error)))
    assert all(point.trained for point in archive.front())
    assert ids(representatives(archive.front(), DATA)) == [("000", ["333"])]


@pytest.mark.parametrize(("guessing", "said"), [(0.9, False), (0.35, True), (None, False)])
def test_a_run_is_judged_by_its_most_accurate_network(entry_of: EntryOf, guessing: Any, said: bool) -> None:
    data: SearchDataset = replace(DATA, test_guessing_error=guessing)
    archive = Archive((1.0, 10.0, 20.0), data=data)
    assert verdict_of(archive) == ""
    archive.add(evaluated(entry_of((0, 0, 0)), range(40)))
    archive.set_test_error("000", 0.3)
    assert ("on the test split is 30.0 %" in verdict_of(archive).replace("Its error ", "")) == said


def test_points_keep_their_order(front: Archive) -> None:
    points: list[OperatingPoint] = [one.point for one in representatives(front.front()[::-1], DATA)]
    assert points == sorted(points, key=lambda point: point.objectives)
