"""What tests of scripts share: a folder with the module's tiny space, and calling a script in it."""

from __future__ import annotations

import io
import signal
import sys
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
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


def in_process(folder: Path, script: str, main: Callable[[], int | None], *options: object) -> Outcome:
    """Call a script's `main` in this process, as importing all that it needs takes seconds.

    Args:
        folder: where it is called.
        script: its name in messages.
        main: of the script.
        options: its words.
    """
    with pytest.MonkeyPatch.context() as patch, io.StringIO() as out, io.StringIO() as err:
        patch.chdir(folder)
        patch.setenv("COLUMNS", "100")
        patch.setattr(sys, "argv", [script, *map(str, options)])
        with redirect_stdout(out), redirect_stderr(err), pytest.raises(SystemExit) as stop:
            run(main)
        return Outcome(stop.value.code, out.getvalue(), err.getvalue())  # type: ignore[arg-type]


@pytest.fixture
def called(folder: Any) -> Any:
    """Calls a script's `main` in this process, in the folder."""
    return lambda script, main, *options: in_process(folder, script, main, *options)
