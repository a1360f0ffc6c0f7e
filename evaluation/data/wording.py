"""What becomes of pictures, in words: for the console, reports and cards. Importing this is quick."""

from __future__ import annotations

from evaluation.data.rules import KEPT_BY_CROP, Resize

SHRUNK_MUCH = 3.0
"""Times that a picture is shrunk, above which that is worth a warning."""

HOW: dict[Resize, str] = {
    "crop": "central square",
    "pad": "whole picture between grey bars",
    "stretch": "whole picture, stretched",
}
"""What is taken of a picture."""


def resolution(width: int, height: int, resize: Resize, size: int) -> str:
    """What becomes of the median picture of `width` x `height` pixels, as in `640x480 (median) -> ... -> 96x96`."""
    lost = 1 - min(width, height) / max(width, height)
    note = ""
    if lost > 1 - KEPT_BY_CROP:
        note = f" (a central square would lose {lost:.0%}: --resize crop)"
        if resize == "crop":
            note = f" (loses {lost:.0%} of it: --resize stretch or pad keeps all)"
    return f"{width}x{height} (median) -> {HOW[resize]} -> {size}x{size}{note.replace('%', ' %')}"


def shrinking(width: int, height: int, resize: Resize, size: int) -> float:
    """How many times smaller things are than in the median picture, in the direction where that is least."""
    return (max(width, height) if resize == "pad" else min(width, height)) / size


def shrinking_warning(times: float, size: int, detail: int) -> str | None:
    """What is lost where pictures are shrunk much, and what it costs to keep it; None where that is nothing.

    Args:
        times: how many times smaller things are.
        size: height and width that they are shrunk to, in pixels.
        detail: the side that holds what they show, in pixels.
    """
    if times <= SHRUNK_MUCH or detail <= size:
        return None
    return (
        f"{times:.1f} times smaller: what is finer than {size} pixels show is lost. --size {detail} keeps nearly all, "
        f"at about {(detail / size) ** 2:.1f} times the time for training and for each inference"
    )


def depth_text(depth: tuple[float, float]) -> str:
    """How pictures of more than 8 bits a pixel become bytes."""
    return f"more than 8 bits a pixel: level {depth[0]:.6g} is black, level {depth[1]:.6g} is white, in all pictures"
