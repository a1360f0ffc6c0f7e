import itertools

import pytest
import torch
import torch.nn.functional as F

from dnas.supernets.depthwise import depthwise_conv, ring_scaled_conv

SIZES = [*((side, side) for side in range(1, 8)), (2, 7), (7, 4), (5, 8), (18, 17)]


@pytest.mark.parametrize(("size", "kernel", "stride"), itertools.product(SIZES, (1, 3, 5), (1, 2)))
def test_output_and_gradients_equal_pytorchs(size: tuple[int, int], kernel: int, stride: int) -> None:
    x_BCHW = torch.randn(3, 4, *size, dtype=torch.double, requires_grad=True)
    weight = torch.randn(4, 1, kernel, kernel, dtype=torch.double, requires_grad=True)
    expected = F.conv2d(x_BCHW, weight, stride=stride, padding=kernel // 2, groups=4)
    output = depthwise_conv(x_BCHW, weight, stride)
    torch.testing.assert_close(output, expected)
    upstream = torch.randn_like(output)
    for one, other in zip(
        torch.autograd.grad(output, (x_BCHW, weight), upstream),
        torch.autograd.grad(expected, (x_BCHW, weight), upstream),
        strict=True,
    ):
        torch.testing.assert_close(one, other)


def test_a_frozen_input_or_weight_gets_no_gradient() -> None:
    x_BCHW, weight = torch.randn(2, 3, 4, 4), torch.randn(3, 1, 5, 5, requires_grad=True)
    torch.autograd.backward(depthwise_conv(x_BCHW, weight, 1).sum())
    assert x_BCHW.grad is None
    assert weight.grad is not None
    assert not depthwise_conv(x_BCHW, weight.detach(), 1).requires_grad


@pytest.mark.parametrize("frozen", [False, True])
@pytest.mark.parametrize(("size", "kernel", "stride"), itertools.product([(3, 3), (6, 5), (8, 8)], (3, 5), (1, 2)))
def test_a_scaled_ring_equals_pytorchs_convolution_with_scaled_kernels(
    size: tuple[int, int], kernel: int, stride: int, *, frozen: bool
) -> None:
    x_BCHW = torch.randn(3, 4, *size, dtype=torch.double, requires_grad=True)
    weight = torch.randn(4, 1, kernel, kernel, dtype=torch.double, requires_grad=not frozen)
    share = torch.tensor(0.3, dtype=torch.double, requires_grad=True)
    factors = torch.nn.functional.pad(torch.ones(kernel - 2, kernel - 2).double() * (1 - share), (1,) * 4) + share
    expected = F.conv2d(x_BCHW, weight * factors, stride=stride, padding=kernel // 2, groups=4)
    output = ring_scaled_conv(x_BCHW, weight, share, stride)
    torch.testing.assert_close(output, expected)
    inputs = (x_BCHW, share) if frozen else (x_BCHW, share, weight)
    upstream = torch.randn_like(output)
    for one, other in zip(
        torch.autograd.grad(output, inputs, upstream),
        torch.autograd.grad(expected, inputs, upstream),
        strict=True,
    ):
        torch.testing.assert_close(one, other)
