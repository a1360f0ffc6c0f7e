"""Weight steps and theta steps on a GPU, at several batch sizes, in both number formats, and of several searches."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from benchmarks.gpu.kernels import StepFigures, step_figures
from benchmarks.supernets.steps import Task, joint_theta_stepper, theta_stepper, weight_stepper
from dnas.train_precision import TrainPrecision

STEPPERS: dict[str, Callable[[Task], Callable[[int], None]]] = {"weight": weight_stepper, "theta": theta_stepper}


@dataclass(frozen=True, kw_only=True, slots=True)
class StepRow:
    """One kind of steps at one batch size."""

    kind: str
    batch: int
    precision: TrainPrecision
    figures: StepFigures


def step_rows(
    task: Task, batches: tuple[int, ...], precisions: tuple[TrainPrecision, ...], seconds: float
) -> Iterator[StepRow]:
    """All kinds, batch sizes and formats, one after the other."""
    for kind, stepper in STEPPERS.items():
        for batch in batches:
            for precision in precisions:
                figures = step_figures(stepper(replace(task, batch=batch, precision=precision)), batch, seconds)
                yield StepRow(kind=kind, batch=batch, precision=precision, figures=figures)


@dataclass(frozen=True, kw_only=True, slots=True)
class JointRow:
    """Theta steps of several inner searches in one forward."""

    searches: int
    precision: TrainPrecision
    figures: StepFigures
    """Images are those of all searches."""


def joint_rows(
    task: Task, searches: tuple[int, ...], precisions: tuple[TrainPrecision, ...], seconds: float
) -> Iterator[JointRow]:
    """As many searches together as each of these numbers, in all formats."""
    for count in searches:
        for precision in precisions:
            stepper = joint_theta_stepper(replace(task, precision=precision), count)
            figures = step_figures(stepper, count * task.batch, seconds)
            yield JointRow(searches=count, precision=precision, figures=figures)
