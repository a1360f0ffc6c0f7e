"""What each source of candidates has contributed to a search: evaluations, and hypervolume that they added.

Start at `contributions`; `seats_by` turns what two sources did into how many evaluations each gets next.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeVar

from moo.storage.pareto import Floats, growing_hypervolume
from moo.trials import CoefficientTrial, Trial

TrialSource = Literal["taken over", "supernet", "coefficients", "neighbours"]
"""Another run; inner searches on the supernet; such on the surrogate; architectures that the outer loop itself
proposes."""
Name = TypeVar("Name", bound=str)
EVALUATIONS_ASSUMED = 16
"""Of each source, at the rate of all together: what is told of a source by few evaluations counts little."""


@dataclass(frozen=True, slots=True)
class Contribution:
    """Of one source; of none yet by default."""

    evaluations: int = 0
    hypervolume: float = 0.0
    """That its architectures added when they were evaluated, in the order of trials."""


def source_of(trial: Trial) -> TrialSource:
    """Where a trial's architectures come from."""
    if trial.generation < 0:
        return "taken over"
    if isinstance(trial, CoefficientTrial):
        return "supernet"
    return "neighbours" if trial.coefficients is None else "coefficients"


def contributions(
    source_N: Sequence[Name], point_NKM: Iterable[Floats], reference_M: Floats
) -> dict[Name, Contribution]:
    """What each source contributed.

    Args:
        source_N: of architectures, in the order in which they were evaluated.
        point_NKM: their objectives, error first, in each runtime configuration.
        reference_M: reference point of the hypervolume.
    """
    found: dict[Name, Contribution] = {}
    before = 0.0
    for source, volume in zip(source_N, growing_hypervolume(point_NKM, reference_M), strict=True):
        own = found.get(source, Contribution())
        found[source] = Contribution(own.evaluations + 1, own.hypervolume + volume - before)
        before = volume
    return found


def seats_by(found: Mapping[Name, Contribution], count: int) -> dict[Name, int]:
    """How many of `count` evaluations each source gets: in proportion to what one of its evaluations added, each one.

    Args:
        found: what the sources contributed.
        count: to share.
    """
    evaluations = sum(one.evaluations for one in found.values())
    rate = sum(one.hypervolume for one in found.values()) / max(1, evaluations)
    rates = {
        name: (one.hypervolume + rate * EVALUATIONS_ASSUMED) / (one.evaluations + EVALUATIONS_ASSUMED)
        for name, one in found.items()
    }
    total = sum(rates.values())
    shares = {name: count * (one / total if total > 0 else 1 / len(rates)) for name, one in rates.items()}
    least = 1 if count >= len(shares) else 0
    seats = {name: max(least, int(share)) for name, share in shares.items()}
    while sum(seats.values()) != count:
        step = 1 if sum(seats.values()) < count else -1
        # The one whose share is farthest from what it has.
        open_to = [name for name in seats if step > 0 or seats[name] > least]
        seats[max(open_to, key=lambda name: step * (shares[name] - seats[name]))] += step
    return seats
