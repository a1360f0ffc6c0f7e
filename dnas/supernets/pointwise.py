"""A 1x1 convolution of which only a part of the weights is trained, at the cost of that part's gradient.

Shape suffixes: B batch, C channels, H height, W width, P pixels of all images.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from dnas.mixed_precision import in_step_type


def joined_conv(x_BCHW: Tensor, first: Tensor, rest: Tensor, *, dim: int) -> Tensor:
    """1x1 convolution with two weights, joined; where only `first` needs a gradient, only its own is computed.

    Args:
        x_BCHW: input.
        first: weight of the first output channels (`dim` 0) or of the first input channels (`dim` 1), shape
            (out, in, 1, 1).
        rest: weight of the other channels.
        dim: along which the weights are joined.

    Returns:
        Output of shape (B, out, H, W).
    """
    x_BCHW, first, rest = in_step_type(x_BCHW, first, rest)
    return torch.as_tensor(_JoinedConv.apply(x_BCHW, first, rest, dim))  # type: ignore[no-untyped-call]


class _JoinedConv(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x_BCHW: Tensor, first: Tensor, rest: Tensor, dim: int) -> Tensor:
        weight = torch.cat((first, rest), dim)
        ctx.save_for_backward(x_BCHW, weight)
        ctx.dim, ctx.channels = dim, first.shape[dim]
        return F.conv2d(x_BCHW, weight)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, Tensor | None, Tensor | None, None]:
        (gradient_BCHW,) = gradients
        x_BCHW, weight = ctx.saved_tensors
        needs_x, needs_first, needs_rest, _ = ctx.needs_input_grad
        grad_x, grad_weight, _ = torch.ops.aten.convolution_backward(
            gradient_BCHW, x_BCHW, weight, bias_sizes=None, stride=[1, 1], padding=[0, 0], dilation=[1, 1],
            transposed=False, output_padding=[0, 0], groups=1, output_mask=[needs_x, needs_rest, False],
        )  # fmt: skip
        if needs_rest:
            grad_first, grad_rest = grad_weight.tensor_split([ctx.channels], ctx.dim)
            return grad_x, grad_first, grad_rest, None
        if not needs_first:
            return grad_x, None, None, None
        gradient_PC, x_PC = _pixels(gradient_BCHW), _pixels(x_BCHW)
        if ctx.dim == 0:
            gradient_PC = gradient_PC[:, : ctx.channels]
        else:
            x_PC = x_PC[:, : ctx.channels]
        return grad_x, (gradient_PC.t() @ x_PC)[:, :, None, None], None, None


def _pixels(x_BCHW: Tensor) -> Tensor:
    """Channels of each pixel, shape (P, C); a view where the layout is channels-last."""
    return x_BCHW.permute(0, 2, 3, 1).reshape(-1, x_BCHW.shape[1])
