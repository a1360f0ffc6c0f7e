"""A segment under LiteRT. It lies beside run.py where points are under LiteRT, and needs ai-edge-litert and numpy."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]


class LiteRtSegment:
    """A LiteRT file with the arrays that it reads and writes, channels last.

    Args:
        model: the file.
        threads: at least 1.
        images: array that is read at each run.

    Raises:
        ValueError: if its input is of another shape.
    """

    def __init__(self, model: bytes, threads: int, images: Floats) -> None:
        from ai_edge_litert.interpreter import Interpreter

        self._interpreter = Interpreter(model_content=model, num_threads=threads)
        self._interpreter.allocate_tensors()
        (source,), self._found = self._interpreter.get_input_details(), self._interpreter.get_output_details()
        if tuple(source["shape"]) != images.shape:
            raise ValueError(f"its input is of shape {list(source['shape'])} where {list(images.shape)} comes in")
        self._index, self._images = source["index"], images
        self.outputs: dict[str, Floats] = {value["name"]: np.empty(value["shape"], np.float32) for value in self._found}

    def run(self) -> Floats:
        """Scores of its exit; they stand until the next run."""
        self._interpreter.set_tensor(self._index, self._images)
        self._interpreter.invoke()
        for value in self._found:
            self.outputs[value["name"]][:] = self._interpreter.get_tensor(value["index"])
        logits_K: Floats = self.outputs["logits"][0]
        return logits_K
