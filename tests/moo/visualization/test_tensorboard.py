from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
from tensorboard.backend.event_processing.data_provider import MultiplexerDataProvider
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.backend.event_processing.plugin_event_multiplexer import EventMultiplexer
from tensorboard.context import RequestContext
from tensorboard.plugins.base_plugin import TBContext
from tensorboard.plugins.hparams import api_pb2, list_session_groups, plugin_data_pb2
from tensorboard.plugins.hparams.backend_context import Context

from devices.configuration import BASE, RuntimeConfiguration
from dnas.inner_search import StepRecord
from dnas.losses import Coefficients
from dnas.pretraining import PretrainRecord
from evaluation.training.job import EpochDone
from evaluation.training.loop import TrainRecord
from moo import events
from moo.events import TrainingFailed, TrainingProgress
from moo.storage.archive import OperatingPoint
from moo.trials import ArchitectureTrial, CoefficientTrial, Trial, TrialResult
from moo.visualization.tensorboard import TensorBoardWriter
from tests.moo.conftest import EntryOf, MeasurementOf, ResultOf, costs_of


def read(folder: Any) -> Any:
    accumulator = EventAccumulator(str(folder), size_guidance={"scalars": 0, "images": 0})
    accumulator.Reload()
    return accumulator


def scalars(folder: Any, tag: Any) -> Any:
    return [(event.step, pytest.approx(event.value)) for event in read(folder).Scalars(tag)]


def hyperparameters_in(run: Path) -> dict[str, float | str]:
    content = read(run).SummaryMetadata("_hparams_/session_start_info").plugin_data.content
    start = plugin_data_pb2.HParamsPluginData.FromString(content).session_start_info
    return {name: getattr(value, value.WhichOneof("kind")) for name, value in start.hparams.items()}


def session_groups(folder: Path) -> dict[str, Any]:
    """The rows that TensorBoard's HPARAMS table has, by their names."""
    multiplexer = EventMultiplexer().AddRunsFromDirectory(str(folder))
    multiplexer.Reload()
    context = TBContext(data_provider=MultiplexerDataProvider(multiplexer, str(folder)))
    backend, request_context = Context(context), RequestContext()
    tags = backend.hparams_metadata(request_context, "")
    experiment = backend.experiment_from_metadata(
        request_context, "", include_metrics=True, hparams_run_to_tag_to_content=tags, data_provider_hparams=[]
    )
    request = api_pb2.ListSessionGroupsRequest(
        slice_size=100,
        allowed_statuses=[api_pb2.STATUS_SUCCESS, api_pb2.STATUS_FAILURE],
        include_metrics=True,
    )
    groups = list_session_groups.Handler(request_context, backend, "", request).run()
    assert {info.name for info in experiment.hparam_infos} >= {"alpha", "generation", "proposed_by"}
    return {group.name: group for group in sorted(groups.session_groups, key=lambda group: group.name)}


def epoch(number: Any, loss: float = 1.0) -> Any:
    return events.PretrainEpoch(PretrainRecord(epoch=number, loss=loss, accuracy=0.5, lr=0.1), 4)


@pytest.fixture
def front_of(entry_of: EntryOf, measurement_of: MeasurementOf) -> Any:
    def make(evaluations: Any, hypervolume: float = 0.5) -> Any:
        entries = (entry_of((0, 0, 0), 0.1, measurement=measurement_of(3.0)), entry_of((1, 1, 1), 0.3))
        costs = (costs_of(3.0, 6.0, "measured", "modelled"), costs_of(1.0, 2.0, "modelled", "modelled"))
        front = tuple(
            OperatingPoint(entry=entry, configuration=BASE, error=entry.error, costs=cost, measurement=None)
            for entry, cost in zip(entries, costs, strict=True)
        )
        return events.FrontChanged(front=front, hypervolume=hypervolume, evaluations=evaluations, trials=1)

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
    assert result.trial.coefficients is not None
    assert hyperparameters_in(run) == dataclasses.asdict(result.trial.coefficients) | {
        "generation": 2.0,
        "proposed_by": "a search on the supernet",
    }


def test_every_trial_is_in_the_table_of_hyperparameters_with_what_applies(tmp_path: Path, result_of: ResultOf) -> None:
    result = result_of(0, (0, 0, 0))
    assert result.trial.coefficients is not None
    coefficients = Coefficients(0.1, 0.2, 0.3, 0.4)
    trials: tuple[Trial, ...] = (
        result.trial,
        ArchitectureTrial(
            id=1,
            generation=1,
            indices=(0, 1, 2),
            coefficients=coefficients,
            configuration=RuntimeConfiguration(threads=4, precision="int8"),
        ),
        ArchitectureTrial(id=2, generation=2, indices=(2, 1, 0)),
    )
    writer = TensorBoardWriter(tmp_path)
    for trial in trials:
        theta = result.theta if isinstance(trial, CoefficientTrial) else None
        writer(events.TrialFinished(dataclasses.replace(result, trial=trial, theta=theta), 1))
    writer(events.TrialFailed(CoefficientTrial(3, 2, coefficients), "no memory"))
    writer.close()
    rows = session_groups(tmp_path)
    assert list(rows) == ["trial_0000", "trial_0001", "trial_0002", "trial_0003"]
    tried = {name: hyperparameters_in(tmp_path / name) for name in rows}
    assert [row["generation"] for row in tried.values()] == [1, 2, 3, 3]
    assert [row.get("alpha") for row in tried.values()] == [result.trial.coefficients.alpha, 0.1, None, 0.1]
    assert [row.get("configuration") for row in tried.values()] == [None, "ort 4t int8", None, None]
    assert [row["proposed_by"] for row in tried.values()] == [
        "a search on the supernet", "a search on the surrogate", "the outer loop", "a search on the supernet",
    ]  # fmt: skip
    for name in ("trial_0000", "trial_0001", "trial_0002"):
        shown = {value.name.tag: value.value for value in rows[name].metric_values}
        assert shown["chosen/latency_ms_modelled"] == pytest.approx(result.architectures[0].latency_ms)
        assert set(shown) == {"chosen/error", "chosen/latency_ms_modelled", "chosen/energy_mj_modelled"}
        assert rows[name].sessions[0].status == api_pb2.STATUS_SUCCESS
    assert not rows["trial_0003"].metric_values
    assert rows["trial_0003"].sessions[0].status == api_pb2.STATUS_FAILURE


def test_each_point_of_a_trial_has_its_own_time(
    tmp_path: Path, result_of: ResultOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("moo.visualization.tensorboard.time.time", lambda: 1000.0)
    result = result_of(7, (0, 0, 0))
    theta = dataclasses.replace(result.theta, records=result.theta.records * 3, ended=(991.0, 993.5, 998.0))  # type: ignore[type-var]
    writer = TensorBoardWriter(tmp_path)
    writer(events.TrialFinished(dataclasses.replace(result, theta=theta, seconds=12.0), 1))
    writer.close()
    run = read(tmp_path / "trial_0007")
    for tag in run.Tags()["scalars"]:
        expected = [991.0, 993.5, 998.0] if tag.startswith("theta/") else [1000.0]
        assert [event.wall_time for event in run.Scalars(tag)] == expected
    session = session_groups(tmp_path)["trial_0007"].sessions[0]
    assert (session.start_time_secs, session.end_time_secs) == (988.0, 1000.0)


def test_a_trial_done_again_is_written_once(tmp_path: Path, result_of: ResultOf) -> None:
    for seed in (0, 1):
        writer = TensorBoardWriter(tmp_path)
        writer(events.TrialFinished(result_of(3, (seed, 0, 0)), 1))
        writer.close()
    assert len(list((tmp_path / "trial_0003").iterdir())) == 1
    assert len(read(tmp_path / "trial_0003").Scalars("chosen/latency_ms_modelled")) == 1


BUSY = events.WorkerBusy("worker 2", "here", "trial 3", 3)


def steps_of(trial: Trial, *steps: int, value: float = 1.0) -> events.InnerSearchProgress:
    records = tuple(StepRecord.of([value * step] * 7) for step in steps)
    ended = tuple(1000.0 + step for step in steps)
    return events.InnerSearchProgress(trial=trial, step=steps[-1], steps=5, records=records, ended=ended)


def finished(result: TrialResult, steps: int, value: float = 1.0) -> events.TrialFinished:
    whole = steps_of(result.trial, *range(1, steps + 1), value=value)
    theta = dataclasses.replace(result.theta, records=whole.records, ended=whole.ended)  # type: ignore[type-var]
    return events.TrialFinished(dataclasses.replace(result, theta=theta), 1)


def losses(run: Path) -> list[tuple[int, float, float]]:
    return [(event.step, event.value, event.wall_time) for event in read(run).Scalars("theta/loss")]


def test_an_inner_search_is_seen_while_it_goes_on_and_its_end_adds_what_is_missing(
    tmp_path: Path, result_of: ResultOf
) -> None:
    result, run = result_of(3, (0, 0, 0)), tmp_path / "trial_0003"
    writer = TensorBoardWriter(tmp_path)
    seen: list[int] = []
    watching = EventAccumulator(str(tmp_path / "trial_0003"), size_guidance={"scalars": 0})
    for steps in ((1, 2), (3,), (4,)):
        writer(steps_of(result.trial, *steps))
        seen.append(len(watching.Reload().Scalars("theta/loss")))
    assert seen == [2, 3, 4]
    writer(finished(result, 5))
    writer.close()
    assert losses(run) == [(step, step, 1000.0 + step) for step in range(1, 6)]
    assert len(watching.Reload().Scalars("theta/loss")) == 5
    assert list(session_groups(tmp_path)) == ["trial_0003"]
    assert len(list(run.iterdir())) == 1


@pytest.mark.parametrize(
    "news",
    [
        pytest.param(([2], [3, 4]), id="the first are lost"),
        pytest.param(([1], [4, 5]), id="some between are lost"),
        pytest.param(([1, 2, 3], BUSY, [1], [2, 3]), id="another worker begins anew"),
        pytest.param(([1, 2, 3], BUSY, [4, 5]), id="another worker begins anew, and its first are lost"),
        pytest.param(([1, 2, 3], BUSY), id="another worker begins anew, and all are lost"),
    ],
)
def test_whatever_came_of_a_search_a_trial_has_each_step_of_its_result_once(
    tmp_path: Path, result_of: ResultOf, news: Any
) -> None:
    result = result_of(3, (0, 0, 0))
    writer = TensorBoardWriter(tmp_path)
    tries = news.count(BUSY)
    for one in news:
        if one == BUSY:
            tries -= 1
            writer(BUSY)
        else:
            writer(steps_of(result.trial, *one, value=1.0 + tries))
    writer(finished(result, 5))
    writer.close()
    assert losses(tmp_path / "trial_0003") == [(step, step, 1000.0 + step) for step in range(1, 6)]
    assert list(session_groups(tmp_path)) == ["trial_0003"]


def test_a_trial_that_fails_keeps_its_course_and_one_that_a_resumed_run_does_again_has_the_new_one(
    tmp_path: Path, result_of: ResultOf
) -> None:
    failing, other = result_of(3, (0, 0, 0)).trial, result_of(4, (0, 0, 0))
    writer = TensorBoardWriter(tmp_path)
    writer(steps_of(failing, 1, 2))
    writer(steps_of(other.trial, 1, 2, 3, value=9.0))
    writer(events.TrialFailed(failing, "no memory"))
    writer.close()
    resumed = TensorBoardWriter(tmp_path)
    resumed(steps_of(other.trial, 1, 2))
    assert [step for step, _, _ in losses(tmp_path / "trial_0004")] == [1, 2]
    resumed(finished(other, 5))
    resumed.close()
    assert [step for step, _, _ in losses(tmp_path / "trial_0003")] == [1, 2]
    rows = session_groups(tmp_path)
    assert [row.sessions[0].status for row in rows.values()] == [api_pb2.STATUS_FAILURE, api_pb2.STATUS_SUCCESS]


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
