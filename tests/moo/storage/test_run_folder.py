from __future__ import annotations

import errno
import json
import os
import re
from pathlib import Path
from typing import Any

import pytest

from moo.config import SearchConfig
from moo.storage.run_folder import RunFolder, check_same_settings, new_folder
from tests.moo.conftest import ORIGIN


def test_settings_and_origin_come_back_as_they_were(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "run")
    config = SearchConfig(alpha=(0.5, 1.5), population=7)
    folder.write_config(config, ORIGIN)
    assert folder.read_config() == (config, ORIGIN)
    assert folder.read_settings() == config


def test_everything_lies_in_the_run_folder() -> None:
    folder = RunFolder(Path("run"))
    names = {name: getattr(folder, name) for name, value in vars(RunFolder).items() if isinstance(value, property)}
    assert names["store"] == Path("run/search.sqlite")
    assert names["front"] == Path("run/front.json")
    assert names["networks"] == Path("run/front")
    assert len(set(names.values())) == len(names)
    assert all(path.is_relative_to("run") for path in names.values())


def test_a_folder_that_is_no_run_cannot_be_resumed(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"^`--resume` must name the folder of a run, but '.*none' is no folder\.$"):
        RunFolder(tmp_path / "none").read_config()
    with pytest.raises(ValueError, match=r"^`--resume` must name the folder of a run, but .* holds no config.json\.$"):
        RunFolder(tmp_path).read_config()


GOOD = SearchConfig().to_json()


@pytest.mark.parametrize(
    "content",
    [
        b"{",
        b"\xff\xfe",
        b"[]",
        b"3",
        b"{}",
        json.dumps({"settings": GOOD}).encode(),
        json.dumps({"settings": GOOD | {"colour": 1}, "origin": {}}).encode(),
        json.dumps({"settings": GOOD | {"population": 1}, "origin": {}}).encode(),
        json.dumps({"settings": GOOD | {"population": "many"}, "origin": {}}).encode(),
        json.dumps({"settings": GOOD | {"alpha": 1.0}, "origin": {}}).encode(),
        json.dumps({"settings": GOOD, "origin": None}).encode(),
    ],
)
def test_a_broken_config_is_named(tmp_path: Path, content: Any) -> None:
    (tmp_path / "config.json").write_bytes(content)
    with pytest.raises(
        ValueError, match=r"^`--resume` must name the folder of a run, but .*config.json' cannot be read"
    ):
        RunFolder(tmp_path).read_config()


def test_a_new_run_has_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    path = new_folder(SearchConfig(dataset="/data/cifar10", space="own/tiny.yaml")).path
    assert re.fullmatch(r"runs/cifar10-tiny-\d{8}-\d{6}", str(path))
    assert not path.exists()
    for space, size in (("fbnet-micro@96", None), ("fbnet-micro", 96)):
        path = new_folder(SearchConfig(dataset="/data/cifar10", space=space, size=size)).path
        assert re.fullmatch(r"runs/cifar10-fbnet-micro-96-\d{8}-\d{6}", str(path))
    assert new_folder(SearchConfig(out="deep/er")).path == Path("deep/er")
    assert not Path("deep").exists()


def test_an_empty_folder_can_become_a_run(tmp_path: Path) -> None:
    assert new_folder(SearchConfig(out=str(tmp_path))).path == tmp_path


def test_a_folder_in_use_is_refused(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").touch()
    with pytest.raises(ValueError, match=r"^`--out` must name a new folder, but .* is not empty; choose another"):
        new_folder(SearchConfig(out=str(tmp_path)))
    (tmp_path / "config.json").touch()
    with pytest.raises(ValueError, match=r"already holds a run; choose another, or go on with a run by --resume\.$"):
        new_folder(SearchConfig(out=str(tmp_path)))


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ValueError, match=r"^`--out` must name a folder, but '.*file' is a file\.$"):
        new_folder(SearchConfig(out=str(tmp_path / "file")))
    with pytest.raises(
        ValueError, match=r"^the folder of a run must lie where files can be written, but in '.*file' none"
    ):
        new_folder(SearchConfig(out=str(tmp_path / "file" / "run")))


def test_a_folder_that_cannot_be_written_to_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def read_only(*_: object) -> int:
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr(os, "open", read_only)
    with pytest.raises(ValueError, match=r"^the folder of a run must lie where .* none can: Read-only file system"):
        new_folder(SearchConfig(out=str(tmp_path / "run")))


def test_only_settings_that_change_no_result_may_differ() -> None:
    saved = SearchConfig(population=5)
    check_same_settings(saved, saved)
    check_same_settings(
        SearchConfig(population=5, workers=3, dashboard=False, quiet=True, resume="x", address="auto"), saved
    )


@pytest.mark.parametrize(("name", "value"), [("population", 99), ("alpha", (1.0, 2.0)), ("pretrain_epochs", 3)])
def test_different_settings_are_named_with_both_values(name: str, value: Any) -> None:
    option = name.replace("_", "-")
    with pytest.raises(ValueError) as error:
        check_same_settings(SearchConfig(**{name: value}), SearchConfig())
    message = str(error.value)
    assert f"it was made with {name}={getattr(SearchConfig(), name)} and got {name}={value}" in message
    assert f"omit `--{option}`" in message


def test_a_run_that_another_began_from_is_named_by_its_option() -> None:
    with pytest.raises(ValueError, match="made with from=None and got from=runs/first; omit `--from`, or start"):
        check_same_settings(SearchConfig(from_run="runs/first"), SearchConfig())


def test_of_several_different_settings_the_first_is_named() -> None:
    given = SearchConfig(population=99, samples=9, seed=9, theta_steps=9, theta_batch=9, threads=(9,), entropy_weight=9)
    with pytest.raises(ValueError, match="population=99"):
        check_same_settings(given, SearchConfig())


def test_a_beginning_that_was_killed_before_its_settings_is_begun_again(tmp_path: Path) -> None:
    for name in (".lock", "search.sqlite", "search.sqlite-wal", "config.json.part"):
        (tmp_path / name).touch()
    assert new_folder(SearchConfig(out=str(tmp_path))).path == tmp_path
    (tmp_path / "notes").touch()
    with pytest.raises(ValueError, match=r"`--out` must name a new folder, but .* is not empty"):
        new_folder(SearchConfig(out=str(tmp_path)))
