"""Dockerfile and devcontainer.json say what .ci/run and pyproject.toml do."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

from packaging.specifiers import SpecifierSet

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).parents[1]
DOCKERFILE = (ROOT / "Dockerfile").read_text()
OF_NO_SLIM_IMAGE = ("git", "libatomic1")
"""What machines have on which `.ci/run` runs."""
INSTRUCTIONS = [
    (word, text) for word, text in re.findall(r"^([A-Z]+) (.*)$", re.sub(r"\s*\\\n\s*", " ", DOCKERFILE), re.MULTILINE)
]


def test_it_installs_what_ci_wants() -> None:
    (installed,) = re.findall(
        r"apt-get install --yes --no-install-recommends ([^&]+) &&", dict(INSTRUCTIONS[::-1])["RUN"]
    )
    wanted = re.findall(r"wanted\+=\(([\w-]+)\)", (ROOT / ".ci" / "run").read_text())
    assert wanted
    assert {*installed.split()} == {*wanted, *OF_NO_SLIM_IMAGE}


def test_its_python_is_one_of_ours() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    (version,) = re.findall(r"^FROM python:(\d+\.\d+)-", DOCKERFILE, re.MULTILINE)
    assert version in SpecifierSet(project["requires-python"])


def test_work_is_done_by_a_user() -> None:
    words = [word for word, _ in INSTRUCTIONS]
    assert ("USER", "user") in INSTRUCTIONS
    assert words.index("USER") < words.index("COPY")
    assert all("--chown=user:user" in text for word, text in INSTRUCTIONS if word == "COPY")


def test_what_is_a_users_stays_out() -> None:
    ignored = (ROOT / ".dockerignore").read_text().split("\n")
    assert {".git", ".env"} <= {*ignored}
    made = {line.strip("/") for line in (ROOT / ".gitignore").read_text().split()}
    assert {"build", "runs", "profiles", ".venv"} <= made & {*ignored}


def test_the_devcontainer_is_made_of_it() -> None:
    folder = ROOT / ".devcontainer"
    content = json.loads((folder / "devcontainer.json").read_text())
    build = content["build"]
    assert (folder / build["dockerfile"]).resolve() == ROOT / "Dockerfile"
    assert (folder / build["context"]).resolve() == ROOT
    assert ("WORKDIR", content["workspaceFolder"]) in INSTRUCTIONS
    assert f"target={content['workspaceFolder']}" in content["workspaceMount"]
    assert ("USER", content["remoteUser"]) in INSTRUCTIONS
