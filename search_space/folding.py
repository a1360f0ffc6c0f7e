"""A convolution's BatchNorm folded into its kernel and bias; arrays of a network by name, with their shapes checked."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

BATCH_NORM_EPSILON = 1e-5


def checked_weight(weights: Mapping[str, Array], name: str, shape: tuple[int, ...]) -> Array:
    """The array of that name.

    Raises:
        ValueError: if it is missing or has another shape.
    """
    if name not in weights:
        raise ValueError(f"`weights` must hold {name!r} of shape {shape}, but it is missing.")
    array = weights[name]
    if array.shape != shape:
        raise ValueError(f"weight {name!r} must have shape {shape}, but got {array.shape}.")
    return array


def scale_and_shift(weights: Mapping[str, Array], prefix: str, channels: int) -> tuple[Array, Array]:
    """What a BatchNorm multiplies each channel by, and what it then adds, in float64.

    Args:
        weights: arrays named as in the PyTorch network's `state_dict()`.
        prefix: of the names of its four arrays.
        channels: C, the length of each array.

    Raises:
        ValueError: if an array is missing or has the wrong shape.
    """
    gain, offset, mean, variance = (
        checked_weight(weights, f"{prefix}.{part}", (channels,)).astype(np.float64)
        for part in ("weight", "bias", "running_mean", "running_var")
    )
    scale = gain / np.sqrt(variance + BATCH_NORM_EPSILON)
    return scale, offset - mean * scale
