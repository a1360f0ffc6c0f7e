"""Networks of a run with early exits by the script, on digits."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from moo.adaptation.training.backbones import stale_adaptations
from moo.config import SearchConfig
from moo.deployment.config import TrainFrontConfig
from moo.deployment.job import train_in_run
from moo.deployment.plan import front_trainings
from moo.execution.backend import InProcessBackend
from moo.search.loop import run_search
from moo.search.outputs import write_pictures_and_report
from moo.search.preparation import prepare
from moo.storage.adaptive_front import read_adaptive_front
from moo.storage.run_folder import RunFolder
from scripts import adapt_front, train_front
from scripts.interface.command_line import run
from tests.moo.deployment.test_training import SerialTrainer

ROOT = Path(__file__).parents[2]
SPACE = """\
name: small
input_size: 8
stem: {channels: 8, stride: 1}
stages: [{channels: 8, layers: 2, stride: 1}, {channels: 16, layers: 1, stride: 2}]
last_channels: 16
operators: [k3_e1, k3_e3, skip]
"""
SEARCH = {
    "space": "small.yaml", "out": "run", "device": ("pi4",), "population": 4, "generations": 1, "samples": 1,
    "theta_steps": 2, "pretrain_epochs": 1, "threads": (1,), "precision": ("fp32", "int8"),
}  # fmt: skip
SHORT = ("--exit-epochs", "1", "--joint-epochs", "1", "--quiet")


class TrainerHere(SerialTrainer):
    """Stands for Ray, which takes seconds to start."""

    workers, threads, dashboard_url = 1, 1, None


@pytest.fixture(autouse=True)
def _no_ray(monkeypatch: pytest.MonkeyPatch) -> None:
    for job in ("moo.deployment.job", "moo.adaptation.job"):
        monkeypatch.setattr(f"{job}.start_ray_trainer", lambda splits, **options: TrainerHere(splits))


@pytest.fixture(scope="module")
def once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a space, a run that has ended, and the same with its front trained."""
    folder = tmp_path_factory.mktemp("adapt")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setattr("moo.deployment.job.start_ray_trainer", lambda splits, **options: TrainerHere(splits))
        Path("small.yaml").write_text(SPACE)
        preparation = prepare(SearchConfig(**SEARCH), on_loading=lambda done, total: None)  # type: ignore[arg-type]
        archive = run_search(preparation, InProcessBackend(preparation.setup), lambda event: None)
        write_pictures_and_report(preparation, archive)
        shutil.copytree("run", "untrained")
        config = TrainFrontConfig(run="run", epochs=1)
        train_in_run(config, lambda run, archive, _: front_trainings(run, archive, config), lambda event: None)
    return folder


@pytest.fixture
def script(once: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    """Calls a script's `main` in a copy of that folder; returns exit code, output and errors."""
    shutil.copytree(once, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)

    def call(*options: Any, module: Any = adapt_front) -> Any:
        monkeypatch.setattr(sys, "argv", [f"{module.__name__.rpartition('.')[2]}.py", *map(str, options)])
        with pytest.raises(SystemExit) as stop:
            run(module.main)
        output = capsys.readouterr()
        return stop.value.code, output.out, output.err

    return call


def test_help_is_quick() -> None:
    code = (
        "import sys; import scripts.adapt_front;"
        "print({'torch', 'ray', 'matplotlib', 'datasets', 'pymoo', 'onnxruntime'} & set(sys.modules))"
    )
    result = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "set()"


def test_the_front_is_told_written_and_handed_over(script: Any) -> None:
    code, out, err = script("run", *SHORT)
    assert code == 0, err
    assert "with and without early exits" in out
    assert "xits" in " ".join(out.splitlines()[-5:-1])
    front = read_adaptive_front(Path("run/front_adaptive.json"))
    assert any(point.exits for point in front)
    for point in front:
        if point.exits:
            assert Path(f"run/front/{point.id}/adaptive/run.py").is_file()
            assert point.test_error is not None
    assert Path("run/report.html").stat().st_size > 10_000


@pytest.mark.thorough
@pytest.mark.slow
def test_training_anew_makes_exits_stale_and_says_so(script: Any) -> None:
    assert script("run", *SHORT)[0] == 0
    handed_over = {path.parent.parent.name for path in Path("run/front").glob("*/adaptive/run.py")}
    assert handed_over
    code, out, err = script("run", "--epochs", "2", "--fresh", "--quiet", module=train_front)
    assert code == 0, err
    assert "are of earlier weights; train them anew: python scripts/adapt_front.py run --fresh" in out
    assert stale_adaptations(RunFolder(Path("run")))
    assert {path.parent.parent.name for path in Path("run/front").glob("*/adaptive/run.py")} == handed_over
    code, _, err = script("run", *SHORT)
    assert code == 2
    assert "are of other weights: the network was trained anew since" in err
    assert script("run", *SHORT, "--fresh")[0] == 0
    assert stale_adaptations(RunFolder(Path("run"))) == ()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["nothing"], "the folder of a run must be given, but 'nothing' holds no config.json"),
        (["untrained"], "but those of 'untrained' are not; train them first: python scripts/train_front.py untrained"),
        (["run", "--only", "999"], "`--only` must name trained networks of the run"),
        (["run", "--max-exits", "0"], "`--max-exits >= 1` must hold, but got 0"),
        (["run", "--max-exits", "-1"], "`--max-exits >= 1` must hold, but got -1"),
        (["run", "--max-slowdown", "-5"], "`--max-slowdown >= 0` must hold, in per cent, but got -5.0"),
        (["run", "--max-slowdown", "nan"], "`--max-slowdown >= 0` must hold, in per cent, but got nan"),
        (["run", "--max-slowdown", "much"], "--max-slowdown"),
        (["run", "--threads", "3"], "`--threads` must be of the configurations that the run has cost tables for"),
        (["run", "--exit-epochs", "0"], "`--exit-epochs > 0` must hold"),
        (["run", "--energy", "period"], "`--period-ms` must be given with `--energy period`"),
        (["run", "--inner", "best"], "`--inner` must be one of factorised, nsga2, but got 'best'"),
        (["run", "--dataset", "./none"], "the path './none' does not exist"),
    ],
)
def test_bad_input_is_one_line(script: Any, options: Any, message: str) -> None:
    code, _, err = script(*options)
    assert code == 2
    assert message in err
    assert err.startswith("error: ")
    assert err.count("\n") == 1


def test_a_run_without_a_front_is_refused(script: Any) -> None:
    Path("run/front.json").unlink()
    code, _, err = script("run")
    assert code == 2
    assert "has no final front.json yet; go on with: python scripts/pareto_search.py --resume run" in err


@pytest.mark.slow
@pytest.mark.thorough
def test_a_damaged_segment_is_one_line_and_loses_nothing(script: Any) -> None:
    assert script("run", *SHORT)[0] == 0
    before = json.loads(Path("run/front_adaptive.json").read_text())
    segment = sorted(Path("run/adaptations").glob("*/deployed/segment_0.onnx"))[0]
    content = segment.read_bytes()
    segment.write_bytes(content[: len(content) // 2])
    code, _, err = script("run", *SHORT)
    assert code == 2
    assert err.count("\n") == 1
    assert "is damaged, or another network's" in err
    assert json.loads(Path("run/front_adaptive.json").read_text()) == before
    segment.write_bytes(content)
    assert script("run", *SHORT)[0] == 0
