import dataclasses
import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from evaluation.augmentation import Augmentation, Jitter, Strength, Warp, augmentation_of, augmented, drawn_changes

STILL = Warp(degrees=0, zoom=0, stretch=0, shift=0)
DARK = Jitter(brightness=0, contrast=0, saturation=0, tint=0)


def images(count: int = 6, *, size: int = 8, grey: bool = False) -> Tensor:
    rng = np.random.default_rng(3)
    pixels = torch.from_numpy(rng.integers(0, 256, (count, 1 if grey else 3, size, size), dtype=np.uint8))
    return pixels.expand(-1, 3, -1, -1).contiguous()


def once(pixels_BCHW: Tensor, *, seed: int = 0, **options: Any) -> Tensor:
    augmentation = Augmentation(**{"crop_padding": 0, "flip": False, **options})
    return changed(pixels_BCHW, augmentation, seed)


def changed(pixels_BCHW: Tensor, augmentation: Augmentation, seed: int) -> Tensor:
    changes = drawn_changes(augmentation, (len(pixels_BCHW), 3), np.random.default_rng(seed))
    return augmented(pixels_BCHW, augmentation, [torch.from_numpy(values) for values in changes])


def test_a_warp_and_a_jitter_of_nothing_change_nothing() -> None:
    pixels = images()
    torch.testing.assert_close(once(pixels, warp=STILL, jitter=DARK), pixels.float(), rtol=0, atol=0.01)


def test_a_warp_that_only_mirrors_mirrors_half_of_the_images() -> None:
    pixels = images(60)
    seen = once(pixels, warp=STILL, flip=True)
    mirrored = [torch.allclose(one, other.flip(-1).float(), atol=0.01) for one, other in zip(seen, pixels, strict=True)]
    kept = [torch.allclose(one, other.float(), atol=0.01) for one, other in zip(seen, pixels, strict=True)]
    assert [a + b for a, b in zip(mirrored, kept, strict=True)] == [1] * 60
    assert 20 <= sum(mirrored) <= 40


def test_a_dot_goes_where_its_map_says() -> None:
    """A quarter turn either way, and a zoom: the distance to the centre tells one, the direction the other."""
    pixels = torch.zeros(40, 3, 65, 65, dtype=torch.uint8)
    pixels[:, :, 30:35, 38:43] = 255
    row_H = torch.arange(65) - 32.0
    radii, angles = [], []
    for one in once(pixels, warp=dataclasses.replace(STILL, degrees=90, zoom=0.5))[:, 0]:
        y, x = float((one.sum(1) * row_H).sum() / one.sum()), float((one.sum(0) * row_H).sum() / one.sum())
        radii.append(math.hypot(x, y))
        angles.append(math.degrees(math.atan2(y, x)))
    assert min(radii) > 8 / 1.5 - 0.5
    assert max(radii) < 8 * 1.5 + 0.5
    assert max(radii) - min(radii) > 3
    assert -91 < min(angles) < -30
    assert 30 < max(angles) < 91


def test_a_shift_moves_by_its_share_at_most_and_fills_by_reflection() -> None:
    pixels = torch.full((30, 3, 20, 20), 100, dtype=torch.uint8)
    pixels[:, :, :, 10:] = 200
    edges = once(pixels, warp=dataclasses.replace(STILL, shift=0.2))[:, 0, 10].gt(150).float().argmax(-1)
    assert 6 <= int(edges.min()) < 9
    assert 11 < int(edges.max()) <= 14
    seen = once(pixels, warp=dataclasses.replace(STILL, shift=0.2))
    assert seen.min() >= 99.9
    assert seen.max() <= 200.1


def test_brightness_is_a_factor_within_its_bounds() -> None:
    pixels = torch.full((200, 3, 2, 2), 100, dtype=torch.uint8)
    seen = once(pixels, jitter=dataclasses.replace(DARK, brightness=0.25))
    assert 80 - 1e-3 <= seen.min() < 84
    assert 121 < seen.max() <= 125 + 1e-3
    torch.testing.assert_close(seen, seen[:, :1, :1, :1].expand_as(seen))


def test_contrast_keeps_the_mean_and_scales_the_distance_to_it() -> None:
    pixels = images(50).clamp(90, 160)
    seen = once(pixels, jitter=dataclasses.replace(DARK, contrast=0.4))
    torch.testing.assert_close(seen.mean((1, 2, 3)), pixels.float().mean((1, 2, 3)))
    ratios = seen.std((1, 2, 3)) / pixels.float().std((1, 2, 3))
    assert 1 / 1.4 - 1e-4 <= ratios.min() < 0.8
    assert 1.25 < ratios.max() <= 1.4 + 1e-4


def test_saturation_scales_the_distance_to_grey() -> None:
    pixels = images(50).clamp(100, 140)
    seen, before = once(pixels, jitter=dataclasses.replace(DARK, saturation=0.4)), pixels.float()
    torch.testing.assert_close(seen.mean(1), before.mean(1))
    ratios = (seen - seen.mean(1, keepdim=True)).abs().sum((1, 2, 3))
    ratios /= (before - before.mean(1, keepdim=True)).abs().sum((1, 2, 3))
    assert ratios.min() < 0.8
    assert ratios.max() > 1.25


def test_pixels_stay_within_their_range() -> None:
    seen = once(images(50), jitter=Jitter(brightness=1, contrast=1))
    assert seen.min() >= 0
    assert seen.max() <= 255


@pytest.mark.parametrize("strength", ["light", "strong"])
def test_grey_images_stay_grey(strength: Strength) -> None:
    augmentation = augmentation_of(strength, size=8, flip=False, grey=True)
    seen = changed(images(grey=True), augmentation, 0).float()
    torch.testing.assert_close(seen, seen[:, :1].expand_as(seen), rtol=0, atol=1e-2)


@pytest.mark.parametrize("strength", ["light", "strong"])
def test_images_depend_on_the_seed_alone_and_stay_as_they_were(strength: Strength) -> None:
    pixels = images()
    before = pixels.clone()
    augmentation = augmentation_of(strength, size=32, flip=True, grey=False)
    one, same, other = (changed(pixels, augmentation, seed) for seed in (1, 1, 2))
    assert torch.equal(one, same)
    assert not torch.equal(one, other)
    assert torch.equal(pixels, before)


def test_light_crops_and_strong_warps() -> None:
    light = augmentation_of("light", size=64, flip=True, grey=False)
    assert light == Augmentation(crop_padding=4, flip=True)
    strong = augmentation_of("strong", size=64, flip=False, grey=False)
    assert (strong.warp, strong.jitter, strong.flip) == (Warp(), Jitter(), False)


@pytest.mark.parametrize(
    ("kind", "values", "rule"),
    [
        (Augmentation, {"crop_padding": -1}, "`crop_padding` must be a whole number of at least 0, but got -1"),
        (Augmentation, {"crop_padding": 1.5}, "`crop_padding` must be a whole number of at least 0, but got 1.5"),
        (Warp, {"degrees": 181}, "`0 <= degrees <= 180` must hold for a warp, but got 181"),
        (Warp, {"zoom": -0.1}, "`0 <= zoom <= 1` must hold for a warp, but got -0.1"),
        (Warp, {"shift": math.nan}, "`0 <= shift <= 1` must hold for a warp, but got nan"),
        (Jitter, {"tint": 2.0}, "`0 <= tint <= 1` must hold for a jitter, but got 2.0"),
    ],
)
def test_values_that_make_no_sense_are_refused(kind: type, values: dict[str, float], rule: str) -> None:
    with pytest.raises(ValueError, match=rule):
        kind(**values)
