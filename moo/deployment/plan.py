"""The networks of a run that are to be trained for deployment: those of its front, with the run's images and seed.

Start with `front_trainings`, then `check_trainings`; `training` trains them. Baselines are in `baselines`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import safetensors.numpy
import safetensors.torch

from dnas.supernets.build import build_supernet
from evaluation.accuracy import inherited_network
from evaluation.batches import ImageBatches
from evaluation.training.config import TrainConfig
from evaluation.training.fine_tuning_run import FineTunePreparation
from evaluation.training.folder import TrainFolder, read_checkpoint, read_files, read_result
from evaluation.training.job import Arrays, training_images
from evaluation.training.loop import records_in
from evaluation.training.origin import BaselineNetwork
from evaluation.training.recipe import with_recipe
from evaluation.training.run import TrainPreparation, check_fits, read_weights
from evaluation.work_folder import check_same_values
from moo.analysis.near_front import candidate_networks
from moo.deployment.config import SETTINGS, RunTrainingConfig, TrainFrontConfig
from moo.deployment.finished_run import FinishedRun
from moo.storage.archive import Archive, Entry, networks_of
from search_space.architectures import Architecture, operator_indices
from search_space.boundary.sealing import read_tensors, sealed_tensors
from search_space.boundary.text import reason_of
from search_space.boundary.writing import write_atomically
from search_space.graphs import Graph


@dataclass(frozen=True)
class NetworkTraining:
    """A network that is to be trained, and what for."""

    preparation: TrainPreparation | FineTunePreparation
    baseline: bool

    @property
    def name(self) -> str:
        """Architecture id, or the baseline's name."""
        return self.preparation.job.name

    @property
    def folder(self) -> TrainFolder:
        """Where its files are."""
        return self.preparation.folder


def front_trainings(run: FinishedRun, archive: Archive, config: TrainFrontConfig) -> list[NetworkTraining]:
    """The networks of a run's front as trainings, best accuracy first, and then those near it that are asked for.

    Raises:
        ValueError: if `--only` names a network that is neither on the front nor near it, fewer are near it than are
            asked for, or weights to start from cannot be had.
    """
    front = {entry.architecture.id: entry for entry in networks_of(archive.inherited_front())}
    near = {
        entry.architecture.id: entry
        for entry in candidate_networks(archive).entries
        if entry.architecture.id not in front
    }
    if config.near > len(near):
        raise ValueError(
            f"`--near` must be at most {len(near)}, the networks near the front of this run, but got {config.near}."
        )
    asked = list(near)[: config.near]
    if config.only:
        names = [*chosen(config.only, (*front, *near), what="networks of the front or near it")]
        asked = [name for name in asked if name not in names]
    else:
        names = list(front)
    entries = [{**front, **near}[name] for name in [*names, *asked]]
    trainings = []
    for entry in entries:
        graph = run.space.graph(entry.architecture.operators)
        folder = run.folder.training(entry.architecture.id)
        weights = inherited_weights(run, entry, folder) if config.fine_tune else None
        preparation = training_of(run, config, entry.architecture, graph, folder, weights)
        trainings.append(NetworkTraining(preparation, baseline=False))
    return trainings


def training_of(
    run: FinishedRun,
    config: RunTrainingConfig,
    network: Architecture | BaselineNetwork,
    graph: Graph,
    folder: TrainFolder,
    weights: Path | None,
) -> TrainPreparation:
    """A training with the images and the seed of a run.

    Raises:
        ValueError: if a setting does not fit the images, or the weights cannot be read.
    """
    check_fits(config, graph.input_shape, run.splits)
    search = run.config
    assert search.space is not None, "a run's settings name its space"
    settings = TrainConfig(
        architecture=network.id,
        dataset=search.dataset,
        image_column=search.image_column,
        label_column=search.label_column,
        train_split=search.train_split,
        test_split=search.test_split,
        resize=search.resize,
        skip_broken=search.skip_broken,
        space=search.space,
        size=search.size,
        weights=None if weights is None else str(weights),
        flip=search.flip,
        seed=search.seed,
        **config.recipe,
    )
    settings = with_recipe(settings, training_images(run.splits))
    start = None if weights is None else read_weights(weights, graph)
    return TrainPreparation(
        config=settings,
        folder=folder,
        network=network,
        graph=graph,
        splits=run.splits,
        weights=start,
        activations=run.activations,
    )


def inherited_weights(run: FinishedRun, entry: Entry, folder: TrainFolder) -> Path:
    """A file of the weights that a network inherits from the run's supernet, with statistics of its own.

    Raises:
        ValueError: if the supernet cannot be read.
    """
    path = folder.path / "inherited.safetensors"
    if path.exists():
        remedy = "Remove it, and the same command makes it anew."
        read_tensors(path, what="the weights that a network inherits", remedy=remedy)
        return path
    supernet = build_supernet(run.space, run.config.weight_sharing)
    content = run.folder.read_supernet()
    try:
        supernet.load_state_dict(safetensors.torch.load(content))
    except (RuntimeError, safetensors.SafetensorError) as error:
        raise ValueError(
            f"the run's supernet must be readable to fine-tune from it, but {str(run.folder.supernet)!r} is not: "
            f"{reason_of(error)}"
        ) from None
    state = supernet.sub_network_state(operator_indices(run.space, entry.architecture))
    graph = run.space.graph(entry.architecture.operators)
    network = inherited_network(graph, state, ImageBatches(run.splits.weights, run.splits))
    weights: Arrays = {name: value.contiguous().numpy() for name, value in network.state_dict().items()}
    write_atomically(path, sealed_tensors(safetensors.numpy.save(weights)))
    return path


def chosen(only: Sequence[str], names: Sequence[str], *, what: str) -> Sequence[str]:
    """The names that `--only` chooses, or all.

    Raises:
        ValueError: if one of them is unknown.
    """
    for name in only:
        if name not in names:
            raise ValueError(f"`--only` must name {what}, which are {', '.join(names)}, but got {name!r}.")
    return [name for name in names if name in only] if only else names


def check_trainings(trainings: Sequence[NetworkTraining]) -> None:
    """Check that trainings that were begun before can go on, with their own settings and images.

    Raises:
        ValueError: if settings or images differ, or a checkpoint cannot be read.
    """
    for training in trainings:
        folder = training.folder
        if not folder.config.exists():
            if folder.checkpoint.exists() or folder.result.exists():
                raise ValueError(
                    f"a training must have a config.json to go on, but {str(folder.path)!r} has none; add `--fresh` to "
                    f"train {training.name} anew."
                )
            continue
        saved, origin = folder.read_config()
        check_same_values(
            _recipe(training.preparation.config),
            _recipe(saved),
            free=(),
            rule=f"{training.name} must go on with its own settings, but it was begun with",
            remedy="add `--fresh` to train it anew",
        )
        if isinstance(training.preparation, FineTunePreparation):
            check_same_values(
                {"pretrained": training.preparation.config.weights},
                {"pretrained": saved.weights},
                free=(),
                rule=f"{training.name} must go on with its own pre-trained weights, but it was begun with",
                remedy="add `--fresh` to fine-tune it anew",
            )
        if origin.dataset != training.preparation.origin.dataset:
            raise ValueError(f"{training.name} must go on with its own images, but they have changed.")
        result = read_result(folder)
        if result is not None:
            read_files(folder, result)
        state = read_checkpoint(folder)
        if state is not None:
            try:
                records_in(state)
            except ValueError as error:
                raise ValueError(
                    f"{str(folder.checkpoint)!r}: {error}. Remove it to train {training.name} from the start."
                ) from None


def forget(trainings: Sequence[NetworkTraining]) -> None:
    """Make trainings begin anew; killed in between, they do so at the next attempt, too."""
    for training in trainings:
        folder = training.folder
        for path in (folder.result, folder.checkpoint, folder.config):
            path.unlink(missing_ok=True)


def _recipe(config: TrainConfig) -> dict[str, object]:
    values = config.to_json()
    return {name: values[name] for name in SETTINGS} | {"fine_tune": config.weights is not None}
