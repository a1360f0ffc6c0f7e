import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from benchmarks.supernets.dispatched import (
    META,
    Dispatched,
    StepCost,
    evaluation,
    joint_theta_step,
    theta_step,
    training_step,
    weight_step,
)
from benchmarks.supernets.forms import FORMS
from evaluation.splits import Splits
from evaluation.training.config import TrainSettings
from tests.benchmarks.conftest import SPACE

GRAPH = SPACE.graph(("k5_e6", "k3_e3"))
MIXED = TrainSettings(epochs=1, batch_size=8, cutout=2, mixup=0.3)
STEPS: dict[str, Callable[[Splits], StepCost]] = {
    "weight": lambda splits: weight_step(FORMS["shared"], SPACE, splits, batch=8),
    "theta": lambda splits: theta_step(FORMS["shared"], SPACE, splits, batch=8),
    "training": lambda splits: training_step(GRAPH, splits, MIXED),
}
MOST_OPERATIONS = {"weight": 90, "theta": 282, "training": 160}
"""Of supernets and networks with two layers; each further layer adds its own."""


@pytest.mark.parametrize("step", list(STEPS))
def test_no_step_waits_for_the_device(splits: Splits, step: str) -> None:
    cost = STEPS[step](splits)
    assert cost.waits == 0
    assert 0 < cost.operations <= MOST_OPERATIONS[step]


@pytest.mark.parametrize(("searches", "most"), [(1, 282), (4, 64), (8, 32)])
def test_inner_searches_together_share_operations_and_do_not_wait(splits: Splits, searches: int, most: int) -> None:
    """Each step of all of them takes as many operations, however many they are."""
    cost = joint_theta_step(SPACE, splits, batch=8, searches=searches)
    assert cost.waits == 0
    assert 0 < cost.operations <= most


def on_host(count: int) -> Tensor:
    return torch.from_numpy(np.arange(count))


@pytest.mark.parametrize(
    "work",
    [
        lambda x: float(x.sum()),
        lambda x: bool((x > 0).all()),
        lambda x: x + on_host(4).to(META),
        lambda x: x[on_host(2)],
        lambda x: x.sum().cpu(),
        lambda x: x.copy_(on_host(4)),
    ],
)
def test_what_waits_for_the_device_is_seen(work: Callable[[Tensor], object]) -> None:
    with Dispatched() as dispatched:
        work(torch.zeros(4, device=META))
    assert dispatched.waits.total() == 1


def test_work_on_one_side_does_not_wait_and_views_are_free() -> None:
    with Dispatched() as dispatched:
        for device in ("cpu", "meta"):
            x_BC = torch.ones(4, 3, device=device)
            _ = x_BC[torch.zeros(2, dtype=torch.long, device=device)].t()[1:, None] * 2.0
        float(torch.ones(()))
    assert dispatched.waits.total() == 0
    assert dispatched.operations == {"ones": 3, "zeros": 2, "index": 2, "mul": 2, "_local_scalar_dense": 1}


def test_an_evaluation_waits_for_its_figures_alone(splits: Splits) -> None:
    """It copies the rows of two sets of images, and reads the hits and their cross-entropy; larger batches are free."""
    costs = [evaluation(FORMS["shared"], SPACE, (7, 1), splits, images=images) for images in (100, 1000)]
    assert costs[0] == costs[1]
    assert costs[0].waits == 4
    assert costs[0].operations <= 120


class Kinds(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Keeps the names of operations, and the number formats of what they give on the device."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.names = set[str]()
        self.formats = set[torch.dtype]()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        results = func(*args, **(kwargs or {}))
        self.names.add(func.overloadpacket.__name__)
        self.formats |= {
            value.dtype for value in tree_leaves(results) if isinstance(value, Tensor) and value.device == META
        }
        return results


NOT_DETERMINISTIC = re.compile(
    r"_?adaptive_(avg|max)_pool.*_backward|avg_pool3d_backward|(fractional_)?max_pool\dd.*_backward|upsample_.*_backward"
    r"|(reflection|replication)_pad.*_backward|grid_sampler.*_backward|nll_loss2d_.*|_ctc_loss.*|_embedding_bag.*"
    r"|put_|histc|bincount|kthvalue|(nan)?median|cumsum|scatter_(reduce|add)_?"
)
"""Operations without a deterministic way on every GPU, by the documentation of `torch.use_deterministic_algorithms`."""


@pytest.mark.parametrize("step", list(STEPS))
def test_steps_compute_what_all_gpus_can_and_again_alike(splits: Splits, step: str) -> None:
    with Kinds() as kinds:
        STEPS[step](splits)
    assert torch.float32 in kinds.formats
    assert torch.float64 not in kinds.formats, "which Apple's GPUs lack"
    assert not [name for name in kinds.names if NOT_DETERMINISTIC.fullmatch(name)]
