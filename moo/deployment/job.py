"""The whole job of `train_front` and `compare_baselines`: networks of a run trained, its front and report made anew."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from devices.cost_tables.table_names import is_table
from devices.measurement import MeasureSettings
from evaluation.training.loop import TrainRecord
from evaluation.training.run import TrainPreparation
from evaluation.work_folder import lock_folder
from moo import events
from moo.deployment.config import RunTrainingConfig, TrainFrontConfig
from moo.deployment.finished_run import FinishedRun, open_run, record_of
from moo.deployment.outputs import write_retrained
from moo.deployment.plan import NetworkTraining, check_trainings, forget
from moo.deployment.training import train_networks
from moo.execution.backend import Trainer
from moo.execution.ray_trainer import start_ray_trainer
from moo.measurement.boards import Boards, open_boards
from moo.search.outputs import write_pictures_and_report
from moo.storage.archive import Archive
from moo.storage.record import RunRecord
from moo.storage.trained_network import TrainedNetwork
from moo.visualization.tensorboard import TensorBoardWriter
from search_space.boundary.reading import local_path
from search_space.litert.flat_model import schema
from search_space.spaces import FBNetSpace

TrainingsOf = Callable[[FinishedRun, Archive, events.Listener], list[NetworkTraining]]


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainedInRun:
    """The networks trained in a run folder."""

    archive: Archive
    """With all trainings."""
    networks: tuple[TrainedNetwork, ...]
    """Those that are trained."""
    missing: str | None
    """What could not be trained or measured, in one line; None if nothing is missing."""
    space: FBNetSpace
    """That was searched."""
    baselines: tuple[TrainedNetwork, ...]
    """All that the run has, those that were trained earlier included."""


def train_in_run(config: RunTrainingConfig, trainings_of: TrainingsOf, tell: events.Listener) -> TrainedInRun:
    """Train networks in a run folder, and make its front, pictures and report anew.

    Args:
        config: how to train.
        trainings_of: chooses the networks.
        tell: is told of all that happens.

    Raises:
        ValueError: for every kind of bad input.
    """
    path = local_path(config.run)
    records: dict[str, Sequence[TrainRecord]] = {}

    def note_records(event: events.Event) -> None:
        if isinstance(event, events.TrainingFinished):
            records[event.network.name] = event.records

    def loading(done: int, total: int) -> None:
        tell(events.StageProgress("loading", done, total))

    run = open_run(path, dataset=config.dataset, on_loading=loading)
    with lock_folder(path):
        record = record_of(run)
        try:
            if isinstance(config, TrainFrontConfig) and config.fine_tune:
                record.check_used(run.folder.supernet)
            trainings = trainings_of(run, record.archive, tell)
            networks, measures = _train(config, run, trainings, record, events.told_to(note_records, tell))
            write_retrained(run, record.archive, record.store, records)
            baselines = tuple(record.store.trained(baselines=True))
        finally:
            record.close()
        write_pictures_and_report(run, record.archive)
    return TrainedInRun(
        archive=record.archive,
        networks=tuple(networks),
        missing=_missing(trainings, networks, measured=measures),
        space=run.space,
        baselines=baselines,
    )


def _train(
    config: RunTrainingConfig,
    run: FinishedRun,
    trainings: list[NetworkTraining],
    record: RunRecord,
    tell: events.Listener,
) -> tuple[list[TrainedNetwork], bool]:
    """The networks trained, and whether a board measures them."""
    if not config.fresh:
        check_trainings(trainings)
    if any(one.runtime == "litert" for one in record.archive.configurations):
        # Its files are written here at the end.
        schema()
    boards = _boards_of(run, config)
    writer = TensorBoardWriter(run.folder.tensorboard)

    def trainer() -> Trainer:
        ray_trainer = start_ray_trainer(
            run.splits,
            networks=sum(isinstance(training.preparation, TrainPreparation) for training in trainings),
            workers=config.workers,
            gpus_per_worker=config.gpus_per_worker,
            deterministic=config.deterministic,
            threads=config.threads_per_worker,
            address=config.address,
            dashboard=config.dashboard,
            run=run.folder.path,
        )
        tell(events.TrainersStarted(ray_trainer.workers, ray_trainer.threads, ray_trainer.dashboard_url))
        return ray_trainer

    ready: Trainer | None = None
    try:
        # Before anything is forgotten, all that can go wrong has.
        anew = any(isinstance(training.preparation, TrainPreparation) for training in trainings)
        ready = trainer() if config.fresh and anew else None
        images = len(run.splits.weights) + len(run.splits.theta)
        tell(events.TrainingsStarted(len(trainings), f"{images:,} images of {run.config.dataset}"))
        if config.fresh:
            forget(trainings)
        networks = train_networks(
            run,
            trainings,
            (lambda: started) if (started := ready) else trainer,
            record,
            boards.devices,
            events.told_to(tell, writer),
        )
        return networks, len(boards.devices) > 0
    finally:
        if ready is not None:
            ready.close()
        writer.close()
        boards.close()


def _boards_of(run: FinishedRun, config: RunTrainingConfig) -> Boards:
    names = run.config.boards
    if not (config.measure and run.config.measure) or any(is_table(name) for name in names):
        return Boards()
    try:
        return open_boards(names, run.space, MeasureSettings(), meter=run.config.meter, measure=True)
    except ValueError as error:
        raise ValueError(
            f"{error} Or train without measuring: `--no-measure`; the same command measures later."
        ) from None


def _missing(trainings: Sequence[NetworkTraining], networks: Sequence[TrainedNetwork], *, measured: bool) -> str | None:
    files = [
        f"{network.name}/{file.precision}"
        for network in networks
        for file in network.files
        if measured and file.measurement is None
    ]
    names = {network.name for network in networks}
    failed = [training.name for training in trainings if training.name not in names]
    parts = [f"not trained: {', '.join(failed)}"] * bool(failed) + [f"not measured: {', '.join(files)}"] * bool(files)
    return f"{'; '.join(parts)}. The same command, without `--fresh`, tries again." if parts else None
