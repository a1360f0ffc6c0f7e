"""Accuracy of sub-networks with a supernet's weights and recalibrated BatchNorm statistics."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar, cast

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from evaluation.accelerators import exact_float32
from evaluation.batches import ImageBatches
from evaluation.errors import class_mean
from search_space.graphs import Graph
from search_space.networks import ConvBlock, Network, network_with

RECALIBRATION_IMAGES = 1024
EVALUATION_BATCH = 64
CLASSIFICATION_BATCH = 128
"""Its size changes results by rounding only."""
GPU_PIXELS = 2**20
"""Pixels of the images in a batch of a GPU, so that it needs at most some gigabytes: 1,024 images of 32 pixels."""

ModuleT = TypeVar("ModuleT", bound=nn.Module)


def inherited_network(
    graph: Graph, state: Mapping[str, Tensor], recalibration: ImageBatches, *, device: torch.device | None = None
) -> Network:
    """A stand-alone network with a supernet's weights and BatchNorm statistics of its own, in evaluation mode.

    Args:
        graph: the network.
        state: its weights, from `Supernet.sub_network_state`; the network has these very tensors.
        recalibration: the first 1,024 of these images, unaugmented, give the statistics.
        device: where the network runs.

    Source: Yu et al., "Universally Slimmable Networks" (ICCV 2019), section 4.2: statistics after training.
    """
    network = network_with(graph, {name: value.to(device) for name, value in state.items()})
    recalibrate(network, recalibration)
    return network


@exact_float32()
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
    _reset(norms)
    network.train()
    count = min(RECALIBRATION_IMAGES, len(images))
    num_batches = -(-count // batch_size_for(images, EVALUATION_BATCH))
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


@exact_float32()
@torch.inference_mode()
def classified(network: nn.Module, images: ImageBatches) -> Classified:
    """The same, and which images are classified as they are labelled; sets evaluation mode."""
    quick = folded(network.eval())
    device = images.labels_N.device
    correct, losses, total = [], [], torch.zeros((), device=device)
    for x_BCHW, labels_B in images.in_order(batch_size_for(images, CLASSIFICATION_BATCH)):
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


def batch_size_for(images: ImageBatches, least: int) -> int:
    """Images in a batch where no gradient is wanted; more on a GPU, whose host would else be slower than itself.

    Args:
        images: are divided into batches of nearly one size, as each size has its preparations.
        least: what suits a CPU, whose caches hold no more.
    """
    if images.device.type == "cpu":
        return least
    _, height, width = images.network_shape
    most = min(max(least, GPU_PIXELS // (height * width)), max(len(images), 1))
    return -(-len(images) // -(-len(images) // most)) if len(images) else least


def folded(network: ModuleT) -> ModuleT:
    """A network in evaluation mode with each BatchNorm folded into the convolution in front of it.

    Other weights are shared with the given network, which stays as it is. Outputs differ by rounding only.
    """
    blocks = [block for block in network.modules() if isinstance(block, ConvBlock) and _is_foldable(block)]
    replaced: dict[nn.Module, nn.Module] = {}
    for block, (weight, bias) in zip(blocks, _folded_weights(blocks), strict=True):
        conv = replaced[block.conv] = _replica(block.conv, {})
        conv.weight = nn.Parameter(weight, requires_grad=block.conv.weight.requires_grad)
        conv.bias = nn.Parameter(bias, requires_grad=False)
        replaced[block.norm] = nn.Identity()
    return cast(ModuleT, _replica(network, replaced))


def _is_foldable(block: ConvBlock) -> bool:
    return isinstance(block.conv, nn.Conv2d) and isinstance(block.norm, nn.BatchNorm2d)


@torch.no_grad()
def _folded_weights(blocks: Sequence[ConvBlock]) -> list[tuple[Tensor, Tensor]]:
    """Kernel and bias of each, from all channels of the network at once: a launch for each BatchNorm is saved."""
    if not blocks:
        return []
    norms = [cast(nn.BatchNorm2d, block.norm) for block in blocks]
    sizes = [norm.num_features for norm in norms]
    varied = torch._foreach_add([cast(Tensor, norm.running_var) for norm in norms], [norm.eps for norm in norms])
    mean_C, gain_C, offset_C = (
        torch.cat([getattr(norm, name) for norm in norms]) for name in ("running_mean", "weight", "bias")
    )
    inverse_C = torch.cat(varied).rsqrt()
    bias_C = (0 - mean_C) * inverse_C * gain_C + offset_C
    scales, biases = (torch.split_with_sizes(values, sizes) for values in (gain_C * inverse_C, bias_C))
    return [
        (block.conv.weight * scale[:, None, None, None], bias)
        for block, scale, bias in zip(blocks, scales, biases, strict=True)
    ]


def _replica(module: nn.Module, replaced: Mapping[nn.Module, nn.Module]) -> nn.Module:
    """A module of the same tensors, with other modules for some of its own."""
    if module in replaced:
        return replaced[module]
    replica = copy.copy(module)
    replica._parameters, replica._buffers = module._parameters.copy(), module._buffers.copy()
    replica._modules = {
        name: None if child is None else _replica(child, replaced) for name, child in module._modules.items()
    }
    return replica


def _reset(norms: Sequence[nn.BatchNorm2d]) -> None:
    """Have BatchNorms forget their statistics, as `reset_running_stats` does for one."""
    if norms:
        means, variances, counts = (
            [cast(Tensor, getattr(norm, name)) for norm in norms]
            for name in ("running_mean", "running_var", "num_batches_tracked")
        )
        torch._foreach_zero_([*means, *variances])
        torch._foreach_add_(variances, 1.0)
        torch._foreach_zero_(counts)
