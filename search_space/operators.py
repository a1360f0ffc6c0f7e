"""The nine FBNet candidate operators, in the order used everywhere."""

from __future__ import annotations

from dataclasses import dataclass

from search_space.boundary.text import shown


@dataclass(frozen=True)
class Operator:
    """One candidate block of FBNet: 1x1 expansion, k x k depthwise, 1x1 projection.

    Source: Wu et al., "FBNet" (CVPR 2019), Table 2 and Fig. 3, https://arxiv.org/abs/1812.03443.
    """

    name: str
    kernel: int
    """Side of the depthwise kernel; 0 for `skip`."""
    expansion: int
    """Channels after the first 1x1 convolution, as a multiple of the block's input; 0 for `skip`."""
    groups: int
    """Groups of both 1x1 convolutions (with a channel shuffle between when 2); 0 for `skip`."""

    @property
    def is_skip(self) -> bool:
        """Whether this is the identity (or, where the shape changes, a strided 1x1 convolution)."""
        return self.kernel == 0


OPERATORS: tuple[Operator, ...] = (
    Operator("k3_e1", 3, 1, 1),
    Operator("k3_e1_g2", 3, 1, 2),
    Operator("k3_e3", 3, 3, 1),
    Operator("k3_e6", 3, 6, 1),
    Operator("k5_e1", 5, 1, 1),
    Operator("k5_e1_g2", 5, 1, 2),
    Operator("k5_e3", 5, 3, 1),
    Operator("k5_e6", 5, 6, 1),
    Operator("skip", 0, 0, 0),
)
OPERATOR_NAMES: tuple[str, ...] = tuple(operator.name for operator in OPERATORS)
_BY_NAME = {operator.name: operator for operator in OPERATORS}


def operator_named(name: str) -> Operator:
    """The operator of that name.

    Raises:
        ValueError: if no operator has that name.
    """
    if name not in _BY_NAME:
        raise ValueError(f"an operator must be one of {', '.join(OPERATOR_NAMES)}, but got {shown(name)}.")
    return _BY_NAME[name]
