from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from devices.configuration import RuntimeConfiguration
from dnas.losses import Coefficients
from moo.execution.backend import InProcessBackend
from moo.search import one_trial
from moo.search.loop import find_front
from moo.search.one_trial import search_coefficients
from moo.storage.run_folder import RunFolder
from tests.moo.conftest import TABLE, TINY, prepared_in

COEFFICIENTS = Coefficients(0.3, 1.0, 0.1, 1.0)


@pytest.fixture(scope="module")
def searched(tmp_path_factory: pytest.TempPathFactory, splits: Any, setup: Any) -> Path:
    """A run that has a supernet."""
    folder = tmp_path_factory.mktemp("tried") / "run"
    find_front(prepared_in(folder, splits, TABLE, generations=1), InProcessBackend(setup), lambda event: None)
    return folder


def test_coefficients_are_searched_as_a_trial_does_and_the_run_stays_as_it_is(
    searched: Path, splits: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(one_trial, "run_source", lambda config: None)
    monkeypatch.setattr(one_trial, "run_splits", lambda *arguments, **options: splits)
    before = {path: path.read_bytes() for path in searched.rglob("*") if path.is_file()}
    found = search_coefficients(searched, COEFFICIENTS)
    assert found == search_coefficients(searched, COEFFICIENTS)
    assert [one.stands for one in found].count(True) == 1
    for one in found:
        indices = [TINY.operators.index(name) for name in one.architecture.operators]
        assert one.latency_ms == pytest.approx(TABLE.latency_of(indices))
        assert 0 <= one.error <= 1
    assert before == {path: path.read_bytes() for path in searched.rglob("*") if path.is_file()}


def test_what_a_run_has_not_searched_is_refused(searched: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"`configuration` must be one that the run has searched \(ort 1t fp32\)"):
        search_coefficients(searched, COEFFICIENTS, RuntimeConfiguration(threads=7))
    folder = RunFolder(tmp_path)
    folder.config.write_bytes(RunFolder(searched).config.read_bytes())
    with pytest.raises(ValueError, match="must have pre-trained its supernet"):
        search_coefficients(tmp_path, COEFFICIENTS)
