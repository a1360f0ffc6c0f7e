"""What counts as a difference between two runs, and what does not."""

from __future__ import annotations

import io
import json
import shutil
from pathlib import Path

import pytest
import torch

from benchmarks.resuming.comparison import differences
from moo.storage.record import begin_record
from moo.storage.run_folder import RunFolder
from moo.trials import ArchitectureTrial, EvaluatedArchitecture, Indices, TrialResult
from search_space.boundary.sealing import sealed_state
from search_space.boundary.writing import write_atomically
from tests.moo.conftest import TINY


def state_of(weight: float, seconds: float) -> bytes:
    content = io.BytesIO()
    torch.save({"weights": torch.full((2, 2), weight), "seconds": seconds}, content)
    return sealed_state(content.getvalue())


def result_of(number: int, indices: Indices, seconds: float) -> TrialResult:
    trial = ArchitectureTrial(id=number, generation=0, indices=indices)
    evaluated = EvaluatedArchitecture(
        indices=indices, error=0.1 * sum(indices), cross_entropy=1.0, latency_ms=1.0, energy_mj=1.0, params=1
    )
    return TrialResult(trial=trial, architectures=(evaluated,), chosen=0, theta=None, seconds=seconds)


def make(folder: Path, *trials: tuple[int, Indices], seconds: float = 1.0, weight: float = 0.5) -> Path:
    record = begin_record(RunFolder(folder))
    record.add_event("started")
    for number, indices in trials:
        record._store.add_result(result_of(number, indices, seconds), TINY)
    record.add_event("measuring", stage="generation 1", networks=["000"], configurations=["1t fp32"])
    record.add_event("finished", seconds=seconds)
    record.close()
    write_atomically(folder / "front.json", json.dumps([{"error": 0.5, "seconds": seconds}]).encode())
    write_atomically(folder / "trained" / "checkpoint.pt", state_of(weight, seconds))
    write_atomically(folder / "front" / "model.onnx", b"network")
    write_atomically(folder / "tensorboard" / "x" / f"events.{seconds}", b"")
    return folder


@pytest.fixture
def whole(tmp_path: Path) -> Path:
    return make(tmp_path / "whole", (0, (0, 0, 0)), (1, (1, 2, 0)))


def test_order_dates_and_durations_make_no_difference(whole: Path, tmp_path: Path) -> None:
    other = make(tmp_path / "other", (1, (1, 2, 0)), (0, (0, 0, 0)), seconds=2.0)
    assert differences(whole, other) == []


def test_every_row_weight_and_file_counts(whole: Path, tmp_path: Path) -> None:
    other = make(tmp_path / "other", (0, (0, 0, 0)), (1, (1, 2, 1)), weight=0.25)
    assert differences(whole, other) == [
        "search.sqlite/architectures differs",
        "search.sqlite/evaluations differs",
        "search.sqlite/trials differs",
        "trained/checkpoint.pt differs",
    ]


def test_what_is_missing_or_left_over_is_named(whole: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    shutil.copytree(whole, other)
    (other / "front" / "model.onnx").unlink()
    (other / "front.json.part").write_bytes(b"")
    assert differences(whole, other) == ["front/model.onnx is missing", "front.json.part is there besides"]
