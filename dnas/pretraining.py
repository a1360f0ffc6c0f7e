"""Shared pre-training: the supernet's weights, trained once before all inner searches.

`Pretraining` runs epoch by epoch and its state can be saved between epochs; the random numbers of an epoch depend
on seed and epoch alone, so a resumed run equals an uninterrupted one. An epoch that diverges is done again more slowly.
A step trains one path, or several, which processes may share (`dnas.ranks`).
Shape suffixes: B batch, C channels, H height, W width, L layers, O operators.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache, partial
from itertools import count, islice
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from dnas.batches import DRAWN_STEPS, BatchDraw, BatchSource
from dnas.divergence import LR_FACTOR, Divergence, divergence
from dnas.mixed_precision import in_fp32, mixed_precision
from dnas.optimizer import parameter_groups
from dnas.ranks import ALONE, PathGradients, PathPlace, Ranks, shared_out
from dnas.relaxation import gumbel_noise, gumbel_softmax
from dnas.schedule import lr_factor_within
from dnas.supernets.build import WeightSharing
from dnas.supernets.supernet import Supernet
from dnas.train_precision import TrainPrecision
from search_space.operators import Operator
from search_space.spaces import FBNetSpace, Layer

NARROW_CHANNELS = 128
"""Channels of a last layer up to which its classifier learns as quickly as the convolutions."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PretrainSettings:
    """How the supernet's weights are trained."""

    epochs: int
    """Epochs of `passes` over the weights split; 0 leaves the random weights."""
    batch_size: int = 64
    """Images a step."""
    lr: float = 0.3
    """Peak learning rate of SGD with Nesterov momentum 0.9."""
    weight_decay: float = 1e-4
    """Weight decay of convolutions and the classifier."""
    warmup_fraction: float = 0.05
    """Share of all steps in which the learning rate rises linearly, before its cosine decay to zero."""
    label_smoothing: float = 0.0
    """Probability mass spread over all classes in the training target, in [0, 1)."""
    passes: int = 1
    """Passes over the weights split in an epoch: several where there are few images, so that its figures mean much."""
    largest_share: float = 0.0
    """Share of the steps, in [0, 1], that train the largest architecture instead of a sampled one."""
    paths_per_step: int = 1
    """Paths whose mean gradient makes a step, each with a batch of its own."""

    def __post_init__(self) -> None:
        if self.epochs < 0:
            raise ValueError(f"`epochs >= 0` must hold for pre-training, but got {self.epochs}.")
        if self.batch_size < 2:
            raise ValueError(f"`batch_size >= 2` must hold (BatchNorm), but got {self.batch_size}.")
        if not self.lr > 0:
            raise ValueError(f"`lr > 0` must hold, but got {self.lr}.")
        if not self.weight_decay >= 0:
            raise ValueError(f"`weight_decay >= 0` must hold, but got {self.weight_decay}.")
        if self.passes < 1:
            raise ValueError(f"`passes >= 1` must hold, but got {self.passes}.")
        if self.paths_per_step < 1:
            raise ValueError(f"`paths_per_step >= 1` must hold, but got {self.paths_per_step}.")
        for name in ("warmup_fraction", "label_smoothing"):
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(f"`0 <= {name} < 1` must hold, but got {getattr(self, name)}.")
        if not 0 <= self.largest_share <= 1:
            raise ValueError(f"`0 <= largest_share <= 1` must hold, but got {self.largest_share}.")

    def batches_an_epoch(self, images: int) -> int:
        """Batches of an epoch with so many images: whole ones only, where there is one."""
        return self.passes * max(1, images // self.batch_size)

    def steps_an_epoch(self, images: int) -> int:
        """Steps of an epoch with so many images; the last one may have fewer paths."""
        return -(-self.batches_an_epoch(images) // self.paths_per_step)

    def ranks(self, workers: int) -> int:
        """How many of so many workers share a step: no more than it takes for each to have as few paths as with all."""
        turns = -(-self.paths_per_step // max(1, min(self.paths_per_step, workers)))
        return -(-self.paths_per_step // turns)


@dataclass(frozen=True, kw_only=True, slots=True)
class PretrainRecord:
    """Figures of one epoch of pre-training, over the training batches."""

    epoch: int
    """Number of the epoch, from 1."""
    loss: float
    """Mean training loss (cross-entropy, in nats)."""
    accuracy: float
    """Mean accuracy of the sampled paths on augmented training images, in [0, 1]."""
    lr: float
    """Learning rate of the last step."""
    divergence: Divergence | None = None
    """Why the epoch does not count, if it does not."""


Forward = Callable[[Tensor], Tensor]
"""Logits of one weight step from its images."""
DrawForward = Callable[[Supernet, np.random.Generator], Forward]
"""What chance decides that a weight step trains."""


@dataclass(frozen=True, eq=False)
class SampledPath:
    """Logits of one architecture; a `Forward`."""

    supernet: Supernet
    indices: tuple[int, ...]

    def __call__(self, x_BCHW: Tensor) -> Tensor:
        """Logits (B, K)."""
        return self.supernet.forward_path(x_BCHW, self.indices)

    @property
    def work(self) -> int:
        """Numbers that its searchable layers compute of an image: memory is what a step takes most of its time for."""
        space = self.supernet.space
        return sum(
            _numbers_of(layer, space.candidates[index]) for layer, index in zip(space.layers, self.indices, strict=True)
        )


@cache
def _numbers_of(layer: Layer, operator: Operator) -> int:
    """Of the three convolutions of a candidate, after each of them."""
    if operator.is_skip and layer.keeps_shape:
        return 0
    out_size = -(-layer.size // layer.stride)
    expanded = operator.expansion * layer.in_channels
    return expanded * (layer.size**2 + out_size**2) + layer.out_channels * out_size**2


@dataclass(frozen=True, slots=True)
class PathStep:
    """One step, as one of the ranks that make it sees it."""

    places: Sequence[PathPlace]
    """Who does each of its paths."""
    own: int
    """How many this rank does."""
    batches: Iterator[tuple[Tensor, Tensor, Forward]]
    """Images, labels and forward pass of each of its own; fewer where the source ended."""


def sampled_path(supernet: Supernet, rng: np.random.Generator) -> Forward:
    """Logits of one uniformly sampled architecture (single-path one-shot; Guo et al., 2020)."""
    num_operators = len(supernet.space.operators)
    indices = tuple(int(index) for index in rng.integers(num_operators, size=supernet.space.num_layers))
    return SampledPath(supernet, indices)


def weight_step_forward(weight_sharing: WeightSharing, largest_share: float) -> DrawForward:
    """What a weight step trains: sampled paths where weights are shared, FBNet's mixture where not.

    Args:
        weight_sharing: of the supernet.
        largest_share: as in `PretrainSettings`; a mixture has all paths in every step, and ignores it.
    """
    if weight_sharing == "separate":
        return mixed_paths
    return sampled_or_largest(largest_share) if largest_share else sampled_path


def sampled_or_largest(share: float) -> DrawForward:
    """Logits of the largest architecture in a share of the steps, of a sampled one in the others.

    All candidates of a layer are views of the largest one's weights, which a sampled path trains in small parts only.

    Source: the sandwich rule (Yu et al., "Universally Slimmable Networks", ICCV 2019; Yu et al., "BigNAS", ECCV 2020).
    Departure: one architecture a step, in turns by chance; the smallest one is not singled out.

    Args:
        share: of the steps, in (0, 1].
    """

    def draw(supernet: Supernet, rng: np.random.Generator) -> Forward:
        if rng.random() >= share:
            return sampled_path(supernet, rng)
        return SampledPath(supernet, (largest_operator(supernet.space),) * supernet.space.num_layers)

    return draw


def largest_operator(space: FBNetSpace) -> int:
    """Index of the candidate with the widest expansion, of these the largest kernel, of these the fewest groups."""
    candidates = space.candidates
    return max(
        range(len(candidates)),
        key=lambda index: (candidates[index].expansion, candidates[index].kernel, -candidates[index].groups),
    )


def mixed_paths(supernet: Supernet, rng: np.random.Generator) -> Forward:
    """Logits of all paths mixed by Gumbel-softmax of uniform theta at temperature 5 (FBNet's first epochs)."""
    num_layers, num_operators = supernet.space.num_layers, len(supernet.space.operators)
    theta_LO = torch.zeros(num_layers, num_operators)
    noise_LO = gumbel_noise(num_layers, num_operators, rng)
    device = next(supernet.parameters()).device
    return partial(supernet.forward_mixture, probs_LO=gumbel_softmax(theta_LO, noise_LO, 5.0).to(device))


class Pretraining:
    """Trains a supernet's weights, an epoch a call."""

    def __init__(
        self,
        supernet: Supernet,
        source: BatchSource,
        settings: PretrainSettings,
        *,
        seed: int,
        forward: DrawForward = sampled_path,
        ranks: Ranks = ALONE,
        precision: TrainPrecision = "fp32",
    ) -> None:
        self.supernet = supernet
        self.source = source
        self.settings = settings
        self.seed = seed
        self.forward = forward
        self.ranks = ranks
        self.precision: TrainPrecision = precision
        self.epochs_done = 0
        self.total_steps = max(1, settings.steps_an_epoch(len(source)) * settings.epochs)
        self.step = 0
        self.restarts = 0
        """Epochs that diverged, each of which halved the learning rate."""
        self._good: dict[str, Any] | None = None
        """What the last epoch that went well began from."""
        self.optimizer = torch.optim.SGD(
            parameter_groups(supernet, settings.weight_decay),
            lr=settings.lr,
            momentum=0.9,
            nesterov=True,
            fused=True,
        )
        # The fused step needs all of them at once, and paths give gradients to a part of the weights.
        for parameter in supernet.parameters():
            self.optimizer.state[parameter]["momentum_buffer"] = torch.zeros_like(parameter)

    @property
    def peak_lr(self) -> float:
        """Peak learning rate, as it is after restarts."""
        return self.settings.lr * LR_FACTOR**self.restarts

    @property
    def done(self) -> bool:
        """Whether all epochs were made."""
        return self.epochs_done >= self.settings.epochs

    def run_epoch(self) -> PretrainRecord:
        """One epoch; where it diverges, training goes back, and on with half the learning rate.

        It goes back to where the epoch before began: what that had learnt by its end is not known to be good.
        """
        before = self._snapshot()
        rng = np.random.default_rng(np.random.SeedSequence([self.seed, self.epochs_done]))
        figures, lr = _Figures(), 0.0
        device = next(self.supernet.parameters()).device
        gradients = PathGradients(list(self.supernet.parameters()), self.ranks, self.settings.paths_per_step)
        for step in self.steps(rng):
            self.optimizer.zero_grad(set_to_none=True)
            for x_BCHW, labels_B, forward in step.batches:
                with mixed_precision(self.precision, device):
                    logits_BK = in_fp32(forward(x_BCHW))
                loss = F.cross_entropy(logits_BK, labels_B, label_smoothing=self.settings.label_smoothing)
                torch.autograd.backward(loss)
                gradients.keep()
                figures.add(loss.detach(), (logits_BK.argmax(-1) == labels_B).sum(), len(labels_B))
            if figures.of_step < step.own:
                break
            figures.end_step(step.places)
            gradients.share(step.places)
            self._calm_classifier()
            torch.nn.utils.clip_grad_norm_(self.supernet.parameters(), 5.0)
            lr = self._set_lr()
            self.optimizer.step()
            self.step += 1
        self.epochs_done += 1
        mean, accuracy = figures.means(self.ranks, self.settings.paths_per_step)
        found = divergence(
            mean,
            epoch=self.epochs_done,
            classes=self.supernet.space.classes,
            lr=self.peak_lr,
            restarts=self.restarts,
            warm=self.step >= self.settings.warmup_fraction * self.total_steps,
        )
        record = PretrainRecord(epoch=self.epochs_done, loss=mean, accuracy=accuracy, lr=lr, divergence=found)
        if found is None:
            self._good = before
        else:
            self._restore(self._good or before)
            self.restarts += 1
        return record

    def state(self) -> dict[str, Any]:
        """A copy of all that `load_state` needs to continue after the last finished epoch."""
        return {**self._snapshot(), "restarts": self.restarts, "good": copy.deepcopy(self._good)}

    def load_state(self, state: dict[str, Any]) -> None:
        """Continue from a saved state."""
        self._restore(state)
        # Earlier versions had neither.
        self.restarts = int(state.get("restarts", 0))
        self._good = copy.deepcopy(state.get("good"))

    def _snapshot(self) -> dict[str, Any]:
        state = {
            "weights": self.supernet.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "epochs_done": self.epochs_done,
            "step": self.step,
        }
        return copy.deepcopy(state)

    def _restore(self, snapshot: dict[str, Any]) -> None:
        self.supernet.load_state_dict(snapshot["weights"])
        self.optimizer.load_state_dict(copy.deepcopy(snapshot["optimizer"]))
        self.epochs_done = int(snapshot["epochs_done"])
        self.step = int(snapshot["step"])

    def _calm_classifier(self) -> None:
        """Make the classifier's steps as large for wide last layers as for narrow ones.

        Its features are averages after a ReLU, all of one sign, so that the loss curves the more in its weights the
        more there are: with nearly 2,000 of them, steps that suit the convolutions let it diverge.
        """
        share = NARROW_CHANNELS / self.supernet.space.last_channels
        for name, weight in self.supernet.named_parameters():
            if share < 1 and name.startswith("classifier.") and weight.grad is not None:
                weight.grad.mul_(share)

    def steps(self, rng: np.random.Generator) -> Iterator[PathStep]:
        """An epoch's steps, each to be used up before the next; chance is drawn beforehand, for many at once."""
        drawing = self._drawn_steps(rng)
        while drawn := list(islice(drawing, -(-DRAWN_STEPS // self.settings.paths_per_step))):
            batches = iter(self.source.read([draw for _, own in drawn for draw, _ in own]))
            for places, own in drawn:
                with_forward = zip(islice(batches, len(own)), own, strict=False)
                yield PathStep(places, len(own), ((*batch, forward) for batch, (_, forward) in with_forward))

    def _drawn_steps(
        self, rng: np.random.Generator
    ) -> Iterator[tuple[Sequence[PathPlace], list[tuple[BatchDraw, Forward]]]]:
        """Who does each path of an epoch's steps, and what chance decides of this rank's own."""
        draws = self._draws(rng)
        for step in count():
            paths = [
                (draw, self.forward(self.supernet, self._rng_of_path(rng, step, path)))
                for path, draw in enumerate(islice(draws, self.settings.paths_per_step))
            ]
            if not paths:
                return
            works = [forward.work if isinstance(forward, SampledPath) else 0 for _, forward in paths]
            places = shared_out(works, self.ranks.count)
            own = [path for path, place in zip(paths, places, strict=True) if place.rank == self.ranks.rank]
            yield places, own

    def _rng_of_path(self, rng: np.random.Generator, step: int, path: int) -> np.random.Generator:
        """Of a single path a step that of the epoch; of several, each has its own, which any rank can make."""
        if self.settings.paths_per_step == 1:
            return rng
        seeds = np.random.SeedSequence([self.seed, self.epochs_done], spawn_key=(step, path))
        return np.random.default_rng(seeds)

    def _draws(self, rng: np.random.Generator) -> Iterator[BatchDraw]:
        """An epoch's batches: whole ones only, where there is one."""
        size = self.settings.batch_size
        for _ in range(self.settings.passes):
            for draw in self.source.draws(size, rng):
                if len(draw) == size or len(self.source) < size:
                    yield draw

    def _set_lr(self) -> float:
        lr = self.peak_lr * lr_factor_within(self.step, self.total_steps, self.settings.warmup_fraction)
        for group in self.optimizer.param_groups:
            group["lr"] = lr
        return lr


class _Figures:
    """Losses and right answers of an epoch's paths, left on the device until its end."""

    def __init__(self) -> None:
        self.of_step = 0
        """Paths since the last step ended."""
        self._losses: list[Tensor] = []
        self._correct: list[Tensor] = []
        self._images: list[int] = []
        self._own: list[int] = []
        self._places: list[Sequence[PathPlace]] = []
        """Of each step, those of this rank, and all."""

    def add(self, loss: Tensor, correct: Tensor, images: int) -> None:
        """Note one path."""
        self.of_step += 1
        self._losses.append(loss)
        self._correct.append(correct)
        self._images.append(images)

    def end_step(self, places: Sequence[PathPlace]) -> None:
        """All paths of a step are noted."""
        self._own.append(self.of_step)
        self._places.append(places)
        self.of_step = 0

    def means(self, ranks: Ranks, paths: int) -> tuple[float, float]:
        """Loss and accuracy over the images of all ranks, summed in order of path, so that all have the same.

        Args:
            ranks: that share the paths.
            paths: of a step, at most.
        """
        rows = iter(zip(*map(_numbers, (self._losses, self._correct)), self._images, strict=True))
        table_SM3 = np.zeros((len(self._own), -(-paths // ranks.count), 3))
        for step, own in enumerate(self._own):
            table_SM3[step, :own] = list(islice(rows, own)) or 0
        table_RSM3 = ranks.gathered(torch.from_numpy(table_SM3)).tolist()
        losses, correct, seen = 0.0, 0, 0
        for step, places in enumerate(self._places):
            for path in places:
                loss, right, images = table_RSM3[path.rank][step][path.place]
                losses += loss * images
                correct += int(right)
                seen += int(images)
        return losses / seen, correct / seen


def _numbers(scalars: list[Tensor]) -> list[float]:
    return torch.stack(scalars).tolist() if scalars else []
