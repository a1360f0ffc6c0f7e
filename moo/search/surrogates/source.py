"""What generations on a surrogate evaluate: proposed when they are asked for, or beside the evaluations before them.

Both keep it in the run's folder, so that a resumed run goes on with the same. Start with `proposal_source`.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from concurrent.futures import Future, wait

from devices.cost_tables.family import CostTables
from moo.algorithms.base import Proposal
from moo.analysis.contributions import source_of
from moo.config import SearchConfig
from moo.search.forecast import torch_threads
from moo.search.proposals import ProposalSource, SurrogateChoice, indices_of, kept_proposals
from moo.search.surrogates.task import SurrogateTask, surrogate_task
from moo.storage.record import RunRecord
from moo.trials import Indices
from search_space.spaces import FBNetSpace

PROPOSING_THREADS = 1
"""Of PyTorch: sums do not depend on how many cores there are, and matrices are too small to share."""


def proposal_source(config: SearchConfig, space: FBNetSpace, record: RunRecord) -> ProposalSource:
    """The source of a run's settings.

    Args:
        config: of the run.
        space: that is searched.
        record: of the run.
    """
    return (ProposalsBeside if config.propose_beside else ProposalsWhenAsked)(config, space, record)


class ProposalsWhenAsked:
    """Proposes from all that is known by then; implements `moo.search.proposals.ProposalSource`."""

    def __init__(self, config: SearchConfig, space: FBNetSpace, record: RunRecord) -> None:
        self._config = config
        self._space = space
        self._record = record

    def ask(self, first: int, costs: CostTables, *, more: bool, pending: Sequence[Indices] = ()) -> Sequence[Proposal]:
        """See `ProposalSource.ask`."""
        folder, begun = self._record.folder, self._record.store.has_trial(first)
        proposals = kept_proposals(folder, lambda: self._proposed(first, costs, pending), first=first, begun=begun)
        self._record.check_used(folder.surrogate_proposals(first))
        return proposals

    def settle(self) -> None:
        """See `ProposalSource.settle`; nothing goes on."""

    def _proposed(self, first: int, costs: CostTables, pending: Sequence[Indices]) -> list[SurrogateChoice]:
        with torch_threads(PROPOSING_THREADS):
            return self._task(first, costs, pending=pending).proposals()

    def _task(
        self, before: int, costs: CostTables, *, first: int | None = None, pending: Sequence[Indices] = ()
    ) -> SurrogateTask:
        trials = self._record.store.trials(range(before))
        return surrogate_task(
            self._config,
            self._space,
            self._record.archive,
            costs,
            before=before,
            sources={number: source_of(stored.trial) for number, stored in trials.items()},
            first=first,
            pending=pending,
        )


class ProposalsBeside(ProposalsWhenAsked):
    """Proposes each generation while the one before it is evaluated; implements `moo.search.proposals.ProposalSource`.

    What is known is what was known when that one began, so results do not depend on how long anything takes; of its
    own architectures, the surrogate's expectation stands for the errors. The first is proposed when it is asked for.
    """

    def __init__(self, config: SearchConfig, space: FBNetSpace, record: RunRecord) -> None:
        super().__init__(config, space, record)
        self._coming: dict[int, Future[list[SurrogateChoice]]] = {}
        """What is proposed beside, by the number of its first trial: one at most."""

    def ask(self, first: int, costs: CostTables, *, more: bool, pending: Sequence[Indices] = ()) -> Sequence[Proposal]:
        """See `ProposalSource.ask`; begins with the next ones."""
        proposals = super().ask(first, costs, more=more, pending=pending)
        following = first + len(proposals)
        if more and proposals and not self._record.folder.surrogate_proposals(following).exists():
            own = [*pending, *map(indices_of, proposals)]
            self._coming = {following: _begun(self._task(first, costs, first=following, pending=own))}
        return proposals

    def settle(self) -> None:
        """See `ProposalSource.settle`."""
        wait(self._coming.values())

    def _proposed(self, first: int, costs: CostTables, pending: Sequence[Indices]) -> list[SurrogateChoice]:
        coming = self._coming.pop(first, None)
        # Nothing new by what was known then is no end of the search: by now more is known.
        found = [] if coming is None else coming.result()
        return found or _begun(self._task(first, costs, pending=pending)).result()


def _begun(task: SurrogateTask) -> Future[list[SurrogateChoice]]:
    """Have it done by a thread, which nobody waits for where the search ends before."""
    future: Future[list[SurrogateChoice]] = Future()

    def work() -> None:
        try:
            with torch_threads(PROPOSING_THREADS):
                future.set_result(task.proposals())
        except BaseException as error:
            future.set_exception(error)

    threading.Thread(target=work, name="proposals", daemon=True).start()
    return future
