import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from benchmarks.gpu.kernels import TRIAL_STEPS, WARM_UP_STEPS, step_figures
from benchmarks.gpu.measure import GpuConfig

SCRIPT = Path(__file__).parents[3] / "benchmarks" / "gpu" / "measure.py"


def test_as_many_steps_are_timed_as_fill_the_time(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, made = [0.0], []

    def steps(number: int) -> None:
        made.append(number)
        clock[0] += 0.25 * number

    monkeypatch.setattr("benchmarks.turns.time.perf_counter", lambda: clock[0])
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    figures = step_figures(steps, 32, 3.0)
    assert made == [WARM_UP_STEPS, TRIAL_STEPS, 12]
    assert (figures.step_ms, figures.images_per_second) == (250.0, 128.0)
    assert figures.kernel_share is None


@pytest.mark.thorough
@pytest.mark.slow
def test_every_piece_is_measured() -> None:
    done = subprocess.run([sys.executable, SCRIPT, "--quick", "--json"], capture_output=True, text=True, check=True)
    content = json.loads(done.stdout)
    for piece in GpuConfig().piece:
        assert content[piece], piece
    steps = {(row["kind"], row["precision"]) for row in content["steps"]}
    assert steps == {(kind, precision) for kind in ("weight", "theta") for precision in ("fp32", "bf16")}
    assert all(row["figures"]["images_per_second"] > 0 for row in content["steps"])
