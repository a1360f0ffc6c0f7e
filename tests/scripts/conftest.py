"""What tests of scripts share: a folder with the module's tiny space, and calling a script in it."""

from __future__ import annotations

import signal
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from scripts.interface.command_line import run


@pytest.fixture(autouse=True)
def ctrl_c() -> None:
    """Programs that tests start answer Ctrl-C, also where a shell runs the tests in the background."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture
def folder(tmp_path: Path, request: pytest.FixtureRequest) -> Any:
    """Where the script is started; it holds a tiny space, the module's `SPACE`."""
    folder = tmp_path / "here"
    folder.mkdir()
    (folder / "small.yaml").write_text(request.module.SPACE)
    return folder


@dataclass(frozen=True)
class Outcome:
    """What a call of a script came to."""

    returncode: int
    stdout: str
    stderr: str


@pytest.fixture
def called(folder: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    """Calls a script's `main` in this process, as importing all that it needs takes seconds."""

    def call(script: Any, main: Any, *options: Any) -> Any:
        monkeypatch.chdir(folder)
        monkeypatch.setenv("COLUMNS", "100")
        monkeypatch.setattr(sys, "argv", [script, *options])
        with pytest.raises(SystemExit) as stop:
            run(main)
        return Outcome(stop.value.code, *capsys.readouterr())  # type: ignore[arg-type]

    return call
