"""The loss of exits: cross-entropy, and what the network itself says. Start with `exit_losses`.

Shape suffixes: B batch, K classes.
Source: Phuong & Lampert, "Distillation-Based Training for Multi-Exit Architectures" (ICCV 2019), equations 2 to 4: the
last exit teaches the others, and gets no gradient from them. The temperature is fixed here, not annealed.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from evaluation.early_exits.settings import ExitTrainSettings
from evaluation.training.objectives import Scores, Targets, mixed_cross_entropy


def exit_losses(scores: Scores, targets: Targets, settings: ExitTrainSettings) -> tuple[list[Tensor], list[Tensor]]:
    """What each exit minimises, and its cross-entropy in nats, both means over a batch.

    Args:
        scores: of each exit, and last of the network, which learns nothing here.
        targets: the labels.
        settings: say how the two parts of the loss are weighted.
    """
    *exits, network_BK = (logits_BK.float() for logits_BK in scores)
    losses, entropies = [], []
    for logits_BK in exits:
        entropy = mixed_cross_entropy(logits_BK, targets, settings.label_smoothing)
        divergence = distillation(logits_BK, network_BK.detach(), settings.temperature)
        losses.append((1 - settings.distillation) * entropy + settings.distillation * divergence)
        entropies.append(entropy)
    return losses, entropies


def distillation(logits_BK: Tensor, teacher_BK: Tensor, temperature: float) -> Tensor:
    """Mean Kullback-Leibler divergence in nats from a teacher's softened scores, times the temperature squared.

    The factor keeps the size of its gradient (Hinton et al., "Distilling the Knowledge in a Neural Network", 2015).
    """
    log_probs_BK = torch.log_softmax(logits_BK / temperature, -1)
    taught_BK = torch.log_softmax(teacher_BK / temperature, -1)
    return temperature**2 * F.kl_div(log_probs_BK, taught_BK, reduction="batchmean", log_target=True)
