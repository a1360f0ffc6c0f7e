from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime
import pytest
import torch

from devices.quantization import is_quantized, quantized
from evaluation.batches import ImageBatches
from evaluation.data.images import LabelledImages
from evaluation.early_exits import files as files_module
from evaluation.early_exits.files import (
    ExportedSegments,
    branched_file,
    branched_outcomes,
    export_segments,
    segment_outcomes,
)
from evaluation.early_exits.outcomes import ExitOutcomes
from evaluation.export import export
from evaluation.splits import Splits, split_data
from search_space.counts import count
from search_space.exits import Exit, head_graph
from search_space.networks import Network
from search_space.onnx_files import random_weights, to_onnx
from search_space.segments import branched_graph
from search_space.spaces import FBNetSpace
from tests.evaluation.conftest import ImageDataOf

OPERATORS = ("k3_e6", "k5_e3", "k3_e1_g2")
EXITS = (Exit(0, "linear"), Exit(1, "conv"))
CANDIDATES = (Exit(0, "linear"), Exit(0, "conv"), Exit(1, "linear"), Exit(1, "conv"))
Weights = dict[str, npt.NDArray[np.float32]]


@pytest.fixture(scope="module")
def splits(image_data: ImageDataOf) -> Splits:
    return split_data(image_data(400, size=8), seed=0)


@pytest.fixture(scope="module")
def weights(space: FBNetSpace) -> Weights:
    """Of the network and all candidates, with statistics that no two channels share."""
    rng = np.random.default_rng(0)
    weights = random_weights(branched_graph(space, OPERATORS, CANDIDATES).graph, rng)
    for name, array in weights.items():
        if name.endswith("running_var"):
            weights[name] = rng.uniform(0.5, 2, array.shape).astype(np.float32)
        elif name.endswith(("running_mean", "norm.bias", "classifier.bias")):
            weights[name] = rng.normal(0, 0.3, array.shape).astype(np.float32)
    return weights


@pytest.fixture(scope="module")
def exported(space: FBNetSpace, weights: Weights, splits: Splits) -> tuple[ExportedSegments, ...]:
    return export_segments(space, OPERATORS, EXITS, weights, splits)


def pytorch_logits(
    space: FBNetSpace, exits: tuple[Exit, ...], weights: Weights, images: LabelledImages, splits: Splits
) -> npt.NDArray[np.float32]:
    """Of each exit and the network, shape (X, N, K), one graph an exit."""
    ((x_BCHW, _),) = ImageBatches(images, splits).in_order(len(images))
    logits = []
    for chosen in (*((one,) for one in exits), ()):
        branched = branched_graph(space, OPERATORS, chosen)
        network = Network(branched.graph).eval()
        network.load_state_dict({name: torch.from_numpy(value) for name, value in weights.items()}, strict=False)
        with torch.no_grad():
            logits.append(network.outputs(x_BCHW, branched.logits[:1])[0].numpy())
    return np.stack(logits)


def softmax(logits_XNK: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
    shares = np.exp(logits_XNK.astype(np.float64))
    return np.asarray(shares / shares.sum(-1, keepdims=True), np.float64)


def assert_same(outcomes: ExitOutcomes, other: ExitOutcomes) -> None:
    assert outcomes.exits == other.exits
    np.testing.assert_allclose(outcomes.confidence_XN, other.confidence_XN, atol=1e-5)
    np.testing.assert_allclose(outcomes.cross_entropy_XN, other.cross_entropy_XN, atol=1e-4)
    assert (outcomes.correct_XN == other.correct_XN).mean() > 0.99


def test_one_file_says_what_each_candidate_and_the_network_say(
    space: FBNetSpace, weights: Weights, splits: Splits
) -> None:
    session = onnxruntime.InferenceSession(branched_file(space, OPERATORS, CANDIDATES, weights))
    assert [value.name for value in session.get_outputs()] == [f"logits_{place}" for place in range(5)]
    ((x_BCHW, _),) = ImageBatches(splits.theta, splits).in_order(len(splits.theta))
    got_XNK = np.stack(session.run(None, {"images": x_BCHW.contiguous().numpy()}))
    np.testing.assert_allclose(
        got_XNK, pytorch_logits(space, CANDIDATES, weights, splits.theta, splits), rtol=1e-4, atol=1e-5
    )


def test_outcomes_are_those_of_the_logits(space: FBNetSpace, weights: Weights, splits: Splits) -> None:
    got = branched_outcomes(space, OPERATORS, CANDIDATES, weights, splits, precision="fp32", images=splits.theta)
    shares_XNK = softmax(pytorch_logits(space, CANDIDATES, weights, splits.theta, splits))
    assert got.exits == CANDIDATES
    np.testing.assert_allclose(got.confidence_XN, shares_XNK.max(-1), rtol=1e-4)
    np.testing.assert_array_equal(got.correct_XN, shares_XNK.argmax(-1) == splits.theta.labels_N)
    own_XN = shares_XNK[:, np.arange(len(splits.theta)), splits.theta.labels_N]
    np.testing.assert_allclose(got.cross_entropy_XN, -np.log(own_XN), rtol=1e-3, atol=1e-5)


def test_int8_candidates_leave_the_network_as_it_is_in_int8(
    space: FBNetSpace, weights: Weights, splits: Splits
) -> None:
    outcomes = branched_outcomes(
        space, OPERATORS, CANDIDATES, weights, splits, precision="int8", images=splits.selection
    )
    static = export(space.graph(OPERATORS), weights, splits)[1]
    assert outcomes.static_error == pytest.approx(static.error, abs=0.02)
    fp32 = branched_outcomes(space, OPERATORS, CANDIDATES, weights, splits, precision="fp32", images=splits.selection)
    assert not np.array_equal(outcomes.confidence_XN, fp32.confidence_XN)


def test_segments_are_the_network_in_both_precisions(
    exported: tuple[ExportedSegments, ...], space: FBNetSpace, weights: Weights, splits: Splits
) -> None:
    expected_XNK = pytorch_logits(space, EXITS, weights, splits.selection, splits)
    for one in exported:
        assert one.exits == EXITS
        assert [is_quantized(model) for model in one.models] == [one.precision == "int8"] * 3
        assert one.one_file_difference <= (1e-5 if one.precision == "fp32" else 0.05)
        whole = branched_outcomes(
            space, OPERATORS, EXITS, weights, splits, precision=one.precision, images=splits.selection
        )
        assert_same(one.outcomes, whole)
        assert_same(segment_outcomes(one.models, EXITS, splits.selection, splits), one.outcomes)
    fp32, int8 = exported
    assert fp32.logits_difference < 1e-5 * np.abs(expected_XNK).max() < int8.logits_difference
    np.testing.assert_allclose(fp32.outcomes.confidence_XN, softmax(expected_XNK).max(-1), rtol=1e-4)


def test_segments_have_the_inputs_and_outputs_that_are_handed_over(exported: tuple[ExportedSegments, ...]) -> None:
    for one in exported:
        sessions = [onnxruntime.InferenceSession(model) for model in one.models]
        assert [value.name for session in sessions for value in session.get_inputs()] == [
            "images",
            "previous_maps",
            "previous_maps",
        ]
        assert [[value.name for value in session.get_outputs()] for session in sessions] == [
            ["maps", "logits"],
            ["maps", "logits"],
            ["logits"],
        ]


def test_parameters_of_segments_are_those_of_network_and_heads(
    exported: tuple[ExportedSegments, ...], space: FBNetSpace
) -> None:
    heads = sum(count(head_graph(space, one)).params for one in EXITS)
    for one in exported:
        assert sum(one.params) == count(space.graph(OPERATORS)).params + heads


def test_a_network_without_exits_is_one_segment(space: FBNetSpace, weights: Weights, splits: Splits) -> None:
    (fp32,) = export_segments(space, OPERATORS, (), weights, splits, precisions=["fp32"])
    (static,) = (one for one in export(space.graph(OPERATORS), weights, splits) if one.precision == "fp32")
    assert fp32.outcomes.static_error == static.error
    assert fp32.models == (to_onnx(space.graph(OPERATORS), weights),)


def test_int8_outcomes_depend_on_the_images_that_calibrate(
    space: FBNetSpace, weights: Weights, splits: Splits, monkeypatch: pytest.MonkeyPatch
) -> None:
    (of_all,) = export_segments(space, OPERATORS, EXITS, weights, splits, precisions=["int8"])
    monkeypatch.setattr(files_module, "CALIBRATION_IMAGES", 1)
    (of_one,) = export_segments(space, OPERATORS, EXITS, weights, splits, precisions=["int8"])
    assert of_one.models[1] != of_all.models[1]
    assert not np.array_equal(of_one.outcomes.confidence_XN, of_all.outcomes.confidence_XN)


def test_segments_that_are_not_the_network_are_refused(
    space: FBNetSpace, weights: Weights, splits: Splits, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = dict(weights)
    name = next(name for name in weights if name.startswith("exit01_conv") and name.endswith("classifier.bias"))
    other[name] = weights[name] + np.array([0, 0, 0.5], np.float32)
    monkeypatch.setattr(files_module, "to_onnx", lambda graph, weights, **options: to_onnx(graph, other, **options))
    with pytest.raises(ValueError, match=r"fp32 segments must equal PyTorch's within 0\.001 .* but differ by 0\.5"):
        export_segments(space, OPERATORS, EXITS, weights, splits)


def test_int8_segments_that_have_other_ranges_are_refused(
    space: FBNetSpace, weights: Weights, splits: Splits, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As those would have that are calibrated with anything but the maps of the fp32 segments."""

    def wider(model: bytes, calibration: npt.NDArray[np.float32], **options: Any) -> bytes:
        return quantized(model, calibration * np.float32(1.05), **options)

    whole = branched_file(space, OPERATORS, EXITS, weights)
    monkeypatch.setattr(
        files_module,
        "quantized",
        lambda model, *images, **options: (quantized if model == whole else wider)(model, *images, **options),
    )
    with pytest.raises(ValueError, match=r"int8 segments must equal those of the one file within 1e-05"):
        export_segments(space, OPERATORS, EXITS, weights, splits, precisions=["int8"])


def test_segments_that_are_not_the_one_file_are_refused(
    space: FBNetSpace, weights: Weights, splits: Splits, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = {**weights, "classifier.bias": weights["classifier.bias"] + np.array([0, 0, 0.5], np.float32)}
    monkeypatch.setattr(files_module, "branched_file", lambda *network, made=branched_file: made(*network[:-1], other))
    with pytest.raises(ValueError, match=r"fp32 segments must equal those of the one file within 1e-05"):
        export_segments(space, OPERATORS, EXITS, weights, splits)


def test_logits_that_are_not_finite_are_refused(space: FBNetSpace, weights: Weights, splits: Splits) -> None:
    name = next(name for name in weights if name.startswith("exit00_linear") and name.endswith("classifier.bias"))
    with pytest.raises(ValueError, match="exits must give finite logits"):
        export_segments(space, OPERATORS, EXITS, {**weights, name: weights[name] * np.nan}, splits)


def test_weights_of_a_head_that_are_absent_are_named(space: FBNetSpace, weights: Weights, splits: Splits) -> None:
    name = next(name for name in weights if name.startswith("exit01_conv") and name.endswith("classifier.bias"))
    rest = {other: value for other, value in weights.items() if other != name}
    with pytest.raises(ValueError, match=rf"'{name}' .* is missing"):
        export_segments(space, OPERATORS, EXITS, rest, splits)
