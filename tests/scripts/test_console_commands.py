"""Every script has a console command."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).parents[2]
COMMANDS: dict[str, str] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]


def test_every_script_has_one() -> None:
    scripts = {path.stem for path in (ROOT / "scripts").glob("*.py") if "__main__" in path.read_text()}
    assert {target.removeprefix("scripts.").removesuffix(":command") for target in COMMANDS.values()} == scripts - {
        "command_line"
    }


def called(name: str, *options: str) -> subprocess.CompletedProcess[str]:
    """A command in a process of its own, which it may split."""
    module, _, function = COMMANDS[name].partition(":")
    code = f"import sys\nfrom {module} import {function}\nsys.argv = {[name, *options]!r}\n{function}()"
    return subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("name", COMMANDS)
def test_it_answers_help(name: str) -> None:
    result = called(name, "--help")
    assert result.returncode == 0
    assert result.stdout.startswith(f"usage: {name} ")


def test_bad_input_is_one_line() -> None:
    result = called("describe-network", "--space", "nowhere")
    assert result.returncode == 2
    assert result.stderr.count("\n") == 1
