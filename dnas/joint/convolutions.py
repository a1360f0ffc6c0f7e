"""Convolutions with frozen weights for several inner searches at once, differentiable in what each of them mixes.

Images of T searches lie side by side: each pixel has the channels of the first search, then those of the next, in all
(B, T * C, H, W) in the channels-last layout. So a 1x1 convolution is one product of B * H * W * T rows with the weights
that all searches share, and a depthwise one has T * C groups.
Shape suffixes: B batch, H height, W width, T inner searches, R rows (B * H * W * T), P pixels (B * H * W), C channels,
I input channels, O output channels, D the first ones, in which grouped candidates have zeros.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor


def shared_conv(x_BCHW: Tensor, weight_OI: Tensor) -> Tensor:
    """1x1 convolution of each search's channels (B, T * I, H, W) with the same weights; gives (B, T * O, H, W)."""
    return _images(_rows(x_BCHW, weight_OI.shape[1]) @ weight_OI.t(), x_BCHW)


def first_outputs_mixed(x_BCHW: Tensor, weight_OI: Tensor, minus_DI: Tensor, grouped_T: Tensor) -> Tensor:
    """1x1 convolution whose first outputs are partly those of grouped candidates.

    Args:
        x_BCHW: input, shape (B, T * I, H, W).
        weight_OI: frozen weights.
        minus_DI: minus those of the first outputs outside of their groups, zeros elsewhere.
        grouped_T: how much of these each search adds, in [0, 1].

    Returns:
        Output of shape (B, T * O, H, W).
    """
    return torch.as_tensor(_FirstOutputsMixed.apply(x_BCHW, weight_OI, minus_DI, grouped_T))  # type: ignore[no-untyped-call]


def first_inputs_mixed(x_BCHW: Tensor, weight_OI: Tensor, minus_OD: Tensor, grouped_T: Tensor) -> Tensor:
    """The same where the first inputs are those that groups divide; `minus_OD` has their weights."""
    return torch.as_tensor(_FirstInputsMixed.apply(x_BCHW, weight_OI, minus_OD, grouped_T))  # type: ignore[no-untyped-call]


def rings_scaled_conv(x_BCHW: Tensor, inside: Tensor, rings: Tensor, share_T: Tensor, stride: int) -> Tensor:
    """Depthwise convolution with "same" padding, and kernels whose outermost ring each search multiplies by a number.

    Args:
        x_BCHW: input, shape (B, T * C, H, W).
        inside: frozen kernels without their ring, shape (C, 1, k, k).
        rings: the rings alone, the same for each search, shape (T, C, 1, k, k).
        share_T: factors.
        stride: 1 or 2.

    Returns:
        Output of shape (B, T * C, ceil(H / stride), ceil(W / stride)).
    """
    return torch.as_tensor(_RingsScaledConv.apply(x_BCHW, inside, rings, share_T, stride))  # type: ignore[no-untyped-call]


class _FirstOutputsMixed(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x_BCHW: Tensor, weight_OI: Tensor, minus_DI: Tensor, grouped_T: Tensor) -> Tensor:
        x_RI = _rows(x_BCHW, weight_OI.shape[1])
        grouped_T1 = grouped_T[:, None]
        y_RO = x_RI @ weight_OI.t()
        _searches(y_RO, grouped_T1)[..., : len(minus_DI)].addcmul_(
            _searches(x_RI @ minus_DI.t(), grouped_T1), grouped_T1
        )
        ctx.save_for_backward(x_RI, weight_OI, minus_DI, grouped_T1)
        return _images(y_RO, x_BCHW)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, None, None, Tensor | None]:
        (gradient_BCHW,) = gradients
        x_RI, weight_OI, minus_DI, grouped_T1 = ctx.saved_tensors
        gradient_RO = _rows(gradient_BCHW, len(weight_OI))
        first_PTD = _searches(gradient_RO, grouped_T1)[..., : len(minus_DI)]
        grad_x = grad_grouped = None
        if ctx.needs_input_grad[0]:
            grad_RI = gradient_RO @ weight_OI
            grad_RI.addmm_((first_PTD * grouped_T1).flatten(0, 1), minus_DI)
            grad_x = _images(grad_RI, gradient_BCHW)
        if ctx.needs_input_grad[3]:
            grad_grouped = _gradient_of_share(first_PTD, _searches(x_RI, grouped_T1), minus_DI)
        return grad_x, None, None, grad_grouped


class _FirstInputsMixed(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x_BCHW: Tensor, weight_OI: Tensor, minus_OD: Tensor, grouped_T: Tensor) -> Tensor:
        x_RI = _rows(x_BCHW, weight_OI.shape[1])
        grouped_T1 = grouped_T[:, None]
        first_RD = x_RI[:, : minus_OD.shape[1]]
        y_RO = x_RI @ weight_OI.t()
        _searches(y_RO, grouped_T1).addcmul_(_searches(first_RD @ minus_OD.t(), grouped_T1), grouped_T1)
        ctx.save_for_backward(x_RI, weight_OI, minus_OD, grouped_T1)
        return _images(y_RO, x_BCHW)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, None, None, Tensor | None]:
        (gradient_BCHW,) = gradients
        x_RI, weight_OI, minus_OD, grouped_T1 = ctx.saved_tensors
        gradient_RO = _rows(gradient_BCHW, len(weight_OI))
        first = slice(0, minus_OD.shape[1])
        grad_x = grad_grouped = None
        if ctx.needs_input_grad[0]:
            grad_RI = gradient_RO @ weight_OI
            _searches(grad_RI, grouped_T1)[..., first].addcmul_(
                _searches(gradient_RO @ minus_OD, grouped_T1), grouped_T1
            )
            grad_x = _images(grad_RI, gradient_BCHW)
        if ctx.needs_input_grad[3]:
            first_PTD = _searches(x_RI, grouped_T1)[..., first]
            grad_grouped = _gradient_of_share(_searches(gradient_RO, grouped_T1), first_PTD, minus_OD)
        return grad_x, None, None, grad_grouped


class _RingsScaledConv(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x_BCHW: Tensor, inside: Tensor, rings: Tensor, share_T: Tensor, stride: int) -> Tensor:
        scaled = torch.addcmul(inside, rings, share_T[:, None, None, None, None]).flatten(0, 1)
        ctx.save_for_backward(x_BCHW, rings, scaled)
        ctx.stride = stride
        return _depthwise(x_BCHW, scaled, stride)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, None, None, Tensor | None, None]:
        (gradient_BCHW,) = gradients
        x_BCHW, rings, scaled = ctx.saved_tensors
        grad_x = grad_share = None
        if ctx.needs_input_grad[0]:
            padding = scaled.shape[-1] // 2
            grad_x, _, _ = torch.ops.aten.convolution_backward(
                gradient_BCHW, x_BCHW, scaled, bias_sizes=None, stride=[ctx.stride] * 2, padding=[padding] * 2,
                dilation=[1, 1], transposed=False, output_padding=[0, 0], groups=len(scaled),
                output_mask=[True, False, False],
            )  # fmt: skip
        if ctx.needs_input_grad[3]:
            products = _depthwise(x_BCHW, rings.flatten(0, 1), ctx.stride).mul_(gradient_BCHW)
            searches, channels = rings.shape[:2]
            grad_share = _rows(products, channels).view(-1, searches, channels).sum((0, 2))
        return grad_x, None, None, grad_share, None


def _gradient_of_share(gradient_PTO: Tensor, x_PTI: Tensor, minus_OI: Tensor) -> Tensor:
    """Gradient of how much each search adds of a product with weights, shape (T,)."""
    gradient_TOI = torch.bmm(gradient_PTO.permute(1, 2, 0), x_PTI.transpose(0, 1))
    return (gradient_TOI * minus_OI).sum((1, 2))


def _rows(x_BCHW: Tensor, channels: int) -> Tensor:
    """Channels of each search at each pixel, shape (R, channels); a view where the layout is channels-last."""
    return x_BCHW.permute(0, 2, 3, 1).reshape(-1, channels)


def _searches(x_RC: Tensor, grouped_T1: Tensor) -> Tensor:
    """The same, shape (P, T, C); a view."""
    return x_RC.view(-1, len(grouped_T1), x_RC.shape[1])


def _images(x_RC: Tensor, like_BCHW: Tensor) -> Tensor:
    """Rows as images of the height and width of others, shape (B, T * C, H, W); a view."""
    batch, _, height, width = like_BCHW.shape
    return x_RC.reshape(batch, height, width, -1).permute(0, 3, 1, 2)


def _depthwise(x_BCHW: Tensor, weight: Tensor, stride: int) -> Tensor:
    return F.conv2d(x_BCHW, weight, stride=stride, padding=weight.shape[-1] // 2, groups=len(weight))
