"""Parts of weights as views whose gradients are put together at once: autograd's own fill a whole weight for each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import compress
from typing import Any

import torch
from torch import Tensor


@dataclass(frozen=True, eq=False)
class WeightPart:
    """A part of a weight."""

    weight: Tensor
    index: tuple[slice, ...]
    """Of each of its first dimensions."""

    @property
    def is_cut(self) -> bool:
        """Whether it is less than the whole."""
        sides = zip(self.index, self.weight.shape, strict=False)
        return any(one.indices(length) != (0, length, 1) for one, length in sides)


def views_of(parts: Sequence[WeightPart]) -> list[Tensor]:
    """The parts, in order; no weight may come twice.

    The gradient of a weight is zero outside of its part, and None where it has none here.
    """
    cut = [torch.is_grad_enabled() and part.weight.requires_grad and part.is_cut for part in parts]
    chosen = list(compress(parts, cut))
    indices, weights = [part.index for part in chosen], [part.weight for part in chosen]
    of_cut = iter(_Views.apply(indices, *weights) if chosen else ())  # type: ignore[no-untyped-call]
    return [next(of_cut) if is_cut else part.weight[part.index] for part, is_cut in zip(parts, cut, strict=True)]


class _Views(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, indices: Sequence[tuple[slice, ...]], *weights: Tensor) -> tuple[Tensor, ...]:
        ctx.indices = indices
        ctx.like = [(weight.shape, weight.dtype, weight.device) for weight in weights]
        return tuple(weight[index] for weight, index in zip(weights, indices, strict=True))

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        whole = [torch.empty(shape, dtype=dtype, device=device) for shape, dtype, device in ctx.like]
        torch._foreach_zero_(whole)
        parts = [weight[index] for weight, index in zip(whole, ctx.indices, strict=True)]
        torch._foreach_copy_(parts, gradients)
        return (None, *whole)
