"""Files are whole or as they were, and links lead nowhere."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from search_space.boundary.writing import check_no_links, lock_file, write_atomically, write_json


def test_a_file_is_whole_or_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "deep" / "content.json"
    write_json(path, {"a": 1})
    assert json.loads(path.read_text()) == {"a": 1}
    assert [item.name for item in path.parent.iterdir()] == ["content.json"]

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.replace", full)
    with pytest.raises(OSError, match="No space left"):
        write_atomically(path, b"new")
    assert json.loads(path.read_text()) == {"a": 1}
    assert [item.name for item in path.parent.iterdir()] == ["content.json"]


def test_a_disk_that_fills_leaves_the_file_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(handle: int) -> None:
        raise OSError(28, "No space left on device")

    write_atomically(tmp_path / "file", b"old")
    monkeypatch.setattr("os.fsync", full)
    for name in ("file", "new"):
        with pytest.raises(OSError, match="No space left"):
            write_atomically(tmp_path / name, b"newer")
    assert [item.name for item in tmp_path.iterdir()] == ["file"]
    assert (tmp_path / "file").read_bytes() == b"old"


def test_writing_replaces_the_file_and_leaves_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "file"
    for content in (b"first", b"second"):
        write_atomically(path, content)
    assert path.read_bytes() == b"second"
    assert list(tmp_path.iterdir()) == [path]


WRITER = """
import sys
from pathlib import Path
from search_space.boundary.writing import write_atomically

path, letter = Path(sys.argv[1]), sys.argv[2].encode()
print("ready", flush=True)
sys.stdin.readline()
for _ in range(100):
    write_atomically(path, 10_000 * letter)
    assert len(set(path.read_bytes())) == 1
"""


def test_programs_that_write_the_same_file_leave_it_whole(tmp_path: Path) -> None:
    path = tmp_path / "content"
    programs = [
        subprocess.Popen(
            [sys.executable, "-c", WRITER, str(path), letter], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        for letter in "ab"
    ]
    for program in programs:
        assert program.stdout is not None
        program.stdout.readline()
    for program in programs:
        assert program.stdin is not None
        program.stdin.write(b"go\n")
        program.stdin.flush()
    assert [program.wait(60) for program in programs] == [0, 0]
    assert path.read_bytes() in (10_000 * b"a", 10_000 * b"b")
    assert list(tmp_path.iterdir()) == [path]
    for program in programs:
        program.communicate()


@pytest.mark.parametrize("name", ["content", "content.part"])
def test_a_link_is_replaced_and_its_target_stays(name: str, tmp_path: Path) -> None:
    target = tmp_path / "target"
    target.write_text("precious")
    (tmp_path / name).symlink_to(target)
    write_atomically(tmp_path / "content", b"new")
    assert target.read_text() == "precious"
    assert (tmp_path / "content").read_bytes() == b"new"
    assert not (tmp_path / "content").is_symlink()


def test_file_and_name_are_on_the_disk_before_the_call_returns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    order: list[str] = []
    fsync, replace = os.fsync, os.replace

    def synced(handle: int) -> None:
        order.append("folder" if os.path.isdir(f"/proc/self/fd/{handle}") else "file")
        fsync(handle)

    def replaced(*names: Path) -> None:
        order.append("rename")
        replace(*names)

    monkeypatch.setattr("os.fsync", synced)
    monkeypatch.setattr("os.replace", replaced)
    write_atomically(tmp_path / "content", b"new")
    assert order == ["file", "rename", "folder"]
    order.clear()
    write_atomically(tmp_path / "two" / "deep" / "content", b"new")
    assert order == ["folder", "folder", "file", "rename", "folder"]


def test_a_lock_is_had_once_and_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "lock"
    first = lock_file(path)
    assert first is not None
    assert lock_file(path) is None
    first.close()
    path.write_text("kept")
    again = lock_file(path)
    assert again is not None
    assert path.read_text() == "kept"


def test_a_lock_is_no_link(tmp_path: Path) -> None:
    (tmp_path / "target").write_text("precious")
    (tmp_path / "lock").symlink_to(tmp_path / "target")
    with pytest.raises(OSError, match="symbolic links"):
        lock_file(tmp_path / "lock")
    assert (tmp_path / "target").read_text() == "precious"


@pytest.mark.parametrize("name", ["plots", "plots/front.png"])
def test_links_within_a_folder_are_named(name: str, tmp_path: Path) -> None:
    run = tmp_path / "run"
    path = run / name
    path.parent.mkdir(parents=True)
    check_no_links(run, what="a run folder")
    path.symlink_to(tmp_path)
    with pytest.raises(ValueError, match=f"a run folder must hold no links, .*{name}' is one: put"):
        check_no_links(run, what="a run folder")


def test_the_folder_itself_may_be_a_link_or_absent(tmp_path: Path) -> None:
    check_no_links(tmp_path / "absent", what="a run folder")
    (tmp_path / "disk").mkdir()
    (tmp_path / "run").symlink_to(tmp_path / "disk")
    check_no_links(tmp_path / "run", what="a run folder")
