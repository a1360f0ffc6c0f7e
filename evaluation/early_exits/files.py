"""A trained network with early exits as ONNX files: in one file, and as segments that run one after the other.

`branched_outcomes` says what all candidates say of images; `export_segments` makes what is deployed, and checks it.
Array shapes: N images, B batch, C channels, H height, W width, K classes, E exits, X = E + 1 ways through a network.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import numpy.typing as npt
import onnxruntime
import torch

from devices.configuration import PRECISIONS, Precision
from devices.quantization import Activations, quantized
from evaluation.accuracy import EVALUATION_BATCH
from evaluation.batches import ImageBatches
from evaluation.data.images import LabelledImages
from evaluation.early_exits.outcomes import ExitOutcomes, outcomes_of
from evaluation.export import (
    CALIBRATION_IMAGES,
    COMPARED_IMAGES,
    LOGITS_TOLERANCE,
    in_batches,
    prepared_images,
    session_of,
)
from evaluation.splits import Splits
from search_space.counts import count
from search_space.exits import Exit
from search_space.folding import Array
from search_space.networks import Network
from search_space.onnx_files import INPUT_NAME, to_onnx
from search_space.segments import (
    LOGITS_NAME,
    MAPS_NAME,
    PREVIOUS_NAME,
    branched_graph,
    segments_of,
)
from search_space.spaces import FBNetSpace

SEGMENTS_TOLERANCE = 1e-5
"""Difference of a logit between segments and the one file at most, relative to the largest magnitude of its logits; in
int8 where operators are not fused."""
COMPARED_IN_INT8 = 64
"""Selection images whose logits are compared between int8 segments and the one file: unfused, they take long."""

Floats = npt.NDArray[np.float32]
Scores = Callable[[Floats], Floats]
"""Scores of all exits, shape (X, B, K), for images of shape (B, C, H, W)."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class ExportedSegments:
    """The files of a network that is cut at its exits, with the results of their checks."""

    precision: Precision
    """Number format that they compute in."""
    exits: tuple[Exit, ...]
    """E of them, in order."""
    models: tuple[bytes, ...]
    """A serialised ONNX model a segment, X of them. The first takes `images`, each later one `previous_maps`; each but
    the last gives `maps`, which are those, and each gives the `logits` of its exit. The batch size is free."""
    logits_difference: float
    """Largest absolute difference between their logits and PyTorch's over the first 256 selection images."""
    one_file_difference: float
    """The same between their logits and those of the one file in this precision, relative to the largest of these. In
    int8 it is 0 or a few steps of the grid: fused kernels round what lies midway between two steps differently."""
    outcomes: ExitOutcomes
    """Of these very files on the selection split, by ONNX Runtime on this machine."""
    params: tuple[int, ...]
    """Parameters of each segment, that of its head included. Shape (X,)."""


def branched_file(
    space: FBNetSpace, operators: tuple[str, ...], exits: Sequence[Exit], weights: Mapping[str, Array]
) -> bytes:
    """A network and the heads of exits in one ONNX file.

    Args:
        space: of the network.
        operators: the network, one a layer.
        exits: several may be at one layer.
        weights: arrays of network and heads, named as in the PyTorch network's `state_dict()`.

    Returns:
        A model with the input of `to_onnx`, and with outputs `logits_0` to `logits_E`, the last of them the network's.

    Raises:
        ValueError: if an array is missing or has the wrong shape.
    """
    branched = branched_graph(space, operators, exits)
    outputs = [(f"logits_{place}", node) for place, node in enumerate(branched.logits)]
    return to_onnx(branched.graph, weights, outputs=outputs)


def branched_outcomes(
    space: FBNetSpace,
    operators: tuple[str, ...],
    exits: Sequence[Exit],
    weights: Mapping[str, Array],
    splits: Splits,
    *,
    precision: Precision,
    images: LabelledImages,
    threads: int = 1,
    activations: Activations = "int8",
) -> ExitOutcomes:
    """What exits, and the network itself, say of images, by ONNX Runtime on this machine.

    Args:
        space: of the network.
        operators: the network, one a layer.
        exits: candidates; several may be at one layer.
        weights: as for `branched_file`.
        splits: say how images are prepared; the first 256 selection images calibrate the int8 file.
        precision: number format that the file computes in.
        images: of a split.
        threads: of ONNX Runtime, at least 1.
        activations: their type in the int8 file; see `devices.quantization.activations_for`.

    Raises:
        ValueError: as `branched_file`.
    """
    model = branched_file(space, operators, exits, weights)
    if precision == "int8":
        model = quantized(model, prepared_images(splits.selection, splits, CALIBRATION_IMAGES), activations=activations)
    session = session_of(model, threads)
    return _outcomes(partial(_one_file_logits, session), exits, images, splits)


def export_segments(
    space: FBNetSpace,
    operators: tuple[str, ...],
    exits: Sequence[Exit],
    weights: Mapping[str, Array],
    splits: Splits,
    *,
    threads: int = 1,
    activations: Activations = "int8",
    precisions: Sequence[Precision] = PRECISIONS,
) -> tuple[ExportedSegments, ...]:
    """The files of a network that is cut at its exits, checked; the selection split is read once for each precision.

    An int8 segment is calibrated with the maps that the fp32 segments before it give of the first 256 selection images,
    as the quantiser calibrates a whole network. So its ranges are those of the whole network in int8, and what a
    segment gives, which lies on its grid, is taken over by the next one as it is. Calibrated with the maps of int8
    segments they are not the network in int8: their ranges are those of other numbers.

    Args:
        space: of the network.
        operators: the network, one a layer.
        exits: that the network has, each at a layer of its own.
        weights: as for `branched_file`.
        splits: the data that the network was trained on.
        threads: of ONNX Runtime, at least 1.
        activations: their type in int8 files; see `devices.quantization.activations_for`.
        precisions: which files are made.

    Raises:
        ValueError: if the network cannot be cut at these exits; if an array is missing or has the wrong shape; if some
            logits are not finite; if those of the fp32 segments differ from PyTorch's by more than a thousandth of the
            largest; or if those of segments differ from the one file's by more than a hundred-thousandth, in int8 with
            operators as they stand.
    """
    in_fp32 = segment_files(space, operators, exits, weights)
    images_NCHW = prepared_images(splits.selection, splits, max(CALIBRATION_IMAGES, COMPARED_IMAGES))
    compared_NCHW = images_NCHW[:COMPARED_IMAGES]
    expected_XNK = _pytorch_logits(space, operators, exits, weights, compared_NCHW)
    if not np.isfinite(expected_XNK).all():
        raise ValueError("exits must give finite logits to be exported, but with these weights some are not.")
    one_file = branched_file(space, operators, exits, weights)
    exported = []
    for precision in precisions:
        models, whole = in_fp32, one_file
        if precision == "int8":
            calibrating_NCHW = images_NCHW[:CALIBRATION_IMAGES]
            models = quantized_segments(in_fp32, calibrating_NCHW, activations)
            whole = quantized(one_file, calibrating_NCHW, activations=activations)
        sessions = [session_of(model, threads) for model in models]
        logits_XNK = _in_parts(partial(_segment_logits, sessions), compared_NCHW)
        if precision == "fp32":
            _check_close(logits_XNK, expected_XNK, LOGITS_TOLERANCE, "fp32 segments", "PyTorch's")
        exported.append(
            ExportedSegments(
                precision=precision,
                exits=tuple(exits),
                models=models,
                logits_difference=float(np.abs(logits_XNK - expected_XNK).max()),
                one_file_difference=_one_file_difference(precision, models, whole, logits_XNK, compared_NCHW, threads),
                outcomes=segment_outcomes(models, exits, splits.selection, splits, threads=threads),
                params=tuple(count(segment.graph).params for segment in segments_of(space, operators, exits)),
            )
        )
    return tuple(exported)


def segment_files(
    space: FBNetSpace, operators: tuple[str, ...], exits: Sequence[Exit], weights: Mapping[str, Array]
) -> tuple[bytes, ...]:
    """The fp32 files of a network that is cut at its exits, unchecked; `export_segments` describes them.

    Args:
        space: of the network.
        operators: the network, one a layer.
        exits: each at a layer of its own.
        weights: as for `branched_file`.

    Raises:
        ValueError: if the network cannot be cut at these exits, or an array is missing or has the wrong shape.
    """
    return tuple(
        to_onnx(segment.graph, weights, outputs=segment.outputs, input_name=PREVIOUS_NAME if number else INPUT_NAME)
        for number, segment in enumerate(segments_of(space, operators, exits))
    )


def quantized_segments(in_fp32: Sequence[bytes], images_NCHW: Floats, activations: Activations) -> tuple[bytes, ...]:
    """The int8 files of segments, each calibrated with the maps of the fp32 segments before it.

    Args:
        in_fp32: files of the segments.
        images_NCHW: prepared as the network's input.
        activations: their type; see `devices.quantization.activations_for`.
    """
    models, x_NCHW = [], images_NCHW
    for number, model in enumerate(in_fp32, 1):
        models.append(quantized(model, x_NCHW, activations=activations))
        if number < len(in_fp32):
            # As the quantiser runs them: other batches, or fused operators, are summed in another order.
            session = session_of(model, 1, optimised=False)
            x_NCHW = np.concatenate([_run(session, [MAPS_NAME], image[None])[0] for image in x_NCHW])
    return tuple(models)


def segment_outcomes(
    models: Sequence[bytes], exits: Sequence[Exit], images: LabelledImages, splits: Splits, *, threads: int = 1
) -> ExitOutcomes:
    """What the exits of segments, and the last segment, say of images, each of which passes all.

    Args:
        models: as `ExportedSegments` has them.
        exits: of these, one fewer.
        images: of a split.
        splits: say how images are prepared.
        threads: of ONNX Runtime, at least 1.
    """
    sessions = [session_of(model, threads) for model in models]
    return _outcomes(partial(_segment_logits, sessions), exits, images, splits)


def _segment_logits(sessions: Sequence[onnxruntime.InferenceSession], x_BCHW: Floats) -> Floats:
    logits_XBK = []
    for session in sessions[:-1]:
        x_BCHW, logits_BK = _run(session, [MAPS_NAME, LOGITS_NAME], x_BCHW)
        logits_XBK.append(logits_BK)
    return np.stack([*logits_XBK, _run(sessions[-1], [LOGITS_NAME], x_BCHW)[0]])


def _one_file_logits(session: onnxruntime.InferenceSession, x_BCHW: Floats) -> Floats:
    return np.stack(_run(session, [value.name for value in session.get_outputs()], x_BCHW))


def _run(session: onnxruntime.InferenceSession, outputs: list[str], x_BCHW: Floats) -> list[Floats]:
    results: list[Floats] = session.run(outputs, {session.get_inputs()[0].name: x_BCHW})
    return results


def _pytorch_logits(
    space: FBNetSpace,
    operators: tuple[str, ...],
    exits: Sequence[Exit],
    weights: Mapping[str, Array],
    images_NCHW: Floats,
) -> Floats:
    branched = branched_graph(space, operators, exits)
    network = Network(branched.graph).eval()
    network.load_state_dict({name: torch.from_numpy(np.array(value)) for name, value in weights.items()}, strict=False)

    def scores(x_BCHW: Floats) -> Floats:
        with torch.no_grad():
            return torch.stack(network.outputs(torch.from_numpy(x_BCHW), branched.logits)).numpy()

    return _in_parts(scores, images_NCHW)


def _in_parts(scores: Scores, images_NCHW: Floats) -> Floats:
    return np.concatenate([scores(x_BCHW) for x_BCHW in in_batches(images_NCHW)], axis=1)


def _outcomes(scores: Scores, exits: Sequence[Exit], images: LabelledImages, splits: Splits) -> ExitOutcomes:
    batches = ImageBatches(images, splits).in_order(EVALUATION_BATCH)
    logits_XNK = np.concatenate([scores(x_BCHW.contiguous().numpy()) for x_BCHW, _ in batches], axis=1)
    return outcomes_of(exits, logits_XNK, images.labels_N)


def _one_file_difference(
    precision: Precision, models: Sequence[bytes], whole: bytes, logits_XNK: Floats, images_NCHW: Floats, threads: int
) -> float:
    """Difference of the segments' logits from the one file's, as `ExportedSegments` has it, once that is checked."""
    whole_XNK = _in_parts(partial(_one_file_logits, session_of(whole, threads)), images_NCHW)
    if precision == "fp32":
        _check_close(logits_XNK, whole_XNK, SEGMENTS_TOLERANCE, "fp32 segments", "those of the one file")
    else:
        plain = [session_of(model, threads, optimised=False) for model in (*models, whole)]
        few_NCHW = images_NCHW[:COMPARED_IN_INT8]
        segment_XNK, file_XNK = (
            _in_parts(scores, few_NCHW)
            for scores in (partial(_segment_logits, plain[:-1]), partial(_one_file_logits, plain[-1]))
        )
        _check_close(segment_XNK, file_XNK, SEGMENTS_TOLERANCE, "int8 segments", "those of the one file")
    return float(np.abs(logits_XNK - whole_XNK).max() / max(np.abs(whole_XNK).max(), np.finfo(np.float32).tiny))


def _check_close(logits_XNK: Floats, expected_XNK: Floats, tolerance: float, what: str, of_what: str) -> None:
    difference, scale = float(np.abs(logits_XNK - expected_XNK).max()), float(np.abs(expected_XNK).max())
    if not difference <= tolerance * scale:
        raise ValueError(
            f"logits of {what} must equal {of_what} within {tolerance:g} of the largest, {scale:.3g}, but differ by "
            f"{difference:.3g}: ONNX Runtime {onnxruntime.__version__} computes it differently."
        )
