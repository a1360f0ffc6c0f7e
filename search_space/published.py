"""Published FBNet architectures as operators of the 22 searchable layers.

The published FBNet-B and -C contain one and two blocks with two stacked 3x3 depthwise convolutions, which
are not among the nine operators; as in later re-implementations these are `k5_e6` here.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class PublishedArchitecture:
    """Operators of a published network, and the head that it was published with."""

    operators: tuple[str, ...]
    last_channels: int
    """Channels of the last 1x1 convolution, in the space that it was published for."""
    space: str
    """Preset that it was published for."""
    source: str


def _published(rows: str, last_channels: int, source: str, space: str = "fbnet-imagenet") -> PublishedArchitecture:
    return PublishedArchitecture(tuple(rows.split()), last_channels, space, source)


_PAPER = "Wu et al., FBNet, CVPR 2019, Fig. 4 and the authors' model definitions"

PUBLISHED: dict[str, PublishedArchitecture] = {
    "fbnet-a": _published(
        """skip
        k3_e3 k3_e1 skip skip
        k5_e6 k3_e3 k5_e1 k3_e3
        k5_e6 k5_e3 k5_e1_g2 k5_e6
        k3_e6 k5_e1_g2 k5_e3 k3_e1_g2
        k5_e6 k5_e6 k5_e3 k5_e6
        k5_e6""",
        1504,
        _PAPER,
    ),
    "fbnet-b": _published(
        """k3_e1
        k3_e6 k5_e1 k3_e1 k3_e1
        k5_e6 k5_e3 k3_e6 k5_e6
        k5_e6 k5_e1 skip k5_e3
        k5_e6 k3_e1 k5_e1 k5_e3
        k5_e6 k5_e1 k5_e6 k5_e6
        k3_e6""",
        1984,
        _PAPER,
    ),
    "fbnet-c": _published(
        """k3_e1
        k3_e6 skip k3_e1 k3_e1
        k5_e6 k5_e3 k5_e6 k3_e6
        k5_e6 k5_e3 k5_e6 k5_e6
        k5_e6 k5_e6 k5_e6 k5_e3
        k5_e6 k5_e6 k5_e6 k5_e6
        k3_e6""",
        1984,
        _PAPER,
    ),
    "fbnet-96-0.35-1": _published(
        """k3_e1
        k3_e6 k3_e6 skip skip
        k5_e6 k5_e6 skip skip
        k5_e6 skip skip skip
        k3_e6 skip skip skip
        k5_e6 k5_e6 skip skip
        k5_e6""",
        1984,
        _PAPER,
        "fbnet-96-0.35",
    ),
    "fbnet-samsung-s8": _published(
        """k3_e1
        k3_e3 k3_e1 skip skip
        k5_e6 k3_e3 k3_e3 k3_e6
        k5_e6 k5_e3 k5_e3 k5_e3
        k3_e6 k5_e3 k5_e3 k5_e3
        k5_e6 k5_e6 k5_e3 k5_e6
        k5_e6""",
        1984,
        _PAPER,
    ),
    "fbnet-iphone-x": _published(
        """skip
        k3_e6 k3_e1 k3_e1 k3_e1
        k3_e6 k3_e6 k3_e6 k3_e6
        k3_e6 k3_e6 k3_e3 k3_e6
        k3_e6 k3_e3 k3_e3 k3_e3
        k5_e6 k5_e6 k5_e6 k5_e3
        k5_e6""",
        1984,
        _PAPER,
    ),
}
