from __future__ import annotations

from itertools import product
from math import comb

import numpy as np
import pytest

from moo.analysis.chance import paired_p, unpaired_p, wilson


@pytest.mark.parametrize(
    ("right", "images", "low", "high"),
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)],
)
def test_intervals_are_the_published_ones(right: int, images: int, low: float, high: float) -> None:
    """Method 3 of table I in Newcombe, Statistics in Medicine 17 (1998), 857-872."""
    found = wilson(right / images, images)
    assert (round(found.low, 4), round(found.high, 4)) == (low, high)


@pytest.mark.parametrize("images", [1, 7, 1000])
def test_an_interval_holds_its_share_and_stays_within_all_shares(images: int) -> None:
    for right in {0, 1, images // 2, images}:
        found, mirrored = wilson(right / images, images), wilson(1 - right / images, images)
        assert 0 <= found.low <= right / images <= found.high <= 1
        assert found.low < found.high
        assert (mirrored.low, mirrored.high) == pytest.approx((1 - found.high, 1 - found.low))


@pytest.mark.parametrize(("share", "images"), [(0.5, 0), (-0.1, 5), (1.1, 5)])
def test_no_interval_without_images_or_a_share(share: float, images: int) -> None:
    with pytest.raises(ValueError, match="images >= 1"):
        wilson(share, images)


def packed(right: str) -> bytes:
    return np.packbits(np.array([one == "1" for one in right])).tobytes()


def test_the_paired_test_is_the_published_one() -> None:
    """Airway hyper-responsiveness in Fagerland et al. (2013): 7 pairs against 1; mid-p, two-sided, 0.039."""
    own = packed("111111101" + 12 * "0")
    other = packed("000000011" + 12 * "0")
    assert 2 * paired_p(own, other) == pytest.approx(0.0391, abs=5e-5)
    assert paired_p(own, other) + paired_p(other, own) == pytest.approx(1)
    assert paired_p(own, own) == pytest.approx(0.5)


def test_two_networks_on_other_images_are_not_compared() -> None:
    with pytest.raises(ValueError, match="on the same images"):
        paired_p(packed(8 * "1"), packed(9 * "1"))


@pytest.mark.parametrize(("right", "other", "images"), [(3, 1, 4), (5, 5, 9), (0, 2, 6), (6, 0, 6)])
def test_the_unpaired_test_counts_all_tables(right: int, other: int, images: int) -> None:
    def weight(own: int) -> int:
        return comb(images, own) * comb(images, right + other - own) if 0 <= right + other - own <= images else 0

    weights = [weight(own) for own in range(images + 1)]
    expected = (sum(weights[right + 1 :]) + weights[right] / 2) / sum(weights)
    assert unpaired_p(1 - right / images, 1 - other / images, images) == pytest.approx(expected)


def test_of_equal_networks_one_in_twenty_at_most_looks_better() -> None:
    """Exact level of both tests for 12 images of which each is right with probability 0.7, by enumeration."""
    images, right = 12, 0.7
    level = 0.0
    for own, other in product(range(images + 1), repeat=2):
        chance = 1.0
        for count in (own, other):
            chance *= comb(images, count) * right**count * (1 - right) ** (images - count)
        level += chance * (unpaired_p(1 - own / images, 1 - other / images, images) <= 0.05)
    assert 0.02 < level < 0.06
