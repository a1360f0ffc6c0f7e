from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from dnas.joint.convolutions import first_inputs_mixed, first_outputs_mixed, rings_scaled_conv, shared_conv

SEARCHES, INPUTS, OUTPUTS, FIRST = 3, 6, 5, 4


def images(channels: int, *, gradient: bool = False) -> Tensor:
    x_BCHW = torch.randn(2, SEARCHES * channels, 6, 5).double().contiguous(memory_format=torch.channels_last)
    return x_BCHW.requires_grad_(gradient)


def of_each(x_BCHW: Tensor) -> list[Tensor]:
    return list(x_BCHW.chunk(SEARCHES, 1))


def close(value: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(value, expected, rtol=0, atol=1e-12)


def mixed_outputs(x_BCHW: Tensor, weight_OI: Tensor, grouped_T: Tensor) -> Tensor:
    """Each search by itself, with the weights that it mixes."""
    outputs = []
    for x, grouped in zip(of_each(x_BCHW), grouped_T, strict=True):
        outside_OI = torch.zeros_like(weight_OI)
        outside_OI[:FIRST] = weight_OI[:FIRST] * OUTSIDE_OI[:FIRST]
        outputs.append(F.conv2d(x, (weight_OI - grouped * outside_OI)[:, :, None, None]))
    return torch.cat(outputs, 1)


def mixed_inputs(x_BCHW: Tensor, weight_OI: Tensor, grouped_T: Tensor) -> Tensor:
    outputs = []
    for x, grouped in zip(of_each(x_BCHW), grouped_T, strict=True):
        outside_OI = torch.zeros_like(weight_OI)
        outside_OI[:, :FIRST] = weight_OI[:, :FIRST] * OUTSIDE_OI[:, :FIRST]
        outputs.append(F.conv2d(x, (weight_OI - grouped * outside_OI)[:, :, None, None]))
    return torch.cat(outputs, 1)


OUTSIDE_OI = (torch.arange(OUTPUTS * INPUTS).view(OUTPUTS, INPUTS) % 3 > 0).double()
Conv = Callable[[Tensor, Tensor, Tensor], Tensor]
MIXED: dict[str, tuple[Conv, Conv]] = {
    "outputs": (lambda x, w, g: first_outputs_mixed(x, w, -(w * OUTSIDE_OI)[:FIRST], g), mixed_outputs),
    "inputs": (lambda x, w, g: first_inputs_mixed(x, w, -(w * OUTSIDE_OI)[:, :FIRST], g), mixed_inputs),
}


def test_a_shared_convolution_is_that_of_each_search() -> None:
    x_BCHW, weight_OI = images(INPUTS), torch.randn(OUTPUTS, INPUTS).double()
    expected = torch.cat([F.conv2d(x, weight_OI[:, :, None, None]) for x in of_each(x_BCHW)], 1)
    close(shared_conv(x_BCHW, weight_OI), expected)
    close(shared_conv(x_BCHW[:, :, ::2, ::2], weight_OI), expected[:, :, ::2, ::2])


@pytest.mark.parametrize("first", list(MIXED))
def test_each_search_mixes_its_groups_and_gets_its_gradients(first: str) -> None:
    conv, reference = MIXED[first]
    x_BCHW, weight_OI = images(INPUTS, gradient=True), torch.randn(OUTPUTS, INPUTS).double()
    grouped_T = torch.rand(SEARCHES).double().requires_grad_()
    y, expected = conv(x_BCHW, weight_OI, grouped_T), reference(x_BCHW, weight_OI, grouped_T)
    close(y, expected)
    direction = torch.randn_like(y)
    for gradient, wanted in zip(
        torch.autograd.grad(y, (x_BCHW, grouped_T), direction),
        torch.autograd.grad(expected, (x_BCHW, grouped_T), direction),
        strict=True,
    ):
        close(gradient, wanted)


@pytest.mark.parametrize("stride", [1, 2])
def test_each_search_scales_its_rings_and_gets_its_gradients(stride: int) -> None:
    x_BCHW, weight = images(INPUTS, gradient=True), torch.randn(INPUTS, 1, 5, 5).double()
    inside = F.pad(weight[:, :, 1:-1, 1:-1], (1, 1, 1, 1))
    share_T = torch.rand(SEARCHES).double().requires_grad_()
    y = rings_scaled_conv(x_BCHW, inside, (weight - inside).repeat(SEARCHES, 1, 1, 1, 1), share_T, stride)
    expected = torch.cat(
        [
            F.conv2d(x, inside + share * (weight - inside), stride=stride, padding=2, groups=INPUTS)
            for x, share in zip(of_each(x_BCHW), share_T, strict=True)
        ],
        1,
    )
    close(y, expected)
    direction = torch.randn_like(y)
    for gradient, wanted in zip(
        torch.autograd.grad(y, (x_BCHW, share_T), direction),
        torch.autograd.grad(expected, (x_BCHW, share_T), direction),
        strict=True,
    ):
        close(gradient, wanted)
