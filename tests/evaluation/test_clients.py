"""Exported files in other people's programs: each must give what ONNX Runtime gives."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
import torch.nn.functional as F

from devices.configuration import ONNX_FILES
from evaluation.accuracy import recalibrate
from evaluation.batches import ImageBatches
from evaluation.dataset_origin import DatasetOrigin
from evaluation.deployed_model import ModelNotes, deployed
from evaluation.export import export, session_of
from evaluation.litert_files import LiteRtRunner
from evaluation.splits import Splits, load_splits
from search_space.folding import Array
from search_space.graphs import Graph
from search_space.litert.conversion import litert_file
from search_space.networks import Network
from search_space.onnx_files import to_onnx
from search_space.reference_networks import baseline_graph
from search_space.spaces import space_named
from tests.search_space.litert.interpreters import trained_like

SPACES = ("fbnet-micro", "fbnet-cifar")
BASELINES = ("mobilenet-v2-0.35", "mobilenet-v3-small", "efficientnet-lite0", "condensenet-86")
ORIGIN = DatasetOrigin(fingerprint="0", classes=("ant", "bee's"), mean=(0.5, 0.4, 0.3), std=(0.2, 0.2, 0.3))

Run = Callable[[Array], Array]
"""Gives the logits of an image, (C, H, W)."""


def in_onnxruntime(file: Path) -> Run:
    session = session_of(file.read_bytes(), 1)
    return lambda image_CHW: np.asarray(session.run(None, {"images": image_CHW[None]})[0])


def in_opencv(file: Path) -> Run:
    """By the importer of OpenCV 4."""
    cv2 = pytest.importorskip("cv2", reason='OpenCV is not installed: run `pip install "opencv-python-headless<5"`')
    network = cv2.dnn.readNetFromONNX(str(file))

    def run(image_CHW: Array) -> Array:
        network.setInput(image_CHW[None])
        return np.array(network.forward())

    return run


def in_openvino(file: Path) -> Run:
    """By OpenVINO, from the file of its own format that its converter makes."""
    openvino = pytest.importorskip("openvino", reason="OpenVINO is not installed: run `pip install openvino`")
    core, converted = openvino.Core(), file.with_suffix(".xml")
    openvino.save_model(core.read_model(file), converted, compress_to_fp16=False)
    options = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": 1}
    network = core.compile_model(converted, "CPU", options)
    return lambda image_CHW: np.asarray(network(image_CHW[None])[0])


def in_litert(file: Path) -> Run:
    """By LiteRT, from the LiteRT file that is written of an ONNX file."""
    pytest.importorskip("ai_edge_litert", reason="LiteRT is not installed: run `pip install ai-edge-litert`")
    in_fp32 = file.with_name(ONNX_FILES["fp32"]).read_bytes()
    runner = LiteRtRunner(
        litert_file(in_fp32, quantized=None if file.name == ONNX_FILES["fp32"] else file.read_bytes())
    )
    return lambda image_CHW: runner.run(image_CHW)[0]


CLIENTS = (in_opencv, in_openvino, in_litert)


def handed_over(folder: Path, in_fp32: bytes, in_int8: bytes | None = None) -> Path:
    """Write the files of a network; returns the one in fp32."""
    notes = ModelNotes(network="012", space=None, precision="fp32", input_size=32, data=ORIGIN)
    (folder / ONNX_FILES["fp32"]).write_bytes(deployed(in_fp32, notes))
    if in_int8 is not None:
        (folder / ONNX_FILES["int8"]).write_bytes(deployed(in_int8, notes))
    return folder / ONNX_FILES["fp32"]


def graph_of(name: str) -> Graph:
    if name in BASELINES:
        return baseline_graph(name, input_size=32, classes=10)
    space_name, seed = name.rsplit(" ", 1)
    space = space_named(space_name)
    return space.graph(tuple(np.random.default_rng(int(seed)).choice(space.operators, space.num_layers)))


@pytest.fixture(scope="module", params=[*BASELINES, *(f"{space} {seed}" for space in SPACES for seed in range(4))])
def model(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    graph = graph_of(request.param)
    return handed_over(tmp_path_factory.mktemp("network"), to_onnx(graph, trained_like(graph)))


@pytest.mark.parametrize("client", CLIENTS)
def test_a_client_computes_what_onnxruntime_computes(client: Callable[[Path], Run], model: Path) -> None:
    image_CHW = np.random.default_rng(1).standard_normal((3, 32, 32), np.float32)
    expected, got = (open_in(model)(image_CHW) for open_in in (in_onnxruntime, client))
    assert got.shape == expected.shape
    assert np.abs(got - expected).max() <= 1e-5 * np.abs(expected).max()


def test_a_file_keeps_the_rules_of_onnx_and_says_what_it_is(model: Path) -> None:
    onnx.checker.check_model(str(model), full_check=True)
    entries = session_of(model.read_bytes(), 1).get_modelmeta().custom_metadata_map
    assert json.loads(entries["classes"]) == ["ant", "bee's"]
    assert json.loads(entries["layout"]) == "NCHW"


@pytest.fixture(scope="module")
def digits() -> Splits:
    return load_splits("digits", size=16, seed=0)


@pytest.fixture(scope="module")
def learnt(digits: Splits, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A network after three passes over the digits, in both precisions."""
    space = space_named("fbnet-micro", size=16)
    graph = space.graph(("k3_e3", "k3_e1_g2", "skip", "k5_e1", "skip", "k3_e1", "skip", "k3_e1_g2"))
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = Network(graph)
        optimizer = torch.optim.Adam(network.parameters(), lr=3e-3)
        images, rng = ImageBatches(digits.weights, digits), np.random.default_rng(0)
        for _ in range(3):
            for x_BCHW, labels_B in images.batches(64, rng):
                optimizer.zero_grad()
                torch.autograd.backward(F.cross_entropy(network(x_BCHW), labels_B))
                optimizer.step()
        recalibrate(network, images)
    weights = {name: value.numpy() for name, value in network.state_dict().items()}
    fp32, int8 = export(graph, weights, digits)
    assert fp32.top1 > 0.8
    return handed_over(tmp_path_factory.mktemp("learnt"), fp32.model, int8.model)


def error(run: Run, splits: Splits) -> float:
    images = ImageBatches(splits.test, splits)
    hits = [
        run(image_CHW.numpy()).argmax() == int(label)
        for x_BCHW, labels_B in images.in_order(256)
        for image_CHW, label in zip(x_BCHW, labels_B, strict=True)
    ]
    return 1 - images.share_of(np.array(hits))


@pytest.mark.parametrize("client", CLIENTS)
def test_a_client_errs_as_onnxruntime_does(client: Callable[[Path], Run], learnt: Path, digits: Splits) -> None:
    in_int8 = learnt.with_name(ONNX_FILES["int8"])
    assert error(client(learnt), digits) == pytest.approx(error(in_onnxruntime(learnt), digits), abs=1e-9)
    assert error(client(in_int8), digits) == pytest.approx(error(in_onnxruntime(in_int8), digits), abs=0.01)
    assert error(client(in_int8), digits) - error(client(learnt), digits) <= 0.01
