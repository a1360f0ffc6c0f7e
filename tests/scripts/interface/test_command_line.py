from __future__ import annotations

import os
import shlex
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import pytest
from tyro.conf import Positional

from scripts.interface.command_line import parse, run


@dataclass(frozen=True)
class Inner:
    """Inner options."""

    pop_size: int = 8
    """Individuals."""


@dataclass(frozen=True)
class Config:
    """Search for fronts."""

    method: Literal["dnas", "random"] = "dnas"
    """How."""
    batch_size: int = 4
    """Images a step."""
    share: float = 0.5
    """Share."""
    range: tuple[int, int] = (1, 2)
    """Range."""
    shares: tuple[float, ...] = ()
    """Several."""
    inner: Inner = field(default_factory=Inner)

    def __post_init__(self) -> None:
        if self.batch_size < 1:
            raise ValueError(f"`batch_size >= 1` must hold, but got {self.batch_size}.")


def test_options_are_flat_with_hyphens() -> None:
    assert parse(Config, []) == Config()
    assert parse(Config, ["--batch-size", "2", "--pop-size", "3", "--method", "random"]) == Config(
        "random", 2, inner=Inner(3)
    )


def test_default_replaces_the_values_of_the_class() -> None:
    default = Config("random", 2, inner=Inner(3))
    assert parse(Config, ["--batch-size", "7"], default=default) == Config("random", 7, inner=Inner(3))


def test_arguments_of_the_process_are_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["search.py", "--batch-size", "2"])
    assert parse(Config).batch_size == 2


@pytest.mark.parametrize(
    ("argv", "text"),
    [
        (["--bad", "3"], "error: there is no option --bad. See --help-all."),
        (["--batch-sise", "3"], "error: there is no option --batch-sise: did you mean --batch-size? See --help-all."),
        (["--batch-size", "many"], "error: `--batch-size` must be a whole number, but got 'many'. See --help."),
        (["--share", "much"], "error: `--share` must be a number, but got 'much'. See --help."),
        (["--method", "best"], "error: `--method` must be one of dnas, random, but got 'best'. See --help."),
        (["--batch-size"], "error: `--batch-size` must be followed by a value, but got none. See --help."),
        (["--range", "1"], "error: `--range` must be followed by 2 values, but got fewer. See --help."),
        (["--range", "1", "x"], "error: `--range` must be whole numbers, but got '1' 'x'. See --help."),
        (["--shares", "1", "x"], "error: `--shares` must be numbers, but got '1' 'x'. See --help."),
        (["3"], "error: there must be an option before each value, but got 3 without one. See --help."),
    ],
)
def test_wrong_usage_exits_with_2_and_a_short_text(
    argv: list[str], text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stop:
        parse(Config, argv)
    captured = capsys.readouterr()
    assert stop.value.code == 2
    assert captured.out == ""
    assert captured.err == f"{text}\n"


@dataclass(frozen=True)
class Named:
    """Something with a name."""

    place: Positional[str]
    """Where it is. It must be there."""
    name: str
    """How it is called."""


@pytest.mark.parametrize(
    ("argv", "text"),
    [
        (["--name", "a"], "error: PLACE must be given: Where it is. See --help."),
        (["here"], "error: `--name` must be given: How it is called. See --help."),
        ([], "error: PLACE and `--name` must be given. See --help."),
    ],
)
def test_what_is_missing_is_named(argv: list[str], text: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        parse(Named, argv)
    assert stop.value.code == 2
    assert capsys.readouterr().err == f"{text}\n"


def test_help_exits_with_0(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        parse(Config, ["--help"], description="All about fronts.")
    out = capsys.readouterr().out
    assert not stop.value.code
    assert "All about fronts." in out
    assert "Images a step" in out
    assert "--pop-size" in out


def test_a_config_that_refuses_its_values_is_a_value_error() -> None:
    with pytest.raises(ValueError, match=r"^`batch_size >= 1` must hold, but got 0\.$"):
        parse(Config, ["--batch-size", "0"])


def test_run_turns_a_value_error_into_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    def main() -> None:
        raise ValueError("`x` must be\n  even, but got 3.")

    with pytest.raises(SystemExit) as stop:
        run(main)
    assert stop.value.code == 2
    assert capsys.readouterr().err == "error: `x` must be even, but got 3.\n"


@pytest.mark.parametrize(("returned", "code"), [(None, 0), (0, 0), (1, 1)])
def test_run_exits_with_what_main_returns(returned: int | None, code: int) -> None:
    with pytest.raises(SystemExit) as stop:
        run(lambda: returned)
    assert stop.value.code == code


def test_run_lets_other_exceptions_through() -> None:
    def main() -> None:
        raise KeyError("ours")

    with pytest.raises(KeyError):
        run(main)


def test_ctrl_c_ends_with_130_and_a_closed_pipe_with_141_without_traceback() -> None:
    code = "import sys\nfrom scripts.interface.command_line import run\ndef main():\n    {}\nrun(main)"
    for line, status in (("raise KeyboardInterrupt", 130), ("print('x' * 10**6, flush=True)", 141)):
        process = subprocess.Popen(
            [sys.executable, "-c", code.format(line)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.wait() == status
        assert "Traceback" not in process.stderr.read()
        process.stderr.close()


@pytest.mark.parametrize("closed", [(0,), (1,), (2,), (0, 1, 2)])
def test_closed_streams_lead_to_nowhere_and_change_no_exit_code(closed: tuple[int, ...], tmp_path: Path) -> None:
    code = (
        "import os, sys\nfrom pathlib import Path\nfrom scripts.interface.command_line import run\n"
        "def main():\n    print('x')\n    sys.stderr.write('x')\n"
        "    with open(sys.argv[1], 'wb') as file:\n        os.write(2, b'of a library')\n"
        "    raise ValueError('bad')\nrun(main)"
    )
    shell = " ".join([shlex.join([sys.executable, "-c", code, str(tmp_path / "file")]), *(f"{n}>&-" for n in closed)])
    assert subprocess.run(["sh", "-c", shell], capture_output=True, check=False).returncode == 2
    assert (tmp_path / "file").read_bytes() == b""


def test_what_the_encoding_of_the_terminal_lacks_ends_nothing() -> None:
    code = "from scripts.interface.command_line import run\nrun(lambda: print('80 \\u2013 90 \\u2588 \\udcff'))"
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        check=False,
        env={**os.environ, "PYTHONIOENCODING": "ascii"},
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, b"80 ? 90 ? ?\n", b"")
