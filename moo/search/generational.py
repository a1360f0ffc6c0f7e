"""A search in generations: all trials of one have ended before the next is proposed."""

from __future__ import annotations

import itertools
from collections.abc import Callable

from devices.cost_tables.family import CostTables
from moo import events
from moo.config import SearchConfig
from moo.measurement.front import FrontMeasuring
from moo.search.artifacts import SearchFailedError, generation_cost_tables
from moo.search.clock import Clock
from moo.search.proposals import (
    ProposalSource,
    algorithm_of,
    generation_size,
    proposal_of,
    supernet_generations,
    trial_of,
    violation_of,
)
from moo.search.transfer import taken_over
from moo.search.trial_runner import TrialRunner
from moo.storage.record import RunRecord
from search_space.spaces import FBNetSpace

IN_INT8_EACH = 16
"""Networks that are evaluated in int8 after a generation; the rest follows at the end of a run."""


def search_in_generations(
    config: SearchConfig,
    space: FBNetSpace,
    record: RunRecord,
    runner: TrialRunner,
    measuring: FrontMeasuring,
    surrogate_proposals: ProposalSource,
    clock: Clock,
    tell: events.Listener,
    generation_ended: Callable[[int], None],
    *,
    costs: CostTables,
) -> None:
    """Run all generations, or without their number, until the time is over; trials in the store are not run again.

    Args:
        config: of the run.
        space: that is searched.
        record: of the run.
        runner: runs the trials.
        measuring: measures the front between generations.
        surrogate_proposals: what generations after the first ones evaluate.
        clock: the time that there is.
        tell: is told of generations.
        generation_ended: is told of each generation that has ended now, by its number from 1.
        costs: what the first generation is searched with; later ones have it corrected by what was measured.

    Raises:
        SearchFailedError: if all trials of a generation failed, or the store's generation is another one.
    """
    folder, first = record.folder, taken_over(record) or 0
    size = generation_size(config)
    algorithm = algorithm_of(config, space, costs.configurations)
    for generation in itertools.count() if config.minutes else range(config.generations):
        if generation:
            costs = generation_cost_tables(
                folder,
                generation,
                record.archive.tables or costs,
                begun=record.store.has_generation(generation),
            )
            record.check_used(folder.generation_cost_table(generation))
        on_surrogate = generation >= supernet_generations(config)
        more = bool(config.minutes) or generation + 1 < config.generations
        proposals = surrogate_proposals.ask(first, costs, more=more) if on_surrogate else algorithm.ask(size)
        if not proposals:
            record.add_event("converged", generation=generation)
            return
        trials = [
            trial_of(proposal, number=number, generation=generation)
            for number, proposal in enumerate(proposals, start=first)
        ]
        numbers = range(first, first + len(trials))
        first += len(trials)
        stored = record.store.trials(numbers)
        if any(trial.id in stored and stored[trial.id].trial != trial for trial in trials):
            raise SearchFailedError(
                f"generation {generation + 1} in {folder.store} is not the one that these settings give; "
                "was it made with another version of pymoo?"
            )
        waiting = [trial for trial in trials if trial.id not in stored]
        tell(events.GenerationStarted(generation + 1, len(trials), len(trials) - len(waiting)))
        runner.front_changed()
        runner.run(itertools.takewhile(lambda _: not clock.is_over, waiting), costs)
        stored = record.store.trials(numbers)
        ended = [stored[trial.id] for trial in trials if trial.id in stored]
        outcomes = [(proposal_of(item.trial), item.objectives) for item in ended]
        runner.check_not_all_failed(
            generation,
            which=f"every trial of generation {generation + 1}",
            failed=len(outcomes) > 0 and all(objectives is None for _, objectives in outcomes),
        )
        if len(outcomes) == len(trials) and not on_surrogate:
            algorithm.tell(outcomes, [violation_of(item, record.archive, costs) for item in ended])
        runner.evaluate_some_in_int8(costs, stage=f"generation {generation + 1}", most=IN_INT8_EACH)
        surrogate_proposals.settle()
        measuring.between_generations(f"generation {generation + 1}")
        runner.front_changed()
        if waiting:
            generation_ended(generation + 1)
        if clock.is_over:
            return
