from __future__ import annotations

import json
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from devices.cost_tables.analytic import analytic_cost_table
from dnas.inner_search import ThetaResult
from dnas.losses import Coefficients
from moo.config import SearchConfig
from moo.storage.origin import RunOrigin
from moo.storage.run_folder import RunFolder
from moo.storage.store import new_store
from moo.trials import CoefficientTrial, EvaluatedArchitecture, TrialResult
from scripts.sample_architectures import main
from search_space.spaces import space_named
from tests.moo.conftest import DATASET

SPACE = space_named("fbnet-micro")
LIKELY = tuple(range(8))


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A folder with two trials, of which the first has a theta that favours one architecture."""
    folder = RunFolder(tmp_path / "lab 1")
    folder.path.mkdir()
    config = SearchConfig(space=SPACE.name, dataset="my photos", device=("pi4",), resize="crop", skip_broken=True)
    folder.write_config(config, RunOrigin(space=SPACE, dataset=DATASET))
    analytic_cost_table(SPACE).write(folder.cost_table)
    theta_LO = np.zeros((8, 9), np.float32)
    theta_LO[np.arange(8), LIKELY] = 3.0
    result = TrialResult(
        trial=CoefficientTrial(0, 0, Coefficients(1.0, 1.0, 1.0, 1.0)),
        architectures=(
            EvaluatedArchitecture(
                indices=LIKELY, error=0.125, cross_entropy=0.5, latency_ms=1.0, energy_mj=1.0, params=9
            ),
        ),
        chosen=0,
        theta=ThetaResult(theta_LO, (), theta_LO[None]),
        seconds=1.0,
    )
    with closing(new_store(folder.store)) as store:
        store.add_result(result, SPACE)
    return folder.path


def sampled(monkeypatch: pytest.MonkeyPatch, *words: object) -> None:
    monkeypatch.setattr("sys.argv", ["scripts/sample_architectures.py", *map(str, words)])
    main()


def test_the_most_probable_with_what_is_known_of_them_and_the_command_that_trains_one(
    run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    sampled(monkeypatch, run, "--trial", 0, "--count", 3)
    head, first, second, *others, command = capsys.readouterr().out.splitlines()
    assert "latency, modelled" in head
    assert first.startswith("01234567")
    assert first.endswith("12.5 %")
    assert "not evaluated" in second
    assert len(others) == 1
    assert command == (
        "Train one: python scripts/train_architecture.py --space fbnet-micro --architecture 01234567 --dataset "
        "'my photos' --resize crop --skip-broken"
    )


def test_as_json_and_into_a_file(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "drawn.json"
    sampled(monkeypatch, run, "--trial", 0, "--count", 4, "--seed", 1, "--json", "--out", out)
    items = json.loads(capsys.readouterr().out)
    assert items == json.loads(out.read_text())
    assert len({item["architecture"]["id"] for item in items}) == 4
    assert {item["costs_source"] for item in items} == {"modelled"}


def test_a_trial_that_is_not_there_is_refused(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match="must be one of the run's trials with a theta, 0, but got 7"):
        sampled(monkeypatch, run, "--trial", 7)
