"""Exits of a network that a search has just found, in a second: linear heads on features that stay as they are.

Start with `quick_outcomes`. Shape suffixes: N images, F features, K classes, E exits, X = E + 1 ways through a network.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import islice

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from evaluation.accelerators import exact_float32
from evaluation.accuracy import CLASSIFICATION_BATCH, folded
from evaluation.batches import ImageBatches
from evaluation.early_exits.outcomes import ExitOutcomes, outcomes_of
from evaluation.training.logistic_regression import logistic_regression
from search_space.exits import Exit, layer_outputs
from search_space.networks import Network
from search_space.spaces import FBNetSpace

FITTED_IMAGES = 2048
"""Training images that heads are fitted to, at most."""
PENALTY = 1e-3
"""Weight of the squared norm of a head."""


@exact_float32()
def quick_outcomes(
    network: Network,
    space: FBNetSpace,
    exits: Sequence[Exit],
    training: ImageBatches,
    selection: ImageBatches,
    *,
    seed: int,
) -> ExitOutcomes:
    """What exits would say of the selection split with heads that are fitted at once, and what the network says.

    Args:
        network: with weights and BatchNorm statistics, as `inherited_network` gives it; stays as it is, but for its
            mode, which is evaluation afterwards.
        space: of the network.
        exits: E of them, with linear heads, in order.
        training: the first `FITTED_IMAGES` of one pass over these fit the heads, augmented where that is asked for.
        selection: images of the outcomes.
        seed: of the order and augmentation of the training images.

    Raises:
        ValueError: if an exit has another head, as none but linear ones have a quick best fit.
    """
    if other := [one for one in exits if one.head != "linear"]:
        raise ValueError(f"exits must have linear heads to be fitted at once, but got {other[0].label}.")
    ends = layer_outputs(network.graph, space.num_layers)
    reads = [*(ends[one.layer] for one in exits), network.graph.nodes[-1].name]
    quick = folded(network.eval())
    rng = np.random.default_rng(np.random.SeedSequence(seed))
    batches = islice(training.batches(CLASSIFICATION_BATCH, rng), -(-FITTED_IMAGES // CLASSIFICATION_BATCH))
    *fitted, _, fitted_labels_N = _outputs(quick, reads, batches)
    *features, logits_NK, labels_N = _outputs(quick, reads, selection.in_order(CLASSIFICATION_BATCH))
    scores = []
    for known_NF, features_NF in zip(fitted, features, strict=True):
        weight_KF, bias_K = logistic_regression(known_NF, fitted_labels_N, space.classes, penalty=PENALTY)
        scores.append(F.linear(features_NF, weight_KF, bias_K))
    logits_XNK = torch.stack([*scores, logits_NK])
    return outcomes_of(exits, logits_XNK.cpu().numpy(), labels_N.cpu().numpy())


@torch.no_grad()
def _outputs(network: Network, names: Sequence[str], batches: Iterable[tuple[Tensor, Tensor]]) -> list[Tensor]:
    """Means over the pixels of nodes' outputs, shape (N, F) each, and last labels, shape (N,)."""
    parts = []
    for x_BCHW, labels_B in batches:
        outputs = network.outputs(x_BCHW, names)
        parts.append([*(value if value.ndim == 2 else value.mean((2, 3)) for value in outputs), labels_B])
    return [torch.cat(values) for values in zip(*parts, strict=True)]
