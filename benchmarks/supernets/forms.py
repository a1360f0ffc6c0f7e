"""Forms of supernet that are compared: the project's default, and FBNet's as published."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from dnas.pretraining import DrawForward, mixed_paths, sampled_path
from dnas.supernets.build import WeightSharing, build_supernet
from dnas.supernets.supernet import Supernet
from evaluation.accuracy import classification, inherited_network
from evaluation.augmentation import Augmentation
from evaluation.batches import ImageBatches
from evaluation.splits import Splits
from evaluation.training.loop import use_quick_depthwise
from moo.visualization.style import BLUE, GREEN, VERMILION
from search_space.architectures import architecture_from_indices
from search_space.spaces import FBNetSpace


@dataclass(frozen=True, kw_only=True, slots=True)
class Form:
    """A form of supernet."""

    label: str
    weight_sharing: WeightSharing
    forward: DrawForward
    """What a weight step trains."""
    quick_depthwise: bool
    """Whether the depthwise convolutions of separate weights are quick; in shared ones they always are."""
    colour: str


FORMS = {
    "shared": Form(
        label="shared superkernel", weight_sharing="shared", forward=sampled_path, quick_depthwise=False, colour=BLUE
    ),
    "separate": Form(
        label="separate weights, all paths",
        weight_sharing="separate",
        forward=mixed_paths,
        quick_depthwise=False,
        colour=VERMILION,
    ),
    "quick": Form(
        label="the same, quick depthwise gradients",
        weight_sharing="separate",
        forward=mixed_paths,
        quick_depthwise=True,
        colour=GREEN,
    ),
}


def new_supernet(form: Form, space: FBNetSpace, seed: int) -> Supernet:
    """A supernet with random weights."""
    torch.manual_seed(seed)
    supernet = build_supernet(space, form.weight_sharing)
    if form.quick_depthwise:
        use_quick_depthwise(supernet)
    return supernet


def search_augmentation(space: FBNetSpace, splits: Splits) -> Augmentation:
    """What a search does to training images by default."""
    return Augmentation(crop_padding=space.input_size // 16, flip=not splits.grey)


class InheritedAccuracy:
    """Accuracy of sub-networks with inherited weights and BatchNorm statistics of their own, on the selection split."""

    def __init__(self, supernet: Supernet, splits: Splits, device: torch.device | None = None) -> None:
        self._supernet = supernet
        self._device = device
        self._recalibration = ImageBatches(splits.weights, splits, device=device)
        self._selection = ImageBatches(splits.selection, splits, device=device)

    def __call__(self, indices: tuple[int, ...]) -> float:
        """Accuracy in [0, 1] of an architecture, given as operator indices."""
        space = self._supernet.space
        graph = space.graph(architecture_from_indices(space, indices).operators)
        state = self._supernet.sub_network_state(indices)
        network = inherited_network(graph, state, self._recalibration, device=self._device)
        return 1 - classification(network, self._selection)[0]
