from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams import plugin_data_pb2

from dnas.pretraining import PretrainRecord
from evaluation.training.job import EpochDone
from evaluation.training.loop import TrainRecord
from moo import events
from moo.events import TrainingFailed, TrainingProgress
from moo.storage.archive import Costs
from moo.visualization.tensorboard import TensorBoardWriter
from tests.moo.conftest import EntryOf, MeasurementOf, ResultOf


def read(folder: Any) -> Any:
    accumulator = EventAccumulator(str(folder), size_guidance={"scalars": 0, "images": 0})
    accumulator.Reload()
    return accumulator


def scalars(folder: Any, tag: Any) -> Any:
    return [(event.step, pytest.approx(event.value)) for event in read(folder).Scalars(tag)]


def epoch(number: Any, loss: float = 1.0) -> Any:
    return events.PretrainEpoch(PretrainRecord(number, loss, 0.5, 0.1), 4)


@pytest.fixture
def front_of(entry_of: EntryOf, measurement_of: MeasurementOf) -> Any:
    def make(evaluations: Any, hypervolume: float = 0.5) -> Any:
        entries = (entry_of((0, 0, 0), 0.1, measurement=measurement_of(3.0)), entry_of((1, 1, 1), 0.3))
        costs = (Costs(3.0, 6.0, "measured", "modelled"), Costs(1.0, 2.0, "modelled", "modelled"))
        return events.FrontChanged(
            front=entries, costs=costs, hypervolume=hypervolume, evaluations=evaluations, trials=1
        )

    return make


def test_pretraining_goes_to_its_own_run(tmp_path: Path) -> None:
    writer = TensorBoardWriter(tmp_path)
    for number in (1, 2):
        writer(epoch(number, loss=3.0 / number))
    writer.close()
    assert scalars(tmp_path / "pretraining", "pretraining/loss") == [(1, 3.0), (2, 1.5)]
    assert set(read(tmp_path / "pretraining").Tags()["scalars"]) == {
        f"pretraining/{name}" for name in ("loss", "accuracy", "lr")
    }


def test_an_epoch_done_again_takes_the_place_of_the_first(tmp_path: Path) -> None:
    for numbers, loss in (((1, 2, 3), 9.0), ((2, 3, 4), 1.0)):
        writer = TensorBoardWriter(tmp_path)
        for number in numbers:
            writer(epoch(number, loss))
        writer.close()
    assert scalars(tmp_path / "pretraining", "pretraining/loss") == [(1, 9.0), (2, 1.0), (3, 1.0), (4, 1.0)]


def test_each_inner_search_has_a_run_with_its_course_and_hyperparameters(tmp_path: Path, result_of: ResultOf) -> None:
    writer = TensorBoardWriter(tmp_path)
    result = result_of(7, (0, 0, 0), (1, 2, 0), chosen=1)
    writer(events.TrialFinished(result, 2))
    writer.close()
    assert [path.name for path in tmp_path.iterdir()] == ["trial_0007"]
    run = tmp_path / "trial_0007"
    record = result.theta.records[0]
    for tag, value in (
        ("theta/loss", record.loss),
        ("theta/cross_entropy", record.cross_entropy),
        ("theta/accuracy", record.accuracy),
        ("theta/expected_latency_ms_modelled", record.latency_ms),
        ("theta/expected_energy_mj_modelled", record.energy_mj),
        ("theta/entropy", record.entropy),
        ("theta/temperature", record.temperature),
    ):
        assert scalars(run, tag) == [(1, value)]
    assert scalars(run, "chosen/latency_ms_modelled") == [(0, result.architectures[1].latency_ms)]
    metadata = read(run).SummaryMetadata("_hparams_/session_start_info").plugin_data
    start = plugin_data_pb2.HParamsPluginData.FromString(metadata.content).session_start_info
    assert start.hparams["alpha"].number_value == result.trial.coefficients.alpha
    assert set(start.hparams) == {"alpha", "beta", "gamma", "delta", "generation"}


def test_a_trial_done_again_is_written_once(tmp_path: Path, result_of: ResultOf) -> None:
    for seed in (0, 1):
        writer = TensorBoardWriter(tmp_path)
        writer(events.TrialFinished(result_of(3, (seed, 0, 0)), 1))
        writer.close()
    assert len(list((tmp_path / "trial_0003").iterdir())) == 1
    assert len(read(tmp_path / "trial_0003").Scalars("chosen/latency_ms_modelled")) == 1


def test_the_front_is_written_as_figures_and_drawn_once_a_generation(tmp_path: Path, front_of: Any) -> None:
    writer = TensorBoardWriter(tmp_path)
    writer(events.GenerationStarted(1, 4, 0))
    for evaluations in (2, 5):
        writer(front_of(evaluations, evaluations / 10))
    writer(events.GenerationStarted(2, 4, 0))
    writer(events.GenerationStarted(3, 4, 0))
    writer(front_of(6))
    writer(events.RunFinished(str(tmp_path), 1.0))
    writer.close()
    assert scalars(tmp_path / "search", "search/hypervolume") == [(2, 0.2), (5, 0.5), (6, 0.5)]
    assert scalars(tmp_path / "search", "search/front_size") == [(2, 2), (5, 2), (6, 2)]
    pictures = read(tmp_path / "search").Images("search/front")
    assert [picture.step for picture in pictures] == [5, 6]
    assert pictures[0].width > 1000


def test_a_resumed_search_goes_on_where_it_was(tmp_path: Path, front_of: Any) -> None:
    for steps in ((2, 4, 6), (4, 5, 8)):
        writer = TensorBoardWriter(tmp_path)
        for step in steps:
            writer(front_of(step))
        writer.close()
    assert [step for step, _ in scalars(tmp_path / "search", "search/hypervolume")] == [2, 4, 5, 8]


def test_a_run_without_anything_leaves_no_files(tmp_path: Path) -> None:
    writer = TensorBoardWriter(tmp_path)
    writer(events.StageProgress("loading", 1, 2))
    writer(events.RunFinished("", 0.0))
    writer.close()
    writer.close()
    assert not list(tmp_path.iterdir())


def test_each_training_is_a_run_of_its_own(tmp_path: Path) -> None:
    writer = TensorBoardWriter(tmp_path)
    for name, accuracy in (("012", 0.5), ("210", 0.25)):
        writer(TrainingProgress(name, 1, 10))
        for number in (1, 2):
            record = TrainRecord(number, 1.0 / number, accuracy * number, 0.1)
            writer(
                TrainingProgress(
                    name,
                    5 * number,
                    10,
                    EpochDone(record=record, step=5 * number, total_steps=10, epochs=2.0, state=b""),
                )
            )
    writer(TrainingFailed("012", "no memory"))
    writer.close()
    assert scalars(tmp_path / "trained_012", "training/accuracy") == [(1, 0.5), (2, 1.0)]
    assert scalars(tmp_path / "trained_210", "training/loss") == [(1, 1.0), (2, 0.5)]
