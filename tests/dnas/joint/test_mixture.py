from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from dnas.joint.mixture import JointMixture
from dnas.mixed_precision import in_fp32, mixed_precision
from dnas.supernets.build import build_supernet
from dnas.supernets.superkernel import SuperkernelSupernet
from dnas.train_precision import TrainPrecision
from search_space.spaces import FBNetSpace
from tests.dnas.conftest import Randomise

SEARCHES, BATCH = 3, 4
CANDIDATES = {
    "all nine": None,
    "no skip": ("k3_e1", "k3_e1_g2", "k5_e6"),
    "no groups": ("k3_e1", "k5_e3", "skip"),
    "one kernel, one width": ("k3_e1", "k3_e1_g2"),
}


def made(space: FBNetSpace, randomised: Randomise, dtype: torch.dtype) -> tuple[SuperkernelSupernet, Tensor, Tensor]:
    """A supernet with weights of both signs everywhere, images and operator weights of each search."""
    supernet = randomised(build_supernet(space, "shared")).to(dtype)
    assert isinstance(supernet, SuperkernelSupernet)
    x_TBCHW = torch.randn(SEARCHES, BATCH, *space.input_shape, dtype=dtype)
    theta_TLO = torch.randn(SEARCHES, space.num_layers, len(space.operators), dtype=dtype)
    return supernet, x_TBCHW, torch.softmax(2 * theta_TLO, -1).requires_grad_()


def together(supernet: SuperkernelSupernet, x_TBCHW: Tensor, probs_TLO: Tensor) -> Tensor:
    x_NCHW = x_TBCHW.flatten(0, 1).contiguous(memory_format=torch.channels_last)
    return JointMixture(supernet, len(x_TBCHW))(x_NCHW, probs_TLO)


def one_by_one(supernet: SuperkernelSupernet, x_TBCHW: Tensor, probs_TLO: Tensor) -> Tensor:
    return torch.stack(
        [supernet.forward_mixture(x, probs) for x, probs in zip(x_TBCHW, probs_TLO.unbind(), strict=True)]
    )


@pytest.mark.parametrize("candidates", list(CANDIDATES))
def test_logits_and_gradients_are_those_of_one_search_after_the_other(
    space: FBNetSpace, randomised: Randomise, candidates: str
) -> None:
    operators = CANDIDATES[candidates]
    space = space if operators is None else replace(space, operators=operators)
    supernet, x_TBCHW, probs_TLO = made(space, randomised, torch.float64)
    logits_TBK, expected_TBK = (forward(supernet, x_TBCHW, probs_TLO) for forward in (together, one_by_one))
    torch.testing.assert_close(logits_TBK, expected_TBK, rtol=0, atol=1e-12)
    direction = torch.randn_like(logits_TBK)
    gradient, wanted = (torch.autograd.grad(logits, probs_TLO, direction)[0] for logits in (logits_TBK, expected_TBK))
    torch.testing.assert_close(gradient, wanted, rtol=1e-11, atol=1e-11)
    assert all(weight.grad is None for weight in supernet.parameters())


def test_in_single_precision_they_differ_by_rounding(space: FBNetSpace, randomised: Randomise) -> None:
    supernet, x_TBCHW, probs_TLO = made(space, randomised, torch.float32)
    torch.testing.assert_close(
        together(supernet, x_TBCHW, probs_TLO), one_by_one(supernet, x_TBCHW, probs_TLO), rtol=1e-3, atol=1e-3
    )


def test_in_bf16_gradients_go_the_same_way(space: FBNetSpace, randomised: Randomise) -> None:
    supernet, x_TBCHW, probs_TLO = made(space, randomised, torch.float32)
    direction = torch.randn(SEARCHES, BATCH, space.classes)
    gradients = []
    precisions: tuple[TrainPrecision, ...] = ("fp32", "bf16")
    for precision in precisions:
        with mixed_precision(precision, torch.device("cpu")):
            logits_TBK = together(supernet, x_TBCHW, probs_TLO)
        assert logits_TBK.dtype == (torch.bfloat16 if precision == "bf16" else torch.float32)
        gradients.append(torch.autograd.grad(in_fp32(logits_TBK), probs_TLO, direction)[0].flatten(1))
        assert gradients[-1].dtype == torch.float32
    assert torch.cosine_similarity(gradients[0], gradients[1], 1).min() > 0.95


def test_what_is_no_number_stays_with_its_search(space: FBNetSpace, randomised: Randomise) -> None:
    supernet, x_TBCHW, probs_TLO = made(space, randomised, torch.float64)
    broken_TLO = probs_TLO.detach().clone()
    broken_TLO[1] = torch.nan
    broken_TLO.requires_grad_()
    logits_TBK = together(supernet, x_TBCHW, broken_TLO)
    assert logits_TBK[1].isnan().all()
    others = [0, 2]
    torch.testing.assert_close(logits_TBK[others], together(supernet, x_TBCHW, probs_TLO)[others])
    (gradient_TLO,) = torch.autograd.grad(logits_TBK.square().sum(), broken_TLO)
    assert gradient_TLO[1].isnan().any()
    assert gradient_TLO[others].isfinite().all()
    assert gradient_TLO[others].any()


def test_weights_are_those_of_the_time_when_it_was_made(space: FBNetSpace, randomised: Randomise) -> None:
    supernet, x_TBCHW, probs_TLO = made(space, randomised, torch.float64)
    before = together(supernet, x_TBCHW, probs_TLO)
    randomised(supernet)
    after = together(supernet, x_TBCHW, probs_TLO)
    assert not torch.allclose(before, after)
    torch.testing.assert_close(after, one_by_one(supernet, x_TBCHW, probs_TLO))
