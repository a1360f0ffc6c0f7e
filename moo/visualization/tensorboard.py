"""What happens in a run as TensorBoard events: a listener of `moo.events`.

Runs: `pretraining`, `search` (hypervolume and the front's picture), `trial_0007` for each trial, with what was tried as
hyperparameters and the course of its inner search if it has one, and `trained_<name>` for each network that is trained.
Inner searches are written as they go on. What is done again takes the place of what was there.
"""

from __future__ import annotations

import io
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from PIL import Image
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.plugins.hparams import api_pb2, metadata, plugin_data_pb2
from torch.utils.tensorboard import SummaryWriter

from dnas.inner_search import StepRecord
from evaluation.training.loop import TrainRecord
from moo import events
from moo.analysis.networks import Evaluated, shown_network
from moo.trials import CoefficientTrial, Trial, TrialResult
from moo.visualization.front import projections_figure

FLUSH_SECONDS = 10
_HYPERPARAMETERS = {
    "alpha": "DATA_TYPE_FLOAT64",
    "beta": "DATA_TYPE_FLOAT64",
    "gamma": "DATA_TYPE_FLOAT64",
    "delta": "DATA_TYPE_FLOAT64",
    "generation": "DATA_TYPE_FLOAT64",
    "configuration": "DATA_TYPE_STRING",
    "proposed_by": "DATA_TYPE_STRING",
}
"""All that any trial has: TensorBoard takes the columns of its table from one trial's file."""
_METRICS = ("chosen/error", "chosen/latency_ms_modelled", "chosen/energy_mj_modelled")


@dataclass
class _Course:
    """An inner search that goes on."""

    writer: SummaryWriter
    step: int = 0
    """The last one that is written."""
    is_whole: bool = True
    """Whether all up to that are."""
    is_over: bool = False
    """Whether its trial is done again, so that what comes next takes its place."""

    @property
    def can_go_on(self) -> bool:
        """Whether what is written is the beginning of the search's result."""
        return self.is_whole and not self.is_over


class TensorBoardWriter:
    """Writes what it is told as TensorBoard events.

    Args:
        folder: log directory; made if it is not there.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._pretraining: SummaryWriter | None = None
        self._search: SummaryWriter | None = None
        self._trainings: dict[str, SummaryWriter] = {}
        self._courses: dict[int, _Course] = {}
        """By their trials."""
        self._front: events.FrontChanged | None = None
        self._front_is_drawn = False

    def __call__(self, event: events.Event) -> None:
        """Write one event, if there is anything to see in it."""
        match event:
            case events.PretrainEpoch():
                self._write_epoch(event)
            case events.WorkerBusy(_, _, _, trial) if trial in self._courses:
                self._courses[trial].is_over = True
            case events.InnerSearchProgress():
                self._write_steps(event)
            case events.TrialFinished():
                self._write_trial(event.result)
            case events.TrialFailed(trial):
                self._write_failure(trial)
            case events.FrontChanged():
                self._write_front(event)
            case events.TrainingProgress(name, _, _, epoch) if epoch is not None:
                self._write_training_epoch(name, epoch.record)
            case events.GenerationStarted() | events.RunFinished():
                self._draw_front()

    def close(self) -> None:
        """Write what is left, and close all files."""
        courses = (course.writer for course in self._courses.values())
        for writer in (self._pretraining, self._search, *self._trainings.values(), *courses):
            if writer is not None:
                writer.close()
        self._pretraining = self._search = None
        self._trainings.clear()
        self._courses.clear()

    def _write_epoch(self, event: events.PretrainEpoch) -> None:
        record = event.record
        if self._pretraining is None:
            self._pretraining = self._writer("pretraining", purge_step=record.epoch)
        for name, value in (("loss", record.loss), ("accuracy", record.accuracy), ("lr", record.lr)):
            self._pretraining.add_scalar(f"pretraining/{name}", value, record.epoch)

    def _write_training_epoch(self, name: str, record: TrainRecord) -> None:
        if name not in self._trainings:
            self._trainings[name] = self._writer(f"trained_{name}", purge_step=record.epoch)
        for figure, value in (("loss", record.loss), ("accuracy", record.accuracy), ("lr", record.lr)):
            self._trainings[name].add_scalar(f"training/{figure}", value, record.epoch)

    def _write_trial(self, result: TrialResult) -> None:
        now = time.time()
        theta, course = result.theta, self._courses.pop(result.trial.id, None)
        if course is not None and not course.can_go_on:
            course.writer.close()
            course = None
        course = course or _Course(self._trial_writer(result.trial))
        written = course.step
        with course.writer as writer:
            _add_hyperparameters(writer, result.trial, started=now - result.seconds, ended=now, succeeded=True)
            for name, value in zip(_METRICS, result.objectives, strict=True):
                writer.add_scalar(name, value, 0, walltime=now)
            if theta is not None:
                _add_steps(writer, written + 1, theta.records[written:], theta.ended[written:])

    def _write_failure(self, trial: Trial) -> None:
        now = time.time()
        course = self._courses.pop(trial.id, None)
        with self._trial_writer(trial) if course is None else course.writer as writer:
            _add_hyperparameters(writer, trial, started=now, ended=now, succeeded=False)

    def _trial_writer(self, trial: Trial) -> SummaryWriter:
        run = f"trial_{trial.id:04d}"
        for path in (self._folder / run).glob("events.out.tfevents.*"):
            path.unlink()
        return self._writer(run, purge_step=0)

    def _write_steps(self, event: events.InnerSearchProgress) -> None:
        """Write on, or anew where the trial is done again."""
        course = self._courses.get(event.trial.id)
        first = event.step - len(event.records) + 1
        if course is not None and (course.is_over or first <= course.step):
            course.writer.close()
            course = None
        if course is None:
            course = self._courses[event.trial.id] = _Course(self._trial_writer(event.trial))
        course.is_whole &= first == course.step + 1
        course.step = event.step
        _add_steps(course.writer, first, event.records, event.ended)
        course.writer.flush()

    def _write_front(self, event: events.FrontChanged) -> None:
        if self._search is None:
            self._search = self._writer("search", purge_step=event.evaluations)
        self._search.add_scalar("search/hypervolume", event.hypervolume, event.evaluations)
        self._search.add_scalar("search/front_size", len(event.front), event.evaluations)
        self._front = event
        self._front_is_drawn = False

    def _draw_front(self) -> None:
        if self._search is None or self._front is None or self._front_is_drawn or not self._front.front:
            return
        networks = tuple(shown_network(point, several=False) for point in self._front.front)
        png = io.BytesIO()
        projections_figure(Evaluated(front=networks, others=())).savefig(png, format="png")
        pixels_HWC = np.asarray(Image.open(png).convert("RGB"))
        self._search.add_image("search/front", pixels_HWC, self._front.evaluations, dataformats="HWC")
        self._search.flush()
        self._front_is_drawn = True

    def _writer(self, run: str, *, purge_step: int | None = None) -> SummaryWriter:
        return SummaryWriter(str(self._folder / run), purge_step=purge_step, flush_secs=FLUSH_SECONDS)


def _add_hyperparameters(writer: SummaryWriter, trial: Trial, *, started: float, ended: float, succeeded: bool) -> None:
    # `SummaryWriter.add_hparams` would write to a run of its own, and knows neither times nor failures.
    start = plugin_data_pb2.SessionStartInfo(start_time_secs=started)
    for name, value in _hyperparameters(trial).items():
        setattr(start.hparams[name], "string_value" if isinstance(value, str) else "number_value", value)
    end = plugin_data_pb2.SessionEndInfo(
        status=api_pb2.STATUS_SUCCESS if succeeded else api_pb2.STATUS_FAILURE, end_time_secs=ended
    )
    experiment = api_pb2.Experiment(
        hparam_infos=[api_pb2.HParamInfo(name=name, type=kind) for name, kind in _HYPERPARAMETERS.items()],
        metric_infos=[api_pb2.MetricInfo(name=api_pb2.MetricName(tag=tag)) for tag in _METRICS],
    )
    for tag, content, walltime in (
        (metadata.EXPERIMENT_TAG, plugin_data_pb2.HParamsPluginData(experiment=experiment), started),
        (metadata.SESSION_START_INFO_TAG, plugin_data_pb2.HParamsPluginData(session_start_info=start), started),
        (metadata.SESSION_END_INFO_TAG, plugin_data_pb2.HParamsPluginData(session_end_info=end), ended),
    ):
        summary = Summary(value=[Summary.Value(tag=tag, metadata=metadata.create_summary_metadata(content))])
        writer.file_writer.add_summary(summary, walltime=walltime)


def _hyperparameters(trial: Trial) -> dict[str, float | str]:
    """What a trial tried, as far as it applies; generations count from 1."""
    tried: dict[str, float | str] = {} if trial.coefficients is None else asdict(trial.coefficients)
    where = "the outer loop"
    if trial.coefficients is not None:
        where = "a search on the supernet" if isinstance(trial, CoefficientTrial) else "a search on the surrogate"
    if trial.configuration is not None:
        tried["configuration"] = trial.configuration.label
    return tried | {"generation": trial.generation + 1, "proposed_by": where}


def _add_steps(writer: SummaryWriter, first: int, records: Sequence[StepRecord], ended: Sequence[float]) -> None:
    """Write steps of an inner search, from one on; now, where it was not kept when they ended."""
    for step, (record, at) in enumerate(zip(records, ended or (None,) * len(records), strict=True), start=first):
        for name, value in (
            ("loss", record.loss),
            ("cross_entropy", record.cross_entropy),
            ("accuracy", record.accuracy),
            ("expected_latency_ms_modelled", record.latency_ms),
            ("expected_energy_mj_modelled", record.energy_mj),
            ("entropy", record.entropy),
            ("temperature", record.temperature),
        ):
            writer.add_scalar(f"theta/{name}", value, step, walltime=at)
