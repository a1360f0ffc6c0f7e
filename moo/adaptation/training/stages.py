"""Trains exits, or networks together with their exits, and keeps how far each has come. Start with `train_stages`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from evaluation.training.job import EpochDone, StepDone, TrainFailure, TrainingJob
from moo import events
from moo.adaptation.training.folder import StageFolder
from moo.execution.backend import Trainer
from moo.storage.record import RunRecord

OutcomeT = TypeVar("OutcomeT")


@dataclass(frozen=True)
class StageTraining(Generic[OutcomeT]):
    """Something to train, and where it is kept."""

    folder: StageFolder
    job: TrainingJob[OutcomeT]


def train_stages(
    trainings: Sequence[StageTraining[OutcomeT]],
    trainer: Callable[[], Trainer],
    keep: Callable[[str, OutcomeT], None],
    record: RunRecord,
    tell: events.Listener,
) -> dict[str, str]:
    """Train, or go on with what was interrupted.

    Args:
        trainings: each with a name of its own.
        trainer: gives what trains them; called if there is anything to train.
        keep: keeps an outcome by its name, so that it is not trained again.
        record: of the run; gets failures.
        tell: is told of progress.

    Returns:
        Why those failed that did, by name.

    Raises:
        ValueError: if a state of training is damaged.
        MachineryError: if what trains them died and cannot be had again.
    """
    if not trainings:
        return {}
    folders = {training.job.name: training.folder for training in trainings}
    jobs = [(training.job, training.folder.read_checkpoint()) for training in trainings]
    failures: dict[str, str] = {}
    for name, event in trainer().train(jobs):
        _keep(name, event, folders[name], keep, record, tell, failures)
    return failures


def _keep(
    name: str,
    event: StepDone | EpochDone | TrainFailure | Any,
    folder: StageFolder,
    keep: Callable[[str, Any], None],
    record: RunRecord,
    tell: events.Listener,
    failures: dict[str, str],
) -> None:
    if isinstance(event, StepDone):
        tell(events.TrainingProgress(name, event.step, event.total_steps))
    elif isinstance(event, EpochDone):
        folder.write_checkpoint(event.state)
        for divergence in event.divergences:
            tell(events.TrainingDiverged(name, divergence))
        tell(events.TrainingProgress(name, event.step, event.total_steps, event))
    elif isinstance(event, TrainFailure):
        failures[name] = event.reason or event.traceback.strip().splitlines()[-1]
        record.add_event("training failed", network=name, traceback=event.traceback)
        tell(events.TrainingFailed(name, failures[name]))
    else:
        keep(name, event)
