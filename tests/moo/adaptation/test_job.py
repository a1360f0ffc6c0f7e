"""Networks of a tiny run adapted: the front, what is kept, and going on after an interruption."""

from __future__ import annotations

import shutil
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from devices.replay import ReplayDevice, recorded
from evaluation.early_exits.policy import judged
from moo.adaptation.training.folder import AdaptationFolder
from moo.analysis.adaptation import gains_text, read_adaptive_results
from moo.deployment.finished_run import FinishedRun, record_of
from moo.storage.adaptive_front import read_adaptive_front
from moo.storage.pareto import non_dominated
from tests.interruptions import Copies
from tests.moo.adaptation.conftest import Adapt, Adapted, at
from tests.moo.deployment.test_training import SerialTrainer


def test_the_front_is_what_no_point_dominates_static_networks_among_them(adapted_once: Adapted) -> None:
    front = read_adaptive_front(adapted_once.run.folder.adaptive_front)
    assert front == adapted_once.result.front
    assert any(point.exits for point in front)
    assert len(non_dominated(np.array([point.objectives for point in front]))) == len(front)
    with closing(record_of(adapted_once.run)) as record:
        for static in record.archive.trained_points():
            assert any(all(np.array(point.objectives) <= np.array(static.objectives) + 1e-12) for point in front)


@pytest.mark.parametrize("options", [{}, {"threads": (1,), "precision": ("int8",)}, {"energy": "gross"}])
def test_what_the_report_says_of_gains_is_what_the_command_said(
    adapted_run: FinishedRun, adapted: Adapt, options: Any
) -> None:
    done = adapted(adapted_run, **options)
    results = read_adaptive_results(adapted_run.folder)
    assert results is not None
    assert results.is_whole
    with closing(record_of(adapted_run)) as record:
        found = results.gains(record.archive)
    assert found is not None
    assert gains_text(found) == done.gains


def test_figures_of_points_are_those_of_their_segments(adapted_once: Adapted) -> None:
    front = adapted_once.result.front
    assert any(point.exits for point in front)
    for point in front:
        if not point.exits:
            continue
        folder = adapted_once.run.folder.adaptation(point.id) / "deployed"
        assert len(list(folder.glob("segment_*.onnx"))) == 2 * (len(point.exits) + 1)
        assert point.latency_ms == pytest.approx(np.dot(point.exit_shares, point.path_latency_ms))
        assert point.net_energy_mj == pytest.approx(np.dot(point.exit_shares, point.path_energy_mj))
        assert list(point.path_latency_ms) == sorted(point.path_latency_ms)
        assert point.oracle_error <= point.error + 1e-12
        assert point.error_low is not None
        assert point.error_low <= point.error
        assert point.latency_source == point.energy_source == "modelled"
        assert point.test_error is not None
        assert len(point.exits) <= 3


def test_the_same_command_again_gives_the_same_file_and_trains_nothing(
    adapted_run: FinishedRun, adapted: Adapt
) -> None:
    before = adapted_run.folder.adaptive_front.read_bytes()
    trainer = SerialTrainer(adapted_run.splits)
    adapted(adapted_run, trainer=trainer)
    assert trainer.jobs == []
    assert adapted_run.folder.adaptive_front.read_bytes() == before


@pytest.mark.thorough
@pytest.mark.slow
def test_fresh_trains_all_exits_anew_with_the_same_result(adapted_run: FinishedRun, adapted: Adapt) -> None:
    before = adapted_run.folder.adaptive_front.read_bytes()
    trainer = SerialTrainer(adapted_run.splits)
    adapted(adapted_run, trainer=trainer, fresh=True)
    assert trainer.jobs
    assert adapted_run.folder.adaptive_front.read_bytes() == before


@pytest.mark.thorough
def test_errors_on_the_test_split_are_those_of_the_files_that_are_deployed(
    trained_run: FinishedRun, adapted: Adapt, adapted_once: Adapted
) -> None:
    """Those of exits that were deployed before are no longer there."""
    adapted(trained_run, max_exits=1, joint_epochs=0.0)
    front = adapted(trained_run, max_exits=3, joint_epochs=1.0, fresh=True).front
    assert any(point.exits for point in front)
    for point in front:
        if point.exits:
            stage = AdaptationFolder(trained_run.folder.adaptation(point.id)).deployed
            outcomes = stage.read_outcomes(point.configuration.precision, "test")
            assert outcomes.exits == point.exits
            assert outcomes.images == len(trained_run.splits.test)
            assert judged(outcomes, point.thresholds).error == point.test_error
    assert front == adapted_once.result.front


@pytest.mark.thorough
@pytest.mark.slow
def test_killed_before_any_write_it_ends_with_the_same_front(
    trained_run: FinishedRun, adapted: Adapt, tmp_path: Path
) -> None:
    with closing(record_of(trained_run)) as record:
        only = tuple(entry.architecture.id for entry in record.archive.entries if entry.trained is not None)[:2]
    copies = Copies(trained_run.folder.path, tmp_path / "copies")
    with copies.kept():
        adapted(trained_run, only=only)
    expected = trained_run.folder.adaptive_front.read_bytes()
    assert len(copies.paths) > 20
    for path in copies.paths:
        adapted(at(trained_run, path), only=only)
        assert (path / "front_adaptive.json").read_bytes() == expected, path
        shutil.rmtree(path)


def latency_ms(model: Any) -> float:
    """Of a network as it is, 20 ms; of segments 3, 4, 5, ... ms each."""
    return 20.0 if isinstance(model, bytes) else sum(3.0 + number for number in range(len(model)))


def test_boards_measure_ways_and_stream_images(trained_run: FinishedRun, adapted: Adapt) -> None:
    board = ReplayDevice(latency_ms, shares_host=True)
    done = adapted(trained_run, devices=(board,), images=20)
    with_exits = [point for point in done.front if point.exits]
    assert with_exits
    for point in with_exits:
        segments = [3.0 + number for number in range(len(point.exits) + 1)]
        assert point.path_latency_ms == pytest.approx(np.cumsum(segments))
    streamed = [point for point in with_exits if point.streamed is not None]
    assert streamed
    for point in streamed:
        assert point.streamed is not None
        assert point.streamed.images == 20
        assert point.streamed.mean_latency_ms == pytest.approx(point.streamed.expected_latency_ms)
    before = trained_run.folder.adaptive_front.read_bytes()
    never = ReplayDevice(recorded({}), shares_host=True)
    adapted(trained_run, devices=(never,), images=20)
    assert trained_run.folder.adaptive_front.read_bytes() == before
