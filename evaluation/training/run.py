"""A whole training: inputs checked before anything is written, checkpoints, and the finished files."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import safetensors.numpy
import torch

from devices.quantization import Activations
from evaluation.data.facts import DIGITS
from evaluation.data.loading import load
from evaluation.data.rules import LATEST_RULES
from evaluation.data.source import source_of
from evaluation.deployed_model import ModelNotes, deployed
from evaluation.export import ExportedModel
from evaluation.splits import Splits, split_data
from evaluation.training.config import FOLLOWING, TrainConfig, TrainSettings, check_same_settings
from evaluation.training.folder import FileCheck, TrainFolder, TrainResult, new_folder, read_checkpoint, read_result
from evaluation.training.job import (
    Arrays,
    EpochDone,
    StepDone,
    TrainEvent,
    TrainJob,
    TrainOutcome,
    train,
    training_images,
)
from evaluation.training.loop import TrainRecord, records_in
from evaluation.training.origin import BaselineNetwork, TrainDataset, TrainImages, TrainOrigin
from evaluation.training.recipe import with_recipe
from evaluation.work_folder import check_work_folder, with_absolute_paths
from search_space.architectures import Architecture, parse_architecture
from search_space.boundary.reading import local_path
from search_space.boundary.sealing import digest_of, read_tensors, sealed_state, sealed_tensors, write_sealed_json
from search_space.boundary.text import reason_of, shown
from search_space.boundary.writing import write_atomically, write_json
from search_space.catalogue import any_space_named
from search_space.counts import count
from search_space.graphs import Graph, Shape
from search_space.onnx_files import weight_shapes

MOST_WEIGHTS_BYTES = 256 * 2**20
"""Of a file of weights."""
OnStep = Callable[[int, int], None]
"""Called with the number of steps done, and their total."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainPreparation:
    """Checked inputs of a training."""

    config: TrainConfig
    folder: TrainFolder
    network: Architecture | BaselineNetwork
    """As `architecture.json` has it."""
    graph: Graph
    splits: Splits
    weights: Arrays | None
    """What the training starts from; None for random weights."""
    activations: Activations = "int8"
    """Type of activations in the int8 file."""

    @property
    def job(self) -> TrainJob:
        """The job to run, in this process or on a worker."""
        config = self.config
        return TrainJob(
            name=self.network.id,
            graph=self.graph,
            settings=config,
            flip=config.flip,
            seed=config.seed,
            weights=self.weights,
            activations=self.activations,
        )

    @property
    def origin(self) -> TrainOrigin:
        """What the training is made from; a resumed one must be made from the same."""
        counts = count(self.graph)
        return TrainOrigin(
            architecture=self.network,
            input_shape=self.graph.input_shape,
            macs=counts.macs,
            params=counts.params,
            dataset=train_dataset(self.splits),
        )


class Prepared(Protocol):
    """Checked inputs of any training, of a graph or of a pre-trained network."""

    @property
    def config(self) -> TrainConfig:
        """Its settings."""

    @property
    def folder(self) -> TrainFolder:
        """Where its files are."""

    @property
    def network(self) -> Architecture | BaselineNetwork:
        """As `architecture.json` has it."""

    @property
    def origin(self) -> TrainOrigin:
        """What it is made from."""


def train_dataset(splits: Splits) -> TrainDataset:
    """The images of a training, which trains on two of the four splits."""
    return TrainDataset(
        fingerprint=splits.fingerprint,
        classes=splits.class_names,
        mean=splits.mean_C,
        std=splits.std_C,
        resize=splits.resize,
        rules=splits.rules,
        omitted=splits.omitted,
        width=splits.width,
        height=splits.height,
        depth=splits.depth,
        facts=splits.facts,
        images=TrainImages(
            training=len(splits.weights) + len(splits.theta), selection=len(splits.selection), test=len(splits.test)
        ),
    )


def _here(config: TrainConfig) -> TrainConfig:
    """Settings whose local paths are absolute."""
    files = ("space", "weights", "architecture")
    return with_absolute_paths(config, files=files, folders=() if config.dataset == DIGITS else ("dataset",))


def prepare_training(config: TrainConfig, *, on_loading: Callable[[int, int], None]) -> TrainPreparation:
    """Check all settings and load all inputs; nothing is written.

    Args:
        config: the settings; with `resume`, those of the training.
        on_loading: called with images decoded and in all.

    Raises:
        ValueError: for every kind of bad input.
    """
    config = _here(config)
    saved_origin = None
    if config.resume is not None:
        folder = TrainFolder(local_path(config.resume))
        saved, saved_origin = folder.read_config()
        check_work_folder(folder.path, what="a training")
        check_same_settings(config, _here(saved))
        config = dataclasses.replace(config, **{name: getattr(saved, name) for name in FOLLOWING})
    space = any_space_named(config.space, published=config.architecture, size=config.size)
    architecture = parse_architecture(space, config.architecture)
    if config.resume is None:
        folder = new_folder(config, architecture)
    size = space.input_shape[1]
    check_cutout(config, size)
    source = source_of(config)
    as_before = None if saved_origin is None else saved_origin.dataset
    data = load(
        source,
        size,
        resize=config.resize if as_before is None else as_before.resize,
        rules=LATEST_RULES if as_before is None else as_before.rules,
        skip_broken=config.skip_broken,
        on_progress=on_loading,
    )
    splits = split_data(data, config.seed)
    classes = len(splits.class_names)
    space = any_space_named(config.space, published=config.architecture, classes=classes, size=config.size)
    graph = space.graph(architecture.operators)
    check_fits(config, graph.input_shape, splits)
    config = with_recipe(config, training_images(splits))
    weights = None if config.weights is None else read_weights(local_path(config.weights), graph)
    preparation = TrainPreparation(
        config=config, folder=folder, network=architecture, graph=graph, splits=splits, weights=weights
    )
    if saved_origin is not None:
        _check_same_origin(preparation.origin, saved_origin)
    return preparation


def check_cutout(settings: TrainSettings, size: int) -> None:
    """Check that squares cut out of images are smaller than these.

    Raises:
        ValueError: if they are not.
    """
    if settings.cutout >= size:
        raise ValueError(f"`--cutout` must be less than the {size} pixels of an image, but got {settings.cutout}.")


def check_fits(settings: TrainSettings, input_shape: Shape, splits: Splits) -> None:
    """Check settings of training against the images.

    Raises:
        ValueError: if a batch is larger than the training images, or squares cut out of them are.
    """
    check_cutout(settings, input_shape[1])
    available = len(splits.weights) + len(splits.theta)
    if settings.batch_size is not None and settings.batch_size > available:
        raise ValueError(
            f"`--batch-size` must be at most the {available} training images, but got {settings.batch_size}."
        )


def run_training(
    preparation: TrainPreparation,
    *,
    device: torch.device | None = None,
    on_step: OnStep = lambda done, total: None,
    on_epoch: Callable[[EpochDone], None] = lambda epoch: None,
) -> tuple[TrainResult, tuple[TrainRecord, ...]]:
    """Train, or resume, and write everything but the picture; the test split is read once, at the very end.

    Raises:
        ValueError: if the checkpoint of a resumed training cannot be read, or the loss is no longer finite.
    """
    folder = preparation.folder
    begin(preparation)
    state = read_checkpoint(folder)
    result = read_result(folder)
    if result is not None:
        return result, () if state is None else records_in(state)
    for event in checked_state(folder, train(preparation.job, preparation.splits, state=state, device=device)):
        if isinstance(event, StepDone):
            on_step(event.step, event.total_steps)
        elif isinstance(event, EpochDone):
            write_atomically(folder.checkpoint, sealed_state(event.state))
            on_epoch(event)
        else:
            return write_outcome(preparation, event), event.records
    raise AssertionError("a training must end with its outcome")


def begin(preparation: Prepared) -> None:
    """Write what a training is made from, so that it can be resumed from now on."""
    folder = preparation.folder
    if not folder.config.exists():
        folder.write_config(preparation.config, preparation.origin)


def checked_state(folder: TrainFolder, events: Iterator[TrainEvent]) -> Iterator[TrainEvent]:
    """The same events; where the first of them cannot be produced, the message names the checkpoint.

    Raises:
        ValueError: if the checkpoint cannot be read.
    """
    try:
        yield next(events)
    except ValueError as error:
        if not folder.checkpoint.exists():
            raise
        raise ValueError(f"{str(folder.checkpoint)!r}: {error}. Remove it to train from the start.") from None
    yield from events


def write_outcome(preparation: Prepared, outcome: TrainOutcome) -> TrainResult:
    """Write the files of a trained network, last of all its result."""
    folder, origin = preparation.folder, preparation.origin
    write_json(folder.architecture, preparation.network.to_json())
    write_atomically(folder.weights, sealed_tensors(safetensors.numpy.save(outcome.weights)))
    files = {model.precision: deployed(model.model, _notes(origin, model)) for model in outcome.models}
    for precision, file in files.items():
        write_atomically(folder.model(precision), file)
    result = TrainResult(
        epochs=outcome.epochs,
        top1=outcome.top1,
        top3=outcome.top3,
        selection_accuracy=outcome.selection_accuracy,
        macs=origin.macs,
        params=origin.params,
        seconds=outcome.seconds,
        head_only=outcome.head_only,
        files=tuple(
            FileCheck(
                precision=m.precision,
                name=folder.model(m.precision).name,
                logits_difference=m.logits_difference,
                top1=m.top1,
                error=m.error,
                digest=digest_of(files[m.precision]),
            )
            for m in outcome.models
        ),
    )
    data = origin.dataset
    content = dataclasses.asdict(result) | {
        "images": dataclasses.asdict(data.images),
        "input": {"shape": origin.input_shape, "scale": 255, "mean": data.mean, "std": data.std},
        "classes": data.classes,
        "settings": preparation.config.to_json(),
    }
    write_sealed_json(folder.result, content)
    return result


def _notes(origin: TrainOrigin, model: ExportedModel) -> ModelNotes:
    network = origin.architecture
    return ModelNotes(
        network=network.id,
        space=network.space if isinstance(network, Architecture) else None,
        precision=model.precision,
        input_size=origin.input_shape[1],
        data=origin.dataset,
        error=1 - model.top1,
        error_of=f"test split, {origin.dataset.images.test} images, trained",
    )


def read_weights(path: Path, graph: Graph) -> Arrays:
    """Weights of a network from a .safetensors file.

    Raises:
        ValueError: if it cannot be read, or is of another network.
    """
    rule = "weights must be a .safetensors file of this network's weights"
    remedy = "Give a .safetensors file of this network."
    content = read_tensors(path, what="a file of weights", remedy=remedy, most=MOST_WEIGHTS_BYTES)
    try:
        weights: Arrays = safetensors.numpy.load(content)
    except Exception as error:
        # A header that is wrong meets a library that raises whatever comes of it.
        raise ValueError(f"{rule}, but {str(path)!r} is not: {reason_of(error)}.") from None
    for name, shape in weight_shapes(graph).items():
        got = tuple(weights[name].shape) if name in weights else None
        if got != shape:
            raise ValueError(f"{rule}, but {shown(name)} of {str(path)!r} must have shape {shape}, and has {got}.")
    return weights


def _check_same_origin(now: TrainOrigin, saved: TrainOrigin) -> None:
    for field in dataclasses.fields(TrainOrigin):
        if getattr(saved, field.name) != getattr(now, field.name):
            raise ValueError(
                f"a training must be resumed with what it was begun with, but its `{field.name}` has changed."
            )
