import ast
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from devices import agent
from devices.onnx_graphs import random_weights, to_onnx
from search_space.spaces import space_named

SETTINGS = {"threads": 1, "warmup_runs": 1, "min_runs": 5, "max_runs": 5, "min_seconds": 0}


@pytest.fixture
def model(tmp_path):
    graph = space_named("fbnet-micro").graph(("skip",) * 8)
    path = tmp_path / "model.onnx"
    path.write_bytes(to_onnx(graph, random_weights(graph, np.random.default_rng(0))))
    return path


def replies_to(*lines, script=Path(agent.__file__)):
    """One reply a line from a fresh agent, or fewer if it ends before; its stdin stays open until then."""
    command = [sys.executable, str(script)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        for line in lines:
            process.stdin.write((line if isinstance(line, str) else json.dumps(line)) + "\n")
        process.stdin.flush()
        replies = [json.loads(line) for line in (process.stdout.readline() for _ in lines) if line]
        process.stdin.close()
        assert process.stdout.read() == ""
    assert process.returncode == 0
    return replies


class Clock:
    """A clock that only runs when told to."""

    now_ns = 0

    def __call__(self):
        return self.now_ns


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(agent.time, "perf_counter_ns", clock)
    return clock


def fake_runs(monkeypatch, step):
    monkeypatch.setattr(agent, "_inference", lambda model, threads: step)


def measured(**changes):
    return agent_of(Path("/nowhere")).measure({"model": "none", **SETTINGS, **changes})


def agent_of(root, **options):
    return agent.Agent(root, agent.Clocks(root), **options)


def test_it_describes_and_measures_and_survives_bad_requests(model):
    measure = {"command": "measure", "model": str(model), **SETTINGS}
    replies = replies_to(
        {"id": 1, "command": "describe"},
        "not JSON",
        "[1, 2]",
        {"id": 2, "command": "dance"},
        {"id": 3, **measure, "model": str(model.parent / "missing.onnx")},
        {"id": 4, **measure, "threads": 0},
        {"id": 5, "command": "measure"},
        {"id": 6, **measure},
    )
    assert [reply["id"] for reply in replies] == [1, None, None, 2, 3, 4, 5, 6]
    assert [reply["ok"] for reply in replies] == [True, False, False, False, False, False, False, True]
    assert replies[0]["runtime"].startswith("onnxruntime ")
    assert "describe, clock, cool, measure, run, set_frequency, but got 'dance'" in replies[3]["error"]
    assert "`threads` must be a number of at least 1, but got 0" in replies[5]["error"]
    assert replies[7]["runs"] == 5
    assert 0 < replies[7]["p5_ms"] <= replies[7]["median_ms"]


def test_it_quits_when_told_to():
    assert replies_to({"command": "quit"}, {"id": 1, "command": "describe"}) == []


def test_it_ends_in_the_middle_of_a_measurement_at_the_end_of_stdin(model):
    endless = SETTINGS | {"max_runs": 10**9, "min_seconds": 10**6}
    request = json.dumps({"id": 1, "command": "measure", "model": str(model), **endless})
    command = [sys.executable, agent.__file__]
    done = subprocess.run(command, input=request + "\n", capture_output=True, text=True, timeout=60)
    assert done.returncode == 0
    assert "stdin ended" in json.loads(done.stdout)["error"]


def test_native_prints_do_not_reach_the_protocol(tmp_path):
    noisy = tmp_path / "noisy.py"
    noisy.write_text(
        "import os\n"
        "from devices import agent\n"
        "agent.Agent.describe = lambda self, request: os.write(1, b'noise\\n') and print('noise') or {}\n"
        "agent.main()\n"
    )
    assert replies_to({"id": 1, "command": "describe"}, script=noisy) == [{"id": 1, "ok": True}]


def test_the_quantiles_are_those_of_the_times(monkeypatch, clock):
    durations_ms = iter([50.0, *np.random.default_rng(0).permutation(np.arange(1.0, 102.0))])

    def run():
        clock.now_ns += int(next(durations_ms) * 1e6)

    fake_runs(monkeypatch, run)
    reply = measured(min_runs=101, max_runs=101)
    assert (reply["p5_ms"], reply["median_ms"], reply["iqr_ms"]) == (6.0, 51.0, 50.0)
    assert reply["end_s"] >= reply["start_s"]
    assert set(reply["before"]) == set(reply["after"]) == {"clock_mhz", "temperature_c", "governor", "throttled"}


@pytest.mark.parametrize(
    ("min_runs", "max_runs", "min_seconds", "runs"),
    [(5, 100, 0, 5), (5, 100, 0.02, 20), (5, 12, 0.02, 12), (30, 100, 0.02, 30)],
)
def test_it_stops_by_runs_and_seconds(monkeypatch, clock, min_runs, max_runs, min_seconds, runs):
    def run():
        clock.now_ns += 1_000_000

    fake_runs(monkeypatch, run)
    reply = measured(min_runs=min_runs, max_runs=max_runs, min_seconds=min_seconds)
    assert reply["runs"] == runs


def test_it_is_one_file_for_python_3_9_with_numpy_and_onnxruntime():
    tree = ast.parse(Path(agent.__file__).read_text(), feature_version=(3, 9))
    imported = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    imported |= {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    roots = {name.split(".")[0] for name in imported}
    assert roots - sys.stdlib_module_names == {"numpy", "onnxruntime"}
