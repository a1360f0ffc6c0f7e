"""A whole training: inputs checked before anything is written, checkpoints, and what is handed over at the end."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.torch
import torch
from torch import Tensor

from devices.onnx_graphs import to_onnx, weight_shapes
from evaluation.image_data import LabelledImages, load_images
from evaluation.splits import Augmentation, ImageBatches, Splits, split_data
from evaluation.train_config import TrainConfig, check_same_settings
from evaluation.train_folder import TrainFolder, TrainResult, new_folder, read_result
from evaluation.training import OnStep, Training, TrainRecord, top_accuracies
from evaluation.work_folder import write_atomically, write_json
from search_space.architectures import Architecture, parse_architecture
from search_space.catalogue import any_space_named
from search_space.counts import count
from search_space.graphs import Graph
from search_space.networks import Network


@dataclass(frozen=True)
class TrainPreparation:
    """Checked inputs of a training."""

    config: TrainConfig
    folder: TrainFolder
    architecture: Architecture
    graph: Graph
    splits: Splits
    weights: dict[str, Tensor] | None
    """What the training starts from, where the user gave it."""

    @property
    def origin(self) -> dict[str, Any]:
        """What the training is made from, as JSON has it; a resumed one must be made from the same."""
        splits = self.splits
        return {
            "architecture": self.architecture.to_json(),
            "input_shape": list(self.graph.input_shape),
            "macs": count(self.graph).macs,
            "params": count(self.graph).params,
            "dataset": {
                "fingerprint": splits.fingerprint,
                "classes": list(splits.class_names),
                "mean": list(splits.mean_C),
                "std": list(splits.std_C),
                "images": {
                    "training": len(splits.weights) + len(splits.theta),
                    "selection": len(splits.selection),
                    "test": len(splits.test),
                },
            },
        }


def prepare_training(config: TrainConfig, *, on_loading: Callable[[int, int], None]) -> TrainPreparation:
    """Check all settings and load all inputs; nothing is written.

    Args:
        config: the settings; with `resume`, those of the training.
        on_loading: called with images decoded and in all.

    Raises:
        ValueError: for every kind of bad input.
    """
    saved_origin = None
    if config.resume is not None:
        folder = TrainFolder(Path(config.resume).expanduser())
        saved, saved_origin = folder.read_config()
        check_same_settings(config, saved)
    space = any_space_named(config.space, published=config.architecture)
    architecture = parse_architecture(space, config.architecture)
    if config.resume is None:
        folder = new_folder(config, architecture)
    size = space.input_shape[1]
    if config.cutout >= size:
        raise ValueError(f"`--cutout` must be less than the {size} pixels of an image, but got {config.cutout}.")
    data = load_images(
        config.dataset,
        size=size,
        image_column=config.image_column,
        label_column=config.label_column,
        on_progress=on_loading,
    )
    splits = split_data(data, config.seed)
    classes = len(splits.class_names)
    graph = any_space_named(config.space, published=config.architecture, classes=classes).graph(architecture.operators)
    available = len(splits.weights) + len(splits.theta)
    if config.batch_size > available:
        raise ValueError(
            f"`--batch-size` must be at most the {available} training images, but got {config.batch_size}."
        )
    weights = None if config.weights is None else _read_weights(Path(config.weights).expanduser(), graph)
    preparation = TrainPreparation(config, folder, architecture, graph, splits, weights)
    if saved_origin is not None:
        _check_same_origin(preparation.origin, saved_origin)
    return preparation


def run_training(
    preparation: TrainPreparation,
    *,
    device: torch.device | None = None,
    on_step: OnStep = lambda done, total: None,
    on_epoch: Callable[[TrainRecord], None] = lambda record: None,
) -> tuple[TrainResult, list[TrainRecord]]:
    """Train, or go on, and write everything but the picture; the test split is read once, at the very end.

    Raises:
        ValueError: if the checkpoint of a resumed training cannot be read, or the loss is no longer finite.
    """
    folder, settings = preparation.folder, preparation.config
    training = new_training(preparation, device=device)
    if folder.checkpoint.exists():
        try:
            training.load_state(folder.checkpoint.read_bytes())
        except ValueError as error:
            raise ValueError(f"{str(folder.checkpoint)!r}: {error}. Remove it to train from the start.") from None
    if not folder.config.exists():
        content = {"settings": preparation.config.to_json(), "origin": preparation.origin}
        write_json(folder.config, content)
    while len(training.records) < settings.epochs:
        record = training.run_epoch(on_step)
        write_atomically(folder.checkpoint, training.state())
        on_epoch(record)
    result = read_result(folder)
    if result is None:
        result = _hand_over(preparation, training)
    return result, training.records


def new_training(preparation: TrainPreparation, *, device: torch.device | None = None) -> Training:
    """The training before its first epoch."""
    config, splits = preparation.config, preparation.splits
    with torch.random.fork_rng():
        torch.manual_seed(int(np.random.SeedSequence(config.seed, spawn_key=(0,)).generate_state(1)[0]))
        network = Network(preparation.graph)
    if preparation.weights is not None:
        network.load_state_dict(preparation.weights, strict=False)
    flip = not splits.grey if config.flip is None else config.flip
    augmentation = Augmentation(crop_padding=preparation.graph.input_shape[1] // 8, flip=flip)
    images = ImageBatches(training_images(splits), splits, augmentation=augmentation, device=device)
    selection = ImageBatches(splits.selection, splits, device=device)
    return Training(network, images, selection, config, seed=config.seed)


def training_images(splits: Splits) -> LabelledImages:
    """Images of the weights and theta splits: a network that was chosen needs no images for theta."""
    parts = (splits.weights, splits.theta)
    return LabelledImages(
        np.concatenate([part.images_NCHW for part in parts]), np.concatenate([part.labels_N for part in parts])
    )


def _hand_over(preparation: TrainPreparation, training: Training) -> TrainResult:
    """Write the files of a trained network, last of all its result."""
    folder, origin = preparation.folder, preparation.origin
    state = {name: value.cpu().contiguous() for name, value in training.averaged.state_dict().items()}
    write_json(folder.architecture, preparation.architecture.to_json())
    write_atomically(folder.weights, safetensors.torch.save(state))
    write_atomically(folder.onnx, to_onnx(preparation.graph, {name: value.numpy() for name, value in state.items()}))
    test = ImageBatches(preparation.splits.test, preparation.splits, device=training.device)
    top1, top3 = top_accuracies(training.averaged, test)
    result = TrainResult(
        top1=top1,
        top3=top3,
        selection_accuracy=training.records[-1].accuracy,
        macs=origin["macs"],
        params=origin["params"],
        seconds=round(training.seconds, 3),
    )
    data = origin["dataset"]
    content = dataclasses.asdict(result) | {
        "images": data["images"],
        "input": {"shape": origin["input_shape"], "scale": 255, "mean": data["mean"], "std": data["std"]},
        "classes": data["classes"],
        "settings": preparation.config.to_json(),
    }
    write_json(folder.result, content)
    return result


def _read_weights(path: Path, graph: Graph) -> dict[str, Tensor]:
    """Weights of a network from a file."""
    rule = "`--weights` must be a .safetensors file of this network's weights"
    try:
        weights: dict[str, Tensor] = safetensors.torch.load(path.read_bytes())
    except OSError as error:
        raise ValueError(f"{rule}, but {str(path)!r} cannot be read: {error.strerror}.") from None
    except (safetensors.SafetensorError, ValueError) as error:
        raise ValueError(f"{rule}, but {str(path)!r} is none: {error}.") from None
    for name, shape in weight_shapes(graph).items():
        got = tuple(weights[name].shape) if name in weights else None
        if got != shape:
            raise ValueError(f"{rule}, but {name!r} of {str(path)!r} must have shape {shape}, and has {got}.")
    return weights


def _check_same_origin(now: dict[str, Any], saved: dict[str, Any]) -> None:
    for name, value in now.items():
        if saved.get(name) != value:
            raise ValueError(f"a training must be resumed with what it was begun with, but its `{name}` has changed.")
