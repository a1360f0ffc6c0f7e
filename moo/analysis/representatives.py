"""The points of a front that can be told apart, each standing for those that cannot. Start with `representatives`.

What is shown and handed out as a choice is made of these; the search itself goes on with the whole front.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Sequence
from dataclasses import dataclass

from moo.analysis.chance import SIGNIFICANCE, paired_p, unpaired_p
from moo.analysis.errors import guessing_verdict, on_selection_split, told_error
from moo.storage.archive import Archive, OperatingPoint
from moo.storage.origin import SearchDataset


@dataclass(frozen=True)
class Representative:
    """A point that stands for others."""

    point: OperatingPoint
    others: tuple[OperatingPoint, ...]
    """Points that cost no less, and are not significantly more accurate."""


def representatives(front: Sequence[OperatingPoint], data: SearchDataset | None) -> tuple[Representative, ...]:
    """The points of a front that can be told apart, best accuracy first.

    From the cheapest on, a point is merged into one that costs no more latency and no more energy where its own error
    is not significantly lower; into the most accurate of these, where there are several. One that is no better than
    guessing, on the selection split or on the test split where that was read, stands for none that is better: with few
    images, chance would hide the one network that has learnt something behind one that has not.

    Args:
        front: points that none dominates.
        data: the images that errors are of; without, only points whose right and wrong images are known are compared.
    """
    kept: list[tuple[OperatingPoint, list[OperatingPoint]]] = []
    for point in sorted(front, key=lambda one: (one.costs.latency_ms, one.costs.energy_mj, one.error)):
        # The most accurate comes first, so that the first that is as good ends the search.
        merged = next((others for cheap, others in kept if _is_as_good(cheap, point, data)), None)
        if merged is None:
            insort(kept, (point, []), key=lambda one: one[0].objectives)
        else:
            merged.append(point)
    return tuple(Representative(point, tuple(others)) for point, others in kept)


def distinct_front(archive: Archive) -> tuple[OperatingPoint, ...]:
    """The points of an archive's front that can be told apart, best accuracy first."""
    return tuple(one.point for one in representatives(archive.front(), archive.data))


def verdict_of(archive: Archive) -> str:
    """What to say where the most accurate network is no better than guessing, and what to try; else empty."""
    front = distinct_front(archive)
    return guessing_verdict(told_error(front[0], archive.data)) if front else ""


def is_more_accurate(point: OperatingPoint, other: OperatingPoint, data: SearchDataset | None) -> bool:
    """Whether the error of a point on the selection split is significantly lower than another's.

    Where right and wrong images of both are known, which they are of inherited weights in fp32, they are compared image
    by image. Where neither this nor the number of images is known, each difference counts.
    """
    if point.error >= other.error:
        return False
    own, others = _correct(point), _correct(other)
    if data is not None and data.certain is not None:
        return unpaired_p(point.error, other.error, data.certain.selection) <= SIGNIFICANCE
    if own is not None and others is not None and len(own) == len(others):
        return paired_p(own, others) <= SIGNIFICANCE
    images = on_selection_split(point.error, data).images
    return images is None or unpaired_p(point.error, other.error, images) <= SIGNIFICANCE


def _is_as_good(cheap: OperatingPoint, point: OperatingPoint, data: SearchDataset | None) -> bool:
    if cheap.costs.energy_mj > point.costs.energy_mj or is_more_accurate(point, cheap, data):
        return False
    selection = [on_selection_split(one.error, data).beats_guessing for one in (point, cheap)]
    told = [told_error(one, data).beats_guessing for one in (point, cheap)]
    return [True, False] not in (selection, told)


def _correct(point: OperatingPoint) -> bytes | None:
    is_known = not point.trained and point.configuration.precision == "fp32"
    return point.entry.correct if is_known else None
