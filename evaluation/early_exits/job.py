"""What training exits needs, whether with their network or without it. Start with `BranchedJob`."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from devices.configuration import PRECISIONS, Precision
from devices.quantization import Activations
from evaluation.batches import ImageBatches
from evaluation.early_exits.files import branched_outcomes
from evaluation.early_exits.outcomes import ExitOutcomes
from evaluation.early_exits.settings import ExitTrainSettings
from evaluation.splits import Splits
from evaluation.training.config import TrainSettings
from evaluation.training.job import Arrays, training_batches, training_images
from evaluation.training.recipe import TrainRecipe, train_recipe
from search_space.boundary.text import shown
from search_space.exits import Exit
from search_space.graphs import Graph
from search_space.networks import Network
from search_space.onnx_files import weight_shapes
from search_space.spaces import FBNetSpace


@dataclass(frozen=True, kw_only=True, slots=True)
class BranchedJob:
    """A trained network and exits, of which some part is to be trained."""

    name: str
    """Tells the jobs of a run apart."""
    space: FBNetSpace
    """Of the network."""
    operators: tuple[str, ...]
    """The network, one a layer."""
    exits: tuple[Exit, ...]
    """In order."""
    weights: Arrays
    """That training starts from, by name; names that it does not need are ignored."""
    settings: ExitTrainSettings
    flip: bool | None
    """Whether half of the training images are mirrored; None unless all images are grey."""
    seed: int
    """Of the first weights, and the order and augmentation of the images."""
    activations: Activations = "int8"
    """Type of activations in int8: what its board computes with quickest."""
    precisions: tuple[Precision, ...] = PRECISIONS
    """What outcomes are wanted in."""

    def images(
        self, splits: Splits, settings: TrainSettings, device: torch.device | None
    ) -> tuple[ImageBatches, ImageBatches]:
        """Augmented training images, and those of the selection split."""
        training = training_batches(splits, settings, size=self.space.input_size, flip=self.flip, device=device)
        return training, ImageBatches(splits.selection, splits, device=device)

    def outcomes(self, weights: Arrays, splits: Splits) -> dict[Precision, ExitOutcomes]:
        """What all exits say of the selection split in each precision, by ONNX Runtime on this machine."""
        return {
            precision: branched_outcomes(
                self.space,
                self.operators,
                self.exits,
                weights,
                splits,
                precision=precision,
                images=splits.selection,
                threads=torch.get_num_threads(),
                activations=self.activations,
            )
            for precision in self.precisions
        }


def worked_out(
    settings: ExitTrainSettings, splits: Splits, *, epochs_share: float, lr_share: float = 1.0
) -> TrainSettings:
    """Settings of a training, with the epochs and the learning rate that follow from the images.

    Args:
        settings: what is given stays as it is.
        splits: the images.
        epochs_share: of the passes that networks are trained for by default.
        lr_share: of the learning rate that networks are trained with by default.
    """
    training, recipe = settings.training(), _default_recipe(settings, splits)
    return dataclasses.replace(
        training,
        epochs=epochs_share * recipe.epochs if settings.epochs is None else settings.epochs,
        lr=lr_share * recipe.lr if settings.lr is None else settings.lr,
    )


def _default_recipe(settings: ExitTrainSettings, splits: Splits) -> TrainRecipe:
    return train_recipe(dataclasses.replace(settings.training(), epochs=None, lr=None), training_images(splits))


def network_of(graph: Graph, weights: Arrays) -> Network:
    """A network with given weights.

    Raises:
        ValueError: if one is missing, or has another shape.
    """
    for name, shape in weight_shapes(graph).items():
        got = tuple(weights[name].shape) if name in weights else None
        if got != shape:
            raise ValueError(
                f"weights of a network must be complete, but {shown(name)} must have shape {shape}, and "
                f"{'is missing' if got is None else f'has {got}'}."
            )
    network = Network(graph)
    known = network.state_dict()
    given = {name: torch.from_numpy(np.array(value)) for name, value in weights.items() if name in known}
    network.load_state_dict(given, strict=False)
    return network


def arrays_of(network: nn.Module) -> Arrays:
    """Copies of weights and statistics, by name."""
    return {name: value.cpu().contiguous().clone().numpy() for name, value in network.state_dict().items()}
