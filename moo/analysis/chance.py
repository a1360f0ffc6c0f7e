"""What chance alone does to errors: intervals, and whether two networks can be told apart. Start with `wilson`."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy import stats

_NORMAL_QUANTILE = 1.959964
"""97.5th percentile of the standard normal distribution."""
SIGNIFICANCE = 0.05
"""One-sided: a network counts as more accurate where chance alone would show as much in no more than 1 of 20 cases."""


@dataclass(frozen=True)
class Interval:
    """Where a share lies with 95 % confidence."""

    low: float
    """In [0, 1]; so is the next."""
    high: float


def wilson(share: float, images: int) -> Interval:
    """The 95 % interval of a share that was found on some images.

    Source: Wilson, "Probable inference, the law of succession, and statistical inference", Journal of the American
    Statistical Association 22 (1927), 209-212; recommended over the normal approximation, above all for few images and
    shares near 0 or 1, by Brown, Cai and DasGupta, Statistical Science 16 (2001), 101-133.

    Args:
        share: in [0, 1].
        images: number of them, at least 1.

    Raises:
        ValueError: if the share is none, or there is no image.
    """
    if images < 1 or not 0 <= share <= 1:
        raise ValueError(f"`images >= 1` and `0 <= share <= 1` must hold, but got {images=}, {share=}.")
    z2 = _NORMAL_QUANTILE**2
    centre = (share + z2 / (2 * images)) / (1 + z2 / images)
    reach = _NORMAL_QUANTILE / (1 + z2 / images) * math.sqrt(share * (1 - share) / images + z2 / (4 * images**2))
    # Exact where rounding would leave a bound a hair beyond the share itself.
    return Interval(0.0 if share == 0 else max(0.0, centre - reach), 1.0 if share == 1 else min(1.0, centre + reach))


def paired_p(correct: bytes, other: bytes) -> float:
    """How probable it is that a network gets so many more images right than another by chance alone; one-sided.

    Both were shown the same images, so only those count that just one of the two gets right: by chance these fall to
    either side alike. McNemar's test in its mid-p form, which is exact but for counting half of the case at hand, and
    keeps its level where the exact form is needlessly timid.

    Source: McNemar, Psychometrika 12 (1947), 153-157; Fagerland, Lydersen and Laake, "The McNemar test for binary
    matched-pairs data: mid-p and asymptotic are better than exact conditional", BMC Medical Research Methodology 13
    (2013), 91.

    Args:
        correct: which images the network gets right, a bit each (`numpy.packbits`).
        other: the same of the other network, in the same order.

    Raises:
        ValueError: if they are of different numbers of images.
    """
    if len(correct) != len(other):
        raise ValueError(
            f"two networks must be compared on the same images, but got {len(correct)} and {len(other)} bytes of them."
        )
    own, others = (np.unpackbits(np.frombuffer(bits, np.uint8)).astype(bool) for bits in (correct, other))
    return _binomial_mid_p(int((own & ~others).sum()), int((others & ~own).sum()))


def unpaired_p(error: float, other: float, images: int) -> float:
    """The same where only the two errors are known: how probable one so much below the other is by chance alone.

    Fisher's exact test of two shares in its mid-p form. On the same images errors go together, so that this finds less
    than `paired_p` does.

    Source: Fisher, "Statistical Methods for Research Workers" (1934), section 21.02; Lancaster, "Significance tests in
    discrete distributions", Journal of the American Statistical Association 56 (1961), 223-234, for the mid-p form.

    Args:
        error: of the network, in [0, 1].
        other: of the other one.
        images: that each was evaluated on.
    """
    right, others = images - round(error * images), images - round(other * images)
    return _hypergeometric_mid_p(right, others, images)


# Networks have as many right images as others: a front of hundreds compares the same numbers again and again.
@lru_cache(maxsize=100_000)
def _binomial_mid_p(gained: int, lost: int) -> float:
    known = (gained, gained + lost, 0.5)
    return float(stats.binom.sf(*known) + stats.binom.pmf(*known) / 2)


@lru_cache(maxsize=100_000)
def _hypergeometric_mid_p(right: int, others: int, images: int) -> float:
    known = (right, 2 * images, right + others, images)
    return float(stats.hypergeom.sf(*known) + stats.hypergeom.pmf(*known) / 2)
