"""How long a search of a space would take, before one is chosen: a few timed steps, times how often they are made.

Nothing is loaded yet; how long a run that was prepared still takes, `moo.search.estimate` says. Start with
`measured_speed` and `estimated_seconds`.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from math import ceil

import numpy as np
import torch
import torch.nn.functional as F

from devices.configuration import RuntimeConfiguration
from dnas.optimizer import parameter_groups
from dnas.pretraining import PretrainSettings, weight_step_forward
from dnas.supernets.build import build_supernet
from evaluation.accelerators import own_device, synchronize
from evaluation.accuracy import RECALIBRATION_IMAGES
from evaluation.early_exits.quick import FITTED_IMAGES
from evaluation.splits import HELD_OUT_FRACTION, HELD_OUT_MOST
from moo.config import WITHOUT_COEFFICIENTS, SearchConfig
from moo.search.proposals import expected_trials, generation_size, supernet_generations
from moo.storage.origin import SplitSizes
from search_space.boundary.machine import available_cpus
from search_space.networks import Network
from search_space.spaces import FBNetSpace

PROBE_SECONDS = 0.6
"""Time that each of the three kinds of steps is repeated for."""
THREADS_EXPONENT = 0.75
"""So many threads make a step quicker by this power of their number: 1.7 times with two, 8 times with 16. Assumed."""
SURROGATE_SECONDS = 5.0
"""A generation's search on the surrogate: it does not depend on images. Measured on two cores of an AMD EPYC."""
NETWORK_SECONDS = 0.1
"""What an evaluation takes besides its images: the network is built and BatchNorm is folded."""
EXITS_SECONDS = 0.6
"""What judging a network with early exits takes besides its images: heads are fitted, and policies compared."""
QUANTIZED_SECONDS = 1.0
"""What an evaluation in int8 takes besides its images: calibration, the file, and the runtime's start."""
FILES_OF_A_FRONT = 16
"""Networks that a front usually has: each is written as files, and measured once more."""
POINTS_OF_A_GENERATION = 6
"""Points that a generation usually adds to the front, which the board measures."""
STARTING_SECONDS = 8.0
"""Ray and its workers."""
PICTURES_SECONDS = 15.0
"""Pictures and report at the end."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Speed:
    """What this machine takes for a step of each kind, in s."""

    weight_step: float
    """A step of pre-training, with the threads that it has."""
    theta_step: float
    """A step of an inner search, with a worker's threads."""
    image: float
    """An image through an average network of the space, with a worker's threads."""
    decoding: float = 0.0
    """Reading an image of the data set and bringing it to size."""

    def scaled(self, factor: float) -> Speed:
        """For so many times the pixels; reading images takes as long."""
        return Speed(
            weight_step=self.weight_step * factor,
            theta_step=self.theta_step * factor,
            image=self.image * factor,
            decoding=self.decoding,
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class Machines:
    """What a search runs on."""

    workers: int
    """Inner searches at the same time."""
    configurations: Sequence[RuntimeConfiguration]
    """In which networks are run on the board."""
    gpus: int = 0
    """Those that pre-training has."""
    measurements: int = 0
    """Short measurements of the board's profile; 0 where there are cost tables already."""
    measurement_seconds: float = 0.0
    """Of each; 0 where nothing is measured."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Forecast:
    """Seconds of each stage, in their order."""

    loading: float
    profiling: float
    pretraining: float
    searching: float
    finishing: float
    """Networks of the front as files, measured once more; pictures and report."""

    @property
    def total(self) -> float:
        """From the command to the report."""
        return self.loading + self.profiling + self.pretraining + self.searching + self.finishing

    @property
    def besides_search(self) -> float:
        """All but the search itself, which may be given a time."""
        return self.total - self.searching


def estimated_seconds(
    config: SearchConfig, images: SplitSizes, pretraining: PretrainSettings, speed: Speed, machines: Machines
) -> Forecast:
    """How long each stage of a search takes from its start.

    Args:
        config: of the run; without `minutes`, all of its generations count.
        images: of each split.
        pretraining: of the shared supernet.
        speed: of this machine in the search space.
        machines: what searches and measures.
    """
    in_int8 = sum(item.precision == "int8" for item in machines.configurations) / max(1, len(machines.configurations))
    float_error = NETWORK_SECONDS + speed.image * (min(images.weights, RECALIBRATION_IMAGES) + images.selection)
    if config.adaptive:
        with_exits = min(images.weights, RECALIBRATION_IMAGES) + min(images.weights, FITTED_IMAGES) + images.selection
        float_error += NETWORK_SECONDS + EXITS_SECONDS + speed.image * with_exits
    int8_error = QUANTIZED_SECONDS + speed.image * images.selection
    evaluation = float_error + in_int8 * int8_error
    weights = pretraining.epochs * pretraining.batches_an_epoch(images.weights) * speed.weight_step
    # CPU workers that share a step have together what one has alone.
    sharing = pretraining.ranks(min(machines.workers, machines.gpus)) if machines.gpus else 1

    proposed = int(min(config.generations, supernet_generations(config)))
    on_supernet = proposed * generation_size(config)
    later = expected_trials(config) - on_supernet
    per_trial = config.theta_steps * speed.theta_step + config.samples * float_error + evaluation
    if config.method in WITHOUT_COEFFICIENTS:
        per_trial = evaluation
    if config.independent:
        # Each trial pre-trains on a worker of its own: about the machine's whole speed divided among them.
        per_trial += weights * machines.workers
    searching = (on_supernet * per_trial + later * evaluation) / machines.workers
    searching += (config.generations - proposed) * SURROGATE_SECONDS
    searching += config.generations * POINTS_OF_A_GENERATION * machines.measurement_seconds
    delivery = NETWORK_SECONDS + speed.image * (images.test + min(images.weights, RECALIBRATION_IMAGES))
    delivery += in_int8 * (QUANTIZED_SECONDS + speed.image * images.test)
    finishing = FILES_OF_A_FRONT * (delivery / machines.workers + machines.measurement_seconds) + PICTURES_SECONDS
    return Forecast(
        loading=STARTING_SECONDS + speed.decoding * _all(images),
        profiling=machines.measurements * machines.measurement_seconds,
        pretraining=0.0 if config.independent or config.from_run is not None else weights / sharing,
        searching=searching if config.minutes is None else 60 * config.minutes,
        finishing=finishing,
    )


def expected_sizes(images: int, *, test_images: int) -> SplitSizes:
    """The splits of a data set that is not loaded yet.

    Args:
        images: for training.
        test_images: of the published test split; 0 where a part of the others is held out for that.
    """
    held_out = min(int(HELD_OUT_FRACTION * images), HELD_OUT_MOST)
    test = test_images or held_out
    weights = images - held_out * (2 if test_images else 3)
    return SplitSizes(weights=weights, theta=held_out, selection=held_out, test=test)


def measured_speed(
    space: FBNetSpace, config: SearchConfig, *, pretraining: PretrainSettings, theta_batch: int
) -> Speed:
    """What steps of a supernet of random weights on random images take here; a few seconds at most.

    Args:
        space: with the classes of the data set.
        config: threads of a worker, and how weights are shared.
        pretraining: whose steps are timed.
        theta_batch: of a step of an inner search.
    """
    device = own_device()
    rng = np.random.default_rng(0)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        supernet = build_supernet(space, config.weight_sharing).to(device)
        image_1CHW = torch.rand(1, *space.input_shape, device=device)
        networks = [_random_network(space, rng).to(device) for _ in range(4)]
    forward = weight_step_forward(config.weight_sharing, pretraining.largest_share)
    optimizer = torch.optim.SGD(parameter_groups(supernet, 1e-4), lr=1e-9, momentum=0.9, nesterov=True)

    def batch(size: int) -> torch.Tensor:
        return image_1CHW.expand(size, -1, -1, -1).contiguous(memory_format=torch.channels_last)

    def weight_step() -> None:
        _backward(forward(supernet, rng)(batch(pretraining.batch_size)))
        torch.nn.utils.clip_grad_norm_(supernet.parameters(), 5.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    def theta_step() -> None:
        theta_LO = torch.zeros(space.num_layers, len(space.operators), device=device, requires_grad=True)
        _backward(supernet.forward_mixture(batch(theta_batch), torch.softmax(theta_LO, -1)))

    def images() -> None:
        with torch.inference_mode():
            for network in networks:
                network(batch(16))

    with torch_threads(1):
        weights = _seconds(weight_step, device)
        supernet.requires_grad_(requires_grad=False)
        theta = _seconds(theta_step, device)
        image = _seconds(images, device) / (16 * len(networks))
    if device.type != "cpu":
        return Speed(weight_step=weights, theta_step=theta, image=image)
    cores, worker = _gain(available_cpus()), _gain(config.threads_per_worker)
    return Speed(weight_step=weights / cores, theta_step=theta / worker, image=image / worker)


def _gain(threads: int) -> float:
    """How many times as quick as with one thread; an assumption."""
    gain: float = threads**THREADS_EXPONENT
    return gain


def minutes_text(seconds: float) -> str:
    """A time in whole minutes, as one says it."""
    return "about 1 min" if seconds < 90 else f"about {ceil(seconds / 60 - 0.5)} min"


def _all(images: SplitSizes) -> int:
    return images.weights + images.theta + images.selection + images.test


def _random_network(space: FBNetSpace, rng: np.random.Generator) -> Network:
    operators = tuple(
        space.operators[int(index)] for index in rng.integers(len(space.operators), size=space.num_layers)
    )
    return Network(space.graph(operators)).eval()


def _backward(logits_BK: torch.Tensor) -> None:
    labels_B = torch.zeros(len(logits_BK), dtype=torch.long, device=logits_BK.device)
    torch.autograd.backward(F.cross_entropy(logits_BK, labels_B))


def _seconds(step: Callable[[], None], device: torch.device) -> float:
    """Mean time of a step after the first; on a CPU its own time, which other programs do not lengthen."""
    clock = time.process_time if device.type == "cpu" else time.perf_counter
    start, times = time.perf_counter(), list[float]()
    while len(times) < 2 or time.perf_counter() - start < PROBE_SECONDS:
        before = clock()
        step()
        synchronize(device)
        times.append(clock() - before)
    return statistics.mean(times[1:])


@contextmanager
def torch_threads(number: int) -> Iterator[None]:
    """So many threads of PyTorch meanwhile."""
    before = torch.get_num_threads()
    torch.set_num_threads(number)
    try:
        yield
    finally:
        torch.set_num_threads(before)
