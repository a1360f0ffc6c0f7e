"""LiteRT files beside ONNX files, on the handwritten digits and in folders."""

from pathlib import Path

import numpy as np
import onnx
import pytest

from devices.quantization import quantized
from evaluation.batches import ImageBatches
from evaluation.litert_files import LiteRtRunner, litert_error, write_litert_file, write_litert_files
from evaluation.splits import split_data
from scripts.export_litert import main
from search_space.litert.flat_model import notes_in
from search_space.onnx_files import random_weights, to_onnx
from search_space.spaces import FBNetSpace
from tests.evaluation.conftest import ImageDataOf
from tests.scripts.conftest import in_process

pytest.importorskip("ai_edge_litert", reason="`ai-edge-litert` is not installed: run `pip install ai-edge-litert`")


@pytest.fixture
def run_folder(space: FBNetSpace, tmp_path: Path) -> Path:
    """Networks of a front and a training, of which one is there in int8 as well."""
    graph = space.graph(("k3_e6", "k5_e3", "k3_e1_g2"))
    model = to_onnx(graph, random_weights(graph, np.random.default_rng(0)))
    for place in ("front/012", "front/013", "trained/012"):
        (tmp_path / place).mkdir(parents=True)
        (tmp_path / place / "model.onnx").write_bytes(model)
    (tmp_path / "trained/012/model_int8.onnx").write_bytes(quantized(model))
    return tmp_path


def test_files_of_a_run_lie_beside_those_they_are_of(run_folder: Path) -> None:
    written = list(write_litert_files(run_folder))
    names = [str(file.path.relative_to(run_folder)) for file in written]
    assert names == [
        "front/012/model.tflite",
        "front/013/model.tflite",
        "trained/012/model.tflite",
        "trained/012/model_int8.tflite",
    ]
    assert all(file.path.stat().st_size == file.size for file in written)
    assert [file.difference < 1e-5 for file in written] == [True, True, True, False]
    assert written[-1].difference < 0.2
    (alone,) = write_litert_files(run_folder / "front/012")
    assert alone.path == run_folder / "front/012/model.tflite"


def test_the_command_names_files_and_what_is_wrong(run_folder: Path) -> None:
    outcome = in_process(run_folder, "export_litert.py", main, "trained/012")
    assert outcome.returncode == 0
    first, second = outcome.stdout.splitlines()
    assert "model.tflite: fp32, " in first
    assert "model_int8.tflite: int8, " in second
    for content, said in ((b"no model", "cannot be read"), (None, "must have a model.onnx, but")):
        path = run_folder / "front/012/model.onnx"
        path.unlink()
        if content is not None:
            path.write_bytes(content)
        outcome = in_process(run_folder, "export_litert.py", main, "front/012")
        assert outcome.returncode == 2
        assert said in outcome.stderr
        assert outcome.stderr.count("\n") == 1


def test_an_error_is_that_of_the_file_itself_and_stays_where_it_is_written_anew(
    run_folder: Path, image_data: ImageDataOf
) -> None:
    """Batches come to what single images do; the last one is smaller."""
    splits = split_data(image_data(600, test=300, size=8), seed=0)
    notes = {"error": "0.9", "error_of": '"test split"'}
    folder = run_folder / "trained/012"
    for path in (folder / "model.onnx", folder / "model_int8.onnx"):
        model = onnx.load_from_string(path.read_bytes())
        onnx.helper.set_model_props(model, notes)
        path.write_bytes(model.SerializeToString())
    write_litert_file(folder, "int8")
    content = (folder / "model_int8.tflite").read_bytes()
    assert "error" not in notes_in(content)
    runner, batches = LiteRtRunner(content), ImageBatches(splits.test, splits)
    wrong = [
        int(runner.run(image_CHW.numpy())[0].argmax()) != int(label)
        for x_BCHW, labels_B in batches.in_order(7)
        for image_CHW, label in zip(x_BCHW, labels_B, strict=True)
    ]
    error = litert_error(content, splits.test, splits)
    assert error == pytest.approx(np.mean(wrong))
    write_litert_file(folder, "int8", error=error)
    list(write_litert_files(folder))
    own = notes_in((folder / "model_int8.tflite").read_bytes())
    assert float(own["error"]) == pytest.approx(error, abs=1e-6)
    assert own["error_of"] == notes["error_of"]
