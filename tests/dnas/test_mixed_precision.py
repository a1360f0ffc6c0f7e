from collections.abc import Callable
from functools import partial

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from dnas.costs import OperatorCosts
from dnas.inner_search import ThetaSettings, search_theta
from dnas.losses import Coefficients
from dnas.mixed_precision import is_bf16, mixed_precision
from dnas.pretraining import Pretraining, PretrainSettings, weight_step_forward
from dnas.supernets.build import WeightSharing, build_supernet
from dnas.supernets.depthwise import depthwise_conv, ring_scaled_conv
from dnas.supernets.pointwise import joined_conv
from dnas.supernets.supernet import Supernet
from dnas.train_precision import TrainPrecision
from search_space.spaces import FBNetSpace
from tests.dnas.conftest import Randomise, SourceOf

CPU = torch.device("cpu")


class Convolutions(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Types that convolutions compute in."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.types: set[torch.dtype] = set()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
        if func.overloadpacket.__name__.startswith("convolution"):
            self.types.add(args[0].dtype)
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize(
    ("precision", "device", "in_hardware", "expected"),
    [
        ("auto", "cpu", True, False),
        ("auto", "cuda", True, True),
        ("auto", "cuda", False, False),
        ("auto", "mps", True, False),
        ("fp32", "cuda", True, False),
        ("bf16", "cpu", False, True),
    ],
)
def test_auto_is_bf16_on_gpus_that_have_it(
    monkeypatch: pytest.MonkeyPatch, precision: TrainPrecision, device: str, in_hardware: bool, expected: bool
) -> None:
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: in_hardware)
    assert is_bf16(precision, torch.device(device)) == expected


def joined(dim: int, x_BCHW: Tensor, weight: Tensor, factor: Tensor) -> Tensor:
    first, rest = weight.tensor_split([8], dim)
    return joined_conv(x_BCHW, first * factor, rest.detach(), dim=dim)


@pytest.mark.parametrize(
    ("shape", "function"),
    [
        ((16, 1, 5, 5), lambda x, weight, factor: depthwise_conv(x, weight * factor, 1)),
        ((16, 1, 5, 5), lambda x, weight, factor: ring_scaled_conv(x, weight.detach(), factor, 2)),
        ((24, 16, 1, 1), partial(joined, 0)),
        ((24, 16, 1, 1), partial(joined, 1)),
    ],
)
def test_gradients_of_own_functions_are_those_of_fp32_to_rounding(
    shape: tuple[int, ...], function: Callable[[Tensor, Tensor, Tensor], Tensor]
) -> None:
    weight = torch.randn(shape)
    x_BCHW = torch.randn(8, 16, 9, 9).contiguous(memory_format=torch.channels_last)

    def gradients(precision: TrainPrecision) -> list[Tensor]:
        inputs = [x_BCHW.clone().requires_grad_(), torch.tensor(0.7, requires_grad=True)]
        with mixed_precision(precision, CPU):
            y = function(inputs[0], weight, inputs[1])
        assert y.dtype == (torch.bfloat16 if precision == "bf16" else torch.float32)
        return list(torch.autograd.grad((y.float() * torch.linspace(-1, 1, y.shape[1])[:, None, None]).sum(), inputs))

    for found, expected in zip(gradients("bf16"), gradients("fp32"), strict=True):
        assert found.dtype == torch.float32
        assert (found - expected).norm() <= 0.02 * expected.norm()


@pytest.mark.parametrize("weight_sharing", ["shared", "separate"])
def test_weights_are_trained_in_bf16_and_stay_fp32(
    space: FBNetSpace, easy_source: SourceOf, weight_sharing: WeightSharing
) -> None:
    run = Pretraining(
        build_supernet(space, weight_sharing),
        easy_source(),
        PretrainSettings(epochs=4, batch_size=16),
        seed=0,
        forward=weight_step_forward(weight_sharing, 0.0),
        precision="bf16",
    )
    with Convolutions() as convolutions:
        first = run.run_epoch()
    while not run.done:
        last = run.run_epoch()
    assert convolutions.types == {torch.bfloat16}
    assert all(weight.dtype == torch.float32 for weight in run.supernet.parameters())
    assert last.loss < first.loss


@pytest.mark.parametrize("weight_sharing", ["shared", "separate"])
def test_theta_goes_the_same_way_as_in_fp32(
    space: FBNetSpace, easy_source: SourceOf, randomised: Randomise, weight_sharing: WeightSharing
) -> None:
    supernet = randomised(build_supernet(space, weight_sharing))

    with Convolutions() as convolutions:
        found = first_gradient(supernet, easy_source, "bf16")
    assert convolutions.types == {torch.bfloat16}
    expected = first_gradient(supernet, easy_source, "fp32")
    assert torch.cosine_similarity(found.flatten(), expected.flatten(), 0) > 0.95


def first_gradient(supernet: Supernet, easy_source: SourceOf, precision: TrainPrecision) -> Tensor:
    """Of theta, before Adam makes signs of it."""
    gradients: list[Tensor] = []
    costs = OperatorCosts(torch.ones(supernet.space.num_layers, len(supernet.space.operators)), 1.0)
    theta_step = torch.optim.Adam.step

    def step(optimizer: torch.optim.Adam) -> None:
        gradients.append(optimizer.param_groups[0]["params"][0].grad.clone())
        theta_step(optimizer)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.optim.Adam, "step", step)
        search_theta(
            supernet,
            easy_source(),
            costs,
            costs,
            Coefficients(alpha=0.01, beta=1.0, gamma=0.01, delta=1.0),
            ThetaSettings(steps=1, batch_size=16, entropy_weight=0.0),
            np.random.default_rng(0),
            precision=precision,
        )
    return gradients[0]
