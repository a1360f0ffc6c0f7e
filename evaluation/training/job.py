"""What training one network needs and gives, free of folders: it runs in this process or on any worker.

Start with `train`. Results depend on the job and the splits alone where the job says how many epochs there are.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

import numpy as np
import numpy.typing as npt
import torch

from devices.quantization import Activations
from dnas.divergence import Divergence
from evaluation.augmentation import augmentation_of
from evaluation.batches import ImageBatches
from evaluation.data.images import LabelledImages, joined
from evaluation.export import ExportedModel, export
from evaluation.splits import Splits
from evaluation.training.config import TrainSettings
from evaluation.training.loop import Training, TrainRecord, top_accuracies
from evaluation.training.recipe import train_recipe
from search_space.graphs import Graph
from search_space.networks import Network

Arrays = dict[str, npt.NDArray[Any]]
OutcomeT_co = TypeVar("OutcomeT_co", covariant=True)


class TrainingJob(Protocol[OutcomeT_co]):
    """Something to train that knows how: it runs in this process, or on any worker that it is sent to."""

    @property
    def name(self) -> str:
        """Tells the jobs of a run apart."""

    def events(
        self, splits: Splits, *, state: bytes | None = None, device: torch.device | None = None
    ) -> Iterator[StepDone | EpochDone | OutcomeT_co]:
        """Train, or resume; yields steps, epochs, and last the outcome.

        Args:
            splits: the images.
            state: of the last `EpochDone` of an interrupted training.
            device: where to train.

        Raises:
            ValueError: if the state cannot be read, or the job cannot be done.
        """


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainJob:
    """One network to train; implements `TrainingJob`."""

    name: str
    """Tells the jobs of a run apart."""
    graph: Graph
    settings: TrainSettings
    flip: bool | None
    """Whether half of the training images are mirrored; None unless all images are grey."""
    seed: int
    """Of the first weights, and the order and augmentation of the images."""
    weights: Arrays | None = None
    """What training starts from; None for random weights."""
    activations: Activations = "int8"
    """Type of activations in the int8 file: what its board computes with quickest."""

    def events(
        self, splits: Splits, *, state: bytes | None = None, device: torch.device | None = None
    ) -> Iterator[TrainEvent]:
        """See `TrainingJob.events`, and `train`."""
        return train(self, splits, state=state, device=device)


@dataclass(frozen=True)
class StepDone:
    """A step is done."""

    step: int
    """Steps made so far."""
    total_steps: int


@dataclass(frozen=True, kw_only=True, slots=True)
class EpochDone:
    """An epoch has ended."""

    record: TrainRecord
    step: int
    """Steps made so far."""
    total_steps: int
    epochs: float
    """Of the whole training."""
    state: bytes
    """What `train` needs to resume from here."""
    divergences: tuple[Divergence, ...] = ()
    """Why training went back on the way, each time that it did."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainOutcome:
    """A network that is trained, and its files."""

    weights: Arrays
    """Averaged weights and BatchNorm statistics, by name."""
    selection_accuracy: float
    """Accuracy on the selection split after the last epoch, in [0, 1]."""
    top1: float
    """Share of test images whose label has the highest score."""
    top3: float
    """Share of test images whose label is among the three highest scores."""
    models: tuple[ExportedModel, ...]
    """fp32 and int8."""
    records: tuple[TrainRecord, ...]
    epochs: float
    """Passes over the training images."""
    seconds: float
    """Time that training took."""
    head_only: bool = False
    """Whether nothing but the last layer differs from what training started from."""


@dataclass(frozen=True)
class TrainFailure:
    """A training that raised, or whose worker died."""

    traceback: str
    reason: str = ""
    """In one line, where it is known; else empty."""
    died: bool = False
    """Whether its workers died, or wanted memory or the like: it is still to be done."""


TrainEvent = StepDone | EpochDone | TrainOutcome


def train(
    job: TrainJob, splits: Splits, *, state: bytes | None = None, device: torch.device | None = None
) -> Iterator[TrainEvent]:
    """Train, or resume, and export; the test split is read last of all.

    Args:
        job: what to train.
        splits: the network is trained on the weights and theta splits.
        state: of the last `EpochDone` of an interrupted training.
        device: where to train.

    Yields:
        Steps, epochs, and last the outcome.

    Raises:
        ValueError: if the state cannot be read, or the loss is no longer finite.
    """
    training = new_training(job, splits, device=device)
    if state is not None:
        training.load_state(state)
    yield from epochs_of(training)
    yield _outcome(job, splits, training)


def epochs_of(training: Training, beside: Mapping[str, Any] | None = None) -> Iterator[StepDone | EpochDone]:
    """Train to the end; yields steps and epochs.

    Args:
        training: is trained on in place.
        beside: further tensors and numbers to keep with each state.

    Raises:
        LossDivergedError: if the loss is no longer finite.
    """
    while not training.done:
        before, steps = len(training.divergences), training.epoch()
        while True:
            try:
                yield StepDone(next(steps), training.total_steps)
            except StopIteration as end:
                yield EpochDone(
                    record=end.value,
                    step=training.step,
                    total_steps=training.total_steps,
                    epochs=training.epochs,
                    state=training.state(beside),
                    divergences=tuple(training.divergences[before:]),
                )
                break


def new_training(job: TrainJob, splits: Splits, *, device: torch.device | None = None) -> Training:
    """The training before its first epoch."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(int(np.random.SeedSequence(job.seed, spawn_key=(0,)).generate_state(1)[0]))
        network = Network(job.graph)
    if job.weights is not None:
        given = {name: torch.from_numpy(np.array(value)) for name, value in job.weights.items()}
        network.load_state_dict(given, strict=False)
    size = job.graph.input_shape[1]
    images = training_batches(splits, job.settings, size=size, flip=job.flip, device=device)
    selection = ImageBatches(splits.selection, splits, device=device)
    return Training(network, images, selection, job.settings, seed=job.seed)


def training_batches(
    splits: Splits, settings: TrainSettings, *, size: int, flip: bool | None, device: torch.device | None = None
) -> ImageBatches:
    """Images of the weights and theta splits, augmented and drawn as settings, or their number, say.

    Args:
        splits: the images.
        settings: of the training.
        size: height and width of the network's input.
        flip: whether half of them are mirrored; None unless all images are grey.
        device: where the images are held.
    """
    training = training_images(splits)
    recipe = train_recipe(settings, training)
    flip = not splits.grey if flip is None else flip
    augmentation = augmentation_of(recipe.augment, size=size, flip=flip, grey=splits.grey, light_share=8)
    return ImageBatches(training, splits, augmentation=augmentation, balanced=recipe.balanced, device=device)


def training_images(splits: Splits) -> LabelledImages:
    """Images of the weights and theta splits: a network that was chosen needs no images for theta."""
    return joined((splits.weights, splits.theta))


def _outcome(job: TrainJob, splits: Splits, training: Training) -> TrainOutcome:
    weights = {name: value.cpu().contiguous().numpy() for name, value in training.averaged.state_dict().items()}
    top1, top3 = top_accuracies(training.averaged, ImageBatches(splits.test, splits, device=training.device))
    return TrainOutcome(
        weights=weights,
        selection_accuracy=training.records[-1].accuracy,
        top1=top1,
        top3=top3,
        models=export(job.graph, weights, splits, threads=torch.get_num_threads(), activations=job.activations),
        records=tuple(training.records),
        epochs=training.epochs,
        seconds=round(training.seconds, 3),
    )
