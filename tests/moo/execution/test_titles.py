from __future__ import annotations

from pathlib import Path

import pytest

from devices.configuration import RuntimeConfiguration
from dnas.losses import Coefficients
from moo.execution.titles import LONGEST, LONGEST_RUN, run_title, short, title_of
from moo.trials import ArchitectureTrial, CoefficientTrial, DeliveryJob, Job, QuantizationJob

CONFIGURATION = RuntimeConfiguration.parse("ort 4t 1500MHz int8")


@pytest.mark.parametrize(
    ("job", "title"),
    [
        (
            CoefficientTrial(17, 2, Coefficients(0.214159, 0.6, 0.1, 1.0)),
            "trial 17: alpha 0.214, beta 0.6, gamma 0.1, delta 1",
        ),
        (
            CoefficientTrial(3, 0, Coefficients(0.2, 0.6, 0.1, 1.0), CONFIGURATION),
            f"trial 3: alpha 0.2, beta 0.6, gamma 0.1, delta 1, on {CONFIGURATION.short_label}",
        ),
        (ArchitectureTrial(id=4, generation=0, indices=(4, 0, 8)), "architecture 4: 408"),
        (DeliveryJob((4, 10)), "deliver 4-10"),
        (QuantizationJob((1, 2)), "evaluate in int8 12"),
    ],
)
def test_jobs_are_called_by_what_they_are_about(job: Job, title: str) -> None:
    assert title_of(job) == title


def test_trials_that_are_searched_together_are_called_by_their_numbers() -> None:
    trials = [CoefficientTrial(number, 0, Coefficients(0.2, 0.6, 0.1, 1.0)) for number in (8, 9, 11)]
    assert title_of(*trials) == "trials 8, 9, 11, searched together"


def test_names_of_others_are_short_lines() -> None:
    assert run_title(Path("/runs/a\nb\x1b[31m")) == "a b\ufffd[31m"
    assert len(run_title(Path("x" * 300))) <= LONGEST_RUN
    assert run_title(Path("/")) == "run"
    assert len(short("x" * 300)) <= LONGEST
