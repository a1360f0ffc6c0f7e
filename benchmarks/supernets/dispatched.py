"""What a step has a GPU do, counted without one: on torch's `meta` device, whose tensors have shapes and no numbers.

Start with `cost_a_step`. An operation that computes or writes is one launch on a GPU at least, whatever the batch; one
that reads a number back, or copies from one device to another, has the host wait until the GPU has done all before.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from unittest import mock

import numpy as np
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

from benchmarks.supernets.forms import FORMS, Form, new_supernet
from benchmarks.supernets.steps import SomeBatches, some_searches
from dnas.costs import OperatorCosts
from dnas.inner_search import ThetaSettings, search_theta
from dnas.joint.search import search_thetas
from dnas.losses import Coefficients
from dnas.pretraining import Pretraining, PretrainSettings
from evaluation.accuracy import RECALIBRATION_IMAGES, classification, inherited_network
from evaluation.augmentation import Augmentation
from evaluation.batches import ImageBatches
from evaluation.data.images import LabelledImages
from evaluation.splits import Splits
from evaluation.training.config import TrainSettings
from evaluation.training.loop import Training
from evaluation.training.objectives import Classification
from search_space.graphs import Graph
from search_space.networks import Network, structure_of
from search_space.spaces import FBNetSpace

META = torch.device("meta")
FEW_STEPS, MANY_STEPS = 1, 4
_READING = {"_local_scalar_dense", "item"}
_WAITING = _READING | {"nonzero", "masked_select", "equal", "_unique2", "unique_dim", "repeat_interleave"}
"""Operations whose result, or its shape, the host must know."""
_COPYING = {"_to_copy", "copy_", "to"}
"""The last of them where no gradient is recorded at all."""
_INDEXING = {"index", "index_put", "index_put_", "_index_put_impl_"}
_MADE = {"empty", "empty_like", "new_empty", "empty_strided", "new_empty_strided", "detach", "lift_fresh", "alias"}
"""Operations that compute nothing."""


class Dispatched(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts operations by name, and those that have the host wait."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.operations: Counter[str] = Counter()
        self.waits: Counter[str] = Counter()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Count one, and do it; of one that `meta` lacks only as much as its caller needs."""
        name, kwargs = func.overloadpacket.__name__, kwargs or {}
        if name.startswith("_record_function") or name in _MADE or _is_view(func):
            return func(*args, **kwargs)
        self.operations[name] += 1
        self.waits[name] += _has_host_wait(name, args, kwargs)
        if name in _READING and args[0].device == META:
            return 1.0 if args[0].is_floating_point() else 1
        if name in _COPYING and torch.device("cpu") in (*args[1:], kwargs.get("device")) and args[0].device == META:
            return torch.zeros(args[0].shape, dtype=kwargs.get("dtype") or args[0].dtype)
        if name.startswith("_fused_"):
            return None
        results = func(*args, **kwargs)
        return tree_map(_channels_last, results) if name.startswith("convolution") else results


@dataclass(frozen=True)
class StepCost:
    """Of one step, as a mean over some."""

    operations: float
    waits: float


def cost_a_step(run: Callable[[int], None]) -> StepCost:
    """What each further step of a run adds.

    Args:
        run: makes so many steps; all its random numbers must come from seeds.
    """
    counts = []
    for steps in (FEW_STEPS, MANY_STEPS):
        with _as_on_a_gpu(), Dispatched() as dispatched:
            run(steps)
        counts.append((dispatched.operations.total(), dispatched.waits.total()))
    (few, few_waits), (many, many_waits) = counts
    steps = MANY_STEPS - FEW_STEPS
    return StepCost((many - few) / steps, (many_waits - few_waits) / steps)


def weight_step(form: Form, space: FBNetSpace, splits: Splits, *, batch: int) -> StepCost:
    """Of pre-training, with images held on the device."""
    supernet = new_supernet(form, space, seed=0).to(META)

    def run(steps: int) -> None:
        source = SomeBatches(held_images(splits), steps * batch)
        settings = PretrainSettings(epochs=1, batch_size=batch)
        Pretraining(supernet, source, settings, seed=0, forward=form.forward).run_epoch()

    return cost_a_step(run)


def theta_step(form: Form, space: FBNetSpace, splits: Splits, *, batch: int) -> StepCost:
    """Of an inner search."""
    supernet = new_supernet(form, space, seed=0).to(META)
    costs = OperatorCosts(torch.ones(space.num_layers, len(space.operators)), 1.0)
    coefficients = Coefficients(alpha=0.1, beta=1.0, gamma=0.1, delta=1.0)

    def run(steps: int) -> None:
        settings, rng = ThetaSettings(steps=steps, batch_size=batch), np.random.default_rng(0)
        search_theta(supernet, held_images(splits), costs, costs, coefficients, settings, rng)

    return cost_a_step(run)


def joint_theta_step(space: FBNetSpace, splits: Splits, *, batch: int, searches: int) -> StepCost:
    """Of several inner searches together, for each of them; of one, as ever."""
    supernet = new_supernet(FORMS["shared"], space, seed=0).to(META)

    def run(steps: int) -> None:
        together = some_searches(space, searches)
        search_thetas(supernet, held_images(splits), together, ThetaSettings(steps=steps, batch_size=batch))

    cost = cost_a_step(run)
    return StepCost(cost.operations / searches, cost.waits / searches)


def training_step(graph: Graph, splits: Splits, settings: TrainSettings) -> StepCost:
    """Of the training of one network."""

    def run(steps: int) -> None:
        images = held_images(splits)
        training = Training(Network(graph).to(META), images, images, settings, seed=0, objective=_Unjudged(0.1))
        training.steps_an_epoch = training.total_steps = steps
        for _ in training.epoch():
            pass

    return cost_a_step(run)


def evaluation(form: Form, space: FBNetSpace, indices: tuple[int, ...], splits: Splits, *, images: int) -> StepCost:
    """Of one architecture with inherited weights, on so many images."""
    supernet = new_supernet(form, space, seed=0).to(META)
    graph = space.graph(tuple(space.operators[index] for index in indices))
    recalibration, selection = held_images(splits, RECALIBRATION_IMAGES), held_images(splits, images)
    with Dispatched() as on_meta_anyway:
        structure_of(graph)
    with _as_on_a_gpu(), Dispatched() as dispatched:
        network = inherited_network(graph, supernet.sub_network_state(indices), recalibration, device=META)
        classification(network, selection)
    of_gpu, waits = (
        counted.total() - other.total()
        for counted, other in (
            (dispatched.operations, on_meta_anyway.operations),
            (dispatched.waits, on_meta_anyway.waits),
        )
    )
    return StepCost(of_gpu, waits)


def held_images(splits: Splits, count: int | None = None) -> ImageBatches:
    """The weights split as on a GPU that holds all of it, or so many images of its shape."""
    labelled = splits.weights
    if count is not None:
        shape = count, *labelled.images.shape[1:]
        labelled = LabelledImages(np.broadcast_to(np.uint8(0), shape), np.zeros(count, np.int64))
    images = ImageBatches(labelled, splits, augmentation=Augmentation(), device=META)
    shape = len(images), *images.network_shape
    images._held_NCHW = torch.empty(shape, dtype=torch.uint8, device=META)
    return images


class _Unjudged(Classification):
    """Has no epoch's accuracy taken, which is none of the steps."""

    def accuracy(self, network: nn.Module, images: ImageBatches) -> float:
        """See `Objective.accuracy`."""
        return 0.0


@contextmanager
def _as_on_a_gpu() -> Iterator[None]:
    """Have `meta` count as a device with kernels for many tensors at once, which are counted only."""
    with (
        mock.patch("torch.optim.optimizer._get_fused_kernels_supported_devices", return_value=[META.type]),
        mock.patch("torch.optim.optimizer._get_foreach_kernels_supported_devices", return_value=[META.type]),
        mock.patch("torch.utils._foreach_utils._get_foreach_kernels_supported_devices", return_value=[META.type]),
    ):
        yield


def _is_view(func: Any) -> bool:
    """Whether it gives but another look at what there is; of `to` that is not known before."""
    if func.overloadpacket.__name__ in _COPYING:
        return False
    aliases = [value.alias_info for value in func._schema.returns]
    return bool(aliases) and all(alias is not None and not alias.is_write for alias in aliases)


def _channels_last(value: Any) -> Any:
    """In the layout that a GPU's convolutions give for images in it; those on `meta` forget it."""
    if isinstance(value, torch.Tensor) and value.ndim == 4:
        return value.contiguous(memory_format=torch.channels_last)
    return value


def _has_host_wait(name: str, args: Sequence[Any], kwargs: dict[str, Any]) -> bool:
    """Whether the host waits for the device: numbers cross from one to the other, or a mask decides of a shape."""
    tensors = [value for value in tree_leaves((args, kwargs)) if isinstance(value, torch.Tensor)]
    if all(tensor.device != META for tensor in tensors) and kwargs.get("device") != META:
        return False
    if name in _WAITING:
        return True
    devices = {tensor.device for tensor in tensors if tensor.ndim or name in _COPYING}
    if name in _COPYING:
        devices |= {value for value in tree_leaves((args, kwargs)) if isinstance(value, torch.device)}
    if len(devices) > 1:
        return True
    return name in _INDEXING and any(tensor.dtype in (torch.bool, torch.uint8) for tensor in tree_leaves(args[1]))
