from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def setup_board(*options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "scripts/setup_board.py", *options], cwd=ROOT, capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (("toaster",), "must be ssh://HOST, ssh://USER@HOST or ssh://USER@HOST:PORT"),
        (("ssh://pi@127.0.0.1:1", "--quiet"), "refuses the connection"),
        (("ssh://pi@127.0.0.1:1", "--quiet", "--wheels", "/nowhere"), "must name a folder with .whl files"),
    ],
)
def test_a_refusal_is_one_line_and_code_2(options: tuple[str, ...], reason: str) -> None:
    result = setup_board(*options)
    assert result.returncode == 2
    assert result.stdout == ""
    assert reason in result.stderr
    assert result.stderr.startswith("error: ")
    assert result.stderr.count("\n") == 1


def test_help_names_its_options() -> None:
    result = setup_board("--help")
    assert result.returncode == 0
    for text in ("--wheels", "--python", "ssh://"):
        assert text in result.stdout
