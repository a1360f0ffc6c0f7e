"""What Ray's dashboard calls the jobs of a run: one short line each."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

from moo.trials import ArchitectureTrial, CoefficientTrial, Job, QuantizationJob, named
from search_space.boundary.text import one_line

LONGEST = 100
"""Characters of a title."""
LONGEST_RUN = 40
CHECK_OF_WORKER = "check of a worker"
"""A worker that is asked whether it is up."""


def title_of(job: Job, *others: Job) -> str:
    """A job with what it is about: `trial 17: alpha 0.21, beta 0.6, gamma 0.1, delta 1, on 4t 1500MHz int8`.

    With others, `trials 16, 17, 18, searched together`.
    """
    if others:
        numbers = ", ".join(str(trial.id) for trial in (job, *others) if isinstance(trial, CoefficientTrial))
        return short(f"trials {numbers}, searched together")
    if isinstance(job, CoefficientTrial):
        values = ", ".join(f"{name} {value:.3g}" for name, value in asdict(job.coefficients).items())
        text = f"{named(job)}: {values}"
    elif isinstance(job, ArchitectureTrial):
        text = f"{named(job)}: {_id(job.indices)}"
    else:
        text = f"{'evaluate in int8' if isinstance(job, QuantizationJob) else 'deliver'} {_id(job.indices)}"
    configuration = None if isinstance(job, QuantizationJob) else getattr(job, "configuration", None)
    return short(text if configuration is None else f"{text}, on {configuration.short_label}")


def run_title(folder: Path) -> str:
    """A run folder as part of a name."""
    return one_line(folder.name, most=LONGEST_RUN) or "run"


def short(text: str) -> str:
    """A text as a title."""
    return one_line(text, most=LONGEST)


def _id(indices: tuple[int, ...]) -> str:
    return "".join(map(str, indices)) if max(indices, default=0) < 10 else "-".join(map(str, indices))
