"""Programs that compute an ONNX file wrongly, by what a network has. Start with `wrong_clients`.

Versions are those that were tried; docs/exported_files.md says which programs agree with ONNX Runtime.
"""

from __future__ import annotations

from search_space.graphs import Conv, Graph, Select, Shuffle


def wrong_clients(graph: Graph) -> tuple[str, ...]:
    """A sentence in Markdown for each program that computes the float32 file of a network wrongly."""
    checks = ((breaks_opencv_5, _OPENCV_5), (breaks_onnx2tf, _ONNX2TF), (breaks_pnnx, _PNNX))
    return tuple(sentence for breaks, sentence in checks if breaks(graph))


def breaks_opencv_5(graph: Graph) -> bool:
    """Whether the default engine of OpenCV 5.0.0 writes past its memory on such a network's file, as seen on x86.

    It does at convolutions of two groups with 60, 76, 92 or 108 channels each, not with 12, 28, 44, nor with 40 to 116
    that leave another remainder of 16; 4.14.0 and the same version's `ENGINE_CLASSIC` do not.
    """
    return any(
        isinstance(node.operation, Conv)
        and 1 < node.operation.groups < node.operation.in_channels
        and node.operation.in_channels // node.operation.groups > 44
        and node.operation.in_channels // node.operation.groups % 16 == 12
        for node in graph.nodes
    )


def breaks_onnx2tf(graph: Graph) -> bool:
    """Whether onnx2tf 1.29.24 turns the sides of a shuffled map as if it were another: where all three are equal."""
    return any(isinstance(node.operation, Shuffle) and len({*node.shape}) == 1 for node in graph.nodes)


def breaks_pnnx(graph: Graph) -> bool:
    """Whether pnnx 20261020 takes other channels than the file says: where some are chosen."""
    return any(isinstance(node.operation, Select) for node in graph.nodes)


_OPENCV_5 = (
    "**Not with the default engine of OpenCV 5.0**: it writes past its memory at convolutions that this network has, "
    "and gives wrong scores without a word, or dies. `cv2.dnn.readNetFromONNX(file, cv2.dnn.ENGINE_CLASSIC)` and "
    "OpenCV 4.14 agree with ONNX Runtime."
)
_ONNX2TF = (
    "**Not with onnx2tf 1.29**: it takes the sides of a shuffled map that are as many as its channels for one another, "
    "and gives wrong scores without a word. `python scripts/export_litert.py` writes `model.tflite` itself."
)
_PNNX = "**Not with pnnx 20261020**, ncnn's converter: it takes other channels, and gives wrong scores without a word."
