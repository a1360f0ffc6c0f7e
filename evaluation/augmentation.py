"""What is done at random to training images, a whole batch at once on its device. Start with `augmented`.

Random numbers are drawn beforehand from NumPy's generator: a batch depends on the seed alone, whatever computes it.
Shape suffixes: B batch, C channels, H height, W width.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

Strength = Literal["light", "strong"]
FEW_IMAGES = 5000
"""Images below which they are augmented strongly, where they have `LEAST_SIZE`."""
LEAST_SIZE = 48
"""Height and width in pixels."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Augmentation:
    """What is done at random to each training image."""

    crop_padding: int = 4
    """Pixels of zero padding on each side before a random crop back to the original size."""
    flip: bool = True
    """Whether half of the images are mirrored left to right."""
    warp: Warp | None = None
    """Moves, turns and resizes images, in place of the padding and cropping."""
    jitter: Jitter | None = None
    """Changes light and colour."""

    def __post_init__(self) -> None:
        if not isinstance(self.crop_padding, int) or self.crop_padding < 0:
            raise ValueError(f"`crop_padding` must be a whole number of at least 0, but got {self.crop_padding}.")


@dataclass(frozen=True, kw_only=True, slots=True)
class Warp:
    """A random affine map of each image; what it needs from beyond the edge is reflected there."""

    degrees: float = 15.0
    """Images are turned by up to so much either way, in [0, 180]."""
    zoom: float = 0.3
    """Images are shown up to `1 + zoom` times larger or smaller."""
    stretch: float = 0.15
    """Width and height differ by up to a factor of `1 + stretch`."""
    shift: float = 0.12
    """Images are moved by up to this share of their side, along each axis."""

    def __post_init__(self) -> None:
        if not 0 <= self.degrees <= 180:
            raise ValueError(f"`0 <= degrees <= 180` must hold for a warp, but got {self.degrees}.")
        for name in ("zoom", "stretch", "shift"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"`0 <= {name} <= 1` must hold for a warp, but got {getattr(self, name)}.")


@dataclass(frozen=True, kw_only=True, slots=True)
class Jitter:
    """Random changes of light and colour of each image; a factor of 0.3 is one between 1 / 1.3 and 1.3."""

    brightness: float = 0.3
    """Factor of all channels alike."""
    contrast: float = 0.3
    """Factor of the distance to the image's mean."""
    saturation: float = 0.3
    """Factor of the distance to grey; 0 for images without colour."""
    tint: float = 0.15
    """Factor of each channel by itself, as another light gives; 0 for images without colour."""

    def __post_init__(self) -> None:
        for name in ("brightness", "contrast", "saturation", "tint"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"`0 <= {name} <= 1` must hold for a jitter, but got {getattr(self, name)}.")


def strength_for(images: int, size: int) -> Strength:
    """The strength that so many training images of a size are best augmented with.

    Few photos are soon known by heart. Tiny images have no pixels to spare, and many images show enough by themselves.
    """
    return "strong" if images < FEW_IMAGES and size >= LEAST_SIZE else "light"


def augmentation_of(strength: Strength, *, size: int, flip: bool, grey: bool, light_share: int = 16) -> Augmentation:
    """The augmentation of a strength for images of a size.

    Args:
        strength: `light` is a random crop of the padded image; `strong` moves, turns, resizes, and changes the light.
        size: height and width of the images, in pixels.
        flip: whether images are mirrored.
        grey: whether they have no colour, which is then not changed.
        light_share: the padding of `light` is this part of the size.
    """
    if strength == "light":
        return Augmentation(crop_padding=size // light_share, flip=flip)
    jitter = Jitter(saturation=0.0, tint=0.0) if grey else Jitter()
    return Augmentation(crop_padding=0, flip=flip, warp=Warp(), jitter=jitter)


Changes = tuple[npt.NDArray[Any], ...]
"""What chance decides of each image of a batch: arrays with an entry for each."""


def drawn_changes(augmentation: Augmentation, shape: tuple[int, int], rng: np.random.Generator) -> Changes:
    """What chance decides of a batch.

    Args:
        augmentation: what is to be done.
        shape: images of the batch, and their channels.
        rng: chance.
    """
    batch, _ = shape
    if augmentation.warp is not None:
        changes: Changes = (_affine_maps(batch, augmentation.warp, rng, flip=augmentation.flip),)
    else:
        corner_B2 = np.ascontiguousarray(rng.integers(0, 2 * augmentation.crop_padding + 1, size=(2, batch)).T)
        changes = (corner_B2, rng.random(batch) < 0.5) if augmentation.flip else (corner_B2,)
    return changes if augmentation.jitter is None else (*changes, *_colour_maps(shape, augmentation.jitter, rng))


def augmented(pixels_BCHW: Tensor, augmentation: Augmentation, changes: Sequence[Tensor]) -> Tensor:
    """Augmented images: bytes where only places of pixels change, else floats in [0, 255].

    Args:
        pixels_BCHW: images as bytes.
        augmentation: what is done.
        changes: from `drawn_changes`, on the device of the images.
    """
    if augmentation.warp is not None:
        pixels_BCHW = _warped(pixels_BCHW, changes[0])
    else:
        mirrored_B = changes[1] if augmentation.flip else None
        pixels_BCHW = _cropped(pixels_BCHW, augmentation.crop_padding, changes[0], mirrored_B)
    if augmentation.jitter is not None:
        pixels_BCHW = _jittered(pixels_BCHW.float(), *changes[-2:])
    return pixels_BCHW


def _cropped(pixels_BCHW: Tensor, padding: int, corner_B2: Tensor, mirrored_B: Tensor | None) -> Tensor:
    """Random crops and mirrors of a whole batch at once, by index arithmetic."""
    batch, _, height, width = pixels_BCHW.shape
    device = pixels_BCHW.device
    padded = F.pad(pixels_BCHW, (padding,) * 4)
    rows_BH = corner_B2[:, :1] + torch.arange(height, device=device)
    columns_BW = corner_B2[:, 1:] + torch.arange(width, device=device)
    if mirrored_B is not None:
        columns_BW = torch.where(mirrored_B[:, None], columns_BW.flip(1), columns_BW)
    number_B = torch.arange(batch, device=device)
    cropped_BHWC = padded.permute(0, 2, 3, 1)[number_B[:, None, None], rows_BH[:, :, None], columns_BW[:, None, :]]
    return cropped_BHWC.permute(0, 3, 1, 2)


def _warped(pixels_BCHW: Tensor, map_B23: Tensor) -> Tensor:
    """Images under an affine map each, sampled bilinearly."""
    grid_BHW2 = F.affine_grid(map_B23, list(pixels_BCHW.shape), align_corners=False)
    return F.grid_sample(pixels_BCHW.float(), grid_BHW2, padding_mode="reflection", align_corners=False)


def _affine_maps(batch: int, warp: Warp, rng: np.random.Generator, *, flip: bool) -> npt.NDArray[np.float32]:
    """From places in the new image to places in the old one, in halves of a side from the centre, shape (B, 2, 3)."""
    angle_B = np.deg2rad(warp.degrees) * rng.uniform(-1, 1, batch)
    zoom_B, root_stretch_B = _factors(warp.zoom, rng, batch), np.sqrt(_factors(warp.stretch, rng, batch))
    mirror_B = np.where(rng.random(batch) < 0.5, -1.0, 1.0) if flip else np.ones(batch)
    map_B23 = np.empty((batch, 2, 3), np.float32)
    map_B23[:, 0, 0] = mirror_B * np.cos(angle_B) * root_stretch_B / zoom_B
    map_B23[:, 0, 1] = -mirror_B * np.sin(angle_B) * root_stretch_B / zoom_B
    map_B23[:, 1, 0] = np.sin(angle_B) / root_stretch_B / zoom_B
    map_B23[:, 1, 1] = np.cos(angle_B) / root_stretch_B / zoom_B
    map_B23[:, :, 2] = 2 * warp.shift * rng.uniform(-1, 1, (batch, 2))
    return map_B23


def _colour_maps(shape: tuple[int, int], jitter: Jitter, rng: np.random.Generator) -> Changes:
    """Saturation, contrast and the channels' factors as one linear map of each image.

    Returns:
        Of the channels, shape (B, C, C), and of the image's mean, shape (B, C).
    """
    batch, channels = shape
    saturation_B11 = _factors(jitter.saturation, rng, batch)[:, None, None]
    contrast_B1 = _factors(jitter.contrast, rng, batch)[:, None]
    gain_BC = _factors(jitter.brightness, rng, batch)[:, None] * _factors(jitter.tint, rng, (batch, channels))
    grey_CC = np.full((channels, channels), 1 / channels)
    map_BCC = saturation_B11 * np.eye(channels) + (1 - saturation_B11) * grey_CC
    map_BCC = (gain_BC * contrast_B1)[:, :, None] * map_BCC
    return map_BCC.astype(np.float32), (gain_BC * (1 - contrast_B1)).astype(np.float32)


def _jittered(pixels_BCHW: Tensor, linear_BCC: Tensor, share_BC: Tensor) -> Tensor:
    """Images in another light."""
    offset_BC1 = (share_BC * pixels_BCHW.mean((1, 2, 3))[:, None])[:, :, None]
    changed = torch.baddbmm(offset_BC1, linear_BCC, pixels_BCHW.flatten(2))
    return changed.clamp_(0, 255).view(pixels_BCHW.shape)


def _factors(most: float, rng: np.random.Generator, shape: int | tuple[int, int]) -> npt.NDArray[np.float64]:
    """Random factors between `1 / (1 + most)` and `1 + most`, as often above 1 as below."""
    return np.exp(math.log1p(most) * rng.uniform(-1, 1, shape))
