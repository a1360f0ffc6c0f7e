"""Figures of the default supernet compared with those of its references."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

from benchmarks.supernets.equal_time import Point
from benchmarks.supernets.steps import Turn
from benchmarks.turns import median_ratio

REFERENCES = ("separate", "quick")
"""Forms that the default is compared with."""
LEAST_ACCURACY = 1e-9
"""Of a reference, so that a ratio exists."""
Turns = Mapping[str, Sequence[Turn]]
"""By form."""


@dataclass(frozen=True)
class Results:
    """Everything that was found, by form."""

    weight_turns: Turns
    theta_turns: Turns
    points: Mapping[str, Sequence[Point]]
    """Empty where nothing was trained."""

    @property
    def turns(self) -> dict[str, Turns]:
        """Turns by what was timed."""
        return {"weight steps": self.weight_turns, "theta steps": self.theta_turns}


def images_ratio(turns: Turns, reference: str) -> float:
    """Median over the rounds: images a second of the shared form over those of a reference."""
    speeds = {form: [turn.images_per_second for turn in turns[form]] for form in ("shared", reference)}
    return median_ratio(speeds["shared"], speeds[reference])


def accuracy_ratio(results: Results, reference: str) -> float:
    """Mean accuracy of sub-networks at the end: the shared form over a reference."""
    return results.points["shared"][-1].mean / max(results.points[reference][-1].mean, LEAST_ACCURACY)


def median_turn(turns: Sequence[Turn]) -> Turn:
    """Median speed and the most memory."""
    speed = statistics.median(turn.images_per_second for turn in turns)
    return Turn(speed, max(turn.peak_memory_mb for turn in turns))


def content_of(results: Results) -> dict[str, object]:
    """The figures, for programs."""
    content: dict[str, object] = {}
    for name, turns in results.turns.items():
        content[name] = {form: asdict(median_turn(of_form)) for form, of_form in turns.items()}
        content[f"times {name}"] = {reference: images_ratio(turns, reference) for reference in REFERENCES}
    if results.points:
        content["accuracy"] = {
            form: [asdict(point) | {"mean": point.mean} for point in points] for form, points in results.points.items()
        }
        content["times accuracy"] = {reference: accuracy_ratio(results, reference) for reference in REFERENCES}
    return content
