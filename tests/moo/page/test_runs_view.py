from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from moo.config import SearchConfig
from moo.page.opened import opened
from moo.page.runs_view import KeptFigures, RunFigures, comparison, differing, figures_of
from moo.page.settings import PageSettings
from moo.storage.run_folder import RunFolder
from tests.moo.conftest import ORIGIN
from tests.moo.page.conftest import Opened, client_of


def test_figures_are_those_of_the_archive(finished_run: RunFolder) -> None:
    figures, archive = figures_of(finished_run), opened(finished_run).archive
    assert figures.hypervolume == pytest.approx(archive.hypervolume())
    assert figures.reference == pytest.approx(archive.reference_point)
    assert figures.best_error == min(point.error for point in archive.front())
    assert figures.points == len(archive.front())
    assert figures.measured
    assert figures.error_source == "inherited"
    assert figures.seconds is not None


def test_figures_are_read_again_where_a_file_has_changed(
    finished_run: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = KeptFigures()
    first = kept.of(finished_run)
    monkeypatch.setattr("moo.page.runs_view.figures_of", lambda folder: None)
    assert kept.of(finished_run) is first
    monkeypatch.setattr("moo.page.runs_view._stamp", lambda path: (1, 1))
    assert kept.of(finished_run) is None


class OnAnotherBoard(KeptFigures):
    """Says that costs are others."""

    def of(self, folder: RunFolder) -> RunFigures:
        return dataclasses.replace(super().of(folder), reference=(0.75, 1.0 + (folder.path.name == "finished"), 1.0))


def test_hypervolumes_compare_where_reference_points_are_the_same(
    finished_run: RunFolder, unmeasured_run: RunFolder
) -> None:
    kept = KeptFigures()
    alike = comparison([("a", finished_run), ("b", unmeasured_run)], kept)
    assert alike["why_not"] == ""
    assert [row[0] for row in alike["settings"]["rows"]] == [{"code": "--measure"}]
    unlike = comparison([("a", finished_run), ("b", unmeasured_run)], OnAnotherBoard())
    assert unlike["why_not"] == "their reference points differ"
    with pytest.raises(ValueError, match="from 2 to 4 runs"):
        comparison([("a", finished_run)], kept)


def test_settings_that_differ_are_told_by_their_options() -> None:
    one = SearchConfig(from_run="x", threads=(1, 2))
    (first, second) = differing([one, dataclasses.replace(one, from_run=None, threads=())])
    assert first == {"option": "--from", "values": ["x", "–"]}
    assert second == {"option": "--threads", "values": ["1 2", "–"]}


def test_runs_whatever_is_in_their_folders_are_listed(tmp_path: Path) -> None:
    for name, content in (("broken", "{"), ("old/empty", None)):
        folder = RunFolder(tmp_path / name)
        folder.write_config(SearchConfig(dataset="<img onerror>"), ORIGIN)
        folder.store.touch()
        if content is not None:
            folder.config.write_text(content)
    listed = client_of(PageSettings(runs=tmp_path)).get("/api/runs").json()["runs"]
    assert [(one["name"], one["state"]) for one in listed] == [("broken", "unreadable"), ("old/empty", "interrupted")]


def test_runs_are_sorted_and_compared(opened: Opened, finished_run: RunFolder, unmeasured_run: RunFolder) -> None:
    window = opened(viewport={"width": 320, "height": 700})
    page = window.go("/")
    for name in (finished_run.path.name, unmeasured_run.path.name):
        page.get_by_label(f"compare {name}").check()
    page.get_by_role("button", name="hypervolume").press("Enter")
    assert page.locator("th[aria-sort]").inner_text().startswith("hypervolume")
    assert page.evaluate("document.documentElement.scrollWidth") <= 320
    page.get_by_role("button", name="Compare").click()
    page.locator(".chart .point").first.wait_for()
    page.get_by_label("Error on the selection split").select_option("energy")
    assert page.get_by_role("region", name="Settings").get_by_text("--measure").is_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= 320
    window.assert_quiet()
