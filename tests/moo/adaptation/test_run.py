"""The program that is handed over, run as it lies in the folder."""

from __future__ import annotations

import ast
import importlib.util
import json
import os
import shutil
import subprocess
import sys
import venv
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from evaluation.data.images import LabelledImages
from evaluation.data.pictures import read_picture, square
from evaluation.data.rules import Resize
from evaluation.early_exits.files import ExportedSegments, segment_outcomes
from evaluation.early_exits.policy import judged, ways_taken
from evaluation.splits import Splits
from moo.adaptation.handover import run
from moo.adaptation.handover.folder import read_adaptive, write_adaptive
from moo.storage.adaptive_front import AdaptivePoint
from search_space.boundary.sealing import sealed
from tests.moo.adaptation.handed_over import EXITS, TWO_THREADS, dataset_of, exported_network, point_of
from tests.moo.conftest import TINY

Exported = tuple[ExportedSegments, ...]

ALONE = """
import json, sys

class OnlyWhatIsNeeded:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {refused}:
            raise ImportError(f"{{name}} is not there")

sys.meta_path.insert(0, OnlyWhatIsNeeded())
sys.path.insert(0, {folder!r})
import numpy as np
from run import AdaptiveNetwork
images = np.load({images!r})
answers = {{}}
for point in {points}:
    network = AdaptiveNetwork({folder!r}, point=point)
    answers[point] = [list(network.classify(image)) for image in images]
print(json.dumps(answers))
"""
"""Classifies images where neither this project nor anything but onnxruntime and numpy is there."""
REFUSED = [
    "moo", "evaluation", "dnas", "devices", "search_space", "scripts", "benchmarks", "torch", "onnx", "PIL", "scipy",
    "ray", "sklearn", "safetensors", "yaml", "datasets", "pandas", "matplotlib",
]  # fmt: skip


@pytest.fixture(scope="module")
def exported(splits: Splits) -> Exported:
    return exported_network(splits)


@pytest.fixture(scope="module")
def points(exported: Exported) -> list[AdaptivePoint]:
    """As the program numbers them."""
    fp32, int8 = exported
    points = [
        point_of(fp32, 0.3, latency_ms=2.0),
        point_of(fp32, 0.8, latency_ms=4.0),
        point_of(fp32, 0.6, latency_ms=3.0, configuration=TWO_THREADS),
        point_of(int8, 0.5, latency_ms=1.0),
    ]
    return sorted(points, key=lambda point: (point.objectives, point.configuration.label))


@pytest.fixture(scope="module")
def whole(
    tmp_path_factory: pytest.TempPathFactory, points: list[AdaptivePoint], exported: Exported, splits: Splits
) -> Path:
    folder = tmp_path_factory.mktemp("front") / "adaptive"
    write_adaptive(folder, points, exported, dataset_of(splits), TINY)
    return folder


@pytest.fixture
def folder(tmp_path: Path, whole: Path) -> Path:
    """Its own, for a test that damages it."""
    shutil.copytree(whole, tmp_path / "adaptive", ignore=shutil.ignore_patterns("__pycache__"))
    return tmp_path / "adaptive"


@pytest.fixture(scope="module")
def program(whole: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location("handed_over_run", whole / "run.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def images(splits: Splits) -> LabelledImages:
    """All of them, 400."""
    parts = (splits.weights, splits.theta, splits.selection, splits.test)
    return LabelledImages(
        np.concatenate([part.pixels for part in parts]), np.concatenate([part.labels_N for part in parts])
    )


def pixels_of(images: LabelledImages) -> npt.NDArray[np.uint8]:
    """Shape (N, H, W, C)."""
    return np.ascontiguousarray(images.pixels.transpose(0, 2, 3, 1))


def check_answers(
    answers: dict[str, list[list[Any]]],
    points: list[AdaptivePoint],
    exported: Exported,
    images: LabelledImages,
    splits: Splits,
) -> None:
    """Classes, confidences and exits are those that the cached outcomes of the same images give."""
    models = {one.precision: one.models for one in exported}
    ways_seen = set()
    for number, point in enumerate(points):
        outcomes = segment_outcomes(models[point.configuration.precision], EXITS, images, splits)
        ways_N = ways_taken(outcomes.confidence_XN, point.thresholds)
        given = answers[str(number)]
        assert [answer[3] - 1 for answer in given] == list(ways_N)
        right_N = [answer[1] == label for answer, label in zip(given, images.labels_N, strict=True)]
        assert right_N == list(outcomes.correct_XN[ways_N, np.arange(len(images))])
        assert all(splits.class_names[answer[1]] == answer[0] for answer in given)
        np.testing.assert_allclose(
            [answer[2] for answer in given], outcomes.confidence_XN[ways_N, np.arange(len(images))], rtol=1e-5
        )
        assert 1 - np.mean(right_N) == pytest.approx(judged(outcomes, point.thresholds).error)
        ways_seen |= set(ways_N)
    assert ways_seen == {0, 1, 2}


def alone(
    python: str | Path, folder: Path, images: LabelledImages, points: int, *, refused: Sequence[str] = ()
) -> dict[str, list[list[Any]]]:
    """What the program says of images in a process that refuses all but what it needs."""
    np.save(folder.parent / "images.npy", pixels_of(images))
    script = ALONE.format(
        folder=str(folder),
        images=str(folder.parent / "images.npy"),
        refused=[*REFUSED, *refused],
        points=list(range(points)),
    )
    found = subprocess.run([str(python), "-I", "-c", script], capture_output=True, text=True, timeout=300)
    assert found.returncode == 0, found.stderr
    answers: dict[str, list[list[Any]]] = json.loads(found.stdout)
    return answers


def test_it_is_one_file_for_python_3_9_with_numpy_and_onnxruntime() -> None:
    """As boards may have it: `docs/boards.md`."""
    tree = ast.parse(Path(run.__file__).read_text(), feature_version=(3, 9))
    imported = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    imported |= {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    roots = {name.split(".")[0] for name in imported}
    assert roots - sys.stdlib_module_names == {"numpy", "onnxruntime", "PIL"}
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    of_classes = [node.args[1] for node in calls if ast.unparse(node.func) == "isinstance"]
    assert of_classes
    assert not any(isinstance(node, ast.BinOp) for node in of_classes), "`int | float` is for Python 3.10"


def test_without_this_project_it_gives_the_same_classes_and_exits(
    whole: Path, points: list[AdaptivePoint], exported: Exported, images: LabelledImages, splits: Splits
) -> None:
    check_answers(alone(sys.executable, whole, images, len(points)), points, exported, images, splits)


@pytest.mark.slow
def test_it_needs_onnxruntime_and_numpy_alone(
    tmp_path: Path,
    folder: Path,
    points: list[AdaptivePoint],
    exported: Exported,
    images: LabelledImages,
    splits: Splits,
) -> None:
    """In an environment where nothing else was installed; where there is no index of packages, nothing is told."""
    venv.create(tmp_path / "venv", with_pip=True)
    python = tmp_path / "venv" / "bin" / "python"
    versions = [f"{name}=={importlib.import_module(name).__version__}" for name in ("onnxruntime", "numpy")]
    command = [str(python), "-m", "pip", "install", "-q", "--disable-pip-version-check", *versions]
    installed = subprocess.run(command, capture_output=True, text=True, timeout=600)
    if installed.returncode:
        pytest.skip(f"packages cannot be installed here: {installed.stderr[-300:]}")
    check_answers(alone(python, folder, images, len(points)), points, exported, images, splits)


def test_thresholds_change_while_it_runs(
    program: ModuleType, whole: Path, points: list[AdaptivePoint], images: LabelledImages
) -> None:
    """Without reading a file again; back at the first point answers are the first ones."""
    numbers = [number for number, point in enumerate(points) if point.configuration.label == "ort 1t fp32"]
    network = program.AdaptiveNetwork(whole, point=numbers[0])
    pixels = pixels_of(images)[:50]
    each = {
        number: [program.AdaptiveNetwork(whole, point=number).classify(one) for one in pixels] for number in numbers
    }
    assert each[numbers[0]] != each[numbers[1]]
    for number in (*numbers, *reversed(numbers)):
        assert network.use(number).number == number
        assert [network.classify(one) for one in pixels] == each[number]


def test_a_point_of_other_files_or_threads_must_be_opened_anew(
    program: ModuleType, whole: Path, points: list[AdaptivePoint]
) -> None:
    number = {point.configuration.label: place for place, point in enumerate(points)}
    network = program.AdaptiveNetwork(whole, point=number["ort 1t fp32"])
    for other in ("ort 2t fp32", "ort 1t int8"):
        with pytest.raises(ValueError, match=rf"point {number[other]} is `{other}`: open another AdaptiveNetwork"):
            network.use(number[other])
    assert network.point.number == number["ort 1t fp32"]
    with_threads = program.AdaptiveNetwork(whole, point=number["ort 1t fp32"], threads=1)
    assert with_threads.use(number["ort 2t fp32"]).threads == 2
    assert with_threads.loaded == ("fp32", 1)


def test_the_most_accurate_point_within_bounds_is_chosen(
    program: ModuleType, whole: Path, points: list[AdaptivePoint]
) -> None:
    best = min(points, key=lambda point: point.error)
    assert program.AdaptiveNetwork(whole).point.error == best.error
    for limit in (1.0, 2.0, 3.5, 9.0):
        chosen = program.AdaptiveNetwork(whole, max_latency_ms=limit).point
        assert chosen.error == min(point.error for point in points if point.latency_ms <= limit)
        assert chosen.latency_ms <= limit
    assert program.AdaptiveNetwork(whole, precision="int8").point.precision == "int8"
    with pytest.raises(ValueError, match="`max_latency_ms` must be at least 2, the least expected, but is 1"):
        program.AdaptiveNetwork(whole, precision="fp32", max_latency_ms=1)
    with pytest.raises(ValueError, match="must be a point in fp64, but there is fp32, int8 alone"):
        program.AdaptiveNetwork(whole, precision="fp64")
    for number in (-1, 4):
        with pytest.raises(ValueError, match=f"a point must be from 0 to 3, but got {number}"):
            program.AdaptiveNetwork(whole, point=number)


@pytest.mark.parametrize("resize", ["crop", "pad", "stretch"])
def test_photos_become_squares_as_those_that_it_was_trained_on(
    tmp_path: Path,
    program: ModuleType,
    points: list[AdaptivePoint],
    exported: Exported,
    splits: Splits,
    resize: Resize,
) -> None:
    write_adaptive(tmp_path / "adaptive", points, exported, replace(dataset_of(splits), resize=resize), TINY)
    rng = np.random.default_rng(0)
    Image.fromarray(rng.integers(0, 256, (20, 31, 3), dtype=np.uint8)).resize((310, 200)).save(tmp_path / "photo.png")
    network = program.AdaptiveNetwork(tmp_path / "adaptive")
    network.prepare(network.open_photo(tmp_path / "photo.png"))
    picture = read_picture({"bytes": (tmp_path / "photo.png").read_bytes()}, rules=2)
    expected = np.asarray(square(picture.image, TINY.input_size, resize), np.float32) / 255
    expected = (expected - np.array(splits.mean_C, np.float32)) / np.array(splits.std_C, np.float32)
    np.testing.assert_allclose(network._input_HWC, expected, atol=1e-5)


@pytest.mark.parametrize(
    ("image", "got"),
    [
        (np.zeros((8, 8), np.uint8), r"uint8 of shape \(8, 8\)"),
        (np.zeros((8, 8, 3), np.float32), r"float32 of shape \(8, 8, 3\)"),
        (np.zeros((8, 8, 4), np.uint8), r"uint8 of shape \(8, 8, 4\)"),
        ([[1, 2]], "list"),
    ],
)
def test_what_is_no_image_is_refused(program: ModuleType, whole: Path, image: Any, got: str) -> None:
    with pytest.raises(ValueError, match=f"must be uint8 of shape .height, width, 3., but got {got}"):
        program.AdaptiveNetwork(whole).classify(image)
    with pytest.raises(ValueError, match="must have pixels"):
        program.AdaptiveNetwork(whole).classify(np.zeros((0, 8, 3), np.uint8))


def command(folder: Path, *words: str, hides_pillow: bool = False) -> subprocess.CompletedProcess[str]:
    """The program on the command line."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    if hides_pillow:
        (folder.parent / "hiding" / "PIL").mkdir(parents=True)
        (folder.parent / "hiding" / "PIL" / "__init__.py").write_text("raise ImportError('not there')")
        environment["PYTHONPATH"] = str(folder.parent / "hiding")
    return subprocess.run(
        [sys.executable, str(folder / "run.py"), *words],
        capture_output=True,
        text=True,
        env=environment,
        cwd=folder.parent,
        timeout=120,
    )


def test_a_photo_and_arrays_are_classified_on_the_command_line(
    folder: Path, program: ModuleType, images: LabelledImages
) -> None:
    pixels = pixels_of(images)[:3]
    Image.fromarray(pixels[0]).save(folder.parent / "photo.png")
    np.save(folder.parent / "three.npy", pixels)
    found = command(folder, "photo.png", "three.npy", "--point", "0")
    assert found.returncode == 0, found.stderr
    network = program.AdaptiveNetwork(folder, point=0)
    lines = found.stdout.splitlines()
    for line, name, image in zip(lines, ["photo.png", *["three.npy"] * 3], [pixels[0], *pixels], strict=True):
        answer = network.classify(image)
        assert line.startswith(f"{name}: {answer.class_name} {answer.confidence:.1%}, exit {answer.exit} of 3, ")


def test_a_point_is_chosen_by_its_number_or_by_its_latency(folder: Path) -> None:
    found = command(folder, "photo.png", "--point", "0", "--max-latency-ms", "9")
    assert found.returncode == 2
    assert "give --point or --max-latency-ms, not both" in found.stderr


def test_points_are_listed(folder: Path, points: list[AdaptivePoint]) -> None:
    (folder / "segment_1.onnx").unlink()
    found = command(folder, "--list")
    assert found.returncode == 0
    for number, (line, point) in enumerate(zip(found.stdout.splitlines(), points, strict=True)):
        assert line.split()[0] == str(number)
        assert f"{point.configuration.label} " in line
        assert f"{point.latency_ms:g} ms expected, 9 ms at worst (modelled)" in line


def test_without_pillow_arrays_do(folder: Path, images: LabelledImages) -> None:
    np.save(folder.parent / "three.npy", pixels_of(images)[:3])
    (folder.parent / "photo.jpg").write_bytes(b"")
    found = command(folder, "three.npy", "photo.jpg", hides_pillow=True)
    assert found.returncode == 2
    assert len(found.stdout.splitlines()) == 3
    assert found.stderr == "error: Pillow must be installed to open photo.jpg, but is not: pip install pillow.\n"


def remove_segment(folder: Path) -> None:
    (folder / "segment_2.onnx").unlink()


def damage_segment(folder: Path) -> None:
    path = folder / "segment_2.onnx"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def exchange_segments(folder: Path) -> None:
    (folder / "segment_2.onnx").write_bytes((folder / "segment_3.onnx").read_bytes())


def folder_for_segment(folder: Path) -> None:
    remove_segment(folder)
    (folder / "segment_2.onnx").mkdir()


def pipe_for_segment(folder: Path) -> None:
    remove_segment(folder)
    os.mkfifo(folder / "segment_2.onnx")


def remove_description(folder: Path) -> None:
    (folder / "adaptive.json").unlink()


def cut_description(folder: Path) -> None:
    (folder / "adaptive.json").write_text((folder / "adaptive.json").read_text()[:-20])


def deep_description(folder: Path) -> None:
    (folder / "adaptive.json").write_text("[" * 100_000)


def change_thresholds(folder: Path) -> None:
    content = json.loads((folder / "adaptive.json").read_text())
    content["points"][0]["thresholds"][0] += 0.01
    (folder / "adaptive.json").write_text(json.dumps(content))


def other_form(folder: Path) -> None:
    (folder / "adaptive.json").write_text(json.dumps(sealed({"form": 7})))


def lacks_input(folder: Path) -> None:
    content = json.loads((folder / "adaptive.json").read_text())
    del content["input"], content["seal"]
    (folder / "adaptive.json").write_text(json.dumps(sealed(content)))


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (remove_segment, "segment_2.onnx must be there, but is missing. Copy the whole folder again."),
        (damage_segment, "segment_2.onnx must be the segment that adaptive.json was written with, but is another one"),
        (exchange_segments, "segment_2.onnx must be the segment that adaptive.json was written with"),
        (folder_for_segment, "segment_2.onnx must be "),
        (pipe_for_segment, "segment_2.onnx must be a file, but is none."),
        (remove_description, "adaptive.json must be there, but is missing."),
        (cut_description, "adaptive.json must be JSON, but is not: "),
        (deep_description, "adaptive.json must be JSON, but is not: "),
        (change_thresholds, "adaptive.json must match its `seal`, but does not"),
        (other_form, "adaptive.json must be of form 1, but is of 7: use the run.py that came with it."),
        (lacks_input, "adaptive.json must be as it was written, but is not: it lacks 'input'."),
    ],
)
def test_what_is_wrong_is_said_in_one_line(folder: Path, damage: Callable[[Path], None], said: str) -> None:
    damage(folder)
    found = command(folder, "photo.jpg", "--precision", "fp32")
    assert found.returncode == 2
    assert found.stdout == ""
    assert found.stderr.startswith("error: ")
    assert said in found.stderr
    assert found.stderr.count("\n") == 1


@pytest.mark.parametrize("name", ["absent.jpg", "text.jpg", "absent.npy", "text.npy", "objects.npy"])
def test_a_file_that_is_no_image_is_named_in_one_line(folder: Path, name: str) -> None:
    if name.startswith("text"):
        (folder.parent / name).write_text("no picture")
    if name == "objects.npy":
        np.save(folder.parent / name, np.array([{"an": "object"}]), allow_pickle=True)
    found = command(folder, name)
    assert found.returncode == 2
    assert name in found.stderr
    assert found.stderr.count("\n") == 1


def test_what_the_project_reads_is_what_the_program_reads(program: ModuleType, whole: Path) -> None:
    described = program.read_description(whole)
    assert described.classes == read_adaptive(whole).classes
    assert [(point.label, point.thresholds, point.error) for point in described.points] == [
        (point.configuration.label, point.thresholds, point.error) for point in read_adaptive(whole).points
    ]


def places_of(content: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Where values are within plain values."""
    if path:
        yield path
    items = content.items() if isinstance(content, dict) else enumerate(content) if isinstance(content, list) else ()
    for key, value in items:
        yield from places_of(value, (*path, key))


def test_whatever_the_description_says_it_is_used_or_refused_in_one_line(program: ModuleType, folder: Path) -> None:
    """By the program, and by what the project reads it with."""
    rng = np.random.default_rng(0)
    text = (folder / "adaptive.json").read_text()
    places = list(places_of(json.loads(text)))
    values = [None, -1, 0, 7, 2**62, 1e300, True, "x", "", [], {}, [1, 2, 3], [None], {"a": 1}]
    used = 0
    for _ in range(150):
        content = json.loads(text)
        del content["seal"]
        *before, last = places[rng.integers(len(places) - 1)]
        inner = content
        for key in before:
            inner = inner[key]
        inner[last] = values[rng.integers(len(values))]
        (folder / "adaptive.json").write_text(json.dumps(content))
        refusals = [refusal_of(reader, folder) for reader in (read_adaptive, partial(classified, program))]
        assert not any("\n" in refusal or len(refusal) > 1000 for refusal in refusals)
        used += refusals.count("")
    assert 0 < used < 300


def refusal_of(reader: Callable[[Path], object], folder: Path) -> str:
    try:
        reader(folder)
    except ValueError as error:
        return str(error)
    return ""


def classified(program: ModuleType, folder: Path) -> None:
    network = program.AdaptiveNetwork(folder)
    assert [point.line for point in network.points]
    network.classify(np.zeros((8, 8, 3), np.uint8))
