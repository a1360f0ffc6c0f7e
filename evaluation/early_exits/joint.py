"""Training of a network together with its exits, once both are trained. Start with `JointJob`.

Source: Kubaty et al., "How to Train Your Multi-Exit Model? Analyzing the Impact of Training Strategies" (2024,
arXiv 2407.14320), which finds it best to train the network first, then all together.
Shape suffixes: B batch, C channels, H height, W width, K classes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn

from devices.configuration import Precision
from evaluation.accelerators import exact_float32
from evaluation.accuracy import EVALUATION_BATCH, folded
from evaluation.batches import ImageBatches
from evaluation.early_exits.distillation import exit_losses
from evaluation.early_exits.job import BranchedJob, arrays_of, network_of, worked_out
from evaluation.early_exits.outcomes import ExitOutcomes
from evaluation.early_exits.settings import JOINT_EPOCHS_SHARE, JOINT_LR_SHARE, ExitTrainSettings
from evaluation.splits import Splits
from evaluation.training.job import Arrays, EpochDone, StepDone, epochs_of
from evaluation.training.loop import LossDivergedError, Training, TrainRecord
from evaluation.training.objectives import Scores, Targets, mixed_cross_entropy
from search_space.exits import check_exits
from search_space.networks import Network
from search_space.segments import branched_graph

MOST_LOST = 0.003
"""Accuracy on the selection split that the network itself may lose, for its exits to gain."""


@dataclass(frozen=True, kw_only=True, slots=True)
class JointJob(BranchedJob):
    """A trained network to train further with the exits that it is deployed with, which are trained as well.

    Implements `evaluation.training.job.TrainingJob`.
    """

    def __post_init__(self) -> None:
        check_exits(self.exits, self.space.num_layers)
        if not self.exits:
            raise ValueError("a network that is trained with its exits must have some, but got none.")

    def events(
        self, splits: Splits, *, state: bytes | None = None, device: torch.device | None = None
    ) -> Iterator[StepDone | EpochDone | JointOutcome]:
        """See `TrainingJob.events`, and `train_jointly`."""
        return train_jointly(self, splits, state=state, device=device)


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class JointOutcome:
    """A network and its exits, as they came to be together, or as they were where that cost the network too much."""

    weights: Arrays
    """Of the network and of its heads, by their names in the branched graph."""
    kept: bool
    """Whether they are what training gave; else they are those that it started from."""
    accuracy_before: float
    """Of the network itself, passing all exits, on the selection split, in [0, 1]."""
    accuracy_after: float | None
    """The same after training, whether it was kept or not; None where the loss did not stay finite."""
    outcomes: Mapping[Precision, ExitOutcomes]
    """Of these weights on the selection split."""
    records: tuple[TrainRecord, ...]
    """Of each epoch; loss is the mean of the network and all exits, accuracy that of the network itself."""
    epochs: float
    """Passes over the training images."""
    seconds: float
    """Time that training took."""


def train_jointly(
    job: JointJob, splits: Splits, *, state: bytes | None = None, device: torch.device | None = None
) -> Iterator[StepDone | EpochDone | JointOutcome]:
    """Train a network together with its exits, or resume; what comes of it is kept if the network is still as good.

    Args:
        job: what to train.
        splits: the network is trained on the weights and theta splits, and judged on the selection split.
        state: of the last `EpochDone` of an interrupted training.
        device: where to train.

    Yields:
        Steps, epochs, and last the outcome.

    Raises:
        ValueError: if weights are missing, or the state cannot be read.
    """
    training = new_joint_training(job, splits, device=device)
    frozen = arrays_of(training.averaged)
    before = training.objective.accuracy(training.averaged, training.selection)
    if state is not None:
        training.load_state(state)
    try:
        yield from epochs_of(training)
        after: float | None = training.records[-1].accuracy
    except LossDivergedError:
        after = None
    kept = after is not None and after >= before - MOST_LOST
    weights = arrays_of(training.averaged) if kept else frozen
    yield JointOutcome(
        weights=weights,
        kept=kept,
        accuracy_before=before,
        accuracy_after=after,
        outcomes=job.outcomes(weights, splits),
        records=tuple(training.records),
        epochs=training.epochs,
        seconds=round(training.seconds, 3),
    )


def new_joint_training(job: JointJob, splits: Splits, *, device: torch.device | None = None) -> Training:
    """The training before its first epoch."""
    settings = worked_out(job.settings, splits, epochs_share=JOINT_EPOCHS_SHARE, lr_share=JOINT_LR_SHARE)
    images, selection = job.images(splits, settings, device)
    branched = branched_graph(job.space, job.operators, job.exits)
    return Training(
        network_of(branched.graph, job.weights),
        images,
        selection,
        settings,
        seed=job.seed,
        objective=NetworkAndExits(branched.logits, job.settings),
    )


@dataclass(frozen=True)
class NetworkAndExits:
    """Trains a network with heads; implements `Objective`.

    The loss is the network's own, plus the mean of those of its exits: together they weigh as much as it does.
    """

    logits: tuple[str, ...]
    """Nodes with the scores of each exit, and last those of the network."""
    settings: ExitTrainSettings

    def scores(self, network: nn.Module, x_BCHW: Tensor) -> Scores:
        """See `Objective.scores`."""
        return cast(Network, network).outputs(x_BCHW, self.logits)

    def loss(self, scores: Scores, targets: Targets) -> tuple[Tensor, Tensor]:
        """See `Objective.loss`."""
        losses, entropies = exit_losses(scores, targets, self.settings)
        own = mixed_cross_entropy(scores[-1].float(), targets, self.settings.label_smoothing)
        return own + torch.stack(losses).mean(), torch.stack([*entropies, own]).mean()

    @exact_float32()
    @torch.no_grad()
    def accuracy(self, network: nn.Module, images: ImageBatches) -> float:
        """Accuracy of the network itself, in [0, 1]; see `Objective.accuracy`."""
        quick = folded(cast(Network, network.eval()))
        hits = 0
        for x_BCHW, labels_B in images.in_order(EVALUATION_BATCH):
            (logits_BK,) = quick.outputs(x_BCHW, self.logits[-1:])
            hits += int((logits_BK.argmax(-1) == labels_B).sum())
        return hits / len(images)
