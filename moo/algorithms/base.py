"""The one interface of algorithms: they propose, and are told what proposals came to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from devices.configuration import RuntimeConfiguration
from dnas.losses import Coefficients
from moo.trials import Indices, Objectives


@dataclass(frozen=True)
class SurrogateProposal:
    """An architecture worth paying for."""

    indices: tuple[int, ...]
    coefficients: Coefficients | None
    """The first whose theta gave it; None where a local search over architectures found it."""


PlainProposal = Coefficients | Indices | SurrogateProposal
"""Coefficients for an inner search, an architecture to evaluate as it is, or one that a search on a surrogate gave."""


@dataclass(frozen=True)
class ConfiguredProposal:
    """A proposal of a run with several runtime configurations: with the one that it is tried for."""

    proposal: PlainProposal
    configuration: RuntimeConfiguration


Proposal = PlainProposal | ConfiguredProposal


class Algorithm(Protocol):
    """Proposes what to try."""

    def ask(self, count: int) -> Sequence[Proposal]:
        """New proposals; fewer than asked for, or none, where it has no more."""

    def tell(
        self, outcomes: Sequence[tuple[Proposal, Objectives | None]], violations: Sequence[float] | None = None
    ) -> None:
        """What proposals came to.

        Args:
            outcomes: each with its objectives; `None` for one that failed.
            violations: by how much each exceeds the limits of the run, 0 within them; None where it has none.
        """
