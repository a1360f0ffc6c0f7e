"""What `train_front` and `compare_baselines` share: opening the run, showing progress, writing what came of it."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable
from pathlib import Path

from rich.console import Console

from dnas.memory import keep_freed_memory
from moo.archive import Archive
from moo.boards import open_boards
from moo.finished_run import FinishedRun, archive_of, open_run
from moo.outputs import write_pictures_and_report
from moo.retrain_config import RunTrainingConfig
from moo.retrained_outputs import write_retrained
from moo.retraining import Happening, train_networks
from moo.store import Store
from moo.tensorboard import TrainingWriter
from moo.trained import TrainedNetwork
from moo.trainings import NetworkTraining, begin_trainings
from moo.workers import RayTrainer
from scripts.training_view import TrainingView

TrainingsOf = Callable[[FinishedRun, Archive], list[NetworkTraining]]


def train_in_run(config: RunTrainingConfig, trainings_of: TrainingsOf) -> tuple[Archive, list[TrainedNetwork], int]:
    """Train networks in a run folder, and make its front, pictures and report anew.

    Args:
        config: how to train.
        trainings_of: chooses the networks.

    Returns:
        The archive with all trainings, the networks trained, and how many failed.

    Raises:
        ValueError: for every kind of bad input.
        KeyboardInterrupt: after the command that goes on was printed.
    """
    path = Path(config.run).expanduser()
    try:
        with TrainingView(Console(quiet=config.quiet)) as view:
            run = open_run(path, dataset=config.dataset, on_loading=view.loading)
            store = Store(run.folder.store)
            try:
                archive = archive_of(run, store)
                trainings = trainings_of(run, archive)
                begin_trainings(trainings, fresh=config.fresh)
                networks = _train(config, run, trainings, store, view)
                archive = archive_of(run, store)
                write_retrained(run, archive, store, view.records)
            finally:
                store.close()
            write_pictures_and_report(run, archive)
    except KeyboardInterrupt:
        words = shlex.join(word for word in sys.argv[1:] if word != "--fresh")
        sys.stderr.write(
            f"\nStopped; no finished epoch is lost. Go on with: python scripts/{Path(sys.argv[0]).name} {words}\n"
        )
        raise SystemExit(130) from None
    return archive, networks, len(trainings) - len(networks)


def _train(
    config: RunTrainingConfig, run: FinishedRun, trainings: list[NetworkTraining], store: Store, view: TrainingView
) -> list[TrainedNetwork]:
    keep_freed_memory()
    measure = config.measure and run.config.measure
    boards = open_boards(run.config.boards, run.space, run.file_settings, meter=run.config.meter, measure=measure)
    try:
        trainer = RayTrainer(
            run.splits,
            networks=len(trainings),
            workers=config.workers,
            threads=config.threads_per_worker,
            address=config.address,
            dashboard=config.dashboard,
        )
        writer = TrainingWriter(run.folder.tensorboard)
        try:
            view.start(run, trainings, trainer.workers, trainer.threads, trainer.dashboard_url)

            def tell(happening: Happening) -> None:
                view.show(happening)
                writer(happening)

            return train_networks(run, trainings, trainer, store, boards.devices, tell)
        finally:
            writer.close()
            trainer.close()
    finally:
        boards.close()
