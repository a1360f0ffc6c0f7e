"""Weight steps and theta steps on a GPU, at several batch sizes and in both number formats."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from benchmarks.gpu.kernels import StepFigures, step_figures
from benchmarks.supernets.steps import Task, theta_stepper, weight_stepper
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
