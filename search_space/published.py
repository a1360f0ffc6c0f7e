"""Published FBNet architectures as operators of the 22 searchable layers. Start with `published_named`.

The published FBNet-B and -C contain one and two blocks with two stacked 3x3 depthwise convolutions, which
are not among the nine operators; as in later re-implementations these are `k5_e6` here. The PyTorch reproduction's
file has `ir_k5_e1` for layer 15 of FBNet-A, beside an expansion of 3; here that is the authors' `k5_e3`.
"""

from __future__ import annotations

import re
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
_REPRODUCTION = "found on a CPU by the PyTorch reproduction of FBNet, https://github.com/AnnaAraslanova/FBNet"

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
    "fbnet-cpu-sample1": _published(
        """k5_e6
        k3_e6 k5_e6 k5_e6 k5_e6
        k3_e6 k5_e6 k5_e3 skip
        k5_e6 k3_e6 skip skip
        k5_e6 k5_e6 skip skip
        k5_e6 skip skip skip
        skip""",
        1504,
        _REPRODUCTION,
    ),
    "fbnet-cpu-sample2": _published(
        """k5_e6
        k3_e6 k3_e6 k5_e6 k5_e6
        k5_e6 k5_e6 skip skip
        k3_e6 k5_e6 skip skip
        k5_e6 skip skip skip
        k5_e6 skip skip skip
        skip""",
        1504,
        _REPRODUCTION,
    ),
}
_OTHERS = (
    (r"fbnet_?[abc]se", "it has squeeze and excitation"),
    (r"fbnet_?v2.*|dmasking.*", "FBNetV2 searches numbers of channels and the size of the input, too"),
    (r"fbnet_?v3.*|dw_pw.*", "FBNetV3 has squeeze and excitation and hard swish"),
    (r"mnv3.*|mobilenet_?v[123].*|eff(icientnet)?_.*|chamnet.*|mnasnet.*", "it is no FBNet"),
)
"""Networks of the authors' model zoo and its like that cannot be built of the nine operators, and why."""


def published_named(name: str) -> PublishedArchitecture | None:
    """The published architecture of a name, however its parts are joined: `fbnet-a`, `FBNet_A`, `fbnet_96_035_1`."""
    return _BY_LETTERS.get(_letters(name))


def why_not_published(name: str) -> str | None:
    """Why a network of the authors' model zoo cannot be built of FBNet's operators; None for other names."""
    plain = name.strip().lower().replace("-", "_")
    return next((reason for pattern, reason in _OTHERS if re.fullmatch(pattern, plain)), None)


def _letters(name: str) -> str:
    return re.sub(r"[-_. ]", "", name.lower())


_BY_LETTERS = {_letters(name): published for name, published in PUBLISHED.items()}
