"""Jobs that a worker does together: trials whose inner searches run in one forward of the supernet (`dnas.joint`).

Which trials are grouped depends on their numbers and a setting, never on how many workers there are. Each job has an
outcome of its own. Start with `groups_of` and `outcomes_of`.
"""

from __future__ import annotations

import logging
import traceback
from collections.abc import Iterable, Iterator, Mapping

from devices.cost_tables.family import CostTables
from moo.execution.evaluator import Evaluator, SearchedTheta
from moo.execution.machinery import is_want
from moo.trials import CoefficientTrial, Job, Outcome, WorkerSetup, failure_of
from search_space.boundary.text import last_line

Group = tuple[Job, ...]
"""Jobs that one worker is given at once: coefficient trials, or a single job of any kind."""
SEARCHES_ON_GPU = 8
"""Inner searches in one forward on a GPU, where no number is set: by counting, fewer leave it idle between launches."""
_LOG = logging.getLogger(__name__)


def most_together(setup: WorkerSetup, *, on_gpu: bool) -> int:
    """How many trials are searched together at most; those with supernets of their own, or in FBNet's form, are not."""
    if setup.independent is not None or setup.weight_sharing != "shared":
        return 1
    return setup.searches_per_worker or (SEARCHES_ON_GPU if on_gpu else 1)


def groups_of(jobs: Iterable[Job], most: int) -> Iterator[Group]:
    """Jobs in groups, in their order; a job is taken when its group is asked for.

    Coefficient trials that follow each other are in one group where their numbers, divided by `most` and rounded down,
    are equal. So trials 0 to 7 are searched together, then 8 to 15, whatever the workers; of a run that goes on, those
    of them that are left. Where a group ends early, the job behind it has been taken, too.
    """
    group: list[Job] = []
    for job in jobs:
        if group and _place(job, most) != _place(group[0], most):
            yield tuple(group)
            group = []
        group.append(job)
        if not isinstance(job, CoefficientTrial) or job.id % most == most - 1:
            yield tuple(group)
            group = []
    if group:
        yield tuple(group)


def outcomes_of(evaluator: Evaluator, group: Group, costs: CostTables, supernet: bytes) -> Iterator[Outcome]:
    """Do the jobs of a group; yields the outcome of each as it comes. Whatever one raises is its own failure.

    Where the inner searches cannot be done together, as when memory is short, they are done one after another.
    """
    searched: Mapping[int, SearchedTheta] = {}
    trials = [job for job in group if isinstance(job, CoefficientTrial)]
    if len(trials) > 1:
        try:
            searched = {one.trial.id: one for one in evaluator.search_thetas(trials, costs, supernet)}
        except Exception as error:
            _LOG.warning(
                "trials %s could not be searched together, and are searched one by one: %s",
                ", ".join(str(trial.id) for trial in trials),
                last_line(str(error)) or type(error).__name__,
            )
    for job in group:
        one = searched.get(job.id) if isinstance(job, CoefficientTrial) else None
        try:
            yield evaluator.run(job, costs, supernet) if one is None else evaluator.result(one)
        except Exception as error:
            yield failure_of(job, traceback.format_exc(), died=is_want(error))


def _place(job: Job, most: int) -> int | None:
    return job.id // most if isinstance(job, CoefficientTrial) else None
