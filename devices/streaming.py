"""Images through a network with early exits, on a board, as when it is deployed. Start with `StreamingDevice`.

Array shapes: N images of C channels, height H, width W; E exits.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from devices.configuration import BASE, RuntimeConfiguration
from devices.measurement import Conditions, Source, slowed_down

MOST_IMAGES = 5000
"""Of one stream."""
LONGEST_IMAGE_SECONDS = 0.1
"""Time that a stream gets for each image and pass, besides that of any request."""

Images = npt.NDArray[np.float32]


@dataclass(frozen=True, kw_only=True, slots=True)
class Streamed:
    """What came of a stream, image by image."""

    latencies_ms: tuple[float, ...]
    """Least time of each image in all passes, from the image in memory to its class."""
    ways: tuple[int, ...]
    """The segment after which each image left, from 0; the last is E."""
    classes: tuple[int, ...]
    """With the highest score, where the image left."""
    latency_source: Source
    board: str
    """`Board.label`."""
    configuration: RuntimeConfiguration
    before: Conditions
    after: Conditions

    @property
    def mean_latency_ms(self) -> float:
        """Mean over the images."""
        return float(np.mean(self.latencies_ms))

    @property
    def shares(self) -> tuple[float, ...]:
        """Share of images that left after each segment, as far as any did; in all 1."""
        return tuple((np.bincount(self.ways) / len(self.ways)).tolist())

    @property
    def throttled(self) -> bool:
        """Whether the board slowed down meanwhile; see `devices.measurement.slowed_down`."""
        return slowed_down(self.before, self.after, self.configuration.frequency_mhz)


class StreamingDevice(Protocol):
    """A board that runs segments of a network until one is confident."""

    def stream(
        self,
        segments: Sequence[bytes],
        thresholds: Sequence[float],
        images_NCHW: Images,
        configuration: RuntimeConfiguration = BASE,
        *,
        passes: int = 3,
    ) -> Streamed:
        """Run images through a network one by one, and time each.

        Args:
            segments: ONNX files of the network, one after another: each but the last gives the next one's input first,
                and all give their scores last.
            thresholds: E of them, one less than there are segments, in [0, 1]: an image leaves after the first segment
                whose largest softmax exceeds it.
            images_NCHW: preprocessed like the network's input, at most `MOST_IMAGES`.
            configuration: how they are run; the precision is that of the files.
            passes: over all images; of its times an image keeps the least.

        Raises:
            ValueError: if a number of these does not fit.
            MeasurementError: if the board could not run them.
            BoardRefusedError: if the board cannot run this configuration.
        """


def check_stream(segments: Sequence[bytes], thresholds: Sequence[float], images_NCHW: Images, passes: int) -> None:
    """Check what a stream consists of.

    Raises:
        ValueError: if segments and thresholds do not fit, a threshold is out of range, or there are no images, or too
            many, or they are not float32 of shape (N, C, H, W).
    """
    if len(thresholds) != len(segments) - 1:
        raise ValueError(
            f"a stream must have one threshold less than segments, but got {len(thresholds)} for {len(segments)}."
        )
    for value in thresholds:
        if not 0 <= value <= 1:
            raise ValueError(f"a threshold must be from 0 (always leave) to 1 (never leave), but got {value!r}.")
    if images_NCHW.dtype != np.float32 or images_NCHW.ndim != 4 or not 0 < len(images_NCHW) <= MOST_IMAGES:
        raise ValueError(
            f"images must be float32 of shape (N, C, H, W) with 1 to {MOST_IMAGES} images, but got "
            f"{images_NCHW.dtype} of shape {images_NCHW.shape}: pass fewer, as float32."
        )
    if passes < 1:
        raise ValueError(f"`passes >= 1` must hold, but got {passes}.")


def as_file(images_NCHW: Images) -> bytes:
    """Images as a .npy file."""
    file = io.BytesIO()
    np.save(file, np.ascontiguousarray(images_NCHW), allow_pickle=False)
    return file.getvalue()
