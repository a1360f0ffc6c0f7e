import pytest
import torch
import torch.nn.functional as F

from dnas.supernets.pointwise import joined_conv


@pytest.mark.parametrize("learnt", [(True, False), (False, True), (True, True)])
@pytest.mark.parametrize("layout", [torch.channels_last, torch.contiguous_format])
@pytest.mark.parametrize("dim", [0, 1])
def test_output_and_gradients_equal_those_of_the_joined_weight(
    dim: int, layout: torch.memory_format, learnt: tuple[bool, bool]
) -> None:
    x_BCHW = torch.randn(3, 5, 4, 2).double().contiguous(memory_format=layout).requires_grad_()
    shapes = ((2, 5), (4, 5)) if dim == 0 else ((6, 2), (6, 3))
    first, rest = (
        torch.randn(*shape, 1, 1).double().requires_grad_(needed) for shape, needed in zip(shapes, learnt, strict=True)
    )
    output, expected = joined_conv(x_BCHW, first, rest, dim=dim), F.conv2d(x_BCHW, torch.cat((first, rest), dim))
    torch.testing.assert_close(output, expected)
    inputs = [tensor for tensor in (x_BCHW, first, rest) if tensor.requires_grad]
    upstream = torch.randn_like(output)
    for one, other in zip(
        torch.autograd.grad(output, inputs, upstream),
        torch.autograd.grad(expected, inputs, upstream),
        strict=True,
    ):
        torch.testing.assert_close(one, other)


def test_a_rest_without_channels_and_an_input_without_gradient() -> None:
    x_BCHW, first = torch.randn(2, 3, 4, 4), torch.randn(5, 3, 1, 1, requires_grad=True)
    torch.autograd.backward(joined_conv(x_BCHW, first, torch.empty(0, 3, 1, 1), dim=0).sum())
    torch.testing.assert_close(first.grad, x_BCHW.sum((0, 2, 3))[None, :, None, None].expand(5, 3, 1, 1))
    assert x_BCHW.grad is None
    assert not joined_conv(x_BCHW, first.detach(), torch.empty(0, 3, 1, 1), dim=0).requires_grad
