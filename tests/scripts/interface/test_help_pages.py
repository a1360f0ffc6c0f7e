"""Each option of each script is in one group, and help is readable."""

from __future__ import annotations

import importlib
import re
import shlex
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from evaluation.training.config import TrainConfig
from moo.adaptation.config import AdaptFrontConfig
from moo.config import SearchConfig
from moo.deployment.config import CompareBaselinesConfig, TrainFrontConfig
from moo.profiling.config import ProfileConfig
from scripts.describe import DescribeConfig
from scripts.export_litert import ExportConfig
from scripts.interface import help_pages
from scripts.interface.help_text import help_text
from scripts.interface.options import in_plain_spelling, options_of
from scripts.pareto_page import PageConfig
from scripts.push_front import PushConfig
from scripts.sample_architectures import SampleConfig
from scripts.select_network import SelectConfig
from scripts.setup_board import SetupConfig
from scripts.try_coefficients import TryConfig

CONFIGS = {
    "pareto_search": SearchConfig, "profile_device": ProfileConfig, "setup_board": SetupConfig,
    "train_front": TrainFrontConfig, "compare_baselines": CompareBaselinesConfig, "select_network": SelectConfig,
    "adapt_front": AdaptFrontConfig, "train_architecture": TrainConfig, "describe": DescribeConfig,
    "export_litert": ExportConfig, "push_front": PushConfig,
    "sample_architectures": SampleConfig, "try_coefficients": TryConfig, "pareto_page": PageConfig,
}  # fmt: skip
ROOT = Path(__file__).parents[3]


@pytest.fixture(params=CONFIGS)
def script(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setattr("sys.argv", [f"scripts/{request.param}.py"])
    return request.param


def page_of(script: Any) -> Any:
    return getattr(help_pages, script.upper())


def test_every_script_has_its_page() -> None:
    assert {path.stem for path in (ROOT / "scripts").glob("*.py") if "__main__" in path.read_text()} == {*CONFIGS}


def test_each_option_is_in_one_group(script: Any) -> None:
    grouped = Counter(name for part in page_of(script).groups for name in (*part.common, *part.more))
    there = {option.name for option in options_of(CONFIGS[script])}
    place = f"scripts/interface/help_pages.py, {script.upper()}"
    assert there - grouped.keys() == set(), f"{place} must have these options in a group"
    assert grouped.keys() - there == set(), f"{place} has options that are not there"
    assert [name for name, count in grouped.items() if count > 1] == []


def test_examples_have_options_that_are_there(script: Any) -> None:
    options = options_of(CONFIGS[script])
    assert page_of(script).examples
    for words, meaning in page_of(script).examples:
        in_plain_spelling(shlex.split(words), options)
        assert meaning


@pytest.mark.parametrize("everything", [False, True])
def test_help_fits_the_terminal_and_has_no_none(script: Any, everything: bool) -> None:
    options = options_of(CONFIGS[script])
    text = help_text(options, page_of(script), description="About.", everything=everything)
    assert max(map(len, text.splitlines())) <= 80
    assert "None" not in text
    assert "()" not in text
    if not everything:
        assert len(text.splitlines()) <= 100
    else:
        assert {*re.findall(r"^  +--([\w-]+)", text, re.MULTILINE)} >= {
            option.name for option in options if not option.is_positional
        }
        assert all(option.text for option in options)


def test_parsers_use_the_page(script: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    module = importlib.import_module(f"scripts.{script}")
    monkeypatch.setattr("sys.argv", [f"scripts/{script}.py", "--help"])
    with pytest.raises(SystemExit) as end:
        module.main()
    assert end.value.code == 0
    assert f"\n{page_of(script).groups[0].title}:\n" in capsys.readouterr().out
