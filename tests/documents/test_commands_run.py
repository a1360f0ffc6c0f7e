"""Every command of ours that a document shows runs, made small by the tables of `small_runs.py`.

A document's commands run in their order, in a folder of their own. A run that it uses without having made it is made by
the command of another document; what the same command wrote before is taken from there.
"""

from __future__ import annotations

import importlib
import json
import shutil
import sys
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path

import pytest

from moo.execution.backend import InProcessBackend
from scripts.interface.command_line import run
from tests.documents.commands import ROOT, Command, shown_commands
from tests.documents.small_runs import SPACE, made_small, write_images
from tests.moo.deployment.test_training import SerialTrainer

NOT_RUN = ("setup_board", "pareto_page", "push_front", *(() if find_spec("ai_edge_litert") else ("export_litert",)))
"""One installs on a board (`tests/devices/agent` has its tests), one serves for ever (`tests/moo/page`), one uploads
(`tests/moo/sharing`); the last needs a package that there is not for each Python."""
PARTS = ("...", "FOLDER", "RUN")
"""Words of commands in the text that stand for something else."""


class TrainerHere(SerialTrainer):
    """Stands for Ray, which takes seconds to start."""

    workers, threads, dashboard_url = 1, 1, None


def commands_of(document: str) -> list[Command]:
    """Whole commands of ours; of those in the text, those that stand for themselves."""
    return [
        command
        for command in shown_commands()
        if command.document == document
        and command.kind == "script"
        and not (command.inline and command.words[0] != "python")
        and not any(part in word for word in command.options for part in PARTS)
        and not command.module.endswith(NOT_RUN)
    ]


SEARCH = "pareto_search"
MAKERS = [command for command in shown_commands() if command.kind == "script" and SEARCH in command.module]
"""Commands that make runs, which others read."""
DOCUMENTS = [*dict.fromkeys(command.document for command in shown_commands() if commands_of(command.document))]


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What commands wrote with `--out`, for documents that show them again, or use it."""
    return tmp_path_factory.mktemp("kept")


@pytest.fixture
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder as the documents have it: the repository's docs, images and a space."""
    folder = tmp_path / "workplace"
    folder.mkdir()
    (folder / "docs").symlink_to(ROOT / "docs")
    (folder / "small.yaml").write_text(SPACE)
    write_images(folder / "images")
    monkeypatch.chdir(folder)
    monkeypatch.setattr("moo.execution.ray_backend.start_ray_backend", lambda setup, **options: InProcessBackend(setup))
    for job in ("moo.deployment.job", "moo.adaptation.job"):
        monkeypatch.setattr(f"{job}.start_ray_trainer", lambda splits, **options: TrainerHere(splits))
    return folder


@pytest.fixture
def run_command(
    workplace: Path,
    kept: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Callable[[Command], None]:
    """Runs a command, unless the same one ran before, and holds that it ends well."""

    def call(command: Command) -> None:
        script = command.module.removeprefix("scripts.")
        words = made_small(script, command.options)
        for name in words:
            if name.startswith("runs/") and name != out_of(words) and not Path(name).exists():
                if not (kept / "by_name" / name).exists():
                    call(next(one for one in MAKERS if out_of(made_small(SEARCH, one.options)) == name))
                copy(kept / "by_name" / name, Path(name))
        out = out_of(words)
        if out is not None and take(out, words, kept):
            return
        monkeypatch.setattr(sys, "argv", [f"scripts/{script}.py", *words])
        capsys.readouterr()
        with pytest.raises(SystemExit) as end:
            run(importlib.import_module(f"scripts.{script}").main)
        output = capsys.readouterr()
        # 1: no operating point is within the limits, which is an answer.
        fine = (0, 1) if script == "select_network" else (0,)
        assert end.value.code in fine, f"{command}\n{' '.join(words)}\n{output.err}"
        assert "error:" not in output.err, command
        if out is not None:
            keep(out, words, kept)

    return call


@pytest.mark.slow
@pytest.mark.parametrize(
    "document",
    [name if name == "README.md" else pytest.param(name, marks=pytest.mark.thorough) for name in DOCUMENTS],
)
def test_commands_of_a_document_run_in_their_order(document: str, run_command: Callable[[Command], None]) -> None:
    for command in commands_of(document):
        run_command(command)


def out_of(words: Sequence[str]) -> str | None:
    """What a command writes to, where it says so."""
    return words[words.index("--out") + 1] if "--out" in words else None


def take(out: str, words: list[str], kept: Path) -> bool:
    """Take what the same command wrote before, if it ran; returns whether it did."""
    source = kept / "by_name" / out
    if not source.exists() or json.loads((kept / f"{source.name}.json").read_text()) != words:
        return False
    copy(source, Path(out))
    return True


def keep(out: str, words: list[str], kept: Path) -> None:
    """Keep what a command wrote, once."""
    target = kept / "by_name" / out
    if target.exists():
        return
    copy(Path(out), target)
    (kept / f"{target.name}.json").write_text(json.dumps(words))


def copy(source: Path, target: Path) -> None:
    """Copy a file or folder, instead of what is there."""
    if target.is_dir():
        shutil.rmtree(target)
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.is_dir():
        shutil.copytree(source, target)
    else:
        shutil.copy(source, target)
