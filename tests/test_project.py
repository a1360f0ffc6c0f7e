"""The project's own files agree with each other."""

from __future__ import annotations

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
PACKAGES = ("search_space", "devices", "devices.meters", "dnas", "evaluation", "moo", "scripts")


@pytest.fixture(scope="module")
def project() -> dict[str, Any]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text())


def test_environment_yml_equals_pyproject(project: dict[str, Any]) -> None:
    conda = yaml.safe_load((ROOT / "environment.yml").read_text())["dependencies"]
    pip = next(item["pip"] for item in conda if isinstance(item, dict))
    assert f"python{project['project']['requires-python']}" in conda
    assert pip[0] == "-e .[test]"
    assert pip[1:] == project["project"]["dependencies"]


def test_all_packages_are_installed(project: dict[str, Any]) -> None:
    assert tuple(project["tool"]["setuptools"]["packages"]) == PACKAGES


@pytest.mark.parametrize("package", PACKAGES)
def test_package_docstring_names_every_module(package: str) -> None:
    folder = ROOT / package.replace(".", "/")
    docstring = (folder / "__init__.py").read_text()
    for path in folder.glob("*.py"):
        if path.stem != "__init__":
            assert re.search(rf"^(\w+, )*{path.stem}\b", docstring, re.M), f"{folder}/__init__.py lacks {path.name}"


def test_modules_are_of_a_readable_size() -> None:
    long = [
        f"{path.relative_to(ROOT)}: {lines}"
        for package in PACKAGES
        for path in (ROOT / package.replace(".", "/")).glob("*.py")
        if (lines := len(path.read_text().splitlines())) > 350
    ]
    assert not long
