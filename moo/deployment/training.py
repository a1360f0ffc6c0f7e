"""Trains networks of a run for deployment, checks and measures their files, and keeps the results.

The same for the front (`plan`) and for baselines (`baselines`). Start with `train_networks`. What has ended is in the
store and in the training's folder, so that an interrupted job goes on where it was.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from devices.configuration import PRECISIONS
from devices.cost_tables.raspberry_pi import BUILT_IN_BOARDS, modelled_costs
from devices.device import Device
from evaluation.litert_files import litert_error
from evaluation.training.fine_tuning_run import FineTunePreparation
from evaluation.training.folder import TrainResult, read_checkpoint, read_model, read_result
from evaluation.training.job import EpochDone, StepDone, TrainEvent, TrainFailure
from evaluation.training.loop import TrainRecord, records_in
from evaluation.training.run import TrainPreparation, begin, write_outcome
from moo import events
from moo.deployment.fine_tuning import fine_tuned
from moo.deployment.finished_run import FinishedRun
from moo.deployment.plan import NetworkTraining
from moo.execution.backend import Trainer
from moo.measurement.queue import Measured, MeasurerReport, NotMeasured, Request, keep_board_event, start_measurer
from moo.storage.record import RunRecord
from moo.storage.trained_network import DeployedFile, TrainedNetwork
from search_space.boundary.sealing import sealed_state
from search_space.boundary.writing import write_atomically
from search_space.graphs import Graph
from search_space.litert.conversion import litert_file


def train_networks(
    run: FinishedRun,
    trainings: Sequence[NetworkTraining],
    trainer: Callable[[], Trainer],
    record: RunRecord,
    devices: Sequence[Device],
    tell: events.Listener,
) -> list[TrainedNetwork]:
    """Train, export, check and measure networks; those that were before are not trained again.

    Args:
        run: that they belong to.
        trainings: as `check_trainings` has checked them.
        trainer: starts what trains them; called if there is anything to train.
        record: of the run; gets each result.
        devices: boards that measure with fp32 settings: each file as it is; none to measure nothing.
        tell: is told of all that happens.

    Returns:
        The networks that are trained now, without those that failed.

    Raises:
        ValueError: if the result of an earlier training cannot be read.
    """
    keeper = _Keeper(run, {training.name: training for training in trainings}, record, devices, tell)
    try:
        waiting = [training for training in trainings if not keeper.take_up(training)]
        jobs = []
        for training in waiting:
            preparation, state = training.preparation, read_checkpoint(training.folder)
            if isinstance(preparation, FineTunePreparation):
                for event in fine_tuned(preparation, state):
                    keeper.keep(training.name, event)
            else:
                jobs.append((preparation.job, state))
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
        record: RunRecord,
        devices: Sequence[Device],
        tell: events.Listener,
    ) -> None:
        self._run, self._trainings, self._record, self._tell = run, trainings, record, tell
        self._measurer = start_measurer(devices, names=run.config.boards) if devices else None
        self._trained: dict[str, TrainedNetwork] = {}
        kept = record.store.trained(baselines=False) + record.store.trained(baselines=True)
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
        state = read_checkpoint(training.folder)
        self._ended(training, result, () if state is None else records_in(state))
        return True

    def keep(self, name: str, event: TrainEvent | TrainFailure) -> None:
        training = self._trainings[name]
        if isinstance(event, StepDone):
            self._tell(events.TrainingProgress(name, event.step, event.total_steps))
        elif isinstance(event, EpochDone):
            write_atomically(training.folder.checkpoint, sealed_state(event.state))
            for divergence in event.divergences:
                self._tell(events.TrainingDiverged(name, divergence))
            self._tell(events.TrainingProgress(name, event.step, event.total_steps, event))
        elif isinstance(event, TrainFailure):
            reason = event.reason or event.traceback.strip().splitlines()[-1]
            self._record.add_event("training failed", network=name, traceback=event.traceback)
            self._tell(events.TrainingFailed(name, reason))
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
        network = _with_modelled_costs(self._run, training, network)
        if not training.baseline:
            network = self._with_litert_errors(training, result, network)
        self._set(network)
        self._tell(events.TrainingFinished(network, records))
        if self._measurer is None:
            return
        for file in network.files:
            if file.measurement is None:
                (check,) = (one for one in result.files if one.precision == file.precision)
                model = partial(read_model, training.folder, check)
                self._measurer.request(Request(f"{name}/{file.precision}", model, self._run.file_configuration))

    def _with_litert_errors(
        self, training: NetworkTraining, result: TrainResult, network: TrainedNetwork
    ) -> TrainedNetwork:
        """The same with the errors of its LiteRT files, where the run has configurations under that."""
        precisions = {one.precision for one in self._record.archive.configurations if one.runtime == "litert"}
        models = {check.precision: read_model(training.folder, check) for check in result.files if precisions}
        files = list(network.files)
        for place, file in enumerate(files):
            if file.precision in precisions and file.litert_error is None:
                quantized = models["int8"] if file.precision == "int8" else None
                # Without its package, or of a file that it cannot take, errors stay those of the ONNX files.
                with contextlib.suppress(ValueError):
                    model, splits = litert_file(models["fp32"], quantized=quantized), self._run.splits
                    test, selection = (
                        litert_error(model, images, splits) for images in (splits.test, splits.selection)
                    )
                    files[place] = replace(file, litert_top1=1 - test, litert_error=selection)
        return replace(network, files=tuple(files))

    def _report(self, report: MeasurerReport) -> None:
        match report:
            case Measured(file, measurement):
                waiting = 0 if self._measurer is None else self._measurer.waiting
                self._tell(events.NetworkMeasured(file, measurement, waiting))
                name, _, precision = file.rpartition("/")
                network = self._trained[name]
                files = (
                    replace(file, measurement=measurement) if file.precision == precision else file
                    for file in network.files
                )
                self._set(replace(network, files=tuple(files)))
            case NotMeasured(file, reason):
                self._record.add_event("measuring failed", architecture=file, reason=reason)
                self._tell(events.MeasuringFailed(file, reason))
            case events.BoardUnreachable() | events.BoardBack() | events.BoardConditions():
                keep_board_event(self._record, report)
                self._tell(report)

    def _set(self, network: TrainedNetwork) -> None:
        self._trained[network.name] = network
        self._record.set_trained(network)


def trained_network(training: NetworkTraining, result: TrainResult, root: Path) -> TrainedNetwork:
    """What the store keeps of a training that has ended, before its files are measured."""
    folder, preparation = training.folder, training.preparation
    files = tuple(
        DeployedFile(
            precision=file.precision,
            path=str((folder.path / file.name).relative_to(root)),
            logits_difference=file.logits_difference,
            top1=file.top1,
            error=file.error,
        )
        for file in sorted(result.files, key=lambda file: PRECISIONS.index(file.precision))
    )
    return TrainedNetwork(
        name=training.name,
        baseline=training.baseline,
        error=1 - result.selection_accuracy,
        top1=result.top1,
        top3=result.top3,
        epochs=result.epochs,
        seconds=result.seconds,
        fine_tuned=isinstance(preparation, TrainPreparation) and preparation.weights is not None,
        macs=result.macs,
        params=result.params,
        files=files,
        pretrained=preparation.pretrained.about if isinstance(preparation, FineTunePreparation) else None,
        head_only=result.head_only,
    )


def _with_modelled_costs(run: FinishedRun, training: NetworkTraining, network: TrainedNetwork) -> TrainedNetwork:
    """A baseline with costs of its files where the run's board is a model; as it is where that cannot tell."""
    board = next((name for name in run.config.boards if name in BUILT_IN_BOARDS), None)
    preparation = training.preparation
    if isinstance(preparation, TrainPreparation):
        graph: Graph | None = preparation.graph
    else:
        graph = preparation.pretrained.graph(len(run.splits.class_names))
    if board is None or graph is None or not training.baseline:
        return network
    files = (
        replace(file, modelled=modelled_costs(board, graph, replace(run.file_configuration, precision=file.precision)))
        for file in network.files
    )
    return replace(network, files=tuple(files))
