"""Every command that a document shows is one that there is, with options that it has.

Ours are read by their real parsers here, and run by `test_commands_run.py`; of others, what they name is looked for.
"""

from __future__ import annotations

import argparse
import ast
import importlib
import importlib.util
import itertools
import json
import re
import shlex
import sys
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from devices.agent.setup.runtime_packages import REQUIREMENTS
from evaluation.training.config import TrainConfig
from evaluation.training.folder import TrainFolder
from moo.config import SearchConfig, check_effect
from moo.storage.run_folder import RunFolder
from scripts.interface import help_pages
from scripts.interface.command_line import parse
from scripts.interface.options import options_of
from tests.documents.commands import (
    ROOT,
    Command,
    commands_in,
    inline_options,
    shown_commands,
    shown_python,
)
from tests.moo.conftest import ORIGIN
from tests.scripts.interface.test_help_pages import CONFIGS

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

PLACEHOLDERS = {"...": "1", "FOLDER": "folder", "N": "1", "T": "1", "RUN": "run", "ID": "0", "FILE": "file.json"}
OF_NO_EXTRA = frozenset({"pnnx", "ncnn"})
"""Packages that a document shows and that we have no use for; `tests/evaluation/test_ncnn.py` runs what is shown."""
OPTIONS_READ = re.compile(r"\b(?:read_config|parse)\((\w*Config)\b")


def of_kind(*kinds: str) -> Any:
    return [pytest.param(command, id=str(command)) for command in shown_commands() if command.kind in kinds]


def test_all_are_told_apart() -> None:
    assert [str(command) for command in shown_commands() if command.kind == "unknown"] == []
    assert len(of_kind("script")) >= 30


def test_commands_are_found_in_blocks_and_text() -> None:
    text = (
        "```bash\npip install -e . && python scripts/describe.py  # a comment\n```\n\n"
        "    python benchmarks/kernels.py --json \\\n        --quick\n\n"
        "Text with `pytest -m slow`, `--quiet` and `x = 1`.\n\n"
        "    from a import b\n\n"
        "- item\n\n      frobnicate --all\n"
    )
    found = commands_in("x.md", text)
    assert [(command.kind, " ".join(command.words), command.inline) for command in found] == [
        ("tool", "pip install -e .", False),
        ("script", "python scripts/describe.py", False),
        ("benchmark", "python benchmarks/kernels.py --json --quick", False),
        ("tool", "pytest -m slow", True),
        ("unknown", "frobnicate --all", False),
    ]


@pytest.fixture
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder to be in."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("command", of_kind("script"))
def test_options_of_scripts_are_accepted(command: Command, workplace: Path) -> None:
    words = [PLACEHOLDERS.get(word, word) for word in command.options]
    name = command.module.removeprefix("scripts.")
    if command.inline and name not in ("setup_board", "describe", "profile_device"):
        # A part of a command.
        assert unknown_options(words, CONFIGS[name]) == []
        return
    read(name, words)


def read(name: str, words: list[str]) -> None:
    """Read options as the script does, where the runs are that they name."""
    for option, value in itertools.pairwise(words):
        if option in ("--resume", "--from"):
            make_run(name, Path(value))
    module = importlib.import_module(f"scripts.{name}")
    if hasattr(module, "read_command_line"):
        config = module.read_command_line(words)
        if isinstance(config, SearchConfig):
            check_effect(config)
    else:
        parse(CONFIGS[name], words)


def make_run(name: str, folder: Path) -> None:
    """A folder that says what a run, or a training, was begun with."""
    folder.mkdir(parents=True)
    if name == "train_architecture":
        settings = TrainConfig(architecture="fbnet-b", dataset="digits").to_json()
        TrainFolder(folder).config.write_text(json.dumps({"settings": settings}))
    else:
        RunFolder(folder).write_config(SearchConfig(), ORIGIN)


@pytest.mark.parametrize("command", of_kind("benchmark"))
def test_options_of_benchmarks_are_accepted(command: Command) -> None:
    path = ROOT / command.words[1]
    assert path.is_file(), f"{command} must name a benchmark that is there"
    config_type = config_of_benchmark(path)
    parse(config_type, [PLACEHOLDERS.get(word, word) for word in command.options])


@cache
def config_of_benchmark(path: Path) -> type:
    """The class of a benchmark's options, which its `main` reads."""
    (name,) = OPTIONS_READ.findall(path.read_text())
    module = importlib.import_module(".".join(path.relative_to(ROOT).with_suffix("").parts))
    found = getattr(module, name)
    assert isinstance(found, type)
    return found


@cache
def all_option_names() -> list[set[str]]:
    benchmarks = [path for path in (ROOT / "benchmarks").rglob("*.py") if "__main__" in path.read_text()]
    configs = [*CONFIGS.values(), *(config_of_benchmark(path) for path in benchmarks if _reads_options(path))]
    names = [{f"--{option.name}" for option in options_of(config)} for config in configs]
    switches = [{f"--no-{option.name}" for option in options_of(config) if option.is_boolean} for config in configs]
    return [one | two | {"--help", "--help-all"} for one, two in zip(names, switches, strict=True)]


def _reads_options(path: Path) -> bool:
    return OPTIONS_READ.search(path.read_text()) is not None


def unknown_options(words: Any, config: type) -> list[str]:
    known = {f"--{option.name}" for option in options_of(config)}
    known |= {f"--no-{option.name}" for option in options_of(config) if option.is_boolean}
    return [word for word in words if word.startswith("--") and word.partition("=")[0] not in known]


@pytest.mark.parametrize("document", sorted({document for document, _ in inline_options()}))
def test_options_in_the_text_are_there_together(document: str) -> None:
    of_tools = [{word for word in command.words if word.startswith("--")} for command in shown_commands()]
    for name, words in inline_options():
        given = {word.partition("=")[0] for word in words if word.startswith("--")}
        if name == document:
            assert any(given <= known for known in [*all_option_names(), *of_tools]), words


@pytest.mark.parametrize("script", CONFIGS)
def test_commands_in_a_script_s_own_text_are_accepted(script: str, workplace: Path) -> None:
    text = (ROOT / "scripts" / f"{script}.py").read_text()
    shown = re.findall(
        rf"^    python scripts/{script}\.py(.*)$", ast.get_docstring(ast.parse(text)) or "", re.MULTILINE
    )
    for options in (*shown, *(words for words, _ in getattr(help_pages, script.upper()).examples)):
        read(script, shlex.split(options))
        for path in workplace.iterdir():
            path.rename(workplace.parent / f"{workplace.name}-{len([*workplace.parent.iterdir()])}")


@cache
def project() -> dict[str, Any]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text())  # type: ignore[no-any-return]


@pytest.mark.parametrize("command", of_kind("tool"))
def test_what_other_programs_are_given_is_there(command: Command) -> None:
    program, options = command.words[0], [*command.words[1:]]
    checks = {
        "pip": check_pip, "conda": check_conda, "pytest": check_pytest, "bash": check_bash, "python": check_python,
        "tensorboard": check_tensorboard, ".": check_activation, "git": check_git,
    }  # fmt: skip
    if program in ("ruff", "mypy", "lint-imports"):
        needs = {"lint-imports": "import-linter"}.get(program, program)
        assert any(item.startswith(needs) for item in project()["project"]["optional-dependencies"]["test"])
    else:
        checks[program](options)


def check_pip(options: list[str]) -> None:
    if options[0] == "download":
        needed = [re.split(r"[<>=]", requirement)[0] for requirement in REQUIREMENTS]
        assert options[-len(needed) :] == needed
        return
    assert options[0] == "install"
    for target in options[1:]:
        if found := re.fullmatch(r"\.\[(.+)\]", target):
            assert set(found[1].split(",")) <= project()["project"]["optional-dependencies"].keys()
        else:
            assert target in ("-e", ".", *OF_NO_EXTRA)


def check_conda(options: list[str]) -> None:
    if options[:2] == ["env", "create"]:
        assert (ROOT / options[options.index("-f") + 1]).is_file()
    else:
        assert options == ["activate", yaml.safe_load((ROOT / "environment.yml").read_text())["name"]]


def check_pytest(options: list[str]) -> None:
    markers = {line.partition(":")[0] for line in project()["tool"]["pytest"]["ini_options"]["markers"]}
    parser = argparse.ArgumentParser(exit_on_error=False)
    for option in ("-m", "-n", *re.findall(r"\"(--[\w-]+)\"", (ROOT / "tests" / "conftest.py").read_text())):
        parser.add_argument(option, default="")
    parser.add_argument("paths", nargs="*")
    given = parser.parse_args(options)
    assert {*re.findall(r"\w+", given.m)} - {"not", "and", "or"} <= markers
    assert all((ROOT / path).exists() for path in given.paths)


def check_bash(options: list[str]) -> None:
    assert (ROOT / options[0]).is_file()


def check_python(options: list[str]) -> None:
    assert options[0] == "-m"
    assert importlib.util.find_spec(options[1]) is not None


def check_tensorboard(options: list[str]) -> None:
    assert options[0] == "--logdir"
    assert Path(options[1]).name == RunFolder(Path("run")).tensorboard.name


def check_activation(options: list[str]) -> None:
    made = [command.words[-1] for command in shown_commands() if command.words[:3] == ("python", "-m", "venv")]
    assert options[0] in [f"{folder}/bin/activate" for folder in made]


def check_git(options: list[str]) -> None:
    assert options[0] == "clone"


@pytest.mark.parametrize(("document", "code"), shown_python(), ids=lambda value: value.splitlines()[0])
def test_python_that_is_shown_imports_what_is_there(document: str, code: str) -> None:
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.ImportFrom):
            module = importlib.import_module(str(node.module))
            assert [alias.name for alias in node.names if not hasattr(module, alias.name)] == [], document
        elif isinstance(node, ast.Import):
            for alias in node.names:
                if alias.name not in OF_NO_EXTRA:
                    importlib.import_module(alias.name)
