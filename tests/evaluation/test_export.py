import numpy as np
import numpy.typing as npt
import onnxruntime
import pytest
import torch
from torch import nn

from devices.quantization import is_quantized, quantized
from evaluation import export as export_module
from evaluation.batches import ImageBatches
from evaluation.data.images import LabelledImages
from evaluation.export import ExportedModel, export
from evaluation.splits import Splits, split_data
from evaluation.training.loop import top_accuracies
from search_space.graphs import Graph
from search_space.networks import Network
from search_space.onnx_files import random_weights, to_onnx
from search_space.reference_networks import baseline_graph
from search_space.spaces import FBNetSpace
from tests.evaluation.conftest import ImageDataOf


@pytest.fixture(scope="module")
def graph(space: FBNetSpace) -> Graph:
    return space.graph(("k3_e6", "k5_e3", "k3_e1_g2"))


@pytest.fixture(scope="module")
def splits(image_data: ImageDataOf) -> Splits:
    return split_data(image_data(600, size=8), seed=0)


@pytest.fixture(scope="module")
def network(graph: Graph) -> Network:
    """Weights and statistics that no two channels share."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = Network(graph).eval()
        for norm in network.modules():
            if isinstance(norm, nn.BatchNorm2d):
                assert norm.running_mean is not None
                assert norm.running_var is not None
                nn.init.uniform_(norm.weight, 0.5, 1.5)
                nn.init.normal_(norm.bias, std=0.3)
                nn.init.normal_(norm.running_mean, std=0.3)
                nn.init.uniform_(norm.running_var, 0.5, 2.0)
    return network


@pytest.fixture(scope="module")
def weights(network: Network) -> dict[str, np.ndarray]:
    return {name: value.numpy() for name, value in network.state_dict().items()}


@pytest.fixture(scope="module")
def exported(graph: Graph, weights: dict[str, np.ndarray], splits: Splits) -> tuple[ExportedModel, ...]:
    return export(graph, weights, splits)


def prepared(images: LabelledImages, splits: Splits) -> npt.NDArray[np.float32]:
    """The network's input, from its definition."""
    mean, std = (np.array(values, np.float32)[:, None, None] for values in (splits.mean_C, splits.std_C))
    return np.asarray((images.pixels / np.float32(255) - mean) / std, np.float32)


def logits_of(model: bytes, images_NCHW: npt.NDArray[np.float32]) -> np.ndarray:
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    return np.concatenate([session.run(None, {"images": image[None]})[0] for image in images_NCHW])


def test_both_precisions_are_exported(exported: tuple[ExportedModel, ...]) -> None:
    assert [model.precision for model in exported] == ["fp32", "int8"]
    assert [is_quantized(model.model) for model in exported] == [False, True]


def test_the_fp32_file_is_the_network(
    exported: tuple[ExportedModel, ...], graph: Graph, network: Network, weights: dict[str, np.ndarray], splits: Splits
) -> None:
    fp32 = exported[0]
    assert fp32.model == to_onnx(graph, weights)
    assert fp32.logits_difference < 1e-4
    assert fp32.top1 == pytest.approx(top_accuracies(network, ImageBatches(splits.test, splits))[0])


def test_the_int8_file_is_calibrated_with_selection_images(exported: tuple[ExportedModel, ...], splits: Splits) -> None:
    fp32, int8 = exported
    expected = quantized(fp32.model, prepared(splits.selection, splits))
    images_NCHW = prepared(splits.test, splits)
    np.testing.assert_allclose(logits_of(int8.model, images_NCHW), logits_of(expected, images_NCHW), atol=1e-3)


def test_differences_and_accuracy_are_those_of_each_file(
    exported: tuple[ExportedModel, ...], network: Network, splits: Splits
) -> None:
    with torch.no_grad():
        expected_NK = network(torch.from_numpy(prepared(splits.selection, splits))).numpy()
    for model in exported:
        difference = np.abs(logits_of(model.model, prepared(splits.selection, splits)) - expected_NK).max()
        assert model.logits_difference == pytest.approx(difference, abs=1e-4)
        predictions_N = logits_of(model.model, prepared(splits.test, splits)).argmax(1)
        assert model.top1 == pytest.approx(np.mean(predictions_N == splits.test.labels_N))
        predictions_N = logits_of(model.model, prepared(splits.selection, splits)).argmax(1)
        assert model.error == pytest.approx(np.mean(predictions_N != splits.selection.labels_N))
    assert exported[1].logits_difference > exported[0].logits_difference


def test_some_of_many_selection_images_do(
    graph: Graph, weights: dict[str, np.ndarray], splits: Splits, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(export_module, "CALIBRATION_IMAGES", 4)
    monkeypatch.setattr(export_module, "COMPARED_IMAGES", 3)
    expected = quantized(to_onnx(graph, weights), prepared(splits.selection, splits)[:4])
    images_NCHW = prepared(splits.test, splits)
    got_NK = logits_of(export(graph, weights, splits)[1].model, images_NCHW)
    np.testing.assert_allclose(got_NK, logits_of(expected, images_NCHW), atol=1e-3)


@pytest.mark.parametrize(
    "name",
    [
        pytest.param("mobilenet-v3-small", marks=pytest.mark.slow),
        pytest.param("condensenet-86", marks=pytest.mark.slow),
    ],
)
def test_baselines_are_exported(name: str, image_data: ImageDataOf) -> None:
    splits = split_data(image_data(60, size=32), seed=0)
    graph = baseline_graph(name, input_size=32, classes=3)
    weights = random_weights(graph, np.random.default_rng(0))
    fp32, int8 = export(graph, weights, splits)
    assert fp32.logits_difference < 1e-4 * np.abs(logits_of(fp32.model, prepared(splits.selection, splits))).max()
    assert np.isfinite(logits_of(int8.model, prepared(splits.test, splits))).all()
    assert is_quantized(int8.model)


def test_a_file_that_is_not_the_network_is_refused(
    graph: Graph, weights: dict[str, np.ndarray], splits: Splits, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = {**weights, "classifier.bias": weights["classifier.bias"] + np.array([0, 0, 0.1], np.float32)}
    monkeypatch.setattr(export_module, "to_onnx", lambda graph, weights: to_onnx(graph, other))
    with pytest.raises(ValueError, match=r"must equal PyTorch's within 0.001 of the largest, .* but differ by 0\.1"):
        export(graph, weights, splits)


def test_logits_that_are_not_finite_are_refused(graph: Graph, weights: dict[str, np.ndarray], splits: Splits) -> None:
    weights = {**weights, "classifier.bias": np.array([0, np.nan, 0], np.float32)}
    with pytest.raises(ValueError, match="must give finite logits"):
        export(graph, weights, splits)


def test_weights_that_do_not_fit_are_refused(graph: Graph, weights: dict[str, np.ndarray], splits: Splits) -> None:
    with pytest.raises(ValueError, match=r"classifier\.bias.* is missing"):
        export(graph, {name: value for name, value in weights.items() if name != "classifier.bias"}, splits)
