"""Depthwise convolutions with quicker gradients of 5x5 kernels, in training and where only their rings are mixed.

oneDNN (as in PyTorch 2.13) has a fast path for the weight gradient of kernels up to 3 wide, on maps that are not
smaller than the kernel. So a 5x5 gradient is put together from narrower ones. One core, batch 32, in CPU time: 144
channels of 32x32 pixels 25 ms instead of 42, 384 of 8x8 2 instead of 7, 1104 of 4x4 6 instead of 36.
Shape suffixes: B batch, C channels, H height, W width.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from dnas.mixed_precision import in_step_type

LARGEST_STRIDED_MAP = 16
"""With stride 2, PyTorch's own gradient is as quick on larger maps."""


def depthwise_conv(x_BCHW: Tensor, weight: Tensor, stride: int) -> Tensor:
    """Depthwise convolution with "same" padding.

    Args:
        x_BCHW: input.
        weight: kernels of shape (C, 1, k, k), k odd.
        stride: 1 or 2.

    Returns:
        Output of shape (B, C, ceil(H / stride), ceil(W / stride)).
    """
    if weight.requires_grad and _is_slow(x_BCHW, weight, stride):
        x_BCHW, weight = in_step_type(x_BCHW, weight)
        return torch.as_tensor(_QuickDepthwise.apply(x_BCHW, weight, stride))  # type: ignore[no-untyped-call]
    return _conv(x_BCHW, weight, stride)


def ring_scaled_conv(x_BCHW: Tensor, weight: Tensor, share: Tensor, stride: int) -> Tensor:
    """Depthwise convolution with "same" padding and kernels whose outermost ring is multiplied by a number.

    Where the kernels are frozen, the gradient of that number takes one convolution instead of the kernels' gradients.

    Args:
        x_BCHW: input.
        weight: kernels of shape (C, 1, k, k), k odd and at least 3.
        share: factor of the ring, a scalar.
        stride: 1 or 2.

    Returns:
        Output of shape (B, C, ceil(H / stride), ceil(W / stride)).
    """
    if weight.requires_grad:
        ring = _ring(weight)
        return depthwise_conv(x_BCHW, weight - ring + share * ring, stride)
    x_BCHW, weight = in_step_type(x_BCHW, weight)
    return torch.as_tensor(_RingScaledConv.apply(x_BCHW, weight, share, stride))  # type: ignore[no-untyped-call]


class _QuickDepthwise(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x_BCHW: Tensor, weight: Tensor, stride: int) -> Tensor:
        ctx.save_for_backward(x_BCHW, weight)
        ctx.stride = stride
        return _conv(x_BCHW, weight, stride)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        (gradient_BCHW,) = gradients
        x_BCHW, weight = ctx.saved_tensors
        grad_x = grad_weight = None
        if ctx.needs_input_grad[0]:
            grad_x = _input_gradient(gradient_BCHW, x_BCHW, weight, ctx.stride)
        if ctx.needs_input_grad[1]:
            small = min(x_BCHW.shape[2:]) < weight.shape[-1]
            grad_weight = (_from_corners if small else _from_columns)(gradient_BCHW, x_BCHW, weight, ctx.stride)
        return grad_x, grad_weight, None


class _RingScaledConv(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x_BCHW: Tensor, weight: Tensor, share: Tensor, stride: int) -> Tensor:
        ring = _ring(weight)
        scaled = weight - ring + share.to(weight.dtype) * ring
        ctx.save_for_backward(x_BCHW, ring, scaled)
        ctx.stride = stride
        return _conv(x_BCHW, scaled, stride)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, None, Tensor | None, None]:
        (gradient_BCHW,) = gradients
        x_BCHW, ring, scaled = ctx.saved_tensors
        grad_x = grad_share = None
        if ctx.needs_input_grad[0]:
            grad_x = _input_gradient(gradient_BCHW, x_BCHW, scaled, ctx.stride)
        if ctx.needs_input_grad[2]:
            grad_share = _sum_of_products(gradient_BCHW, _conv(x_BCHW, ring, ctx.stride))
        return grad_x, None, grad_share, None


def _is_slow(x_BCHW: Tensor, weight: Tensor, stride: int) -> bool:
    """Whether PyTorch's own gradient of the kernels is slow."""
    if weight.shape[-1] != 5 or x_BCHW.device.type != "cpu":
        return False
    return stride == 1 or max(x_BCHW.shape[2:]) <= LARGEST_STRIDED_MAP


def _conv(x_BCHW: Tensor, weight: Tensor, stride: int) -> Tensor:
    return F.conv2d(x_BCHW, weight, stride=stride, padding=weight.shape[-1] // 2, groups=weight.shape[0])


def _flat(x_BCHW: Tensor) -> Tensor:
    """All numbers, those of a pixel side by side; a view where the layout is channels-last."""
    return x_BCHW.permute(0, 2, 3, 1).reshape(-1)


def _sum_of_products(a_BCHW: Tensor, b_BCHW: Tensor) -> Tensor:
    """Scalar, in fp32 at least."""
    if a_BCHW.dtype == torch.bfloat16:
        return (a_BCHW * b_BCHW).sum(dtype=torch.float32)
    # One pass over both, instead of a product that is written and read again.
    return torch.dot(_flat(a_BCHW), _flat(b_BCHW))


def _ring(weight: Tensor) -> Tensor:
    """Kernels with zeros inside their outermost ring."""
    ring = weight.clone()
    ring[:, :, 1:-1, 1:-1] = 0
    return ring


def _from_columns(gradient_BCHW: Tensor, x_BCHW: Tensor, weight: Tensor, stride: int) -> Tensor:
    """Gradient of 5x5 kernels from those of their left three and their right two columns."""
    last = stride * (gradient_BCHW.shape[3] - 1)
    left, right = _columns(x_BCHW, -2, last + 1), _columns(x_BCHW, 1, last + 3)
    parts = [
        _weight_gradient(gradient_BCHW, x, weight[..., :columns], stride, (2, 0))
        for x, columns in ((left, 3), (right, 2))
    ]
    return torch.cat(parts, 3)


def _columns(x_BCHW: Tensor, start: int, stop: int) -> Tensor:
    """Columns from `start` to before `stop`, zeros where there are none; unlike `F.pad` it writes each number once."""
    images, channels, height, width = x_BCHW.shape
    result = x_BCHW.new_empty((images, height, stop - start, channels)).permute(0, 3, 1, 2)
    first, end = max(start, 0), min(stop, width)
    result[..., : first - start] = 0
    result[..., end - start :] = 0
    result[..., first - start : end - start] = x_BCHW[..., first:end]
    return result


def _from_corners(gradient_BCHW: Tensor, x_BCHW: Tensor, weight: Tensor, stride: int) -> Tensor:
    """Gradient of 5x5 kernels from those of the four 3x3 kernels in their corners, which cover them."""
    height, width = (stride * (side - 1) + 3 for side in gradient_BCHW.shape[2:])
    padded = F.pad(x_BCHW, (2, 2, 2, 2))
    corner = weight[:, :, :3, :3]
    result = torch.empty_like(weight)
    for top in (0, 2):
        for left in (0, 2):
            window = padded[:, :, top : top + height, left : left + width]
            window = window.contiguous(memory_format=torch.channels_last)
            part = _weight_gradient(gradient_BCHW, window, corner, stride, (0, 0))
            result[:, :, top : top + 3, left : left + 3] = part
    return result


def _input_gradient(gradient: Tensor, x: Tensor, weight: Tensor, stride: int) -> Tensor:
    """Gradient of a depthwise convolution with "same" padding with regard to its input."""
    padding = weight.shape[-1] // 2
    return _backward(gradient, x, weight, stride, (padding, padding), (True, False))[0]


def _weight_gradient(gradient: Tensor, x: Tensor, weight: Tensor, stride: int, padding: tuple[int, int]) -> Tensor:
    """Gradient of a depthwise convolution with regard to its kernels, of which only the shape matters."""
    return _backward(gradient, x, weight.contiguous(), stride, padding, (False, True))[1]


def _backward(
    gradient: Tensor, x: Tensor, weight: Tensor, stride: int, padding: tuple[int, int], mask: tuple[bool, bool]
) -> tuple[Tensor, Tensor]:
    """Gradients of a depthwise convolution with regard to its input and its kernels, as `mask` asks."""
    grad_x, grad_weight, _ = torch.ops.aten.convolution_backward(
        gradient, x, weight, bias_sizes=None, stride=[stride, stride], padding=[*padding], dilation=[1, 1],
        transposed=False, output_padding=[0, 0], groups=weight.shape[0], output_mask=[*mask, False],
    )  # fmt: skip
    return grad_x, grad_weight
