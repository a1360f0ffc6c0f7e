"""What `train_front` and `compare_baselines` share: opening the run, showing progress, writing what came of it."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from evaluation.work_folder import lock_folder
from moo.deployment.config import RunTrainingConfig
from moo.deployment.finished_run import FinishedRun, archive_of, open_run
from moo.deployment.outputs import write_retrained
from moo.deployment.plan import NetworkTraining, check_trainings, forget
from moo.deployment.training import Happening, train_networks
from moo.execution.backend import Trainer
from moo.execution.ray_trainer import RayTrainer
from moo.measurement.boards import Boards, is_table, open_boards
from moo.search.outputs import write_pictures_and_report
from moo.storage.archive import Archive
from moo.storage.store import Store
from moo.storage.trained_network import TrainedNetwork
from moo.visualization.tensorboard import TrainingWriter
from scripts.training_view import TrainingView

TrainingsOf = Callable[[FinishedRun, Archive], list[NetworkTraining]]


@dataclass(frozen=True)
class TrainedInRun:
    """What came of training networks in a run folder."""

    archive: Archive
    """With all trainings."""
    networks: tuple[TrainedNetwork, ...]
    """Those that are trained."""
    missing: str
    """What could not be trained or measured, in one line; empty if nothing is missing."""


def train_in_run(config: RunTrainingConfig, trainings_of: TrainingsOf) -> TrainedInRun:
    """Train networks in a run folder, and make its front, pictures and report anew.

    Args:
        config: how to train.
        trainings_of: chooses the networks.

    Raises:
        ValueError: for every kind of bad input.
        SystemExit: with 130 after Ctrl-C, once the command that goes on was printed.
    """
    path = Path(config.run).expanduser()
    begun: list[NetworkTraining] = []
    try:
        with TrainingView(Console(quiet=config.quiet)) as view:
            run = open_run(path, dataset=config.dataset, on_loading=view.loading)
            with lock_folder(path):
                store = Store(run.folder.store)
                try:
                    trainings = trainings_of(run, archive_of(run, store))
                    networks, measures = _train(config, run, trainings, store, view, begun)
                    archive = archive_of(run, store)
                    write_retrained(run, archive, store, view.records)
                finally:
                    store.close()
                write_pictures_and_report(run, archive)
    except KeyboardInterrupt:
        words = shlex.join(word for word in sys.argv[1:] if word != "--fresh" or not begun)
        sys.stderr.write(
            f"\nStopped; no finished epoch is lost. Go on with: python scripts/{Path(sys.argv[0]).name} {words}\n"
        )
        raise SystemExit(130) from None
    return TrainedInRun(archive, tuple(networks), _missing(trainings, networks, measures))


def told(config: RunTrainingConfig, done: TrainedInRun, *, files: str) -> int:
    """Print where everything lies and what is missing; returns the exit code.

    Args:
        config: how networks were trained.
        done: what came of it.
        files: word and place of what was trained, as in `Networks: runs/first/front`.
    """
    places = f"Pictures: {config.run}/plots   Report: {config.run}/report.html   {files}"
    Console().print(places, highlight=False, soft_wrap=True)
    if done.missing:
        sys.stderr.write(f"{done.missing}\n")
    return 1 if done.missing else 0


def _train(
    config: RunTrainingConfig,
    run: FinishedRun,
    trainings: list[NetworkTraining],
    store: Store,
    view: TrainingView,
    begun: list[NetworkTraining],
) -> tuple[list[TrainedNetwork], bool]:
    """The networks trained, and whether a board measures them; `begun` gets them when nothing is checked any more."""
    if not config.fresh:
        check_trainings(trainings)
    boards = _boards_of(run, config)
    writer = TrainingWriter(run.folder.tensorboard)
    view.start(run, len(trainings))

    def trainer() -> Trainer:
        ray_trainer = RayTrainer(
            run.splits,
            networks=len(trainings),
            workers=config.workers,
            threads=config.threads_per_worker,
            address=config.address,
            dashboard=config.dashboard,
        )
        view.trainer(ray_trainer.workers, ray_trainer.threads, ray_trainer.dashboard_url)
        return ray_trainer

    def tell(happening: Happening) -> None:
        view.show(happening)
        writer(happening)

    try:
        # Before anything is forgotten, all that can go wrong has.
        ready = trainer() if config.fresh else None
        begun.extend(trainings)
        if config.fresh:
            forget(trainings)
        networks = train_networks(
            run, trainings, trainer if ready is None else lambda: ready, store, boards.devices, tell
        )
        return networks, bool(boards.devices)
    finally:
        writer.close()
        boards.close()


def _boards_of(run: FinishedRun, config: RunTrainingConfig) -> Boards:
    names = run.config.boards
    if not (config.measure and run.config.measure) or any(is_table(name) for name in names):
        return Boards()
    try:
        return open_boards(names, run.space, run.file_settings, meter=run.config.meter, measure=True)
    except ValueError as error:
        raise ValueError(
            f"{error} Or train without measuring: `--no-measure`; the same command measures later."
        ) from None


def _missing(trainings: list[NetworkTraining], networks: list[TrainedNetwork], measures: bool) -> str:
    files = [
        f"{network.name}/{file.precision}"
        for network in networks
        for file in network.files
        if measures and file.measurement is None
    ]
    names = {network.name for network in networks}
    failed = [training.name for training in trainings if training.name not in names]
    parts = [f"not trained: {', '.join(failed)}"] * bool(failed) + [f"not measured: {', '.join(files)}"] * bool(files)
    return f"{'; '.join(parts)}. The same command, without `--fresh`, tries again." if parts else ""
