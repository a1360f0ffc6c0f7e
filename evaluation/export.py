"""A trained network as ONNX files that are checked before they are deployed. Start with `export`.

Shape suffixes: N images, B batch, C channels, H height, W width, K classes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import onnxruntime
import torch
from torch import nn

from devices.configuration import Precision
from devices.quantization import Activations, quantized
from evaluation.accuracy import EVALUATION_BATCH
from evaluation.batches import ImageBatches
from evaluation.data.images import LabelledImages
from evaluation.splits import Splits
from search_space.folding import Array
from search_space.graphs import Graph
from search_space.networks import Network
from search_space.onnx_files import INPUT_NAME, to_onnx

CALIBRATION_IMAGES = 256
"""Selection images that set the ranges of int8 activations. On CIFAR-10 fewer than 64 cost accuracy, and more than
256 gain none."""
COMPARED_IMAGES = 256
"""Selection images whose logits are compared with PyTorch's."""
LOGITS_TOLERANCE = 1e-3
"""Difference of a logit between the fp32 file and PyTorch at most, relative to the largest magnitude of PyTorch's
logits. Different orders of summation in float32 amount to about 1e-6."""

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True, kw_only=True, slots=True)
class ExportedModel:
    """An ONNX file of a trained network, with the results of its checks."""

    precision: Precision
    """Number format that it computes in."""
    model: bytes
    """The serialised ONNX model, as `to_onnx` describes its input and output; the batch size is free."""
    logits_difference: float
    """Largest absolute difference between its logits and PyTorch's over the first 256 selection images."""
    top1: float
    """Accuracy of this very file on the test split, in [0, 1], by ONNX Runtime on this machine."""
    error: float
    """Error of this very file on the selection split, in [0, 1], by ONNX Runtime on this machine."""


def export(
    graph: Graph,
    weights: Mapping[str, Array],
    splits: Splits,
    *,
    threads: int = 1,
    activations: Activations = "int8",
) -> tuple[ExportedModel, ...]:
    """The fp32 and the int8 file of a network, both checked; the selection and the test split are read once for each.

    The int8 file is calibrated with the first 256 selection images, prepared as the network's input.

    Args:
        graph: the network, which ends in a classifier.
        weights: arrays named as in the PyTorch network's `state_dict()`.
        splits: the data that the network was trained on.
        threads: of ONNX Runtime, at least 1.
        activations: their type in the int8 file; see `devices.quantization.activations_for`.

    Raises:
        ValueError: if an array is missing or has the wrong shape, if the network gives logits that are not finite, or
            if those of the fp32 file differ from PyTorch's by more than a thousandth of the largest.
    """
    network = Network(graph)
    network.load_state_dict({name: torch.from_numpy(np.array(value)) for name, value in weights.items()}, strict=False)
    return checked_files(to_onnx(graph, weights), network, splits, threads=threads, activations=activations)


def checked_files(
    model: bytes, network: nn.Module, splits: Splits, *, threads: int = 1, activations: Activations = "int8"
) -> tuple[ExportedModel, ...]:
    """The fp32 file of any PyTorch network, and its int8 file, checked as by `export`.

    Args:
        model: the fp32 file, with the input and output of `to_onnx`.
        network: that it was made of, on the CPU; is set to evaluation mode.
        splits: as for `export`, and so are the others.
        threads: of ONNX Runtime, at least 1.
        activations: their type in the int8 file.

    Raises:
        ValueError: as `export`, but for missing arrays.
    """
    images_NCHW = prepared_images(splits.selection, splits, max(CALIBRATION_IMAGES, COMPARED_IMAGES))
    compared_NCHW = images_NCHW[:COMPARED_IMAGES]
    expected_NK = _pytorch_logits(network, compared_NCHW)
    if not np.isfinite(expected_NK).all():
        raise ValueError("a network must give finite logits to be exported, but with these weights some are not.")
    in_int8 = quantized(model, images_NCHW[:CALIBRATION_IMAGES], activations=activations)
    models: dict[Precision, bytes] = {"fp32": model, "int8": in_int8}
    exported = []
    for precision, content in models.items():
        session = session_of(content, threads)
        difference = float(np.abs(_logits(session, compared_NCHW) - expected_NK).max())
        scale = float(np.abs(expected_NK).max())
        if precision == "fp32" and not difference <= LOGITS_TOLERANCE * scale:
            raise ValueError(
                f"logits of an fp32 file must equal PyTorch's within {LOGITS_TOLERANCE} of the largest, {scale:.3g}, "
                f"but differ by {difference:.3g}: ONNX Runtime {onnxruntime.__version__} computes it differently."
            )
        top1, accuracy = (_accuracy(session, images, splits) for images in (splits.test, splits.selection))
        exported.append(
            ExportedModel(
                precision=precision, model=content, logits_difference=difference, top1=top1, error=1 - accuracy
            )
        )
    return tuple(exported)


def quantized_file(
    graph: Graph, weights: Mapping[str, Array], splits: Splits, *, activations: Activations = "int8"
) -> bytes:
    """The int8 file of a network, calibrated with the first 256 selection images, as `export` makes it.

    Args:
        graph: the network, which ends in a classifier.
        weights: arrays named as in the PyTorch network's `state_dict()`.
        splits: the data that the network was trained on.
        activations: their type in the int8 file; see `devices.quantization.activations_for`.

    Raises:
        ValueError: if an array is missing or has the wrong shape.
    """
    images_NCHW = prepared_images(splits.selection, splits, CALIBRATION_IMAGES)
    return quantized(to_onnx(graph, weights), images_NCHW, activations=activations)


def file_error(model: bytes, images: LabelledImages, splits: Splits, *, threads: int = 1) -> float:
    """Error of an ONNX file, in [0, 1], by ONNX Runtime on this machine.

    Args:
        model: the serialised ONNX model.
        images: of a split.
        splits: says how images are prepared.
        threads: of ONNX Runtime, at least 1.
    """
    return 1 - _accuracy(session_of(model, threads), images, splits)


def prepared_images(images: LabelledImages, splits: Splits, limit: int) -> Floats:
    """The first images as a network's input, in the layout that ONNX Runtime takes."""
    batches = ImageBatches(images, splits).in_order(limit, limit)
    return np.concatenate([x_BCHW.contiguous().numpy() for x_BCHW, _ in batches])


def _pytorch_logits(network: nn.Module, images_NCHW: Floats) -> Floats:
    network.eval()
    with torch.no_grad():
        return np.concatenate([network(torch.from_numpy(x_BCHW)).numpy() for x_BCHW in in_batches(images_NCHW)])


def session_of(model: bytes, threads: int, *, optimised: bool = True) -> onnxruntime.InferenceSession:
    """A serialised ONNX model, ready to run on the CPU.

    Args:
        model: the serialised ONNX model.
        threads: at least 1.
        optimised: whether operators are fused and reordered, else they run as the quantiser runs them to see ranges.
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    if not optimised:
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def _logits(session: onnxruntime.InferenceSession, images_NCHW: Floats) -> Floats:
    # Files that are handed over take one image at a time.
    takes_one = session.get_inputs()[0].shape[0] == 1
    batches = (image_CHW[None] for image_CHW in images_NCHW) if takes_one else in_batches(images_NCHW)
    return np.concatenate([session.run(None, {INPUT_NAME: x_BCHW})[0] for x_BCHW in batches])


def in_batches(images_NCHW: Floats) -> Iterator[Floats]:
    """Images, or maps, in batches of a size that machines have memory for."""
    for start in range(0, len(images_NCHW), EVALUATION_BATCH):
        yield images_NCHW[start : start + EVALUATION_BATCH]


def _accuracy(session: onnxruntime.InferenceSession, images: LabelledImages, splits: Splits) -> float:
    """Share of images whose label has the highest score, as the splits count them."""
    batches = ImageBatches(images, splits)
    hits = [
        _logits(session, x_BCHW.contiguous().numpy()).argmax(1) == labels_B.numpy()
        for x_BCHW, labels_B in batches.in_order(EVALUATION_BATCH)
    ]
    return batches.share_of(np.concatenate(hits))
