from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks.supernets.forms import FORMS
from benchmarks.supernets.steps import SomeBatches, Task, Turn, theta_steps, weight_steps
from evaluation.batches import ImageBatches

ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize("steps", [weight_steps, theta_steps])
@pytest.mark.parametrize("form", list(FORMS))
def test_a_turn_of_each_form_tells_speed_and_memory(
    tasks: dict[str, Task], form: str, steps: Callable[[Task, float], Turn]
) -> None:
    turn = steps(tasks[form], 0.01)
    assert turn.images_per_second > 0
    assert turn.peak_memory_mb > 10


def test_a_source_has_as_many_images_as_asked_for(tasks: dict[str, Task]) -> None:
    task = tasks["shared"]
    source = SomeBatches(ImageBatches(task.splits.theta, task.splits), 40)
    assert len(source) == 40 > len(task.splits.theta)
    draws = list(source.draws(8, np.random.default_rng(0)))
    assert [len(labels_B) for _, labels_B in source.read(draws)] == [8] * 5


@pytest.mark.slow
def test_peak_memory_is_that_of_the_process_itself_and_stays() -> None:
    """Also where the parent process has more."""
    code = (
        "import numpy as np\n"
        "from benchmarks.supernets import steps\n"
        "before = steps.peak_memory_mb()\n"
        "block = np.ones(2**25); del block\n"
        "print(before, steps.peak_memory_mb())"
    )
    if torch.cuda.is_available():
        pytest.skip("with a GPU its memory counts")
    parent = np.ones(2**27)  # 1 GiB
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    before, after = map(float, done.stdout.split())
    assert before < parent.nbytes / 1e6
    assert after - before == pytest.approx(8 * 2**25 / 1e6, rel=0.2)
