"""Training a run's front, and baselines beside it, by the scripts, on digits."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import ray
import safetensors.numpy
from PIL import Image

from evaluation.training.config import TrainConfig
from evaluation.work_folder import lock_folder
from moo.config import SearchConfig
from moo.deployment.config import CompareBaselinesConfig, TrainFrontConfig
from moo.execution.backend import InProcessBackend
from moo.search.loop import run_search
from moo.search.outputs import write_pictures_and_report
from moo.search.preparation import prepare
from scripts import compare_baselines, train_front
from scripts.interface.command_line import run
from search_space.boundary.sealing import sealed_tensors, unsealed, write_sealed_json

ROOT = Path(__file__).parents[2]
SPACE = """\
name: small
input_size: 8
stem: {channels: 8, stride: 1}
stages: [{channels: 8, layers: 2, stride: 1}]
last_channels: 8
operators: [k3_e1, k5_e3, skip]
"""
SEARCH = {
    "space": "small.yaml", "out": "run", "measure": False, "population": 4, "generations": 1, "samples": 1,
    "theta_steps": 2, "pretrain_epochs": 1,
}  # fmt: skip


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A folder with a space and a run that has ended."""
    folder = tmp_path_factory.mktemp("front")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        Path("small.yaml").write_text(SPACE)
        preparation = prepare(SearchConfig(**SEARCH), on_loading=lambda done, total: None)  # type: ignore[arg-type]
        archive = run_search(preparation, InProcessBackend(preparation.setup), lambda event: None)
        write_pictures_and_report(preparation, archive)
    return folder


@pytest.fixture
def script(finished: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    """Calls a script's `main` in that folder; returns exit code, output and errors."""

    def call(module: Any, *options: Any) -> Any:
        monkeypatch.chdir(finished)
        monkeypatch.setattr(sys, "argv", [f"{module.__name__.rpartition('.')[2]}.py", *map(str, options)])
        with pytest.raises(SystemExit) as stop:
            run(module.main)
        output = capsys.readouterr()
        return stop.value.code, output.out, output.err

    return call


@pytest.mark.parametrize(
    ("name", "config"), [("train_front", TrainFrontConfig), ("compare_baselines", CompareBaselinesConfig)]
)
def test_help_is_quick_and_whole(name: str, config: Any) -> None:
    result = subprocess.run(
        [sys.executable, str(ROOT / "scripts" / f"{name}.py"), "--help-all"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    for field in dataclasses.fields(config):
        assert field.name == "run" or f"--{field.name.replace('_', '-')}" in result.stdout
    code = (
        f"import sys; import scripts.{name};"
        "print({'torch', 'ray', 'matplotlib', 'datasets', 'pymoo', 'onnxruntime'} & set(sys.modules))"
    )
    result = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "set()"


@pytest.mark.thorough
@pytest.mark.slow
def test_the_front_is_trained_then_baselines_beside_it(script: Any, finished: Any) -> None:
    options = ("run", "--epochs", "0.5", "--no-dashboard", "--workers", "2", "--threads-per-worker", "1")
    before = json.loads((finished / "run/front.json").read_text())
    code, out, err = script(train_front, *options)
    assert code == 0, err
    assert "after training" in out
    front = json.loads((finished / "run/front.json").read_text())
    assert {item["architecture"]["id"] for item in front} <= {item["architecture"]["id"] for item in before}
    for item in front:
        assert item["error_source"] == "trained"
        assert item["error"] == item["trained"]["files"][0]["error"]
        assert item["trained"]["epochs"] == pytest.approx(0.5, abs=0.1)
        files = {path.name for path in (finished / "run/front" / item["architecture"]["id"]).iterdir()}
        assert files == {
            "architecture.json", "weights.safetensors", "model.onnx", "model_int8.onnx", "card.md", "curves.png",
        }  # fmt: skip
    assert [item["error"] for item in front] == sorted(item["error"] for item in front)

    again, out, err = script(train_front, *options)
    assert again == 0, err
    assert json.loads((finished / "run/front.json").read_text()) == front

    code, out, err = script(
        compare_baselines, "run", "--only", "mobilenet-v2-0.35", "--epochs", "0.1", "--no-dashboard", "--quiet"
    )
    assert code == 0, err
    assert "mobilenet-v2-0.35" in out
    assert {path.name for path in (finished / "run/baselines/mobilenet-v2-0.35").iterdir()} >= {
        "model.onnx", "model_int8.onnx", "card.md", "result.json",
    }  # fmt: skip
    report = (finished / "run/report.md").read_text()
    assert "mobilenet-v2-0.35" in report
    assert "python scripts/train_front.py" in report
    assert (finished / "run/report.html").stat().st_size > 10_000


def test_settings_of_training_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "run/trained/012"
    folder.mkdir(parents=True)
    config = TrainFrontConfig(run="run", epochs=3, lr=0.125)
    saved = TrainConfig(architecture="0,1", dataset="digits", **config.recipe).to_json()
    (folder / "config.json").write_text(json.dumps({"settings": saved, "origin": {}}))
    assert compare_baselines.read_command_line(["run"]).recipe == config.recipe
    assert train_front.read_command_line(["run"]).recipe == config.recipe
    assert train_front.read_command_line(["run", "--fresh"]).epochs is None
    saved["weights"] = "inherited.safetensors"
    (folder / "config.json").write_text(json.dumps({"settings": saved, "origin": {}}))
    assert train_front.read_command_line(["run"]).fine_tune
    assert not train_front.read_command_line(["run", "--only", "000"]).fine_tune
    assert compare_baselines.read_command_line(["run", "--lr", "0.25"]).lr == 0.25


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["nothing"], "the folder of a run must be given, but 'nothing' holds no config.json"),
        (["run", "--batch-size", "5000"], "`--batch-size` must be at most the 1259 training images"),
        (["run", "--only", "999"], "`--only` must name networks of the front"),
        (["run", "--epochs", "0"], "`--epochs > 0` must hold"),
        (["run", "--dataset", "./none"], "the path './none' does not exist"),
        (["run", "--workers", "0"], "`--workers >= 1` must hold"),
    ],
)
def test_bad_input_is_one_line(script: Any, options: Any, message: str) -> None:
    code, _, err = script(train_front, *options)
    assert code == 2
    assert message in err
    assert err.startswith("error: ")
    assert err.count("\n") == 1


def test_a_run_without_a_front_is_refused(script: Any, finished: Any) -> None:
    front = finished / "run/front.json"
    content = front.read_bytes()
    front.unlink()
    try:
        code, _, err = script(train_front, "run")
    finally:
        front.write_bytes(content)
    assert code == 2
    assert "has no final front.json yet; go on with: python scripts/pareto_search.py --resume run" in err


def test_a_data_set_with_other_classes_is_refused(script: Any, finished: Any) -> None:
    for split in ("train", "test"):
        for name in ("ant", "bee"):
            (finished / "insects" / split / name).mkdir(parents=True, exist_ok=True)
            for number in range(200):
                Image.new("RGB", (8, 8), (number, 0, 0)).save(finished / "insects" / split / name / f"{number}.png")
    code, _, err = script(train_front, "run", "--dataset", "./insects")
    assert code == 2
    assert "a run's images must have its 10 classes (0, 1, 2, ...), but './insects' has 2 (ant, bee)." in err


def test_a_full_disk_is_one_line(script: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any, **__: Any) -> None:
        raise OSError(28, "No space left on device", "run/trained")

    monkeypatch.setattr("moo.deployment.job.open_run", full)
    code, _, err = script(train_front, "run")
    assert code == 1
    assert err == (
        "error: there must be space on the disk, but none is left for run/trained; make some, and go on: what had "
        "ended is kept. Go on with: python scripts/train_front.py run\n"
    )


@pytest.mark.slow
def test_ctrl_c_names_the_command_that_goes_on(script: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("moo.deployment.job.train_networks", interrupted)
    code, _, err = script(train_front, "run", "--epochs", "0.25", "--fresh", "--no-dashboard", "--workers", "1")
    assert code == 130
    assert "Go on with: python scripts/train_front.py run --epochs 0.25 --no-dashboard --workers 1" in err
    assert not ray.is_initialized()


def test_two_programs_do_not_write_into_one_run(script: Any, finished: Any) -> None:
    with lock_folder(finished / "run"):
        code, _, err = script(train_front, "run", "--epochs", "0.25")
    assert code == 2
    assert "only one program at a time may write into a folder, but another works in 'run'" in err


def test_a_damaged_store_is_one_line(script: Any, finished: Any) -> None:
    store = finished / "run/search.sqlite"
    content = store.read_bytes()
    store.write_bytes(b"not a database" * 100)
    try:
        code, _, err = script(train_front, "run")
    finally:
        store.write_bytes(content)
    assert code == 2
    assert "a run's store must be an SQLite file that can be written to" in err


@pytest.mark.parametrize(
    ("name", "options"), [("cost_table.json", ()), ("checkpoints/supernet.safetensors", ("--fine-tune",))]
)
def test_whole_files_of_another_run_are_refused(script: Any, finished: Any, name: str, options: Any) -> None:
    path = finished / "run" / name
    content = path.read_bytes()
    if path.suffix == ".json":
        tables = unsealed(json.loads(content))
        tables.get("tables", [tables])[0]["latency_ms"][0][0] *= 2
        write_sealed_json(path, tables)
    else:
        tensors = {key: 2 * value for key, value in safetensors.numpy.load(content).items()}
        path.write_bytes(sealed_tensors(safetensors.numpy.save(tensors)))
    try:
        code, _, err = script(train_front, "run", *options)
    finally:
        path.write_bytes(content)
    assert code == 2
    assert "the files of a run must belong together" in err
