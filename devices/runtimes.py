"""Models as the runtime of a configuration takes them. Models are ONNX everywhere else."""

from __future__ import annotations

from collections.abc import Sequence

from devices.configuration import RuntimeConfiguration
from devices.streaming import Images
from search_space.litert.conversion import litert_file

LITERT_MARK = b"TFL3"
"""In a LiteRT file, from byte 4 on."""


def files_for(files: Sequence[bytes], configuration: RuntimeConfiguration) -> tuple[bytes, ...]:
    """Files of a model for a runtime: as they are, or in LiteRT's format.

    Args:
        files: serialised ONNX models, in float32 or in int8.
        configuration: gives the runtime.

    Raises:
        ValueError: if one is a LiteRT file already, or the runtime cannot take one of them, or what writes its format
            is not installed.
    """
    if any(file[4:8] == LITERT_MARK for file in files):
        raise ValueError("models must be ONNX files, of which those for LiteRT are made, but this is a LiteRT file.")
    if configuration.runtime == "ort":
        return tuple(files)
    return tuple(litert_file(file) for file in files)


def images_for(images_NCHW: Images, configuration: RuntimeConfiguration) -> Images:
    """Images in the layout of a runtime."""
    return images_NCHW if configuration.runtime == "ort" else images_NCHW.transpose(0, 2, 3, 1)
