"""The code of a card, run in an environment with no more than what the card says it needs."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any, get_args

import numpy as np
import onnxruntime
import PIL
import pytest
from PIL import Image

from devices.configuration import PRECISIONS, Precision, RuntimeConfiguration
from devices.quantization import quantized
from evaluation.batches import ImageBatches
from evaluation.data.pictures import read_picture, square
from evaluation.data.rules import Resize
from evaluation.litert_files import write_litert_file
from evaluation.splits import Splits
from moo.report.snippets import camera_snippet, how_square, photo_snippet
from moo.storage.origin import SearchDataset
from search_space.onnx_files import random_weights, to_onnx
from search_space.spaces import FBNetSpace
from tests.moo.conftest import DATASET

RUNTIME = ("numpy", "onnxruntime", "flatbuffers", "packaging", "google.protobuf", "google._upb", "PIL")
"""ONNX Runtime and all that it needs, and Pillow."""
SIZE = 8
FAKE_CAMERA = """
import pathlib
import numpy
class Picamera2:
    def create_video_configuration(self, main):
        return main
    def configure(self, main):
        self.main = main
    def start(self):
        self.frames = 0
    def capture_array(self):
        self.frames += 1
        if self.frames > 3:
            raise KeyboardInterrupt
        rgb = numpy.load("frame.npy")
        assert self.main["size"] == (640, 480)
        return rgb if self.main["format"] == "BGR888" else rgb[..., ::-1]
"""
"""Formats are named as Picamera2 does: arrays of `BGR888` are red, green, blue, and those of `RGB888` the other way."""


def photo(seed: int) -> Image.Image:
    """A coarse pattern in colour, 60 x 40 pixels, of which blue and red differ."""
    rng = np.random.default_rng(seed)
    pixels_HWC = np.kron(rng.integers(0, 256, (4, 6, 3)), np.ones((10, 10, 1))).astype(np.uint8)
    return Image.fromarray(pixels_HWC)


def data_of(splits: Splits, resize: Resize) -> SearchDataset:
    return replace(DATASET, mean=splits.mean_C, std=splits.std_C, resize=resize, rules=2)


def expected(path: Path, model: bytes, data: SearchDataset) -> str:
    """Class and probability by the project's own pipeline."""
    picture = read_picture({"bytes": None, "path": str(path)}, rules=2, least_side=2 * SIZE)
    return classified(np.asarray(square(picture.image, SIZE, data.resize)), model, data)


def classified(pixels_HWC: Any, model: bytes, data: SearchDataset) -> str:
    mean_C, std_C = (np.array(values, np.float32) for values in (data.mean, data.std))
    x_CHW = ((pixels_HWC.astype(np.float32) / 255 - mean_C) / std_C).transpose(2, 0, 1)
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    (logits_NK,) = session.run(None, {"images": x_CHW[None]})
    shares_K = np.exp(logits_NK[0]) / np.exp(logits_NK[0]).sum()
    return f"{data.classes[shares_K.argmax()]} {100 * shares_K.max():.1f} %"


@pytest.fixture(scope="module")
def model(space: FBNetSpace) -> bytes:
    graph = space.graph(("k3_e6", "k3_e6", "k3_e1"))
    return to_onnx(graph, random_weights(graph, np.random.default_rng(0)))


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An interpreter that sees ONNX Runtime, what it needs and Pillow, and nothing else of what is installed here."""
    folder = tmp_path_factory.mktemp("environment")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    (site,) = folder.glob("lib/python*/site-packages")
    for name in RUNTIME:
        if (spec := find_spec(name)) is not None:
            link(site / name.replace(".", "/"), spec)
    for module, name in ((np, "numpy.libs"), (PIL, "pillow.libs")):
        libraries = Path(str(module.__file__)).parents[1] / name
        if libraries.exists():
            (site / name).symlink_to(libraries)
    return folder / "bin" / "python"


def link(target: Any, spec: Any) -> None:
    """Make a package or a compiled module visible at a path of another environment."""
    target.parent.mkdir(exist_ok=True)
    if spec.submodule_search_locations:
        target.symlink_to(next(iter(spec.submodule_search_locations)))
    else:
        (target.parent / Path(spec.origin).name).symlink_to(spec.origin)


def run(python: Any, file: str, folder: Path) -> Any:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    return subprocess.run([str(python), file], cwd=folder, env=environment, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("resize", get_args(Resize))
def test_a_photo_is_classified_as_by_the_projects_own_pipeline(
    splits: Splits, model: bytes, python: Path, tmp_path: Path, resize: Resize
) -> None:
    data = data_of(splits, resize)
    (tmp_path / "model.onnx").write_bytes(model)
    (tmp_path / "classify.py").write_text(photo_snippet(data, size=SIZE))
    orientation = Image.Exif()
    orientation[0x0112] = 6
    photo(3).save(tmp_path / "photo.jpg", quality=95, exif=orientation)
    result = run(python, "classify.py", tmp_path)
    assert result.stdout == f"{expected(tmp_path / 'photo.jpg', model, data)}\n", result.stderr


def test_ways_of_making_a_picture_square_and_its_orientation_matter_here(
    splits: Splits, model: bytes, tmp_path: Path
) -> None:
    """Else the test above could not fail."""
    photo(3).save(tmp_path / "flat.jpg", quality=95)
    orientation = Image.Exif()
    orientation[0x0112] = 6
    photo(3).save(tmp_path / "photo.jpg", quality=95, exif=orientation)
    said = {
        expected(tmp_path / name, model, data_of(splits, resize))
        for name in ("flat.jpg", "photo.jpg")
        for resize in get_args(Resize)
    }
    assert len(said) == 6


def test_what_a_camera_sees_is_classified_in_its_true_colours(
    splits: Splits, model: bytes, python: Path, tmp_path: Path
) -> None:
    data = data_of(splits, "crop")
    (tmp_path / "model.onnx").write_bytes(model)
    (tmp_path / "picamera2.py").write_text(FAKE_CAMERA)
    (tmp_path / "classify.py").write_text(photo_snippet(data, size=SIZE))
    (tmp_path / "camera.py").write_text(camera_snippet())
    frame = photo(5)
    np.save(tmp_path / "frame.npy", np.asarray(frame))
    true, swapped = (
        classified(np.asarray(square(Image.fromarray(pixels), SIZE, "crop")), model, data)
        for pixels in (np.asarray(frame), np.ascontiguousarray(np.asarray(frame)[..., ::-1]))
    )
    assert true != swapped
    result = run(python, "camera.py", tmp_path)
    assert "KeyboardInterrupt" in result.stderr
    lines = result.stdout.splitlines()
    assert [line.partition(", ")[0] for line in lines] == [true] * 3
    assert all(line.endswith(" frames a second") for line in lines)


def test_a_point_in_int8_on_several_threads_runs(
    space: FBNetSpace, splits: Splits, model: bytes, tmp_path: Path
) -> None:
    images = ImageBatches(splits.selection, splits).in_order(64)
    int8 = quantized(model, np.concatenate([x_BCHW.numpy() for x_BCHW, _ in images]))
    (tmp_path / "model_int8.onnx").write_bytes(int8)
    photo(2).save(tmp_path / "photo.jpg", quality=95)
    data = data_of(splits, "crop")
    code = photo_snippet(data, size=SIZE, configuration=RuntimeConfiguration(threads=2, precision="int8"))
    (tmp_path / "classify.py").write_text(f"{code}\n    print(options.intra_op_num_threads)\n")
    result = run(sys.executable, "classify.py", tmp_path)
    assert result.stdout == f"{expected(tmp_path / 'photo.jpg', int8, data)}\n2\n", result.stderr


@pytest.mark.parametrize("precision", PRECISIONS)
def test_a_point_under_litert_runs(
    space: FBNetSpace, splits: Splits, model: bytes, tmp_path: Path, precision: Precision
) -> None:
    pytest.importorskip("ai_edge_litert", reason="`ai-edge-litert` is not installed: run `pip install ai-edge-litert`")
    configuration = RuntimeConfiguration(runtime="litert", threads=2, precision=precision)
    (tmp_path / "model.onnx").write_bytes(model)
    (tmp_path / "model_int8.onnx").write_bytes(quantized(model))
    write_litert_file(tmp_path, precision)
    photo(2).save(tmp_path / "photo.jpg", quality=95)
    data = data_of(splits, "crop")
    (tmp_path / "classify.py").write_text(photo_snippet(data, size=SIZE, configuration=configuration))
    result = run(sys.executable, "classify.py", tmp_path)
    if precision == "fp32":
        assert result.stdout == f"{expected(tmp_path / 'photo.jpg', model, data)}\n", result.stderr
    assert result.stdout.endswith(" %\n"), result.stderr


def test_threads_file_and_clock_are_those_of_the_configuration() -> None:
    configuration = RuntimeConfiguration(threads=4, frequency_mhz=1500, precision="int8")
    code = photo_snippet(DATASET, size=SIZE, configuration=configuration)
    assert "options.intra_op_num_threads = 4  # measured at 1500 MHz\n" in code
    assert 'InferenceSession("model_int8.onnx", options,' in code


def test_runs_of_before_have_their_pictures_as_they_are_stored() -> None:
    assert "exif_transpose" not in photo_snippet(replace(DATASET, rules=1), size=SIZE)
    assert how_square("stretch", 32).endswith(
        "out of proportion where it is not square, resized to 32 x 32 pixels (bicubic)."
    )


def test_pictures_of_more_bits_have_the_scale_of_the_data_set(tmp_path: Path) -> None:
    code = photo_snippet(replace(DATASET, rules=3, depth=(900.0, 1100.5)), size=SIZE)
    assert "classify(eight_bits(ImageOps.exif_transpose(photo)).convert" in code
    function = code[code.index("def eight_bits") : code.index("def classify")]
    names: dict[str, Any] = {"np": np, "Image": Image}
    exec(function, names)
    deep = Image.fromarray(np.linspace(800, 1200, 64).reshape(8, 8).astype(np.uint16))
    expected = read_picture(deep, rules=3, depth=(900.0, 1100.5)).image
    np.testing.assert_array_equal(np.asarray(names["eight_bits"](deep).convert("RGB")), np.asarray(expected))
    assert names["eight_bits"](expected) is expected
