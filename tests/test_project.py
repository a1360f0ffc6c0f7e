"""The project's own files agree with each other."""

from __future__ import annotations

import ast
import re
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).parents[1]
TOP_LEVEL = ("search_space", "devices", "dnas", "evaluation", "moo", "scripts", "benchmarks")
PACKAGES = tuple(
    sorted(
        ".".join(init.parent.relative_to(ROOT).parts)
        for package in TOP_LEVEL
        for init in (ROOT / package).rglob("__init__.py")
    )
)
MOST_LINES, MOST_MODULES, MOST_POSITIONAL = 500, 20, 4
MOST_SCRIPT_LINES = 1500
WITHOUT_SLOTS = {
    # `slots=True` makes a new class, in which `super()` without arguments fails.
    "TrainTask", "TrainSettings", "TrainConfig", "RunTrainingConfig",
}  # fmt: skip


@pytest.fixture(scope="module")
def project() -> dict[str, Any]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text())  # type: ignore[no-any-return]


def test_environment_yml_equals_pyproject(project: dict[str, Any]) -> None:
    conda = yaml.safe_load((ROOT / "environment.yml").read_text())["dependencies"]
    pip = next(item["pip"] for item in conda if isinstance(item, dict))
    assert f"python{project['project']['requires-python']}" in conda
    assert pip[0] == "-e .[test]"
    assert pip[1:] == project["project"]["dependencies"]


def test_all_packages_are_installed(project: dict[str, Any]) -> None:
    assert sorted(project["tool"]["setuptools"]["packages"]) == list(PACKAGES)


@pytest.mark.parametrize("package", PACKAGES)
def test_package_docstring_names_every_module(package: str) -> None:
    folder = ROOT / package.replace(".", "/")
    docstring = (folder / "__init__.py").read_text()
    modules = {path.stem for path in folder.glob("*.py")} | {path.parent.name for path in folder.glob("*/__init__.py")}
    for module in modules - {"__init__"}:
        assert re.search(rf"^(\w+, )*{module}\b", docstring, re.M), f"{folder}/__init__.py lacks {module}"


def test_modules_are_of_a_readable_size() -> None:
    long = [
        f"{path.relative_to(ROOT)}: {lines}"
        for folder in (*TOP_LEVEL, "tests")
        for path in (ROOT / folder).rglob("*.py")
        if (lines := len(path.read_text().splitlines())) > MOST_LINES
    ]
    assert not long


def test_the_scripts_of_the_page_stay_few() -> None:
    scripts = sorted((ROOT / "moo" / "page" / "static").glob("*.js"))
    assert sum(len(path.read_text().splitlines()) for path in scripts) < MOST_SCRIPT_LINES
    assert not [path.name for path in scripts for line in path.read_text().splitlines() if len(line) > 140]


def test_no_folder_is_crowded() -> None:
    crowded = [
        f"{package}: {count}"
        for package in PACKAGES
        if (count := len(list((ROOT / package.replace(".", "/")).glob("*.py"))) - 1) > MOST_MODULES
    ]
    assert not crowded


def test_one_module_alone_writes_to_store_and_archive() -> None:
    writing = re.compile(r"\b(open_store|\w*archive\.(add|set_\w+|use_table)\()")
    writers = [
        str(path.relative_to(ROOT))
        for folder in ("moo", "scripts")
        for path in (ROOT / folder).rglob("*.py")
        if writing.search(path.read_text())
    ]
    assert sorted(writers) == ["moo/storage/record.py", "moo/storage/store.py"]


def test_frozen_records_of_many_fields_are_made_by_keyword_and_have_slots() -> None:
    found = {
        definition.name
        for folder in TOP_LEVEL
        for path in (ROOT / folder).rglob("*.py")
        for definition in ast.walk(ast.parse(path.read_text()))
        if isinstance(definition, ast.ClassDef) and _is_loose_record(definition)
    }
    assert found == WITHOUT_SLOTS


def _is_loose_record(definition: ast.ClassDef) -> bool:
    options = " ".join(ast.unparse(item) for item in definition.decorator_list if "dataclass" in ast.unparse(item))
    fields = [
        item
        for item in definition.body
        if isinstance(item, ast.AnnAssign) and "ClassVar" not in ast.unparse(item.annotation)
    ]
    strict = "kw_only=True" in options and "slots=True" in options
    return "frozen=True" in options and len(fields) > MOST_POSITIONAL and not strict


def test_one_class_has_one_name() -> None:
    """Benchmarks are programs of their own, each with its rows; private classes are seen in their module alone."""
    places: dict[str, list[str]] = {}
    for package in PACKAGES:
        if package.startswith("benchmarks"):
            continue
        for path in (ROOT / package.replace(".", "/")).glob("*.py"):
            for node in ast.parse(path.read_text()).body:
                if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                    places.setdefault(node.name, []).append(str(path.relative_to(ROOT)))
    assert {name: found for name, found in places.items() if len(found) > 1} == {}
