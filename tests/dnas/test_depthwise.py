import itertools

import pytest
import torch
import torch.nn.functional as F

from dnas.depthwise import depthwise_conv

SIZES = [*((side, side) for side in range(1, 7)), (2, 7), (7, 4)]


@pytest.mark.parametrize(("size", "kernel", "stride"), itertools.product(SIZES, (1, 3, 5), (1, 2)))
def test_output_and_gradients_equal_pytorchs(size, kernel, stride):
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


def test_a_frozen_input_or_weight_gets_no_gradient():
    x_BCHW, weight = torch.randn(2, 3, 4, 4), torch.randn(3, 1, 5, 5, requires_grad=True)
    depthwise_conv(x_BCHW, weight, 1).sum().backward()
    assert x_BCHW.grad is None
    assert weight.grad is not None
    assert not depthwise_conv(x_BCHW, weight.detach(), 1).requires_grad
