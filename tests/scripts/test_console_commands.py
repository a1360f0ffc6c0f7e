"""Every script has a console command."""

from __future__ import annotations

import importlib
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


@pytest.mark.parametrize("name", COMMANDS)
def test_it_answers_help(name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    module, _, function = COMMANDS[name].partition(":")
    monkeypatch.setattr(sys, "argv", [name, "--help"])
    with pytest.raises(SystemExit) as end:
        getattr(importlib.import_module(module), function)()
    assert end.value.code == 0
    assert capsys.readouterr().out.startswith(f"usage: {name} ")


def test_bad_input_is_one_line(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "argv", ["describe-network", "--space", "nowhere"])
    module, _, function = COMMANDS["describe-network"].partition(":")
    with pytest.raises(SystemExit) as end:
        getattr(importlib.import_module(module), function)()
    assert end.value.code == 2
    assert capsys.readouterr().err.count("\n") == 1
