from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from moo.storage.run_folder import RunFolder
from scripts.try_coefficients import main
from tests.moo.page.searches.conftest import write_begun_run
from tests.scripts.conftest import in_process

GIVEN = ("--coefficients", 0.2, 1, 0, 0.5)


@pytest.fixture
def begun(tmp_path: Path) -> RunFolder:
    """A run that has begun, without a supernet yet."""
    write_begun_run(tmp_path / "run")
    return RunFolder(tmp_path / "run")


def tried(folder: Path, *options: Any) -> Any:
    return in_process(folder, "scripts/try_coefficients.py", main, *options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ((), "error: RUN and `--coefficients` must be given. See --help."),
        (("run", "--coefficients", 1, 1, 1), "error: `--coefficients` must be followed by 4 values, but got fewer"),
        (("run", "--coefficients", 1, 1, 1, "x"), "error: `--coefficients` must be numbers, but got '1' '1' '1' 'x'."),
        (
            ("run", "--coefficients", 1, -1, 1, 1),
            "error: `--coefficients` must be four numbers of at least 0 and below 1e6, but got 1 -1 1 1.",
        ),
        (("run", "--coefficients", 1, "nan", 1, 1), "four numbers of at least 0 and below 1e6, but got 1 nan 1 1."),
        (("run", *GIVEN, "--colour", "red"), "--colour"),
        (("nowhere", *GIVEN), "error: `RUN` must name the folder of a run, but 'nowhere' is no folder."),
        (("nowhere", *GIVEN, "--surrogate"), "'nowhere'"),
        (("run", *GIVEN, "--configuration", "x 3"), "a configuration must read like `ort 4t 1500MHz int8`, but got"),
        (("run", *GIVEN), "a run must have a pre-trained supernet to be searched on, but"),
        (("run", *GIVEN, "--surrogate"), "run"),
    ],
)
def test_what_cannot_be_is_said_in_one_line(begun: RunFolder, options: tuple[Any, ...], message: str) -> None:
    result = tried(begun.path.parent, *options)
    assert result.returncode == 2
    assert message in result.stderr
    assert result.stderr.startswith("error: ")
    assert result.stderr.count("\n") == 1
    assert result.stdout == ""
    assert {path.name for path in begun.path.iterdir()} == {"config.json", "search.sqlite"}


def test_the_help_names_what_is_given_and_shows_two_examples(tmp_path: Path) -> None:
    result = tried(tmp_path, "--help")
    assert result.returncode == 0
    for text in ("usage: python scripts/try_coefficients.py RUN [options]", "--surrogate", "--json", "(required)"):
        assert text in result.stdout
    assert result.stdout.count("python scripts/try_coefficients.py runs/photos") == 2
