from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from evaluation.training.config import TrainConfig
from evaluation.training.loop import Training
from evaluation.work_folder import lock_folder
from scripts.train_architecture import main

ROOT = Path(__file__).parents[2]
SPACE = """\
name: small
input_size: 8
stem: {channels: 8, stride: 2}
stages: [{channels: 8, layers: 1, stride: 1}]
last_channels: 8
operators: [k3_e1, skip]
"""
OPTIONS = ("--space", "small.yaml", "--architecture", "k3_e1", "--dataset", "digits", "--epochs", "2")
FILES = [
    "run/.lock", "run/architecture.json", "run/checkpoint.pt", "run/config.json", "run/curves.png", "run/model.onnx",
    "run/model_int8.onnx", "run/result.json", "run/weights.safetensors", "small.yaml",
]  # fmt: skip


@pytest.fixture
def train(called: Any) -> Any:
    return lambda *options: called("train_architecture.py", main, *options)


def files(folder: Any) -> Any:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_help_names_all_options_and_imports_nothing_heavy() -> None:
    code = (
        "import sys; sys.argv = ['train_architecture.py', '--help-all']\n"
        "from scripts.train_architecture import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "print({'torch', 'ray', 'matplotlib', 'onnx', 'scipy', 'datasets', 'PIL'} & set(sys.modules))"
    )
    result = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert result.stdout.strip().endswith("set()")
    for field in fields(TrainConfig):
        assert f"--{field.name.replace('_', '-')}" in result.stdout


def test_a_training_is_gone_on_with_by_one_program_at_a_time(train: Any, folder: Any) -> None:
    with lock_folder(folder / "run"):
        result = train(*OPTIONS, "--out", "run")
    assert result.returncode == 2
    assert "another works in 'run': wait until it has ended" in result.stderr
    assert files(folder) == ["run/.lock", "small.yaml"]
    assert train(*OPTIONS, "--out", "run").returncode == 0


def test_a_training_writes_its_folder_and_reports_the_result(train: Any, folder: Any) -> None:
    result = train(*OPTIONS, "--out", "run")
    assert result.returncode == 0, result.stderr
    assert files(folder) == FILES
    content = json.loads((folder / "run/result.json").read_text())
    assert f"top-1 {content['top1']:.1%}" in result.stdout.replace(" %", "%")
    assert f"{content['macs']:,} MACs, {content['params']:,} parameters" in result.stdout
    assert "Model: run/model.onnx" in result.stdout
    with Image.open(folder / "run/curves.png") as picture:
        assert picture.format == "PNG"
        assert picture.width > 1000


def test_ctrl_c_names_the_command_that_resumes(train: Any, folder: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    epoch = Training.epoch

    def interrupted(training: Any) -> Any:
        if training.records:
            raise KeyboardInterrupt
        return epoch(training)

    monkeypatch.setattr(Training, "epoch", interrupted)
    result = train(*OPTIONS, "--out", "run")
    assert result.returncode == 130
    assert [line.split(":")[0] for line in result.stdout.splitlines()] == ["epoch 1 of 2"]
    assert result.stderr.strip() == (
        "Stopped; no finished epoch is lost. Go on with: python scripts/train_architecture.py --resume run"
    )
    monkeypatch.setattr(Training, "epoch", epoch)
    resumed = train("--resume", "run", "--quiet")
    assert resumed.returncode == 0, resumed.stderr
    assert files(folder) == FILES
    assert resumed.stdout.startswith("test split: top-1 ")


def test_ctrl_c_before_anything_is_written(train: Any, folder: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("evaluation.training.run.load", interrupted)
    result = train(*OPTIONS)
    assert result.returncode == 130
    assert "Nothing was written." in result.stderr
    assert files(folder) == ["small.yaml"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ((*OPTIONS, "--lr", "0"), "`--lr > 0` must hold, but got 0.0."),
        ((*OPTIONS, "--architecture", "fbnet-z"), "layer 0 of `small` must be one of k3_e1, skip, but got 'fbnet-z'"),
        ((*OPTIONS, "--space", "fbnet"), "`--space` must be one of"),
        ((*OPTIONS, "--dataset", "./none"), "the path './none' does not exist"),
        ((*OPTIONS, "--out", "small.yaml"), "`--out` must name a folder, but 'small.yaml' is a file."),
        ((*OPTIONS, "--out", "."), "`--out` must name a new folder, but '.' is not empty"),
        (("--resume", "none"), "`--resume` must name the folder of a training, but 'none' holds no config.json."),
        (("--resume=",), "`--resume` must name the folder of a training"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2_and_nothing_is_written(
    train: Any, folder: Any, options: Any, message: str
) -> None:
    result = train(*options)
    assert (result.returncode, result.stdout) == (2, ""), result.stderr
    assert result.stderr.startswith("error: ")
    assert message in result.stderr
    assert len(result.stderr.splitlines()) == 1
    assert files(folder) == ["small.yaml"]


def test_other_settings_are_one_line_too(train: Any) -> None:
    assert train(*OPTIONS, "--epochs", "1", "--out", "run", "--quiet").returncode == 0
    result = train("--resume", "run", "--lr", "0.1")
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr == (
        "error: a training must be resumed with its own settings, but it was begun with lr=0.2 and got lr=0.1; omit "
        "`--lr`, or begin a new training.\n"
    )
