"""Mixed precision: forward and backward passes in bfloat16 where that pays, weights and sums in fp32.

Source: Micikevicius et al., "Mixed Precision Training" (ICLR 2018); bfloat16 has the range of fp32, so that no loss is
scaled.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor

from dnas.train_precision import TrainPrecision


def is_bf16(precision: TrainPrecision, device: torch.device) -> bool:
    """Whether steps on a device compute in bfloat16."""
    if precision != "auto":
        return precision == "bf16"
    return device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)


def mixed_precision(precision: TrainPrecision, device: torch.device) -> AbstractContextManager[object]:
    """Have convolutions and products of a forward pass compute in bfloat16, if steps on that device do."""
    return torch.autocast(device.type, torch.bfloat16) if is_bf16(precision, device) else nullcontext()


def in_fp32(x: Tensor) -> Tensor:
    """What is summed up: in fp32, or in more where it is."""
    return x.float() if x.dtype == torch.bfloat16 else x


def in_step_type(*tensors: Tensor) -> tuple[Tensor, ...]:
    """Floating-point tensors as the operations of a step take them: for functions that differentiate by themselves.

    Such a function keeps its inputs for its backward pass, where gradients come in the type of its output.
    """
    kind = tensors[0].device.type
    if not (torch.amp.is_autocast_available(kind) and torch.is_autocast_enabled(kind)):
        return tensors
    dtype = torch.get_autocast_dtype(kind)
    return tuple(tensor.to(dtype) for tensor in tensors)
