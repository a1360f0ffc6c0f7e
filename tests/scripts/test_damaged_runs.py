"""The commands themselves on damaged runs: exit code 2, and one line that names the file and the remedy."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from benchmarks.safety.small_runs import make_runs

ROOT = Path(__file__).parents[2]


def thorough(*case: str) -> Any:
    """A case that takes a process of which another one does the like."""
    return pytest.param(*case, marks=pytest.mark.thorough)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The small runs; each test damages a copy in their place."""
    path = tmp_path_factory.mktemp("damaged")
    make_runs(path / "runs")
    shutil.move(path / "runs", path / "whole")
    return path


@pytest.mark.slow
@pytest.mark.parametrize(
    ("command", "file", "remedy"),
    [
        thorough(
            "pareto_search.py --resume begun --no-dashboard",
            "begun/checkpoints/supernet.safetensors",
            "begin a new run",
        ),
        ("pareto_search.py --resume begun --no-dashboard", "begun/search.sqlite", "begin a new run"),
        thorough("pareto_search.py --resume begun", "begun/config.json", "begin anew"),
        thorough(
            "pareto_search.py --resume pretraining --no-dashboard",
            "pretraining/checkpoints/pretraining.pt",
            "remove it",
        ),
        thorough(
            "pareto_search.py --from finished --out new", "finished/checkpoints/supernet.safetensors", "begin a new run"
        ),
        thorough("train_front.py finished --no-measure --no-dashboard", "finished/search.sqlite", "begin a new run"),
        thorough(
            "compare_baselines.py finished --pretrained none", "finished/state.json", "have the run write it anew"
        ),
        thorough("select_network.py finished", "finished/front.json", "have the run write it anew"),
        ("select_network.py finished --adaptive", "finished/front_adaptive.json", "have adapt_front.py write it anew"),
        thorough("train_architecture.py --resume training", "training/checkpoint.pt", "train from the start"),
    ],
)
def test_a_changed_byte_is_named_by_the_command(whole: Path, command: str, file: str, remedy: str) -> None:
    runs = whole / "runs"
    shutil.rmtree(runs, ignore_errors=True)
    shutil.copytree(whole / "whole", runs)
    content = bytearray((runs / file).read_bytes())
    # Of a store, a place where there is a row.
    place = content.rindex(b"searching") if file.endswith("sqlite") else len(content) // 2
    content[place] ^= 1
    (runs / file).write_bytes(content)
    script, *options = command.split()
    done = subprocess.run(
        [sys.executable, str(ROOT / "scripts" / script), *options],
        cwd=runs,
        env=os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=400,
    )
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert done.returncode == 2
    assert Path(file).name in line
    assert remedy in line
    assert "Traceback" not in done.stderr + done.stdout
    assert not (runs / "new").exists()
