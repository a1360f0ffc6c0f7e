"""Both forms of supernet against the stand-alone network, which is built from the same layer specs."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from dnas.relaxation import one_hot
from dnas.supernets.build import WeightSharing, build_supernet
from dnas.supernets.supernet import Supernet
from search_space.networks import Network
from search_space.operators import OPERATOR_NAMES
from search_space.spaces import FBNetSpace, Stage
from tests.dnas.conftest import Randomise

SHARING: tuple[WeightSharing, ...] = ("shared", "separate")
SKIP = OPERATOR_NAMES.index("skip")
MIXED = [tuple(np.random.default_rng(seed).integers(9, size=3).tolist()) for seed in range(6)]
UNIFORM = [(index,) * 3 for index in range(9)]


def stand_alone(supernet: Supernet, indices: tuple[int, ...]) -> Network:
    """The stand-alone network with a supernet's weights, in training mode: BatchNorm with the batch's statistics."""
    space = supernet.space
    network = Network(space.graph(tuple(space.operators[index] for index in indices))).double()
    missing, unexpected = network.load_state_dict(supernet.sub_network_state(indices), strict=False)
    assert not unexpected
    assert all(name.rsplit(".", 1)[1] in ("running_mean", "running_var", "num_batches_tracked") for name in missing)
    return network.train()


def agree(supernet: Supernet, indices: tuple[int, ...], x_BCHW: Tensor) -> None:
    expected = stand_alone(supernet, indices)(x_BCHW)
    hot_LO = one_hot(indices, len(supernet.space.operators)).double()
    torch.testing.assert_close(supernet.forward_path(x_BCHW, indices), expected, rtol=0, atol=1e-9)
    torch.testing.assert_close(supernet.forward_mixture(x_BCHW, hot_LO), expected, rtol=0, atol=1e-9)


@pytest.mark.parametrize("indices", UNIFORM + MIXED, ids=str)
@pytest.mark.parametrize("weight_sharing", SHARING)
def test_one_hot_mixture_and_path_equal_the_stand_alone_network(
    space: FBNetSpace, randomised: Randomise, weight_sharing: WeightSharing, indices: tuple[int, ...]
) -> None:
    supernet = randomised(build_supernet(space, weight_sharing)).double()
    agree(supernet, indices, torch.randn(5, *space.input_shape).double())


@pytest.mark.parametrize("weight_sharing", SHARING)
def test_they_are_equal_in_single_precision_too(
    space: FBNetSpace, randomised: Randomise, weight_sharing: WeightSharing
) -> None:
    supernet = randomised(build_supernet(space, weight_sharing))
    x_BCHW = torch.randn(8, *space.input_shape)
    for indices in UNIFORM:
        path = supernet.forward_path(x_BCHW, indices)
        mixture = supernet.forward_mixture(x_BCHW, one_hot(indices, 9))
        expected = stand_alone(supernet, indices).float()(x_BCHW)
        torch.testing.assert_close(path, expected, rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(mixture, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("operators", "input_size", "channels"),
    [
        (("k3_e1_g2", "k3_e3", "skip"), 7, 6),
        (("k3_e1", "k3_e1_g2"), 8, 10),
        (("k5_e1_g2", "skip"), 5, 2),
        (("k3_e3", "k5_e6"), 9, 6),
    ],
)
@pytest.mark.parametrize("weight_sharing", SHARING)
def test_they_are_equal_in_other_spaces(
    space: FBNetSpace,
    randomised: Randomise,
    weight_sharing: WeightSharing,
    operators: tuple[str, ...],
    input_size: int,
    channels: int,
) -> None:
    stages = (Stage(channels, 1, 2), Stage(channels, 1, 1))
    other = replace(space, operators=operators, input_size=input_size, stem_stride=2, stages=stages)
    supernet = randomised(build_supernet(other, weight_sharing)).double()
    x_BCHW = torch.randn(5, *other.input_shape).double()
    for indices in itertools.product(range(len(operators)), repeat=2):
        agree(supernet, indices, x_BCHW)


@pytest.mark.parametrize("weight_sharing", SHARING)
def test_weights_of_a_path_and_of_its_stand_alone_network_have_equal_gradients(
    space: FBNetSpace, randomised: Randomise, weight_sharing: WeightSharing
) -> None:
    supernet = randomised(build_supernet(space, weight_sharing)).double()
    x_BCHW, indices = torch.randn(5, *space.input_shape).double(), (1, 7, 5)
    torch.autograd.backward(supernet.forward_path(x_BCHW, indices).square().sum())
    network = stand_alone(supernet, indices)
    torch.autograd.backward(network(x_BCHW).square().sum())
    for name in ("stem", "last"):
        gradients = [p.grad for key, p in supernet.named_parameters() if key.startswith((f"{name}.", f"head.{name}."))]
        expected = [p.grad for key, p in network.named_parameters() if key.startswith(f"{name}.")]
        for one, other in zip(gradients, expected, strict=True):
            torch.testing.assert_close(one, other)


@pytest.mark.parametrize("weight_sharing", SHARING)
def test_handed_out_weights_need_no_gradient_and_are_not_copied_where_they_are_whole(
    space: FBNetSpace, weight_sharing: WeightSharing
) -> None:
    supernet = build_supernet(space, weight_sharing)
    held = {value.untyped_storage().data_ptr() for value in supernet.parameters()}
    for name, value in supernet.sub_network_state((7, 7, 7)).items():
        assert not value.requires_grad
        assert value.is_contiguous()
        assert value.untyped_storage().data_ptr() in held, name


@pytest.mark.parametrize("weight_sharing", SHARING)
def test_gradients_reach_every_entry_of_theta(
    space: FBNetSpace, randomised: Randomise, weight_sharing: WeightSharing
) -> None:
    supernet = randomised(build_supernet(space, weight_sharing))
    theta_LO = torch.randn(3, 9, requires_grad=True)
    logits_BK = supernet.forward_mixture(torch.randn(6, *space.input_shape), torch.softmax(theta_LO, -1))
    torch.autograd.backward(F.cross_entropy(logits_BK, torch.tensor([0, 1, 2, 0, 1, 2])))
    assert theta_LO.grad is not None
    assert theta_LO.grad.isfinite().all()
    assert bool(theta_LO.grad.ne(0).all())


@pytest.mark.parametrize("gap", [20.0, 60.0, 90.0, 1000.0])
@pytest.mark.parametrize("certain", range(9), ids=OPERATOR_NAMES)
@pytest.mark.parametrize("weight_sharing", SHARING)
def test_gradients_are_finite_where_one_operator_is_certain(
    space: FBNetSpace, randomised: Randomise, weight_sharing: WeightSharing, certain: int, gap: float
) -> None:
    supernet = randomised(build_supernet(space, weight_sharing))
    theta_LO = (gap * one_hot((certain,) * 3, 9)).requires_grad_()
    x_BCHW = torch.randn(6, *space.input_shape)
    logits_BK = supernet.forward_mixture(x_BCHW, torch.softmax(theta_LO, -1))
    torch.autograd.backward(F.cross_entropy(logits_BK, torch.tensor([0, 1, 2, 0, 1, 2])))
    assert theta_LO.grad is not None
    assert theta_LO.grad.isfinite().all()
    assert all(p.grad is None or p.grad.isfinite().all() for p in supernet.parameters())
    torch.testing.assert_close(logits_BK, supernet.forward_path(x_BCHW, (certain,) * 3), rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("weight_sharing", SHARING)
def test_gradient_of_theta_equals_finite_differences(
    space: FBNetSpace, randomised: Randomise, weight_sharing: WeightSharing
) -> None:
    supernet = randomised(build_supernet(space, weight_sharing)).double().requires_grad_(requires_grad=False)
    x_BCHW, labels_B = torch.randn(4, *space.input_shape).double(), torch.tensor([0, 1, 2, 0])

    def loss(theta_LO: Tensor) -> Tensor:
        return F.cross_entropy(supernet.forward_mixture(x_BCHW, torch.softmax(theta_LO, -1)), labels_B)

    theta_LO = torch.randn(3, 9).double().requires_grad_()
    assert torch.autograd.gradcheck(loss, (theta_LO,), eps=1e-6, atol=1e-6)


@pytest.mark.parametrize("weight_sharing", SHARING)
def test_theta_has_the_same_gradient_whether_weights_are_frozen_or_not(
    space: FBNetSpace, randomised: Randomise, weight_sharing: WeightSharing
) -> None:
    supernet = randomised(build_supernet(space, weight_sharing)).double()
    x_BCHW, theta_LO = torch.randn(4, *space.input_shape).double(), torch.randn(3, 9).double().requires_grad_()
    gradients: list[Tensor] = []
    for needed in (True, False):
        supernet.requires_grad_(requires_grad=needed)
        loss = supernet.forward_mixture(x_BCHW, torch.softmax(theta_LO, -1)).square().sum()
        gradients += torch.autograd.grad(loss, theta_LO)
    torch.testing.assert_close(*gradients)


def test_an_unknown_form_is_refused(space: FBNetSpace) -> None:
    with pytest.raises(ValueError, match="`weight_sharing` must be `shared` or `separate`, but got 'none'"):
        build_supernet(space, "none")  # type: ignore[arg-type]
