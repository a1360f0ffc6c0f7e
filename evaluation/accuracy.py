"""Accuracy of sub-networks with a supernet's weights and recalibrated BatchNorm statistics."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from evaluation.batches import ImageBatches
from evaluation.errors import class_mean
from search_space.graphs import Graph
from search_space.networks import ConvBlock, Network

RECALIBRATION_IMAGES = 1024
EVALUATION_BATCH = 64
CLASSIFICATION_BATCH = 128
"""Its size changes results by rounding only."""

ModuleT = TypeVar("ModuleT", bound=nn.Module)


def inherited_network(
    graph: Graph, state: Mapping[str, Tensor], recalibration: ImageBatches, *, device: torch.device | None = None
) -> Network:
    """A stand-alone network with a supernet's weights and BatchNorm statistics of its own, in evaluation mode.

    Args:
        graph: the network.
        state: its weights, from `Supernet.sub_network_state`.
        recalibration: the first 1,024 of these images, unaugmented, give the statistics.
        device: where the network runs.

    Source: Yu et al., "Universally Slimmable Networks" (ICCV 2019), section 4.2: statistics after training.
    """
    network = Network(graph).to(device)
    network.load_state_dict(dict(state), strict=False)
    recalibrate(network, recalibration)
    return network


@torch.inference_mode()
def recalibrate(network: nn.Module, images: ImageBatches) -> None:
    """Set all BatchNorm statistics to averages over batches of one size; leaves evaluation mode on.

    Args:
        network: any network with BatchNorm.
        images: the first 1,024 are used, or where there are fewer, all but the few that a division into batches of
            one size leaves over.
    """
    norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
    network.train()
    count = min(RECALIBRATION_IMAGES, len(images))
    num_batches = -(-count // EVALUATION_BATCH)
    batch_size = count // num_batches
    for number, (x_BCHW, _) in enumerate(images.in_order(batch_size, batch_size * num_batches), start=1):
        # The average of all batches, as with a momentum of None, which would read its counter back from the device.
        for norm in norms:
            norm.momentum = 1 / number
        network(x_BCHW)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
    network.eval()


@dataclass(frozen=True)
class Classified:
    """How a network classifies images."""

    error: float
    """In [0, 1]; of images or of classes alike, as the splits say, and so is the next."""
    cross_entropy: float
    """Mean, in nats."""
    correct_N: npt.NDArray[np.bool_]
    """Whether each image is classified as it is labelled, shape (N,)."""


def classification(network: nn.Module, images: ImageBatches) -> tuple[float, float]:
    """Error in [0, 1] and mean cross-entropy in nats of a network over images; sets evaluation mode."""
    found = classified(network, images)
    return found.error, found.cross_entropy


@torch.inference_mode()
def classified(network: nn.Module, images: ImageBatches) -> Classified:
    """The same, and which images are classified as they are labelled; sets evaluation mode."""
    quick = folded(network.eval())
    device = images.labels_N.device
    correct, losses, total = [], [], torch.zeros((), device=device)
    for x_BCHW, labels_B in images.in_order(CLASSIFICATION_BATCH):
        logits_BK = quick(x_BCHW)
        correct.append(logits_BK.argmax(-1) == labels_B)
        if images.error == "plain":
            total += F.cross_entropy(logits_BK, labels_B, reduction="sum")
        else:
            losses.append(F.cross_entropy(logits_BK, labels_B, reduction="none"))
    correct_N = torch.cat(correct).cpu().numpy()
    if images.error == "plain":
        cross_entropy = float(total) / len(images)
    else:
        cross_entropy = class_mean(torch.cat(losses).cpu().double().numpy(), images.images.labels_N)
    return Classified(images.share_of(~correct_N), cross_entropy, correct_N)


def folded(network: ModuleT) -> ModuleT:
    """A copy, of a network in evaluation mode, with each BatchNorm folded into the convolution in front of it.

    Outputs differ by rounding only.
    """
    folded_modules: dict[int, Any] = {}
    for block in network.modules():
        if (
            isinstance(block, ConvBlock)
            and isinstance(block.conv, nn.Conv2d)
            and isinstance(block.norm, nn.BatchNorm2d)
        ):
            folded_modules[id(block.conv)] = fuse_conv_bn_eval(block.conv, block.norm)
            folded_modules[id(block.norm)] = nn.Identity()
    # What is folded is taken as a copy that was made already, so that nothing is copied twice.
    return copy.deepcopy(network, folded_modules)
