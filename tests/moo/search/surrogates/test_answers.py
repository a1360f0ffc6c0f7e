from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dnas.losses import Coefficients
from dnas.surrogate_search import search_thetas
from moo import events
from moo.algorithms.surrogate_assisted import CoefficientSearch
from moo.execution.backend import InProcessBackend
from moo.search import coefficient_search
from moo.search.coefficient_search import searched_on_supernet
from moo.search.loop import find_front
from moo.search.surrogates import task
from moo.search.surrogates.answers import SurrogateAnswers, open_answers
from search_space.architectures import Architecture, architecture_from_indices
from tests.moo.conftest import TABLE, TINY, prepared_in

TUPLES = [
    Coefficients(alpha, beta, gamma, delta) for alpha, beta, gamma, delta in np.random.default_rng(3).random((8, 4))
]


def latency_of(architecture: Architecture) -> float:
    return TABLE.latency_of([TINY.operators.index(name) for name in architecture.operators])


@pytest.fixture(scope="module")
def searched(tmp_path_factory: pytest.TempPathFactory, splits: Any, setup: Any) -> tuple[Path, dict[str, Any]]:
    """A run whose last generation was searched on a surrogate, and what that was searched with."""
    folder, asked = tmp_path_factory.mktemp("surrogate") / "run", dict[str, Any]()
    preparation = prepared_in(folder, splits, TABLE, supernet_generations=2, generations=3, theta_steps=20)

    def noted(**given: Any) -> CoefficientSearch:
        asked.update(given)
        return CoefficientSearch(**given)

    heard: list[events.Event] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(task, "CoefficientSearch", noted)
        find_front(preparation, InProcessBackend(setup), heard.append)
    assert asked, "the last generation was not searched on a surrogate"
    return folder, asked


@pytest.fixture(scope="module")
def answers(searched: tuple[Path, dict[str, Any]]) -> SurrogateAnswers:
    return open_answers(searched[0])


def test_a_tuple_gives_the_network_that_a_search_of_the_run_gives_it(
    searched: tuple[Path, dict[str, Any]],
) -> None:
    """Theta is searched as in `CoefficientSearch`, here by what that was given: its model, costs and settings."""
    folder, asked = searched
    as_then = open_answers(folder, before=8)
    (costs,) = asked["costs"]
    equal = []
    for coefficients in TUPLES:
        rng = np.random.default_rng(np.random.SeedSequence(0, spawn_key=(6,)))
        shape, settings = (TINY.num_layers, len(TINY.operators)), asked["settings"].search
        (theta_LO,) = search_thetas(asked["model"], asked["scale"], costs, [coefficients], shape, settings, rng)
        expected = architecture_from_indices(TINY, tuple(theta_LO.argmax(-1).tolist()))
        equal.append(as_then.answer(coefficients).architecture == expected)
    assert all(equal)


def test_an_answer_says_where_its_figures_come_from(answers: SurrogateAnswers) -> None:
    found = [answers.answer(coefficients) for coefficients in TUPLES]
    assert found == [answers.answer(coefficients) for coefficients in TUPLES]
    for one in found:
        assert one.latency_ms == pytest.approx(latency_of(one.architecture))
        assert one.latency_source == one.energy_source == "modelled"
        assert (one.error_source == "evaluated") == (one.error_deviation == 0.0)
        assert 0 <= one.error <= 1
    cheap = answers.answer(Coefficients(50.0, 1.0, 0.0, 1.0))
    assert cheap.architecture.operators == ("skip",) * 3


def test_a_run_is_only_read(searched: tuple[Path, dict[str, Any]], answers: SurrogateAnswers) -> None:
    folder, _ = searched
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file() and "-shm" not in path.name}
    open_answers(folder).answer(TUPLES[0])
    after = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file() and "-shm" not in path.name}
    assert {path.name for path in before} == {path.name for path in after} - {"search.sqlite-wal"}
    assert all(after[path] == content for path, content in before.items())
    assert asdict(answers.answer(TUPLES[0]).coefficients) == asdict(TUPLES[0])


def test_a_search_on_the_supernet_is_the_trial_that_would_come_next(
    searched: tuple[Path, dict[str, Any]], splits: Any, setup: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Beside `Evaluator`, with the run's supernet: the same networks and figures; images come from the fixture."""
    folder, _ = searched
    monkeypatch.setattr(coefficient_search, "run_source", lambda config: None)
    monkeypatch.setattr(coefficient_search, "run_splits", lambda *given, **options: splits)
    monkeypatch.setattr(coefficient_search, "check_same_inputs", lambda *given: None)
    found = searched_on_supernet(folder, TUPLES[0])
    again = searched_on_supernet(folder, TUPLES[0])
    assert found.networks == again.networks
    assert sum(one.chosen for one in found.networks) == 1
    assert all(one.latency_ms == pytest.approx(latency_of(one.architecture)) for one in found.networks)


def test_what_cannot_answer_says_why(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="must name the folder of a run"):
        open_answers(tmp_path / "missing")
    with pytest.raises(ValueError, match="must name the folder of a run"):
        searched_on_supernet(tmp_path / "missing", TUPLES[0])
