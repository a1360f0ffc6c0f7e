"""A search without generations: a free worker gets a new trial at once. For clusters of unequal machines."""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Callable, Iterator

from devices.cost_tables.family import CostTables
from moo import events
from moo.algorithms.base import Proposal
from moo.config import SearchConfig
from moo.measurement.front import FrontMeasuring
from moo.search.clock import Clock
from moo.search.proposals import (
    ProposalSource,
    algorithm_of,
    expected_trials,
    generation_size,
    supernet_generations,
    surrogate_generation_size,
    tell_algorithm,
    trial_of,
    violation_of,
)
from moo.search.transfer import taken_over
from moo.search.trial_runner import TrialRunner
from moo.storage.record import RunRecord
from moo.trials import ArchitectureTrial, Indices, Objectives, Trial
from search_space.spaces import FBNetSpace

LEARN_NOTHING = ("random", "grid")
"""Methods whose proposals do not depend on what came of earlier ones."""


def search_asynchronously(
    config: SearchConfig,
    space: FBNetSpace,
    record: RunRecord,
    runner: TrialRunner,
    measuring: FrontMeasuring,
    surrogate_proposals: ProposalSource,
    clock: Clock,
    tell: events.Listener,
    generation_ended: Callable[[None], None],
    *,
    costs: CostTables,
) -> None:
    """Run trials until enough were tried or the time is over; this machine's own board measures at the end.

    Args:
        config: of the run.
        space: that is searched.
        record: of the run.
        runner: runs the trials.
        measuring: measures the front.
        surrogate_proposals: what trials after the first ones evaluate.
        clock: the time that there is.
        tell: is told of the beginning.
        generation_ended: is called each time that as many trials have ended as a generation has.
        costs: what trials are searched with.

    Raises:
        SearchFailedError: if as many trials in a row failed as the population has.
    """
    before = taken_over(record) or 0
    total = None if config.minutes else expected_trials(config)
    stored = [item for item in record.store.trials_as_they_ended() if item.trial.id >= before]
    start = 1 + max((item.trial.id for item in stored), default=before - 1)
    # What learns nothing proposes the very same again, so that a trial that was interrupted is not lost.
    repeated = start - before if config.method in LEARN_NOTHING else 0
    algorithm = algorithm_of(config, space, costs.configurations, start=start - before - repeated)
    ended = {item.trial.id for item in stored}
    interrupted = deque(
        trial_of(proposal, number=number, generation=0)
        for number, proposal in enumerate(algorithm.ask(repeated), start=before)
        if number not in ended
    )
    left = None if total is None else total - len(stored) - len(interrupted)
    for item in stored:
        tell_algorithm(algorithm, config.method, item.trial, item.objectives, violation_of(item, record.archive, costs))
    failures = 0
    chosen: deque[Proposal] = deque()
    under_way: dict[int, Indices] = {}
    """Architectures that are being evaluated, by trial."""

    def proposed(number: int) -> Proposal | None:
        if number < supernet_generations(config) * generation_size(config) or len(record.archive) < 2:
            return next(iter(algorithm.ask(1)), None)
        if not chosen:
            more = left is None or number - start + surrogate_generation_size(config) < left
            pending = tuple(under_way.values())
            chosen.extend(surrogate_proposals.ask(number, costs, more=more, pending=pending))
        return chosen.popleft() if chosen else None

    def is_over() -> bool:
        return clock.is_over or failures >= config.population

    def trials() -> Iterator[Trial]:
        while interrupted and not is_over():
            yield interrupted.popleft()
        for number in itertools.count(start):
            enough = left is not None and number - start >= left
            if enough or is_over():
                return
            proposal = proposed(number)
            if proposal is None:
                record.add_event("converged", trial=number)
                return
            trial = trial_of(proposal, number=number, generation=0)
            if isinstance(trial, ArchitectureTrial):
                under_way[number] = trial.indices
            yield trial

    def learn(trial: Trial, objectives: Objectives | None, violation: float) -> None:
        nonlocal failures
        under_way.pop(trial.id, None)
        failures = 0 if objectives is not None else failures + 1
        tell_algorithm(algorithm, config.method, trial, objectives, violation)
        if (done := record.store.num_trials()) and done % generation_size(config) == 0:
            generation_ended(None)

    tell(events.GenerationStarted(1, total or 0, len(stored)))
    runner.front_changed()
    runner.run(trials(), costs, learn)
    failed = failures >= config.population
    runner.check_not_all_failed(0, which=f"{failures} trials in a row", failed=failed)
    surrogate_proposals.settle()
    measuring.between_generations("asynchronous")
    runner.front_changed()
