"""A network as what a board runs: one ONNX file, or several that run one after another."""

from __future__ import annotations

from collections.abc import Sequence

Model = bytes | Sequence[bytes]
"""A serialised ONNX model, or several, such as the segments of a network with early exits: the first output of each is
the only input of the next."""


def files_of(model: Model) -> tuple[bytes, ...]:
    """The files of a model, in the order in which they run.

    Raises:
        ValueError: if there are none.
    """
    files = (model,) if isinstance(model, bytes) else tuple(model)
    if not files:
        raise ValueError("a model must have at least one file, but got none.")
    return files
