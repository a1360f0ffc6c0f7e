"""What README and docs/ show is there; their commands have tests of their own in `tests/documents`."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from scripts.pareto_search import read_command_line
from tests.documents.commands import shown_commands

ROOT = Path(__file__).parents[1]
DOCUMENTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "SECURITY.md", *sorted((ROOT / "docs").glob("*.md"))]
OURS = "search_space|devices|dnas|evaluation|moo|scripts|tests|benchmarks|docs"


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_path_of_ours_that_is_named_is_there(document: Path) -> None:
    named = set(re.findall(rf"(?<![\w/.-])((?:{OURS})/[\w/.-]*\w/?)", document.read_text()))
    assert [path for path in sorted(named) if not (ROOT / path).exists()] == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_module_of_ours_that_is_named_is_there(document: Path) -> None:
    for name in re.findall(rf"`((?:{OURS})(?:\.\w+)+)", document.read_text()):
        parts = name.split(".")
        found = [n for n in range(1, len(parts) + 1) if (ROOT.joinpath(*parts[:n])).with_suffix(".py").exists()]
        folder = ROOT.joinpath(*parts)
        assert found or folder.is_dir(), name
        if found and found[-1] < len(parts):
            module = ROOT.joinpath(*parts[: found[-1]]).with_suffix(".py")
            assert re.search(rf"\b{parts[found[-1]]}\b", module.read_text()), name


def test_single_searches_are_of_one_trial() -> None:
    shown = [
        command
        for command in shown_commands()
        if command.document == "single_searches.md" and command.module == "scripts.pareto_search"
    ]
    assert [read_command_line(command.options).population for command in shown if not command.inline] == [1] * 5


@pytest.mark.slow
def test_the_notebook_leads_from_a_data_set_to_a_front(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    cells = json.loads((ROOT / "docs" / "search.ipynb").read_text())["cells"]
    first = next(cell for cell in cells if cell["cell_type"] == "code")
    assert len([line for line in first["source"] if line.strip()]) <= 10
    names: dict[str, Any] = {}
    for cell in cells:
        if cell["cell_type"] == "code":
            exec("".join(cell["source"]), names)
    assert names["archive"].front()
    assert "ms modelled" in capsys.readouterr().out
    (run,) = (tmp_path / "runs").iterdir()
    assert (run / "report.html").stat().st_size > 0
