"""Draws photos of seven kinds of fasteners, one folder a class: a small data set that anyone can make.

    python benchmarks/first_hour/photos.py photos --images 300

Each photo has one part somewhere, not in the middle, of any size, angle and metal, on a ground with a texture of its
own. Kinds differ in their form alone. Start with `write_photos`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import tyro
from PIL import Image, ImageDraw, ImageFilter

from scripts.interface.command_line import parse, run

SIZE = (640, 480)
QUALITY = 88
_CANVAS = 400
"""Side of the square that a part is drawn in, before it is turned and resized."""

Colour = tuple[int, int, int]
Draw = Callable[[ImageDraw.ImageDraw, Colour, Colour], None]


@dataclass(frozen=True, kw_only=True, slots=True)
class PhotosConfig:
    """Draw photos of seven kinds of fasteners, one folder a class."""

    out: Annotated[str, tyro.conf.Positional]
    """Folder to make."""
    images: int = 300
    """Photos in all; kinds get equal shares."""
    seed: int = 0
    """Of everything random."""

    def __post_init__(self) -> None:
        if self.images < len(KINDS):
            raise ValueError(f"`--images >= {len(KINDS)}` must hold, one a kind, but got {self.images}.")
        if self.seed < 0:
            raise ValueError(f"`--seed >= 0` must hold, but got {self.seed}.")


def write_photos(folder: Path, images: int, *, seed: int = 0) -> None:
    """Write photos as `folder/<kind>/<number>.jpg`.

    Args:
        folder: is made; must not hold anything yet.
        images: photos in all.
        seed: of everything random; each photo depends on it and on its number alone.

    Raises:
        ValueError: if the folder holds something.
    """
    if folder.exists() and any(folder.iterdir()):
        raise ValueError(f"photos must go into an empty folder, but {str(folder)!r} holds files; name another one.")
    kinds = list(KINDS)
    for number in range(images):
        kind = kinds[number % len(kinds)]
        path = folder / kind / f"{number:05d}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        photo(kind, np.random.default_rng([seed, number])).save(path, quality=QUALITY)


def photo(kind: str, rng: np.random.Generator) -> Image.Image:
    """One photo of a kind of `KINDS`, RGB, of `SIZE`."""
    ground = _ground(rng)
    part, length = _part(kind, rng), int(rng.uniform(220, 380))
    part = part.resize((length, length), Image.Resampling.LANCZOS)
    angle = rng.uniform(0, 2 * math.pi)
    away = rng.uniform(0.35, 1.0)
    x = SIZE[0] / 2 + away * math.cos(angle) * (SIZE[0] - length) / 2 - length / 2
    y = SIZE[1] / 2 + away * math.sin(angle) * (SIZE[1] - length) / 2 - length / 2
    place = (int(x), int(y))
    shadow = Image.new("RGBA", part.size, (0, 0, 0, 0))
    shadow.putalpha(part.getchannel("A").point([level // 2 for level in range(256)]))
    shadow = shadow.filter(ImageFilter.GaussianBlur(5))
    ground.paste(shadow, (place[0] + 6, place[1] + 8), shadow)
    ground.paste(part, place, part)
    blurred = ground.filter(ImageFilter.GaussianBlur(float(rng.uniform(0, 1.5))))
    pixels = np.asarray(blurred, np.float32) * rng.uniform(0.65, 1.25) + rng.normal(0, 6, (SIZE[1], SIZE[0], 3))
    return Image.fromarray(np.uint8(np.clip(pixels, 0, 255)))


def _ground(rng: np.random.Generator) -> Image.Image:
    """A table top: one colour, with a coarse and a fine texture."""
    colour = rng.uniform(70, 200) + rng.uniform(-25, 25, 3)
    coarse = Image.fromarray(np.uint8(rng.uniform(90, 166, (6, 8)))).resize(SIZE, Image.Resampling.BICUBIC)
    fine = Image.fromarray(np.uint8(rng.uniform(80, 176, (60, 80)))).resize(SIZE, Image.Resampling.BICUBIC)
    texture = 0.8 * (np.asarray(coarse, np.float32) - 128) + 0.3 * (np.asarray(fine, np.float32) - 128)
    return Image.fromarray(np.uint8(np.clip(colour + texture[..., None], 0, 255)))


def _part(kind: str, rng: np.random.Generator) -> Image.Image:
    """A part on nothing, turned, in a square that it fits into."""
    image = Image.new("RGBA", (_CANVAS, _CANVAS), (0, 0, 0, 0))
    level = rng.uniform(90, 225)
    tint = level * np.array([1.0, rng.uniform(0.8, 1.0), rng.uniform(0.55, 1.05)])
    light: Colour = tuple(int(min(255, value)) for value in tint)  # type: ignore[assignment]
    dark: Colour = tuple(int(0.55 * value) for value in light)  # type: ignore[assignment]
    KINDS[kind](ImageDraw.Draw(image), light, dark)
    return image.rotate(rng.uniform(0, 360), Image.Resampling.BICUBIC)


def _shank(draw: ImageDraw.ImageDraw, light: Colour, dark: Colour, *, top: int, width: int, bottom: int) -> None:
    """A threaded shank, from `top` to `bottom` with a point."""
    left, right = 200 - width // 2, 200 + width // 2
    draw.rectangle((left, top, right, bottom), fill=light)
    draw.polygon([(left, bottom), (right, bottom), (200, bottom + width)], fill=light)
    for y in range(top + 14, bottom, 14):
        draw.line((left, y + 7, right, y), fill=dark, width=4)


def _wood_screw(draw: ImageDraw.ImageDraw, light: Colour, dark: Colour) -> None:
    _shank(draw, light, dark, top=110, width=34, bottom=320)
    draw.polygon([(140, 60), (260, 60), (217, 115), (183, 115)], fill=light, outline=dark)


def _round_screw(draw: ImageDraw.ImageDraw, light: Colour, dark: Colour) -> None:
    _shank(draw, light, dark, top=110, width=34, bottom=320)
    draw.pieslice((135, 50, 265, 180), 180, 360, fill=light, outline=dark)


def _bolt(draw: ImageDraw.ImageDraw, light: Colour, dark: Colour) -> None:
    draw.rectangle((135, 60, 265, 115), fill=light, outline=dark, width=3)
    for x in (170, 230):
        draw.line((x, 60, x, 115), fill=dark, width=4)
    draw.rectangle((180, 115, 220, 345), fill=light)
    for y in range(200, 345, 14):
        draw.line((180, y + 5, 220, y), fill=dark, width=4)


def _nail(draw: ImageDraw.ImageDraw, light: Colour, dark: Colour) -> None:
    draw.rectangle((165, 55, 235, 72), fill=light, outline=dark)
    draw.rectangle((192, 72, 208, 325), fill=light)
    draw.polygon([(192, 325), (208, 325), (200, 350)], fill=light)


def _nut(draw: ImageDraw.ImageDraw, light: Colour, dark: Colour) -> None:
    draw.regular_polygon((200, 200, 120), 6, fill=light, outline=dark)
    draw.ellipse((140, 140, 260, 260), fill=(0, 0, 0, 0), outline=dark, width=6)


def _washer(draw: ImageDraw.ImageDraw, light: Colour, dark: Colour) -> None:
    draw.ellipse((85, 85, 315, 315), fill=light, outline=dark, width=3)
    draw.ellipse((140, 140, 260, 260), fill=(0, 0, 0, 0), outline=dark, width=6)


def _hook(draw: ImageDraw.ImageDraw, light: Colour, dark: Colour) -> None:
    draw.arc((130, 50, 270, 190), 150, 450, fill=light, width=24)
    _shank(draw, light, dark, top=178, width=26, bottom=320)


KINDS: dict[str, Draw] = {
    "bolt": _bolt,
    "hook": _hook,
    "nail": _nail,
    "nut": _nut,
    "round screw": _round_screw,
    "washer": _washer,
    "wood screw": _wood_screw,
}
"""What draws each kind, light and dark parts of its metal given."""


def main() -> None:
    """Parse the options, draw, say where."""
    config = parse(PhotosConfig)
    write_photos(Path(config.out).expanduser(), config.images, seed=config.seed)
    print(f"{config.images} photos of {len(KINDS)} kinds in {config.out}")


if __name__ == "__main__":
    run(main)
