"""A search that goes on, or was stopped, can be looked at."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from moo import events
from moo.analysis.selection import read_front
from moo.execution.backend import InProcessBackend
from moo.search import drawing
from moo.search.drawing import FrontDrawing, draw, draw_unfinished, serve
from moo.search.loop import run_search
from moo.storage.run_folder import RunFolder
from moo.storage.search_state import read_state
from tests.moo.conftest import Prepare

SHORT: dict[str, Any] = {"samples": 1, "theta_steps": 1, "pretrain_epochs": 0}


class Stopped:
    """A listener that notes the front at each time that it is written, and interrupts at the second."""

    def __init__(self, folder: RunFolder) -> None:
        self._folder = folder
        self.seen: list[tuple[str, list[Any]]] = []

    def __call__(self, event: events.Event) -> None:
        if isinstance(event, events.FrontWritten):
            self.seen.append((event.reached, json.loads(self._folder.front.read_text())))
            if len(self.seen) == 2:
                raise KeyboardInterrupt


@pytest.mark.slow
@pytest.mark.parametrize(
    ("asynchronous", "reached"),
    [
        (False, ["after generation 1 of 3 (4 trials)", "after generation 2 of 3 (8 trials)"]),
        (True, ["after 4 trials", "after 8 trials"]),
    ],
)
def test_the_front_is_there_after_each_generation_and_after_an_interruption(
    prepare_tiny: Prepare, asynchronous: bool, reached: list[str]
) -> None:
    settings = SHORT | {"generations": 3, "asynchronous": asynchronous}
    preparation = prepare_tiny(**settings)
    folder, listener = preparation.folder, Stopped(preparation.folder)
    with pytest.raises(KeyboardInterrupt):
        run_search(preparation, InProcessBackend(preparation.setup), listener)
    assert [text for text, _ in listener.seen] == reached
    assert all(items for _, items in listener.seen)
    assert len(read_front(folder.path)) > 0
    assert not read_state(folder).ended
    assert not folder.networks.exists()
    assert draw_unfinished(folder)
    report = folder.report.read_text()
    assert report.index("**The search has not ended") < report.index("## ")
    assert reached[-1] in report
    assert f"python scripts/pareto_search.py --resume {folder.path}" in report
    assert len(list(folder.plots.glob("*.png"))) >= 4

    again = prepare_tiny(resumed=True, **settings)
    run_search(again, InProcessBackend(again.setup), lambda event: None)
    assert read_state(folder).ended
    assert not draw_unfinished(folder)
    draw(folder)
    assert "has not ended" not in folder.report.read_text()


def test_interrupted_before_anything_was_found_there_is_nothing_to_draw(prepare_tiny: Prepare) -> None:
    preparation = prepare_tiny(**SHORT)

    def stop(event: events.Event) -> None:
        if isinstance(event, events.TrialStarted):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_search(preparation, InProcessBackend(preparation.setup), stop)
    assert not preparation.folder.front.exists()
    assert not draw_unfinished(preparation.folder)


def test_the_latest_state_is_drawn_and_pictures_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[bool] = []
    requests, write = os.pipe()

    def noted(folder: RunFolder, *, pictures: bool = True) -> None:
        drawn.append(pictures)
        if len(drawn) == 1:
            os.write(write, b"\n\n")
            until = time.process_time() + 0.02
            while time.process_time() < until:
                pass
        elif pictures:
            os.close(write)

    monkeypatch.setattr(drawing, "draw", noted)
    os.write(write, b"\n\n\n")
    serve(RunFolder(Path("run")), requests)
    os.close(requests)
    assert drawn == [True, False, True], (
        "three requests are one; the next two wait for their pictures, not for the text"
    )


class Process:
    """Notes the signals that it gets."""

    def __init__(self) -> None:
        self.signals: list[signal.Signals] = []

    def send_signal(self, number: signal.Signals) -> None:
        self.signals.append(number)


def test_the_process_stands_still_while_this_machine_measures(tmp_path: Path) -> None:
    process = Process()
    front_drawing = FrontDrawing(RunFolder(tmp_path))
    front_drawing._process = process  # type: ignore[assignment]
    changed = events.FrontChanged(front=(), hypervolume=0.0, evaluations=0, trials=0)
    measuring = [events.StageProgress("measuring", done, 2) for done in range(3)]
    happened: list[events.Event] = [changed, *measuring, changed, changed]
    for event in happened:
        front_drawing(event)
    assert process.signals == [signal.SIGSTOP, signal.SIGCONT]


@pytest.mark.slow
@pytest.mark.thorough
def test_pictures_are_drawn_beside_the_search(prepare_tiny: Prepare) -> None:
    preparation = prepare_tiny(generations=2, **SHORT)
    folder, front_drawing = preparation.folder, FrontDrawing(preparation.folder)
    drawn = threading.Event()

    def waiting(event: events.Event) -> None:
        front_drawing(event)
        if isinstance(event, events.FrontWritten) and not drawn.is_set():
            until = time.monotonic() + 60
            while time.monotonic() < until and not folder.report.exists():
                time.sleep(0.1)
            drawn.set()

    run_search(preparation, InProcessBackend(preparation.setup), waiting)
    front_drawing.close()
    assert "The search has not ended" in folder.report.read_text()
    assert (folder.plots / "front_latency_error.png").exists()
