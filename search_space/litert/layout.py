"""Where the channels of an activation lie in its tensor, and the weights that read them there.

Shape suffixes: O output channels, I input channels, H height, W width.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from search_space.folding import Array
from search_space.litert.grids import Grid


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Value:
    """What a node gives, and where: channel c is channel `positions[c]` of the tensor."""

    tensor: int
    shape: tuple[int, ...]
    """Of the tensor; channels last."""
    positions: Array
    grid: Grid | None

    @property
    def is_in_order(self) -> bool:
        """Whether the tensor has just these channels, in this order."""
        return len(self.positions) == self.shape[-1] and bool((self.positions == np.arange(self.shape[-1])).all())

    @property
    def is_permuted(self) -> bool:
        """Whether the tensor has just these channels, in some order."""
        return len(self.positions) == self.shape[-1] == len(np.unique(self.positions))

    @property
    def rows(self) -> int:
        """Rows of the tensor's channels if the value has them column by column, as after a shuffle; else 0."""
        channels = self.shape[-1]
        for rows in range(2, channels):
            if channels % rows == 0 and np.array_equal(self.positions, np.arange(channels).reshape(rows, -1).T.ravel()):
                return rows
        return 0


def as_stored(kernel_OI: Array, source: Value) -> Array:
    """Weights by input channel as weights by channel of the input's tensor."""
    if source.is_in_order:
        return kernel_OI
    stored = np.zeros((len(kernel_OI), source.shape[-1], *kernel_OI.shape[2:]), kernel_OI.dtype)
    if source.is_permuted:
        stored[:, source.positions] = kernel_OI
    else:
        for channel, position in enumerate(source.positions):
            stored[:, position] += kernel_OI[:, channel]
    return stored


def without_groups(kernel_OIHW: Array, groups: int) -> Array:
    """The kernel of the same convolution without groups: zeros where an output does not read an input."""
    outputs, inputs, *sides = kernel_OIHW.shape
    whole = np.zeros((groups, outputs // groups, groups, inputs, *sides), kernel_OIHW.dtype)
    group = np.arange(groups)
    whole[group, :, group] = kernel_OIHW.reshape(groups, outputs // groups, inputs, *sides)
    return whole.reshape(outputs, groups * inputs, *sides)
