"""The text of `--help`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import pytest
from tyro.conf import Positional

from scripts.interface.help_text import HelpPage, group, help_text
from scripts.interface.options import options_of


@dataclass(frozen=True)
class Config:
    """Do it."""

    run: Positional[str]
    """Folder of a run. It has ended."""
    minutes: float | None = None
    """Time for it. The search alone counts."""
    alpha: tuple[float, float] = (0.01, 3.0)
    """Lowest and highest."""
    threads: tuple[int, ...] = ()
    """Threads of the runtime."""
    measure: bool = True
    """Whether to measure."""
    quiet: bool = False
    """Say less."""
    method: Literal["a-rather-long-choice", "another-one"] = "another-one"
    """How."""


PAGE = HelpPage(
    examples=(("runs/first --minutes 5", "a short one"),),
    groups=(group("run", "run"), group("budget", "minutes gone", "alpha"), group("method", "", "method")),
)


@pytest.fixture(autouse=True)
def _called_in_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setattr("sys.argv", ["scripts/do.py", "--help"])


def test_help_has_the_common_options_of_each_group_and_what_is_in_none() -> None:
    assert help_text(options_of(Config), PAGE, description="Do it.\n\nWell,\nor not.") == (
        "usage: python scripts/do.py RUN [options]\n"
        "\n"
        "Do it.\n"
        "\n"
        "Well, or not.\n"
        "\n"
        "examples:\n"
        "  # a short one\n"
        "  python scripts/do.py runs/first --minutes 5\n"
        "\n"
        "run:\n"
        "  RUN                     Folder of a run.\n"
        "\n"
        "budget:\n"
        "  --minutes MIN           Time for it.\n"
        "\n"
        "other options:\n"
        "  --threads N [...]       Threads of the runtime.\n"
        "  --measure/--no-measure  Whether to measure (default: --measure).\n"
        "  --quiet                 Say less.\n"
        "\n"
        "--help-all shows all 7 options in full. Options without a value, like --quiet,\n"
        "are undone by --no-quiet.\n"
    )


def test_help_all_has_all_in_full() -> None:
    text = help_text(options_of(Config), PAGE, description="Do it.", everything=True)
    assert (
        "budget:\n"
        "  --minutes MIN           Time for it. The search alone counts.\n"
        "  --alpha LOW HIGH        Lowest and highest (default: 0.01 3).\n"
        "\n"
        "method:\n"
        "  --method {a-rather-long-choice,another-one}\n"
        "                          How (default: another-one).\n"
    ) in text
    assert "--help-all" not in text


def test_without_a_page_all_options_are_one_list(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["/usr/bin/do-it", "--help"])
    text = help_text(options_of(Config), HelpPage(), description="Do it.")
    assert text.startswith("usage: do-it RUN [options]\n\nDo it.\n\noptions:\n  RUN  ")
    assert "--method" in text


def test_values_that_are_given_elsewhere_are_the_defaults() -> None:
    text = help_text(options_of(Config, Config("x", minutes=2.5, threads=(1, 4))), HelpPage(), description="")
    assert "Time for it (default: 2.5)." in text
    assert "Threads of the runtime (default: 1 4)." in text


def test_long_examples_are_cut_before_options() -> None:
    page = HelpPage(examples=(("runs/first --minutes 5 --alpha 0.1 0.2 --threads 1 2 4 --method another-one", "x"),))
    assert (
        "  # x\n"
        "  python scripts/do.py runs/first --minutes 5 --alpha 0.1 0.2 \\\n"
        "      --threads 1 2 4 --method another-one\n"
    ) in help_text(options_of(Config), page, description="")
