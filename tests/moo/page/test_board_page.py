from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from devices.measurement import Conditions
from moo.page.board_view import BoardStates, board_json
from moo.page.opened import opened as opened_run
from moo.storage.event_file import line_of
from moo.storage.run_folder import RunFolder
from search_space.boundary.reading import read_json
from search_space.boundary.sealing import unsealed, write_sealed_json
from tests.moo.page.conftest import Opened


def test_predictions_stand_beside_what_the_board_measured(finished_run: RunFolder) -> None:
    run = opened_run(finished_run)
    told = board_json(run)
    measured = [(entry, one) for entry in run.archive.entries for one in entry.measurements]
    assert len(told["compared"]) == len(measured) > 0
    for item, (entry, measurement) in zip(told["compared"], measured, strict=True):
        table = run.tables[measurement.configuration]
        indices = [table.operators.index(name) for name in entry.architecture.operators]
        assert item["predicted_ms"] == table.latency_of(indices)
        assert (item["latency_ms"], item["latency_source"]) == (measurement.latency_ms, "measured")
    of_base = [item for item in told["compared"] if item["configuration"] == run.archive.base.label]
    mean = sum(abs(item["predicted_ms"] / item["latency_ms"] - 1) for item in of_base) / len(of_base)
    assert told["errors"][0]["latency"] == pytest.approx(mean)
    assert told["errors"][0]["energy"] is None, "no meter read it"
    assert len(told["conditions"]) == len(run.measurements)


def test_throttling_and_failures_are_told(finished_run: RunFolder) -> None:
    run = opened_run(finished_run)
    name, first = run.measurements[0]
    hot = replace(first, after=Conditions(temperature_c=81.5, clock_mhz=1000.0, throttled=0b100))
    failed: dict[str, object] = {"architecture": name, "configuration": "ort 1t fp32", "reason": "x"}
    events = [("2026-01-01", "measuring failed", failed)]
    told = board_json(replace(run, measurements=[(name, hot)], events=events))
    assert [item["throttled"] for item in told["conditions"]] == [True]
    assert told["conditions"][0]["after"]["temperature_c"] == 81.5
    assert [item["reason"] for item in told["failures"]] == ["x"]


def test_the_page_of_a_board(opened: Opened, finished_run: RunFolder) -> None:
    window = opened()
    page = window.go("/runs/finished/-/board")
    page.get_by_role("heading", name="Predicted against measured").wait_for()
    page.locator(".chart .main-svg").first.wait_for()
    drawn = page.evaluate("document.querySelector('.chart').data.slice(1).reduce((sum, one) => sum + one.x.length, 0)")
    assert drawn == len(board_json(opened_run(finished_run))["compared"])
    window.assert_quiet()


@pytest.mark.parametrize("place", ["network", "coefficients", "board"])
def test_without_measuring_nothing_is_called_so(opened: Opened, unmeasured_run: RunFolder, place: str) -> None:
    window = opened()
    page = window.go(f"/runs/{unmeasured_run.path.name}/-/{place}")
    if place == "coefficients":
        page.get_by_role("status").get_by_text("These coefficients give").wait_for()
    told = page.locator("main").inner_text()
    assert "modelled" in told
    assert "measured" not in told
    assert ("No board took part in this run" in told) == (place == "board")
    window.assert_quiet()


def test_what_boards_tell_between_measurements_is_read_once_and_anew_where_the_file_was_replaced(
    tmp_path: Path,
) -> None:
    path, states = tmp_path / "events.jsonl", BoardStates()
    assert states.of(path) == []
    hot = line_of(2.0, "board_conditions", {"device": "<b>pi</b>", "temperature_c": 82.0, "throttled": True})
    path.write_bytes(line_of(1.0, "trial_started", {}) + hot)
    assert [one.figures["temperature_c"] for one in states.of(path)] == [82.0]
    with path.open("ab") as file:
        file.write(line_of(3.0, "board_conditions", {"device": "pi", "temperature_c": 60.0}))
    assert [one.at for one in states.of(path)] == [2.0, 3.0]
    path.write_bytes(line_of(4.0, "board_conditions", {"device": "pi"}))
    assert [one.at for one in states.of(path)] == [4.0]


def test_names_of_boards_stay_text(opened: Opened, finished_run: RunFolder, runs_folder: Path) -> None:
    name = "<img src=x onerror=alert(1)><b>pi</b>"
    copied = runs_folder / "named"
    shutil.copytree(finished_run.path, copied)
    config = unsealed(read_json(copied / "config.json", what="the settings"))
    config["origin"]["board"] |= {"name": name, "os": name, "runtime": name}
    write_sealed_json(copied / "config.json", config)
    line = line_of(1.0, "board_conditions", {"device": name, "temperature_c": 50.0, "throttled": False})
    (copied / "events.jsonl").write_bytes(line)
    window = opened()
    page = window.go("/runs/named/-/board")
    page.locator(".chart .legendtext").filter(has_text=f"{name}, at any time").wait_for()
    assert page.locator("main img").count() == 0
    window.assert_quiet()
    shutil.rmtree(copied)
