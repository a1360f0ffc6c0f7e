from __future__ import annotations

import shutil
import sys
import time
from contextlib import closing
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from starlette.testclient import TestClient

from moo.page.coefficients_view import coefficients_json, course_json
from moo.page.network_view import costs_by_layer
from moo.page.opened import OpenedRun
from moo.page.settings import PageSettings
from moo.search.surrogates.answers import open_answers
from moo.storage.run_folder import RunFolder
from moo.storage.store import read_store
from tests.moo.page.conftest import Opened, client_of

COEFFICIENTS = "/api/runs/finished/-/coefficients"


def test_each_trial_that_ended_well_is_told_once_and_failed_ones_with_their_reason(found: OpenedRun) -> None:
    first = found.trials[0]
    failed = replace(
        first, objectives=None, architecture_id=None, traceback="Traceback:\n  ...\nValueError: <b>no</b>\n"
    )
    told = coefficients_json(replace(found, trials={**found.trials, 0: failed}))
    assert [trial["id"] for trial in told["trials"]] == [number for number in found.trials if number != 0]
    assert [(trial["id"], trial["reason"]) for trial in told["failed"]] == [(0, "ValueError: <b>no</b>")]
    for trial in told["trials"]:
        stored = found.trials[trial["id"]]
        assert stored.trial.coefficients is not None
        assert trial["alpha"] == stored.trial.coefficients.alpha
        assert trial["network"] == stored.architecture_id


def test_the_course_of_an_inner_search_is_that_of_the_store(asking: TestClient, finished_run: RunFolder) -> None:
    told = asking.get(f"{COEFFICIENTS}/courses/1").json()
    with closing(read_store(finished_run.store)) as store:
        course = store.theta(1)
    np.testing.assert_allclose(told["probabilities"], course.probs_TLO, atol=5e-4)
    assert [record["latency_ms"] for record in told["records"]] == [record.latency_ms for record in course.records]
    assert asking.get(f"{COEFFICIENTS}/courses/99").status_code == 404


def test_a_run_without_coefficients_says_why_there_are_no_dials(found: OpenedRun) -> None:
    told = coefficients_json(replace(found, config=replace(found.config, method="architectures")))
    assert "searches architectures themselves" in told["nothing"]


def test_as_many_bubbles_as_trials_done_and_a_film(opened: Opened, found: OpenedRun) -> None:
    window = opened()
    page = window.go("/runs/finished/-/coefficients/3")
    page.locator(".bubbles .main-svg").first.wait_for()
    done = [stored for stored in found.trials.values() if stored.objectives is not None]
    drawn = page.evaluate("document.querySelector('.bubbles').data.map((panel) => panel.x.length)")
    assert drawn == [len(done)] * 4
    steps = len(course_json(found, 3)["steps"])
    page.get_by_text(f"Step {steps} of {steps}:").wait_for()
    page.get_by_label("Step", exact=True).press("Home")
    page.get_by_text(f"Step 1 of {steps}:").wait_for()
    page.get_by_role("button", name="Play").click()
    page.get_by_text(f"Step {steps} of {steps}:").wait_for()
    window.assert_quiet()


def test_dials_give_the_network_that_a_search_of_these_coefficients_gives(asking: TestClient, found: OpenedRun) -> None:
    answers = open_answers(found.folder.path)
    for trial_id, configuration in ((0, found.archive.base), (5, found.archive.configurations[1])):
        coefficients = found.trials[trial_id].trial.coefficients
        assert coefficients is not None
        given = {name: str(value) for name, value in asdict(coefficients).items()}
        given["configuration"] = configuration.label
        told = asking.get(f"{COEFFICIENTS}/answer", params=given).json()
        expected = answers.answer(coefficients, configuration)
        assert told["network"] == expected.architecture.id
        assert (told["error"], told["error_source"]) == (expected.error, expected.error_source)
        costs = costs_by_layer(found, expected.architecture, configuration)
        assert told["latency_source"] == "measured" or told["latency_ms"] == pytest.approx(costs["latency_ms"]["sum"])


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"alpha": "1e9"}, "`alpha` must be from 0.01 to 3, as it was searched, but got 1e+09."),
        ({"beta": "x"}, "`beta` must be a number, but got 'x'."),
        ({"configuration": "ort 9t fp32"}, "`configuration` must be one of ort 1t fp32, ort 2t fp32, but got"),
        ({"else": "1"}, "dials must be of alpha, beta, gamma, delta, but got ['else']."),
    ],
)
def test_dials_that_cannot_be_set_so_are_refused(asking: TestClient, given: dict[str, str], told: str) -> None:
    middle = {"alpha": "0.1", "beta": "1", "gamma": "0.1", "delta": "1"}
    answer = asking.get(f"{COEFFICIENTS}/answer", params={**middle, **given})
    assert answer.status_code == 422
    assert told in answer.json()["error"]


def test_a_turn_of_a_dial_is_answered_by_the_latest_value(opened: Opened, found: OpenedRun) -> None:
    window = opened()
    page = window.go("/runs/finished/-/coefficients")
    page.get_by_role("status").get_by_text("These coefficients give").wait_for()
    dial = page.get_by_role("slider", name="alpha")
    with page.expect_response(lambda answer: "alpha=3&" in answer.url) as answered:
        for key in ("Home", "End", "Home", "End"):
            dial.press(key)
    told = answered.value.json()
    page.get_by_role("status").get_by_text(told["network"], exact=True).first.wait_for()
    assert dial.get_attribute("aria-valuetext") == "3.00"
    window.assert_quiet()


FINDS = (
    "import json, sys; print(json.dumps({'networks': [{'id': '000', 'error': 0.5, 'latency_ms': 1.0, 'energy_mj': 2.0, "
    "'latency_source': 'modelled', 'energy_source': 'modelled', 'words': sys.argv}]}))"
)
MIDDLE: dict[str, object] = {"alpha": 0.1, "beta": 1.0, "gamma": 0.1, "delta": 1.0}


@pytest.fixture
def copied(finished_run: RunFolder, tmp_path: Path) -> Path:
    """A folder of runs with the shared one, whose tries are nobody else's."""
    shutil.copytree(finished_run.path, tmp_path / "finished")
    return tmp_path


def tried(asking: TestClient) -> list[dict[str, Any]]:
    """What was tried, once nothing is searched any more."""
    found: list[dict[str, Any]] = [{"state": "searching"}]
    while any(one["state"] == "searching" for one in found):
        time.sleep(0.02)
        found = asking.get(f"{COEFFICIENTS}/tries").json()["tries"]
    return found


def test_what_is_tried_is_searched_by_a_program_and_shown(copied: Path) -> None:
    asking = client_of(PageSettings(runs=copied, trying=(sys.executable, "-c", FINDS)))
    origin = {"origin": "http://127.0.0.1:8500"}
    assert asking.post(f"{COEFFICIENTS}/tries", json=MIDDLE, headers=origin).status_code == 200
    (found,) = tried(asking)
    assert (found["state"], found["alpha"], found["configuration"]) == ("found", 0.1, "ort 1t fp32")
    told = ": error 50.0 %, 1.00 ms (modelled), 2.00 mJ (modelled)"
    assert found["networks"] == [[{"text": "000", "href": "network/000"}, told]]
    again = client_of(PageSettings(runs=copied, trying=(sys.executable, "-c", "raise SystemExit('error: <b>no</b>')")))
    again.post(f"{COEFFICIENTS}/tries", json=MIDDLE, headers=origin)
    assert [(one["state"], one.get("reason")) for one in tried(again)] == [
        ("failed", "error: <b>no</b>"),
        ("found", None),
    ]


def test_nothing_is_started_by_what_dials_cannot_be_set_to(copied: Path) -> None:
    asking = client_of(PageSettings(runs=copied, trying=(sys.executable, "-c", FINDS)))
    wrongs: list[object] = [MIDDLE | one for one in ({"alpha": "; touch x"}, {"configuration": "--help"}, {"out": "x"})]
    for wrong in [*wrongs, []]:
        answer = asking.post(f"{COEFFICIENTS}/tries", json=wrong, headers={"origin": "http://127.0.0.1:8500"})
        assert answer.status_code == 422
    assert tried(asking) == []
    assert not (copied / ".page").exists()
