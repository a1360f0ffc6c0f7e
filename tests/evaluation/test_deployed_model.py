import json
from dataclasses import replace

import numpy as np
import onnx
import onnxruntime
import pytest

from devices.quantization import quantized
from evaluation.dataset_origin import DatasetOrigin
from evaluation.deployed_model import ModelNotes, deployed
from search_space.onnx_files import random_weights, to_onnx
from search_space.spaces import FBNetSpace, Stage

SPACE = FBNetSpace(
    name="tiny", input_size=16, classes=3, stem_channels=4, stem_stride=1, stages=(Stage(8, 2, 2),), last_channels=8
)
GRAPH = SPACE.graph(("k3_e1_g2", "k3_e1"))
WEIGHTS = random_weights(GRAPH, np.random.default_rng(0))
NOTES = ModelNotes(
    network="10",
    space="tiny",
    precision="fp32",
    input_size=16,
    data=DatasetOrigin(
        fingerprint="f",
        classes=("a", "b\nc", "\u00fc"),
        mean=(0.1, 0.2, 0.3),
        std=(1.0, 1.0, 1.0),
        resize="pad",
        rules=2,
    ),
    error=0.25,
    error_of="test split, 40 images, trained",
)


def sides(model: bytes) -> list[list[int | str]]:
    graph = onnx.load_from_string(model).graph
    return [
        [side.dim_value or side.dim_param for side in value.type.tensor_type.shape.dim]
        for value in (*graph.input, *graph.output, *graph.value_info)
    ]


@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_a_file_is_for_one_image_and_computes_as_before(precision: str) -> None:
    model = to_onnx(GRAPH, WEIGHTS)
    if precision == "int8":
        model = quantized(model)
    file = deployed(model, NOTES)
    assert sides(model)[0] == ["batch", 3, 16, 16]
    assert all(isinstance(side, int) for value in sides(file) for side in value)
    assert sides(file)[:2] == [[1, 3, 16, 16], [1, 3]]
    onnx.checker.check_model(onnx.load_from_string(file), full_check=True)
    image = np.random.default_rng(1).standard_normal((1, 3, 16, 16), np.float32)
    before, after = (
        onnxruntime.InferenceSession(one, providers=["CPUExecutionProvider"]).run(None, {"images": image})[0]
        for one in (model, file)
    )
    np.testing.assert_array_equal(before, after)
    assert deployed(model, NOTES) == file


def test_notes_are_json_in_the_metadata_beside_what_was_there() -> None:
    model = onnx.load_from_string(deployed(to_onnx(GRAPH, WEIGHTS), NOTES))
    found = {entry.key: json.loads(entry.value) for entry in model.metadata_props}
    assert found.pop("project").startswith("pi-pareto-nas")
    assert found == {
        "network": "10",
        "space": "tiny",
        "precision": "fp32",
        "classes": ["a", "b c", "\u00fc"],
        "input_size": 16,
        "layout": "NCHW",
        "channels": "RGB",
        "scale": 255,
        "mean": [0.1, 0.2, 0.3],
        "std": [1.0, 1.0, 1.0],
        "resize": "pad",
        "rules": 2,
        "error": 0.25,
        "error_of": "test split, 40 images, trained",
    }
    again = onnx.load_from_string(deployed(quantized(to_onnx(GRAPH, WEIGHTS)), NOTES))
    assert "onnx.quant.pre_process" in {entry.key for entry in again.metadata_props}


def test_what_is_not_known_is_left_out() -> None:
    notes = replace(NOTES, space=None, error=None, error_of=None).to_metadata()
    assert not {"space", "error", "error_of", "segment"} & set(notes)
