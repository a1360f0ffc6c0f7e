"""A run's choice of networks beside what one would use otherwise, and what to make of it. Start with `alternatives`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from devices.configuration import PRECISIONS
from evaluation.errors import GUESSES
from moo.analysis.chance import SIGNIFICANCE, unpaired_p
from moo.analysis.choices import three_of
from moo.analysis.errors import ToldError, on_test_split, told_error
from moo.analysis.networks import file_costs
from moo.analysis.recipes import how_trained
from moo.analysis.representatives import representatives
from moo.formatting import many, short
from moo.storage.archive import Archive, Costs
from moo.storage.trained_network import TrainedNetwork
from search_space.boundary.text import code
from search_space.counts import count
from search_space.spaces import FBNetSpace

INHERITED = "inherited weights, not trained"
LOST_IN_INT8 = 0.05
"""Accuracy that int8 may cost before that is said."""
PRETRAINED_ROLE, SCRATCH_ROLE = "pre-trained", "published, from scratch"


@dataclass(frozen=True, kw_only=True, slots=True)
class Candidate:
    """A network that one may deploy, in one configuration."""

    name: str
    """Architecture id, or a baseline's name."""
    role: str
    """Of the run's networks, which choice it is; of others, what they are."""
    configuration: str
    """How it runs, in words."""
    error: ToldError
    """On the test split where that was read."""
    costs: Costs | None
    """None where nothing was measured."""
    params: int
    pixels: int
    """Height and width of its images."""
    how: str
    """How it was trained."""
    of_run: bool
    """Whether the run has found it."""
    trained: bool = True
    """Whether it was trained by itself."""


def alternatives(archive: Archive, baselines: Sequence[TrainedNetwork], space: FBNetSpace) -> list[Candidate]:
    """The most accurate, the knee and the fastest of a front, then pre-trained networks, then those from scratch.

    Args:
        archive: of a run.
        baselines: trained networks, measured or not. Of a pre-trained one both files are listed, of others that in the
            precision of the run's base configuration.
        space: that was searched.
    """
    return [*_of_run(archive, space), *_others(archive, baselines, space)]


def verdict(candidates: Sequence[Candidate]) -> str:
    """What the figures say for and against the run's networks, in a few sentences; empty without any to compare."""
    own = [candidate for candidate in candidates if candidate.of_run]
    others = [candidate for candidate in candidates if not candidate.of_run]
    if not own or not others:
        return ""
    best_other = min(others, key=_order)
    best = min(own, key=_order)
    gain = 100 * (best_other.error.error - best.error.error)
    said = [_comparison(best, best_other, own, gain)]
    if best.error.beats_guessing is False:
        said.append(f"The run's networks are not better than {GUESSES[best.error.kind]}.")
    if best_other.error.beats_guessing is False:
        said.append(
            f"Nor is {code(best_other.name)}." if len(said) > 1 else f"{code(best_other.name)} is no better than that."
        )
    if not best.trained:
        said.append(
            f"{code(best.name)} has inherited weights: training (`train_front.py`) usually raises accuracy, so compare "
            "again after it."
        )
    if not any(candidate.role == PRETRAINED_ROLE for candidate in others):
        said.append("No pre-trained network is among them, which is what one would mostly use for few images.")
    said += _lost_in_int8(others)
    return " ".join(said)


def _of_run(archive: Archive, space: FBNetSpace) -> list[Candidate]:
    points = [one.point for one in representatives(archive.front(), archive.data)]
    if not points:
        return []
    told = [told_error(point, archive.data) for point in points]
    candidates = []
    for choice in three_of([point.objectives for point in points], [error.beats_guessing for error in told]):
        point = points[choice.place]
        trained = point.entry.trained if point.trained else None
        graph = space.graph(point.entry.architecture.operators)
        candidates.append(
            Candidate(
                name=point.id,
                role=choice.name,
                configuration=point.configuration.label,
                error=told[choice.place],
                costs=point.costs,
                params=count(graph).params,
                pixels=space.input_size,
                how=INHERITED if trained is None else how_trained(trained),
                of_run=True,
                trained=trained is not None,
            )
        )
    return candidates


def _others(archive: Archive, baselines: Sequence[TrainedNetwork], space: FBNetSpace) -> list[Candidate]:
    base = archive.base
    candidates = []
    for network in sorted(baselines, key=lambda one: (one.pretrained is None, -one.top1, one.name)):
        precisions = PRECISIONS if network.pretrained is not None else (base.precision,)
        for precision in precisions:
            file = network.file(precision)
            if file is None:
                continue
            measured = file.measurement
            label = f"{precision}, not measured" if measured is None else measured.configuration.label
            candidates.append(
                Candidate(
                    name=network.name,
                    role=SCRATCH_ROLE if network.pretrained is None else PRETRAINED_ROLE,
                    configuration=label.replace("fp32", precision) if measured is not None else label,
                    error=on_test_split(1 - file.top1, archive.data),
                    costs=file_costs(network, precision, archive.energy),
                    params=network.params,
                    pixels=space.input_size if network.pretrained is None else network.pretrained.input_size,
                    how=how_trained(network),
                    of_run=False,
                )
            )
    return candidates


def _order(candidate: Candidate) -> tuple[float, float]:
    """The most accurate first, of equals the fastest."""
    return candidate.error.error, float("inf") if candidate.costs is None else candidate.costs.latency_ms


def _comparison(best: Candidate, other: Candidate, own: Sequence[Candidate], gain: float) -> str:
    name = f"{code(other.name)}{_precision(other)}"
    if _is_better(other, best):
        text = f"{name} is {-gain:.0f} points more accurate than {code(best.name)}, the run's most accurate network"
        ratio = _ratio(other, best)
        if ratio is None:
            return f"{text}; their latencies cannot be compared."
        if ratio <= 1:
            return f"{text}, and takes no longer: take it."
        assert other.costs is not None, "a ratio needs costs"
        latency, energy = f"{short(other.costs.latency_ms)} ms", f"{short(other.costs.energy_mj)} mJ"
        return (
            f"{text}, and takes {short(ratio)} times as long ({latency} and {energy} an image): take it if {latency} "
            "are quick enough."
        )
    if _is_better(best, other):
        return (
            f"{code(best.name)} is {gain:.0f} points more accurate than {name}, the best of the others"
            f"{_time(best, other)}."
        )
    equal = [candidate for candidate in own if not _is_better(other, candidate)] or [best]
    chosen = min(equal, key=lambda one: one.costs.latency_ms if one.costs is not None else float("inf"))
    images = "" if other.error.images is None else f" on {other.error.images} test images"
    return (
        f"{code(chosen.name)} cannot be told from {name}, the best of the others, in accuracy{images}"
        f"{_time(chosen, other)}."
    )


def _is_better(one: Candidate, other: Candidate) -> bool:
    """Whether it is more accurate by more than chance explains."""
    if not one.error.error < other.error.error:
        return False
    images = [error.certain_images for error in (one.error, other.error) if error.certain_images is not None]
    if len(images) < 2:
        return True
    return unpaired_p(one.error.error, other.error.error, min(images)) <= SIGNIFICANCE


def _ratio(one: Candidate, other: Candidate) -> float | None:
    """Latency over that of another; None where these did not come about alike."""
    if one.costs is None or other.costs is None:
        return None
    if (one.costs.latency_source == "measured") != (other.costs.latency_source == "measured"):
        return None
    return one.costs.latency_ms / other.costs.latency_ms


def _time(own: Candidate, other: Candidate) -> str:
    ratio = _ratio(other, own)
    if ratio is None:
        return "; their latencies cannot be compared"
    if ratio >= 1:
        return f", and is {short(ratio)} times as fast"
    return f", but takes {short(1 / ratio)} times as long"


def _precision(candidate: Candidate) -> str:
    return " in int8" if "int8" in candidate.configuration else ""


def _lost_in_int8(others: Sequence[Candidate]) -> list[str]:
    pretrained = [candidate for candidate in others if candidate.role == PRETRAINED_ROLE]
    said = []
    for one in pretrained:
        for other in pretrained:
            same = one.name == other.name and not _precision(one) and _precision(other)
            lost = other.error.error - one.error.error
            if same and lost > LOST_IN_INT8:
                points = many(round(100 * lost), "point", "points")
                said.append(f"In int8 {code(one.name)} loses {points} of accuracy: deploy its fp32 file.")
    return said
