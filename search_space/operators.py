"""The nine FBNet candidate operators, in the order used everywhere, and by which other names they go."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
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
REPRODUCTION_NAMES = {
    "ir_k3_e1": "k3_e1",
    "ir_k3_s2": "k3_e1_g2",
    "ir_k3_e3": "k3_e3",
    "ir_k3_e6": "k3_e6",
    "ir_k5_e1": "k5_e1",
    "ir_k5_s2": "k5_e1_g2",
    "ir_k5_e3": "k5_e3",
    "ir_k5_e6": "k5_e6",
    "skip": "skip",
}
"""Operators as the authors' model definitions and the PyTorch reproduction of FBNet name them, in our order; their `s2`
are two groups with a shuffle, not a stride."""
_BY_NAME = {operator.name: operator for operator in OPERATORS}
_OTHER_PARTS = (
    (r"_se(?!p)", "squeeze and excitation"),
    (r"_hs", "hard swish"),
    (r"_sep|k33", "two stacked depthwise convolutions"),
    (r"_s4|_g4", "four groups"),
    (r"k([1246-9])(?!\d)", r"a kernel of \1x\1"),
    (r"_e([24578])", r"\1 times the channels"),
)
"""What blocks of other definitions have that the nine operators lack, by a part of their name."""


def canonical_operator(name: str) -> str:
    """Our name of an operator that may have its name in the authors' definitions; any other name as it is."""
    plain = name.strip().lower()
    plain = REPRODUCTION_NAMES.get(plain, plain)
    return plain if plain in _BY_NAME else name


def operator_named(name: str) -> Operator:
    """The operator of that name, ours or that of the authors' definitions.

    Raises:
        ValueError: if no operator has that name.
    """
    known = canonical_operator(name)
    if known not in _BY_NAME:
        raise ValueError(
            f"an operator must be one of {', '.join(OPERATOR_NAMES)}, but got {shown(name)}{why_no_operator(name)}"
        )
    return _BY_NAME[known]


def why_no_operator(name: str, among: Iterable[str] = OPERATOR_NAMES) -> str:
    """What a name that is no operator may stand for, as the end of a sentence; a full stop where nobody knows.

    Args:
        name: as it came.
        among: the operators that would do.
    """
    plain, among = name.strip().lower(), tuple(among)
    if plain.startswith("ir_k") and among == OPERATOR_NAMES:
        for pattern, has in _OTHER_PARTS:
            if found := re.search(pattern, plain):
                return f", a block with {found.expand(has)}, which none of the nine operators has."
    return nearest_names(plain, (*among, *(theirs for theirs, ours in REPRODUCTION_NAMES.items() if ours in among)))


def nearest_names(name: str, names: Iterable[str]) -> str:
    """The end of a sentence: `: did you mean ...?` with one or two names like a mistyped one, or a full stop."""
    near = difflib.get_close_matches(name[:100], [*dict.fromkeys(names)], n=2, cutoff=0.75)
    return f": did you mean {' or '.join(near)}?" if near else "."
