"""The page as a program of its own, with a real search by clicks, killed and held up."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import expect

from moo.page.searches.states import EVENTS
from moo.page.settings import PageSettings
from moo.storage.event_file import EventFile
from tests.moo.page.conftest import Opened, Served
from tests.moo.page.searches.conftest import write_begun_run

ROOT = Path(__file__).parents[3]
OPTIONS = {
    "space": "fbnet-micro", "population": "4", "generations": "3", "samples": "0", "pretrain-epochs": "1",
    "theta-steps": "8", "configurations": "base", "seed": "3",
}  # fmt: skip
PATIENCE_MS = 240_000


@contextmanager
def page_program(runs: Path) -> Iterator[tuple[subprocess.Popen[str], Served]]:
    """The page as a program of its own, on any port; killed in the end, as nothing may depend on it."""
    words = [sys.executable, str(ROOT / "scripts" / "pareto_page.py"), "--runs", str(runs), "--port", "0"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as program:
        assert program.stdout is not None
        try:
            found = re.search(r"http\S+", program.stdout.readline())
            assert found is not None
            yield program, Served(PageSettings(runs=runs), found[0])
        finally:
            program.kill()


def searching(*words: str) -> list[str]:
    return [sys.executable, str(ROOT / "scripts" / "pareto_search.py"), *words, "--quiet"]


@pytest.mark.thorough
@pytest.mark.slow
def test_a_search_by_clicks_outlives_the_page_and_finds_what_the_command_line_finds(
    opened: Opened, tmp_path: Path
) -> None:
    with page_program(tmp_path) as (first, served), page_program(tmp_path) as (_, second):
        page = opened(served).go("/new")
        for folded in page.locator("summary").all():
            folded.click()
        for name, value in OPTIONS.items():
            field = page.locator(f"[id='option-{name}']")
            if field.evaluate("element => element.tagName") == "SELECT":
                field.select_option(value)
            else:
                field.fill(value)
        page.get_by_label("pi4").check()
        page.get_by_label("host").uncheck()
        page.get_by_label("name").fill("clicked")
        expect(page.get_by_label("command line")).to_contain_text("clicked")
        page.get_by_role("button", name="Start").click()
        expect(page.get_by_role("status").first).to_contain_text("getting ready")
        page.get_by_role("link", name="Runs", exact=True).click()
        expect(page.get_by_role("row", name="clicked")).to_contain_text("starting")
        page.get_by_role("link", name="clicked").click()
        # It moves by itself.
        expect(page.locator(".bar").first).to_be_attached(timeout=PATIENCE_MS)
        first.kill()
        page = opened(second).go("/runs/clicked/-/live")
        expect(page.get_by_role("status").first).to_contain_text("running: searching", timeout=PATIENCE_MS)
        page.get_by_role("button", name="Stop").click()
        expect(page.get_by_role("status").first).to_contain_text("interrupted", timeout=PATIENCE_MS)
        with subprocess.Popen(searching("--resume", str(tmp_path / "clicked")), stdout=subprocess.DEVNULL) as resumed:
            expect(page.get_by_role("status").first).to_contain_text("running: searching", timeout=PATIENCE_MS)
            expect(page.get_by_role("status").first).to_contain_text("ended", timeout=PATIENCE_MS)
            assert resumed.wait() == 0
    words = [word for name, value in OPTIONS.items() for word in (f"--{name}", value)]
    there = tmp_path / "typed"
    subprocess.run(searching("--device", "pi4", *words, "--out", str(there)), stdout=subprocess.DEVNULL, check=True)
    clicked, typed = (json.loads((tmp_path / name / "front.json").read_text()) for name in ("clicked", "typed"))
    assert clicked == typed


@pytest.mark.slow
def test_events_go_on_after_the_server_was_held_up(opened: Opened, tmp_path: Path) -> None:
    write_begun_run(tmp_path / "run")
    file = EventFile(tmp_path / "run" / EVENTS)
    with page_program(tmp_path) as (program, served):
        page = opened(served).go("/runs/run/-/live")
        file.append(1.0, "stage_progress", {"stage": "loading", "done": 1, "total": 4, "detail": ""})
        expect(page.locator("main")).to_contain_text("loading1 of 4")
        program.send_signal(signal.SIGSTOP)
        file.append(2.0, "stage_progress", {"stage": "loading", "done": 3, "total": 4, "detail": ""})
        expect(page.get_by_text("No connection")).to_be_visible()
        program.send_signal(signal.SIGCONT)
        expect(page.locator("main")).to_contain_text("loading3 of 4")
        expect(page.get_by_text("No connection")).to_be_hidden()
