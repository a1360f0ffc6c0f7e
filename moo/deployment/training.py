"""Trains networks of a run for deployment, checks and measures their files, and keeps what came of it.

The same for the front (`plan`) and for baselines (`baselines`). Start with `train_networks`. What has ended is in the
store and in the training's folder, so that an interrupted job goes on where it was.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from devices.device import Device
from devices.measurement import PRECISIONS
from evaluation.training.folder import TrainFolder, TrainResult, read_result
from evaluation.training.job import EpochDone, StepDone, TrainEvent, TrainFailure
from evaluation.training.loop import TrainRecord, records_in
from evaluation.training.run import begin, write_outcome
from evaluation.work_folder import write_atomically
from moo.deployment.finished_run import FinishedRun
from moo.deployment.plan import NetworkTraining
from moo.execution.backend import Trainer
from moo.measurement.queue import BoardState, Measured, Measurer, Report, Request
from moo.storage.store import Store
from moo.storage.trained_network import DeployedFile, TrainedNetwork


@dataclass(frozen=True)
class TrainingMoved:
    """A training has begun, or goes on."""

    name: str
    step: int
    total_steps: int
    epoch: EpochDone | None = None
    """The epoch that has just ended, if one has."""


@dataclass(frozen=True)
class TrainingEnded:
    """A network is trained; its files are there."""

    network: TrainedNetwork
    records: tuple[TrainRecord, ...]


@dataclass(frozen=True)
class TrainingFailed:
    """A network could not be trained; the others go on."""

    name: str
    reason: str


@dataclass(frozen=True)
class FileMeasured:
    """A board measured a file, or could not."""

    name: str
    measured: Measured


@dataclass(frozen=True)
class BoardWent:
    """A board does not answer any more, or does again."""

    state: BoardState


Happening = TrainingMoved | TrainingEnded | TrainingFailed | FileMeasured | BoardWent
OnHappening = Callable[[Happening], None]


def train_networks(
    run: FinishedRun,
    trainings: Sequence[NetworkTraining],
    trainer: Callable[[], Trainer],
    store: Store,
    devices: Sequence[Device],
    tell: OnHappening,
) -> list[TrainedNetwork]:
    """Train, export, check and measure networks; those that were before are not trained again.

    Args:
        run: that they belong to.
        trainings: as `check_trainings` has checked them.
        trainer: starts what trains them; called if there is anything to train.
        store: of the run; gets what came of each.
        devices: boards that measure with fp32 settings: each file as it is; none to measure nothing.
        tell: is told of all that happens.

    Returns:
        The networks that are trained now, without those that failed.

    Raises:
        ValueError: if what came of an earlier training cannot be read.
    """
    keeper = _Keeper(run, {training.name: training for training in trainings}, store, devices, tell)
    try:
        waiting = [training for training in trainings if not keeper.take_up(training)]
        jobs = [(training.preparation.job, _state_of(training.folder)) for training in waiting]
        if jobs:
            running = trainer()
            try:
                for name, event in running.train(jobs):
                    keeper.keep(name, event)
            finally:
                running.close()
        keeper.measure()
        return keeper.networks
    finally:
        keeper.close()


class _Keeper:
    def __init__(
        self,
        run: FinishedRun,
        trainings: Mapping[str, NetworkTraining],
        store: Store,
        devices: Sequence[Device],
        tell: OnHappening,
    ) -> None:
        self._run, self._trainings, self._store, self._tell = run, trainings, store, tell
        self._measurer = Measurer(devices, names=run.config.boards) if devices else None
        self._trained: dict[str, TrainedNetwork] = {}
        kept = store.trained(baselines=False) + store.trained(baselines=True)
        self._kept = {network.name: network for network in kept}

    @property
    def networks(self) -> list[TrainedNetwork]:
        return [self._trained[name] for name in self._trainings if name in self._trained]

    def take_up(self, training: NetworkTraining) -> bool:
        """Whether a network was trained already; then what is missing of its measurements is asked for."""
        result = read_result(training.folder)
        if result is None:
            begin(training.preparation)
            return False
        state = _state_of(training.folder)
        self._ended(training, result, () if state is None else records_in(state))
        return True

    def keep(self, name: str, event: TrainEvent | TrainFailure) -> None:
        training = self._trainings[name]
        if isinstance(event, StepDone):
            self._tell(TrainingMoved(name, event.step, event.total_steps))
        elif isinstance(event, EpochDone):
            write_atomically(training.folder.checkpoint, event.state)
            self._tell(TrainingMoved(name, event.step, event.total_steps, event))
        elif isinstance(event, TrainFailure):
            reason = event.reason or event.traceback.strip().splitlines()[-1]
            self._store.add_event("training failed", network=name, traceback=event.traceback)
            self._tell(TrainingFailed(name, reason))
        else:
            self._ended(training, write_outcome(training.preparation, event), event.records)
        self._collect()

    def measure(self) -> None:
        """Measure, or wait for, all files that were asked for."""
        if self._measurer is not None:
            for report in self._measurer.drain(self._run.config.board_patience):
                self._report(report)

    def close(self) -> None:
        if self._measurer is not None:
            self._measurer.close()

    def _collect(self) -> None:
        if self._measurer is not None:
            for report in self._measurer.collect():
                self._report(report)

    def _ended(self, training: NetworkTraining, result: TrainResult, records: tuple[TrainRecord, ...]) -> None:
        name, known = training.name, self._kept.get(training.name)
        network = trained_network(training, result, self._run.folder.path)
        if known is not None and replace(known, files=()) == replace(network, files=()):
            network = replace(network, files=known.files)
        self._set(network)
        self._tell(TrainingEnded(network, records))
        if self._measurer is None:
            return
        for file in network.files:
            if file.measurement is None:
                model = training.folder.model(file.precision).read_bytes
                self._measurer.request(Request(f"{name}/{file.precision}", model))

    def _report(self, report: Report) -> None:
        if isinstance(report, BoardState):
            kind = "board unreachable" if report.unreachable else "board back"
            self._store.add_event(kind, board=report.device, reason=report.unreachable)
            self._tell(BoardWent(report))
        else:
            self._measured(report)

    def _measured(self, measured: Measured) -> None:
        name, _, precision = measured.architecture_id.rpartition("/")
        self._tell(FileMeasured(name, measured))
        if measured.measurement is None:
            self._store.add_event("measuring failed", architecture=measured.architecture_id, reason=measured.reason)
            return
        network = self._trained[name]
        files = tuple(
            replace(file, measurement=measured.measurement) if file.precision == precision else file
            for file in network.files
        )
        self._set(replace(network, files=files))

    def _set(self, network: TrainedNetwork) -> None:
        self._trained[network.name] = network
        self._store.set_trained(network)


def trained_network(training: NetworkTraining, result: TrainResult, root: Path) -> TrainedNetwork:
    """What the store keeps of a training that has ended, before its files are measured."""
    folder = training.folder
    files = tuple(
        DeployedFile(
            file.precision,
            str((folder.path / file.name).relative_to(root)),
            file.logits_difference,
            file.top1,
            file.error,
        )
        for file in sorted(result.files, key=lambda file: PRECISIONS.index(file.precision))
    )
    return TrainedNetwork(
        training.name,
        training.baseline,
        1 - result.selection_accuracy,
        result.top1,
        result.top3,
        result.epochs,
        result.seconds,
        training.preparation.weights is not None,
        result.macs,
        result.params,
        files,
    )


def _state_of(folder: TrainFolder) -> bytes | None:
    return folder.checkpoint.read_bytes() if folder.checkpoint.exists() else None
