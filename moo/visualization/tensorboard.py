"""What happens in a run as TensorBoard events: a listener of `moo.events`.

Runs: `pretraining`, `search` (hypervolume and the front's picture), `trial_0007` for each inner search, with its
coefficients as hyperparameters, and `trained_<name>` for each network that is trained. A resumed run writes on: what it
does again takes the place of what was there.
"""

from __future__ import annotations

import io
from dataclasses import asdict
from pathlib import Path

import numpy as np
from PIL import Image
from torch.utils.tensorboard import SummaryWriter
from torch.utils.tensorboard.summary import hparams

from evaluation.training.loop import TrainRecord
from moo import events
from moo.analysis.networks import Evaluated, shown_network
from moo.trials import CoefficientTrial, TrialResult
from moo.visualization.front import projections_figure

FLUSH_SECONDS = 10


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
        self._front: events.FrontChanged | None = None
        self._front_is_drawn = False

    def __call__(self, event: events.Event) -> None:
        """Write one event, if there is anything to see in it."""
        match event:
            case events.PretrainEpoch():
                self._write_epoch(event)
            case events.TrialFinished():
                self._write_trial(event.result)
            case events.FrontChanged():
                self._write_front(event)
            case events.TrainingProgress(name, _, _, epoch) if epoch is not None:
                self._write_training_epoch(name, epoch.record)
            case events.GenerationStarted() | events.RunFinished():
                self._draw_front()

    def close(self) -> None:
        """Write what is left, and close all files."""
        for writer in (self._pretraining, self._search, *self._trainings.values()):
            if writer is not None:
                writer.close()
        self._pretraining = self._search = None
        self._trainings.clear()

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
        trial, theta = result.trial, result.theta
        if theta is None or not isinstance(trial, CoefficientTrial):
            return
        run = f"trial_{trial.id:04d}"
        for path in (self._folder / run).glob("events.out.tfevents.*"):
            path.unlink()
        chosen = result.architectures[result.chosen]
        metrics = {
            "chosen/error": chosen.error,
            "chosen/latency_ms_modelled": chosen.latency_ms,
            "chosen/energy_mj_modelled": chosen.energy_mj,
        }
        with self._writer(run) as writer:
            for step, record in enumerate(theta.records, start=1):
                for name, value in (
                    ("loss", record.loss),
                    ("cross_entropy", record.cross_entropy),
                    ("accuracy", record.accuracy),
                    ("expected_latency_ms_modelled", record.latency_ms),
                    ("expected_energy_mj_modelled", record.energy_mj),
                    ("entropy", record.entropy),
                    ("temperature", record.temperature),
                ):
                    writer.add_scalar(f"theta/{name}", value, step)
            # `SummaryWriter.add_hparams` would write the same to a run of its own.
            for summary in hparams({**asdict(trial.coefficients), "generation": trial.generation}, metrics):
                writer.file_writer.add_summary(summary)
            for name, value in metrics.items():
                writer.add_scalar(name, value, 0)

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
        projections_figure(Evaluated(networks, ())).savefig(png, format="png")
        pixels_HWC = np.asarray(Image.open(png).convert("RGB"))
        self._search.add_image("search/front", pixels_HWC, self._front.evaluations, dataformats="HWC")
        self._search.flush()
        self._front_is_drawn = True

    def _writer(self, run: str, *, purge_step: int | None = None) -> SummaryWriter:
        return SummaryWriter(str(self._folder / run), purge_step=purge_step, flush_secs=FLUSH_SECONDS)
