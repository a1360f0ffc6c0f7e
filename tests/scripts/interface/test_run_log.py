from __future__ import annotations

import logging
import re
from contextlib import suppress
from pathlib import Path

import pytest

from moo import events
from scripts.interface import run_log
from scripts.interface.run_log import RunLog

LOG = logging.getLogger("moo.test")


def started(folder: Path, *, resumed: bool = False) -> events.RunStarted:
    return events.RunStarted(
        folder=str(folder), resumed=resumed, dashboard_url=None, description=(("space", "sm\nall"),), trials=4,
        pretrain_epochs=1,
    )  # fmt: skip


def test_all_that_is_told_is_appended_with_its_time(tmp_path: Path) -> None:
    with RunLog() as log:
        LOG.warning("before the folder is known")
        log(started(tmp_path))
        LOG.info("within\x1b[31m")
        LOG.debug("too much")
        logging.getLogger("somebody.else").info("not ours")
        log(events.BoardUnreachable("pi", "no\nroute"))
        log(events.FrontChanged(front=(), hypervolume=0.5, evaluations=3, trials=1))
    with suppress(RuntimeError), RunLog() as log:
        log(started(tmp_path, resumed=True))
        raise RuntimeError("broken")
    lines = (tmp_path / "run.log").read_text().splitlines()
    assert all(re.match(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z ", line) for line in lines)
    told = [line[25:] for line in lines]
    assert told[:6] == [
        "WARNING moo.test: before the folder is known",
        "INFO    run: the run starts",
        "INFO    run: space: sm all",
        "INFO    moo.test: within\ufffd[31m",
        "WARNING run: board unreachable: device pi, reason no route",
        "INFO    run: 3 architectures, 0 points on the front, hypervolume 0.500000, 1 trials",
    ]
    assert told[6] == "INFO    run: the run is resumed"
    assert "ERROR   run: ended by RuntimeError: broken" in told
    assert told[-1].strip() == "RuntimeError: broken"


def test_a_training_writes_only_where_there_is_a_run(tmp_path: Path) -> None:
    with RunLog(tmp_path) as log:
        LOG.warning("early")
        assert list(tmp_path.iterdir()) == []
        log(events.TrainingsStarted(2, "images"))
    assert "early" in (tmp_path / "run.log").read_text()


@pytest.mark.parametrize("kind", ["symbolic link", "hard link", "folder"])
def test_nothing_is_written_through_what_is_not_the_runs_own(kind: str, tmp_path: Path) -> None:
    run, other = tmp_path / "run", tmp_path / "other"
    run.mkdir()
    other.write_text("kept")
    if kind == "folder":
        (run / "run.log").mkdir()
    elif kind == "hard link":
        (run / "run.log").hardlink_to(other)
    else:
        (run / "run.log").symlink_to(other)
    with RunLog() as log:
        log(started(run))
        LOG.info("x")
    assert other.read_text() == "kept"


def test_its_size_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_log, "LONGEST_FILE", 2000)
    with RunLog() as log:
        log(started(tmp_path))
        for number in range(300):
            LOG.info("line %d", number)
    assert {path.name for path in tmp_path.iterdir()} == {"run.log", "run.log.1"}
    assert all(path.stat().st_size < 3000 for path in tmp_path.iterdir())
    assert "line 299" in (tmp_path / "run.log").read_text()
