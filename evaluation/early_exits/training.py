"""Training of exits while their network stays as it is. Start with `ExitJob`.

One pass over the images trains the heads of all candidates: each learns by its own loss alone, as the maps that it
reads do not depend on it. So which other candidates there are does not change it, unless training diverges, when all
go on with half the learning rate. Runs in this process or on any worker.
Shape suffixes: B batch, C channels, H height, W width, K classes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from devices.configuration import Precision
from evaluation.accelerators import exact_float32
from evaluation.accuracy import EVALUATION_BATCH, folded
from evaluation.batches import ImageBatches
from evaluation.early_exits.distillation import exit_losses
from evaluation.early_exits.job import BranchedJob, arrays_of, network_of, worked_out
from evaluation.early_exits.outcomes import ExitOutcomes
from evaluation.early_exits.settings import EXIT_EPOCHS_SHARE, ExitTrainSettings
from evaluation.splits import Splits
from evaluation.training.job import Arrays, EpochDone, StepDone, epochs_of
from evaluation.training.loop import LossDivergedError, Training, TrainRecord
from evaluation.training.objectives import Scores, Targets
from search_space.boundary.text import shown
from search_space.exits import HEADS, Exit, head_graph, layer_outputs
from search_space.networks import Network
from search_space.spaces import FBNetSpace


@dataclass(frozen=True, kw_only=True, slots=True)
class ExitJob(BranchedJob):
    """All candidate exits of a trained network to train, of which several may be at one layer.

    Implements `evaluation.training.job.TrainingJob`.
    """

    def __post_init__(self) -> None:
        if not self.exits or len(set(self.exits)) < len(self.exits):
            given = ", ".join(one.label for one in self.exits) or "none"
            raise ValueError(f"there must be exits to train, each once, but got {given}.")
        if max(self.exits).layer >= self.space.num_layers:
            raise ValueError(
                f"exits must be at one of the {self.space.num_layers} layers, counted from 0, but got "
                f"{max(self.exits).label}."
            )

    def events(
        self, splits: Splits, *, state: bytes | None = None, device: torch.device | None = None
    ) -> Iterator[StepDone | EpochDone | ExitOutcome]:
        """See `TrainingJob.events`, and `train_exits`."""
        return train_exits(self, splits, state=state, device=device)


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class ExitOutcome:
    """The heads of a network's candidate exits, and what they say."""

    heads: Arrays
    """Averaged weights and BatchNorm statistics of all heads, by their names in the branched graph."""
    outcomes: Mapping[Precision, ExitOutcomes]
    """Of all candidates on the selection split."""
    records: tuple[TrainRecord, ...]
    """Of each epoch; loss and accuracy are means over all candidates."""
    epochs: float
    """Passes over the training images."""
    seconds: float
    """Time that training took."""


def train_exits(
    job: ExitJob, splits: Splits, *, state: bytes | None = None, device: torch.device | None = None
) -> Iterator[StepDone | EpochDone | ExitOutcome]:
    """Train the heads of all candidates, or resume; the network keeps its weights and statistics bit by bit.

    Args:
        job: what to train.
        splits: heads are trained on the weights and theta splits; outcomes are those of the selection split.
        state: of the last `EpochDone` of an interrupted training.
        device: where to train.

    Yields:
        Steps, epochs, and last the outcome.

    Raises:
        ValueError: if weights are missing, the state cannot be read, or the loss is no longer finite.
    """
    training = new_exit_training(job, splits, device=device)
    if state is not None:
        training.load_state(state)
    try:
        yield from epochs_of(training)
    except LossDivergedError as error:
        raise ValueError(
            f"exits must train with a finite loss, but those of {shown(job.name)} did not with a peak learning rate "
            f"of {training.peak_lr:.3g}: train its network anew, or its exits at a lower rate."
        ) from error
    heads = heads_of(training.averaged)
    yield ExitOutcome(
        heads=heads,
        outcomes=job.outcomes(job.weights | heads, splits),
        records=tuple(training.records),
        epochs=training.epochs,
        seconds=round(training.seconds, 3),
    )


def new_exit_training(job: ExitJob, splits: Splits, *, device: torch.device | None = None) -> Training:
    """The training before its first epoch."""
    settings = worked_out(job.settings, splits, epochs_share=EXIT_EPOCHS_SHARE)
    images, selection = job.images(splits, settings, device)
    network = network_of(job.space.graph(job.operators), job.weights).to(device)
    return Training(
        Heads(job.space, job.exits, seed=job.seed),
        images,
        selection,
        settings,
        seed=job.seed,
        objective=FrozenBackbone(network, job.space, job.exits, job.settings),
    )


class Heads(nn.Module):
    """The heads of exits, each with its own first weights, whichever others there are.

    Args:
        space: of the network.
        exits: E of them.
        seed: of the first weights.
    """

    def __init__(self, space: FBNetSpace, exits: Sequence[Exit], *, seed: int) -> None:
        super().__init__()
        for one in exits:
            key = (0, one.layer, HEADS.index(one.head))
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(int(np.random.SeedSequence(seed, spawn_key=key).generate_state(1)[0]))
                self.add_module(one.prefix, Network(head_graph(space, one)))

    def forward(self, maps_E: Sequence[Tensor]) -> Scores:
        """Scores of each exit, for the maps at its layer."""
        return tuple(head(maps_BCHW) for head, maps_BCHW in zip(self.children(), maps_E, strict=True))


class FrozenBackbone:
    """Trains `Heads` on what a network gives, which stays as it is; implements `Objective`.

    The loss is the sum of those of all heads, so that each gets the gradient of its own.

    Args:
        network: is trained; it runs in evaluation mode, on the device where it is.
        space: of the network.
        exits: of the heads.
        settings: of the loss.
    """

    def __init__(self, network: Network, space: FBNetSpace, exits: Sequence[Exit], settings: ExitTrainSettings) -> None:
        self.network = folded(network.eval().requires_grad_(requires_grad=False))
        self.network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        ends = layer_outputs(network.graph, space.num_layers)
        self._reads = (*(ends[one.layer] for one in exits), network.graph.nodes[-1].name)
        self._settings = settings

    def scores(self, network: nn.Module, x_BCHW: Tensor) -> Scores:
        """Those of the heads, and last of the network; see `Objective.scores`."""
        with torch.no_grad():
            *maps_E, logits_BK = self.network.outputs(x_BCHW, self._reads)
        return (*network(maps_E), logits_BK)

    def loss(self, scores: Scores, targets: Targets) -> tuple[Tensor, Tensor]:
        """See `Objective.loss`; recorded is the mean of all heads."""
        losses, entropies = exit_losses(scores, targets, self._settings)
        return torch.stack(losses).sum(), torch.stack(entropies).mean()

    @exact_float32()
    @torch.no_grad()
    def accuracy(self, network: nn.Module, images: ImageBatches) -> float:
        """Mean accuracy of all heads, in [0, 1]; see `Objective.accuracy`."""
        network.eval()
        hits = heads = 0
        for x_BCHW, labels_B in images.in_order(EVALUATION_BATCH):
            *exits, _ = self.scores(network, x_BCHW)
            hits += sum(int((logits_BK.argmax(-1) == labels_B).sum()) for logits_BK in exits)
            heads = len(exits)
        return hits / (heads * len(images))


def heads_of(heads: nn.Module) -> Arrays:
    """Weights and statistics of `Heads`, by their names in the branched graph."""
    return {name: value for head in heads.children() for name, value in arrays_of(head).items()}
