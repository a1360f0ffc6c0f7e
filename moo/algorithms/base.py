"""The one interface of algorithms: they propose, and are told what proposals came to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from dnas.losses import Coefficients
from moo.trials import Indices, Objectives


@dataclass(frozen=True)
class SurrogateProposal:
    """An architecture worth paying for."""

    indices: tuple[int, ...]
    coefficients: Coefficients
    """The first whose theta gave it."""


Proposal = Coefficients | Indices | SurrogateProposal
"""Coefficients for an inner search, an architecture to evaluate as it is, or one that a search on a surrogate gave."""


class Algorithm(Protocol):
    """Proposes what to try."""

    def ask(self, count: int) -> Sequence[Proposal]:
        """New proposals; fewer than asked for, or none, where it has no more."""

    def tell(self, outcomes: Sequence[tuple[Proposal, Objectives | None]]) -> None:
        """What proposals came to; `None` for one that failed."""
