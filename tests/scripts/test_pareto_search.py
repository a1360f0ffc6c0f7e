from __future__ import annotations

import contextlib
import dataclasses
import io
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pytest
from PIL import Image

from devices.cost_tables.analytic import analytic_cost_table
from moo import events
from moo.config import SearchConfig, option_of
from moo.execution.backend import InProcessBackend
from moo.execution.evaluator import Evaluator
from moo.storage.run_folder import RunFolder
from moo.storage.store import read_store
from scripts import pareto_search
from scripts.interface.command_line import run
from scripts.pareto_search import read_command_line
from search_space.spaces import space_named
from tests.moo.conftest import ORIGIN

ROOT = Path(__file__).parents[2]
IMAGES = datasets.Features({"picture": {"bytes": datasets.Value("binary"), "path": datasets.Value("string")}})


def as_a_script(*options: Any, cwd: Any = ROOT) -> Any:
    return subprocess.run(
        [sys.executable, str(ROOT / "scripts" / "pareto_search.py"), *options],
        cwd=cwd,
        capture_output=True,
        text=True,
        check=False,
    )


def test_help_mentions_every_option() -> None:
    result = as_a_script("--help-all")
    assert result.returncode == 0, result.stderr
    for field in dataclasses.fields(SearchConfig):
        assert f"--{option_of(field.name)}" in result.stdout
    assert "Pareto front" in result.stdout


def test_options_are_read_without_torch_ray_or_matplotlib() -> None:
    code = (
        "import sys; from scripts.pareto_search import read_command_line; read_command_line(['--population', '5']);"
        "print({'torch', 'ray', 'matplotlib', 'datasets', 'pymoo', 'onnxruntime'} & set(sys.modules))"
    )
    result = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "set()"


@pytest.mark.slow
@pytest.mark.parametrize("options", [["--population", "3"], ["--space", "fbnet", "--no-measure"]])
def test_as_a_script_bad_input_is_one_line_too(tmp_path: Path, options: Any) -> None:
    result = as_a_script(*options, cwd=tmp_path)
    assert result.returncode == 2
    assert result.stdout == ""
    assert result.stderr.startswith("error: ")
    assert len(result.stderr.splitlines()) == 1
    assert not list(tmp_path.iterdir())


@pytest.fixture
def refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    """Runs a search in an empty folder that must end with one line; returns that line.

    What the test itself wrote before, such as a progress bar of `datasets`, does not count.
    """
    workplace = tmp_path / "workplace"
    workplace.mkdir()
    monkeypatch.chdir(workplace)

    def call(*options: Any) -> Any:
        monkeypatch.setattr(sys, "argv", ["pareto_search.py", "--no-measure", "--quiet", *map(str, options)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as stop:
            run(pareto_search.main)
        output = capsys.readouterr()
        assert stop.value.code == 2
        assert output.out == ""
        assert output.err.startswith("error: ")
        assert output.err.count("\n") == 1
        assert "Traceback" not in output.err
        assert not list(workplace.iterdir())
        return output.err

    return call


def png(seed: int = 0) -> Any:
    buffer = io.BytesIO()
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, (8, 8, 3), np.uint8)).save(buffer, "PNG")
    return {"bytes": buffer.getvalue(), "path": None}


def parquet(path: Any, columns: Any, features: Any = None) -> Any:
    datasets.Dataset.from_dict(columns, features=features).to_parquet(str(path))
    return path


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--population", "3"], "`--population >= 4` must hold for coefficients to be evolved, but got 3 with 8"),
        (["--generations", "0"], "`--generations >= 1` must hold, but got 0."),
        (["--device", "pi4", "--meter", "ina219"], "`--meter` must go with a board that measures, but --device pi4"),
        (["--no-measure", "--meter", "ina219"], "`--meter` must go with a board that measures, but --no-measure"),
        (["--samples", "-1"], "`--samples >= 0` must hold, but got -1."),
        (["--theta-steps", "0"], "`--theta-steps >= 1`"),
        (["--threads", "0"], "`threads` must be a whole number of at least 1, but got 0"),
        (["--workers", "0"], "`--workers >= 1`"),
        (["--pretrain-lr", "nan"], "`--pretrain-lr > 0` must hold, but got nan."),
        (["--alpha", "0", "1"], "`0 < lowest <= highest` must hold for `--alpha`, but got 0 1"),
        (["--beta", "-0.2", "1"], "`0 < lowest <= highest` must hold for `--beta`, but got -0.2 1"),
        (["--gamma", "2", "1"], "`0 < lowest <= highest` must hold for `--gamma`, but got 2 1"),
        (["--delta", "1", "inf"], "`0 < lowest <= highest` must hold for `--delta`, but got 1 inf"),
        (["--space", "fbnet"], "`--space` must be one of fbnet-"),
        (["--space", "nas-bench-201"], "`--space` must be a space with a supernet"),
        (["--space", "none.yaml"], "a space file must exist, but got 'none.yaml'."),
        (["--device", "toaster"], "`--device` must be one of host"),
        (["--dataset", "./none"], "the path './none' does not exist."),
        (["--theta-batch", "5000", "--space", "fbnet-micro"], "a batch must not be larger than its split"),
        (["--cost-table", "none.json"], "a cost table file must exist, but got 'none.json'."),
        (["--resume", "none"], "`--resume` must name the folder of a run, but 'none' is no folder."),
        (["--from", "none"], "`--from` must name the folder of a run, but 'none' is no folder."),
        (["--from", "."], "`--from` must name the folder of a run, but '.' holds no config.json."),
        (["--resume=none"], "`--resume` must name the folder of a run, but 'none' is no folder."),
        (["--resume", "."], "`--resume` must name the folder of a run, but '.' holds no config.json."),
    ],
)
def test_bad_input_is_one_line_with_exit_code_2_and_leaves_nothing_behind(
    refused: Any, options: Any, message: str
) -> None:
    assert message in refused(*options)


@pytest.mark.parametrize(("text", "message"), [("stages: [", "must be YAML"), ("3", "must be a mapping")])
def test_a_malformed_space_file_is_named(refused: Any, tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "own.yaml").write_text(text)
    error = refused("--space", tmp_path / "own.yaml")
    assert "own.yaml" in error
    assert message in error


def test_a_data_set_without_images_or_labels_is_told_its_columns(refused: Any, tmp_path: Path) -> None:
    labels = [0, 1] * 20
    numbers = parquet(tmp_path / "numbers.parquet", {"label": labels, "size": [0.5] * 40})
    assert "must have one column of images, but" in refused("--dataset", numbers)
    pictures = parquet(tmp_path / "pictures.parquet", {"picture": [png()] * 40}, IMAGES)
    error = refused("--dataset", pictures)
    assert "must have one column of class labels, but" in error
    assert "picture" in error


def test_a_corrupt_image_is_named(refused: Any, tmp_path: Path) -> None:
    images = [png(seed) for seed in range(40)]
    images[17] = {"bytes": b"no picture", "path": "seventeen.png"}
    features = datasets.Features({**IMAGES, "label": datasets.ClassLabel(names=["a", "b"])})
    path = parquet(tmp_path / "images.parquet", {"picture": images, "label": [0, 1] * 20}, features)
    error = refused("--dataset", path)
    assert "row 17 (seventeen.png)" in error
    assert "is corrupt" in error


def test_a_cost_table_of_another_space_is_refused(refused: Any, tmp_path: Path) -> None:
    path = tmp_path / "table.json"
    analytic_cost_table(space_named("fbnet-cifar")).write(path)
    named = ("--space", "fbnet-micro", "--cost-table", path)
    assert "the space of a cost table must be that of the search space, fbnet-micro" in refused(*named)
    path.write_text("{}")
    assert "in the cost table file" in refused(*named)
    assert "in the cost table file" in refused("--cost-table", path)


@pytest.fixture
def earlier_run(tmp_path: Path) -> Any:
    """Folder of a run that was begun, with a population of 5."""
    folder = RunFolder(tmp_path / "earlier")
    folder.write_config(SearchConfig(population=5, measure=False), ORIGIN)
    return folder.path


def test_a_folder_that_holds_a_run_is_not_overwritten(refused: Any, earlier_run: Any) -> None:
    error = refused("--out", earlier_run)
    assert "already holds a run; choose another, or go on with a run by --resume." in error


def test_other_settings_are_refused_when_resuming(refused: Any, earlier_run: Any) -> None:
    error = refused("--resume", earlier_run, "--population", "99")
    assert "it was made with population=5 and got population=99; omit `--population`" in error
    assert "`--resume` goes on in its own folder" in refused("--resume", earlier_run, "--out", "elsewhere")


def test_a_broken_run_is_refused_when_resuming(refused: Any, earlier_run: Any) -> None:
    (earlier_run / "config.json").write_text(json.dumps({"settings": {}}))
    assert "config.json' cannot be read" in refused("--resume", earlier_run)


def test_a_resumed_run_keeps_its_settings(earlier_run: Any) -> None:
    saved = SearchConfig(population=5, measure=False, resume=str(earlier_run))
    assert read_command_line(["--resume", str(earlier_run)]) == saved
    assert read_command_line([f"--resume={earlier_run}"]) == saved
    more = read_command_line(["--workers", "3", "--resume", str(earlier_run), "--quiet"])
    assert more == dataclasses.replace(saved, workers=3, quiet=True)


@pytest.mark.parametrize(
    ("saved", "options", "expected"),
    [
        ({}, ["--minutes", "2"], {"minutes": 2.0}),
        ({"generations": 3}, ["--minutes=2"], {"minutes": 2.0, "generations": 8}),
        ({"minutes": 5.0}, ["--generations", "8"], {"minutes": None}),
        ({"minutes": 5.0}, ["--minutes", "1"], {"minutes": 1.0}),
        ({"generations": 3}, ["--generations", "2"], {"generations": 2}),
        ({"method": "grid", "generations": 3}, ["--minutes", "2"], {"minutes": 2.0}),
        ({"minutes": 5.0}, [], {}),
    ],
)
def test_a_resumed_run_ends_as_was_said_last(tmp_path: Path, saved: Any, options: Any, expected: Any) -> None:
    config = SearchConfig(measure=False, **saved)
    RunFolder(tmp_path).write_config(config, ORIGIN)
    wanted = dataclasses.replace(config, resume=str(tmp_path), **expected)
    assert read_command_line(["--resume", str(tmp_path), *options]) == wanted


def test_a_resumed_run_cannot_end_in_two_ways(earlier_run: Any) -> None:
    with pytest.raises(ValueError, match="`--generations` must go with a search that ends with them, but --minutes"):
        read_command_line(["--resume", str(earlier_run), "--generations", "9", "--minutes", "2"])


def test_columns_of_another_run_are_not_those_of_other_images(tmp_path: Path) -> None:
    RunFolder(tmp_path).write_config(SearchConfig(dataset="cifar100", label_column="fine_label", seed=3), ORIGIN)
    same = read_command_line(["--from", str(tmp_path)])
    other = read_command_line(["--from", str(tmp_path), "--dataset", "cifar10"])
    assert (same.dataset, same.label_column, same.seed) == ("cifar100", "fine_label", 3)
    assert (other.dataset, other.label_column, other.seed) == ("cifar10", None, 3)


@pytest.mark.parametrize(
    ("option", "kind"), [("--minutes", "a number"), ("--workers", "a whole number"), ("--max-latency-ms", "a number")]
)
def test_words_for_numbers_are_refused_where_an_option_may_be_absent(
    capsys: pytest.CaptureFixture[str], option: str, kind: str
) -> None:
    with pytest.raises(SystemExit):
        read_command_line([option, "six"])
    assert f"`{option}` must be {kind}, but got 'six'." in capsys.readouterr().err


def test_without_options_the_defaults_hold() -> None:
    assert read_command_line([]) == SearchConfig()
    given = read_command_line(["--alpha", "0.5", "2", "--loss", "multiplicative", "--no-dashboard", "--flip", "True"])
    assert given == SearchConfig(alpha=(0.5, 2.0), loss="multiplicative", dashboard=False, flip=True)


@pytest.fixture
def on_tiny_images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    """Runs the script's `main` on a few images of noise with workers in this process; returns exit code and output."""
    features = datasets.Features({**IMAGES, "label": datasets.ClassLabel(names=["a", "b"])})
    images = parquet(
        tmp_path / "noise.parquet", {"picture": [png(seed) for seed in range(60)], "label": [0, 1] * 30}, features
    )
    space = tmp_path / "own.yaml"
    space.write_text(
        "{input_size: 8, stem: {channels: 8, stride: 1}, stages: [{channels: 8, layers: 2, stride: 1}],"
        " last_channels: 8, operators: [k3_e1, k3_e3, skip]}"
    )
    monkeypatch.setattr("moo.execution.ray_backend.start_ray_backend", lambda setup, **options: InProcessBackend(setup))
    settings = {
        "--dataset": images, "--space": space, "--population": 4, "--generations": 1, "--samples": 1,
        "--theta-steps": 1, "--theta-batch": 4, "--pretrain-batch": 16, "--pretrain-epochs": 1,
        "--out": tmp_path / "run",
    }  # fmt: skip
    begin = [str(word) for pair in settings.items() for word in pair]

    def call(*options: Any) -> Any:
        argv = ["pareto_search.py", *(options or [*begin, "--no-measure"])]
        monkeypatch.setattr(sys, "argv", [str(word) for word in argv])
        capsys.readouterr()
        with pytest.raises(SystemExit) as stop:
            run(pareto_search.main)
        output = capsys.readouterr()
        return stop.value.code, output.out, output.err

    return call


@pytest.mark.slow
def test_a_run_prints_its_front_and_where_everything_lies(on_tiny_images: Any, tmp_path: Path) -> None:
    code, out, err = on_tiny_images()
    assert (code, err) == (0, "")
    folder = tmp_path / "run"
    items = json.loads((folder / "front.json").read_text())
    for item in items:
        assert item["architecture"]["id"] in out
        assert (folder / "front" / item["architecture"]["id"] / "model.onnx").is_file()
    for place in ("plots", "report.html", "front", "tensorboard"):
        assert f"{folder}/{place}" in out
        assert (folder / place).exists()
    assert {path.name for path in folder.iterdir()} >= {
        "config.json",
        "search.sqlite",
        "checkpoints",
        "cost_table.json",
    }
    again, out_again, _ = on_tiny_images("--resume", folder, "--quiet")
    assert again == 0
    assert json.loads((folder / "front.json").read_text()) == items
    assert f"{folder}/report.html" in out_again


@pytest.mark.slow
def test_an_interrupted_run_says_how_to_go_on(
    on_tiny_images: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from scripts.interface.live_view import LiveView

    original = LiveView.__call__

    def interrupted(self: Any, event: Any) -> None:
        if isinstance(event, events.TrialFinished):
            raise KeyboardInterrupt
        original(self, event)

    monkeypatch.setattr(LiveView, "__call__", interrupted)
    code, _, err = on_tiny_images()
    assert code == 130
    assert f"Go on with: python scripts/pareto_search.py --resume {tmp_path / 'run'}" in err
    assert "Traceback" not in err
    report = tmp_path / "run" / "report.html"
    assert f"Report so far: {report}   Front so far: {tmp_path / 'run' / 'front.json'}" in err
    assert "The search has not ended" in report.read_text()
    monkeypatch.setattr(LiveView, "__call__", original)
    assert on_tiny_images("--resume", tmp_path / "run")[0] == 0


def test_interrupted_before_anything_was_written_it_says_so(
    on_tiny_images: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*args: Any, **options: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("moo.search.preparation.load", interrupted)
    code, _, err = on_tiny_images()
    assert code == 130
    assert "Nothing was written." in err
    assert not (tmp_path / "run").exists()


@pytest.mark.thorough
def test_a_trial_that_wants_memory_is_no_failure_and_is_done_when_the_search_goes_on(
    on_tiny_images: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    search = Evaluator.search

    def wanting(self: Any, job: Any, costs: Any) -> Any:
        if job.id == 1:
            raise MemoryError("no more")
        return search(self, job, costs)

    monkeypatch.setattr(Evaluator, "search", wanting)
    code, _, err = on_tiny_images()
    command = f"python scripts/pareto_search.py --resume {tmp_path / 'run'}"
    assert code == 1
    assert err.splitlines()[0] == (
        "error: trial 1 is still to be done: MemoryError: no more. Have more memory or disk free, or fewer --workers. "
        f"Go on with: {command}"
    )
    assert "Traceback" not in err
    monkeypatch.setattr(Evaluator, "search", search)
    assert on_tiny_images("--resume", tmp_path / "run")[0] == 0
    with contextlib.closing(read_store(RunFolder(tmp_path / "run").store)) as store:
        assert [item.traceback for item in store.trials().values()] == [None] * store.num_trials()


def test_a_search_in_which_everything_fails_ends_with_exit_code_1_and_the_reason(
    on_tiny_images: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(self: Any, job: Any, costs: Any) -> None:
        raise ArithmeticError("no number")

    monkeypatch.setattr(Evaluator, "search", failing)
    code, _, err = on_tiny_images()
    assert code == 1
    assert err == "error: every trial of generation 1 failed; the last one with: ArithmeticError: no number\n"


def test_an_empty_resume_is_a_folder_that_is_no_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=r"`--resume` must name the folder of a run, but '\.' holds no config\.json"):
        read_command_line(["--resume="])
