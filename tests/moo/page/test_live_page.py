from __future__ import annotations

import fcntl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import expect

from evaluation.work_folder import LOCK
from moo.page.searches.states import EVENTS
from moo.page.settings import PageSettings
from moo.storage.event_file import EventFile
from moo.storage.run_folder import RunFolder
from moo.storage.search_state import SearchState, write_state
from scripts.interface.search_program import search_program
from tests.moo.page.conftest import Opened, Served, client_of, serving
from tests.moo.page.searches.conftest import fake_program, killed_in_the_end, write_begun_run
from tests.moo.page.searches.test_estimate import write_run

MARKUP = "<img src=x onerror=document.title='bad'>"
Tell = Callable[..., None]


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A page whose searches are those of the fake program."""
    template, runs = tmp_path_factory.mktemp("template"), tmp_path_factory.mktemp("runs")
    write_begun_run(template)
    program = replace(search_program(), command=fake_program(template))
    with serving(PageSettings(runs=runs, program=program)) as served, killed_in_the_end(served.settings):
        yield served


@contextmanager
def held(folder: Path) -> Iterator[None]:
    """This process works in the folder of a run meanwhile."""
    with (folder / LOCK).open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@pytest.fixture
def tell(served: Served) -> Tell:
    """Writes an event of the run `told`, which has begun."""
    folder = RunFolder(served.settings.runs / "told")
    write_begun_run(folder.path)
    (folder.path / EVENTS).unlink(missing_ok=True)
    file, at = EventFile(folder.path / EVENTS), iter(range(10**6))
    return lambda kind, **figures: file.append(1e9 + next(at), kind, figures)


def test_a_search_is_started_stopped_and_resumed_by_clicks(opened: Opened, served: Served) -> None:
    earlier = RunFolder(served.settings.runs / "earlier")
    write_run(earlier.path)
    write_state(earlier, SearchState(ended=True))
    earlier.supernet.parent.mkdir()
    earlier.supernet.touch()
    window = opened()
    page = window.go("/new")
    page.get_by_label("--population").fill("3")
    expect(page.locator("#option-population-error")).to_contain_text("`--population >= 4` must hold")
    expect(page.get_by_role("button", name="Start")).to_be_disabled()
    page.get_by_label("--population").fill("4")
    page.get_by_label("pi4").check()
    page.get_by_label("host").uncheck()
    page.get_by_label("--space", exact=True).select_option("fbnet-micro")
    page.get_by_label("--size").fill("32")
    page.get_by_label("--pretrain-epochs").fill("3")
    expect(page.get_by_text("Roughly 4 min: a guess from the run 'earlier', which took 2 min 12 s")).to_be_visible()
    page.locator("#option-from").select_option("earlier")
    page.wait_for_url("**/new?from=earlier")
    command = page.get_by_label("command line")
    # The settings of that run are the defaults now.
    expect(page.get_by_label("--space", exact=True)).to_have_value("fbnet-micro")
    expect(command).to_contain_text(f"pareto_search.py --from {earlier.path} --out")
    expect(page.get_by_text("How long it takes is told as soon as it has begun.")).to_be_visible()
    page.locator("#option-from").select_option("")
    page.wait_for_url("**/new?from=")
    page.get_by_label("--population").fill("4")
    page.get_by_label("pi4").check()
    page.get_by_label("host").uncheck()
    page.get_by_label("name").fill("by-clicks")
    expect(command).to_contain_text("pareto_search.py --device pi4 --population 4 --out")
    page.get_by_role("button", name="Start").click()
    page.wait_for_url("**/runs/by-clicks/-/live")
    status = page.get_by_role("status").first
    expect(status).to_contain_text("running")
    page.get_by_role("button", name="Stop").press("Enter")
    expect(status).to_contain_text("interrupted: before its first front; stopped by")
    page.get_by_role("button", name="Resume").click()
    expect(status).to_contain_text("running")
    expect(page.get_by_role("button", name="Resume")).to_be_hidden()
    page.get_by_role("link", name="Runs", exact=True).click()
    expect(page.get_by_role("row", name="by-clicks")).to_contain_text("running")
    window.complaints = [one for one in window.complaints if "422" not in one]
    window.assert_quiet()


def test_what_happens_is_shown_as_it_happens(opened: Opened, tell: Tell) -> None:
    window = opened(viewport={"width": 320, "height": 700})
    page = window.go("/runs/told/-/live")
    tell("command_started", command="pareto_search.py", pid=1, process_start=1, machine="here")
    description = [["data set", MARKUP]]
    tell("run_started", description=description, trials=8, pretrain_epochs=2, measures=True, dashboard_url=None)
    tell("pretrain_epoch", epoch=1, epochs=2, loss=1.5, accuracy=0.5, lr=0.1)
    tell("generation_started", number=1, trials=4, already_done=0)
    for trial in (0, 1):
        figures: dict[str, Any] = {"generation": 1, "coefficients": [1, 1, 1, 1], "configuration": None}
        tell("trial_started", trial=trial, architecture=None, **figures)
        tell("worker_busy", worker=f"worker {2 - trial}", node=MARKUP, job=f"trial {trial}: {MARKUP}", trial=trial)
    for worker in ("worker 2", "worker 1"):
        tell("worker_idle", worker=worker, node=MARKUP)
    tell("trial_finished", trial=0, **figures)
    tell("trial_failed", trial=1, reason=MARKUP, traceback=f"Traceback\n{MARKUP}", **figures)
    for volume in (0.25, 0.5):
        tell("front_changed", points=3, hypervolume=volume, evaluations=5, trials=1, error_kind="plain", front=[])
    content = page.locator("main")
    expect(content).to_contain_text("pre-training1 of 2 epochs, accuracy 50.0 %")
    expect(content).to_contain_text("search2 of 8 trials, generation 1")
    expect(content).to_contain_text("hypervolume 0.5000")
    expect(page.locator(".bar")).to_have_count(2)
    expect(page.locator(".bar.lost")).to_have_attribute("title", f"trial 1: {MARKUP}: 2 s, failed")
    page.get_by_text("Trial 1 failed").click()
    expect(page.get_by_label("traceback")).to_have_text(f"Traceback\n{MARKUP}")
    page.locator(".low .lines").wait_for()
    tell("board_conditions", device="ssh://me@pi", temperature_c=85.0, clock_mhz=1500.0, throttled=False)
    expect(page.get_by_role("row", name="ssh://me@pi")).to_contain_text("hot")
    tell("board_unreachable", device="ssh://me@pi", reason=f"unplugged {MARKUP}")
    # The page has ten seconds from the moment that the search knows; it takes about one.
    expect(page.get_by_role("row", name="ssh://me@pi")).to_contain_text(f"gone: unplugged {MARKUP}")
    expect(content).to_contain_text(f"data set: {MARKUP}")
    tell("command_ended", ending="failed", seconds=3.0, reason=MARKUP, traceback=None)
    expect(page.get_by_role("status").first).to_contain_text(f"failed: {MARKUP}")
    page.get_by_text("Log").click()
    assert page.evaluate("document.documentElement.scrollWidth") <= 320
    assert page.title() == "Live · told"
    assert page.locator("img").count() == 0
    window.assert_quiet()


def test_each_workers_lane_shows_what_it_does_and_the_share_that_is_done(
    opened: Opened, served: Served, tell: Tell
) -> None:
    # The run's lock says whether it goes on, and what its workers do is shown as long as it does.
    with held(served.settings.runs / "told"):
        window = opened()
        page = window.go("/runs/told/-/live")
        tell("command_started", command="pareto_search.py", pid=1, process_start=1, machine="here")
        for worker, trial in (("worker 10", 0), ("worker 2", 1)):
            tell("worker_busy", worker=worker, node="here", job=f"trial {trial}: alpha 1", trial=trial)
        figures = {"loss": 1.0, "latency_ms": 1.0, "energy_mj": 1.0, "entropy": 1.0}
        tell("inner_search_progress", trial=0, step=30, steps=40, **figures)
        lanes = page.locator(".lane")
        expect(lanes).to_contain_text(
            ["worker 2 trial 1: alpha 1", "worker 10 trial 0: alpha 1  75 % step 30 of 40, for"]
        )
        done = page.get_by_role("progressbar", name="trial 0: alpha 1: share that is done")
        expect(done).to_have_attribute("value", "0.75")
        tell("worker_gone", worker="worker 10", node="here", reason="out of memory")
        tell("worker_busy", worker="worker 11", node="here", job="trial 0: alpha 1", trial=0)
        tell("inner_search_progress", trial=0, step=10, steps=40, **figures)
        expect(lanes).to_contain_text(["worker 2", "worker 10 free", "worker 11 trial 0: alpha 1  25 % step 10 of 40"])
        expect(page.locator("main")).to_contain_text("worker 10 was lost, and its work is done again: out of memory")
        window.assert_quiet()


def test_a_report_runs_nothing_whatever_it_holds(served: Served, tell: Tell) -> None:
    client, place = client_of(served.settings), "/api/runs/told/-/report"
    assert client.get(place).status_code == 404
    report = served.settings.runs / "told" / "report.html"
    report.symlink_to("/etc/passwd")
    assert client.get(place).status_code == 404
    assert not client.get("/api/runs/told/-/state").json()["report"]
    report.unlink()
    report.write_text("<script>alert(1)</script>")
    assert client.get("/api/runs/told/-/state").json()["report"]
    policy = client.get(place).headers["content-security-policy"]
    assert "sandbox" in policy
    assert "script-src" not in policy
    report.unlink()


@pytest.mark.slow
def test_the_page_says_when_the_server_is_gone_and_goes_on_when_it_is_back(
    opened: Opened, served: Served, tell: Tell
) -> None:
    with serving(served.settings) as first:
        window = opened(first)
        page = window.go("/runs/told/-/live")
        tell("stage_progress", stage="loading", done=1, total=4, detail="")
        expect(page.locator("main")).to_contain_text("loading1 of 4")
        port = int(first.origin.rpartition(":")[2])
    expect(page.get_by_text("No connection")).to_be_visible()
    tell("stage_progress", stage="loading", done=3, total=4, detail="")
    with serving(served.settings, port=port):
        expect(page.locator("main")).to_contain_text("loading3 of 4")
        expect(page.get_by_text("No connection")).to_be_hidden()
