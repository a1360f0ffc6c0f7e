from __future__ import annotations

import os
from pathlib import Path

import pytest

from moo.storage.event_file import LONGEST_LINE, EventFile, EventReader, line_of


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "events.jsonl"


def written(path: Path, *kinds: str) -> None:
    file = EventFile(path)
    for kind in kinds:
        file.append(1.0, kind, {"trial": 7})
    file.close()


def kinds(reader: EventReader) -> list[str]:
    return [event.kind for event in reader.new()]


def test_a_reader_gets_each_line_once_and_waits_for_the_end_of_the_last(path: Path) -> None:
    reader = EventReader(path)
    assert reader.new() == []
    written(path, "first", "second")
    assert kinds(reader) == ["first", "second"]
    line = line_of(2.0, "third", {"x": 0.5})
    with path.open("ab") as file:
        file.write(line[:10])
        file.flush()
        assert reader.new() == []
        file.write(line[10:])
    (event,) = reader.new()
    assert (event.at, event.kind, event.figures) == (2.0, "third", {"x": 0.5})
    assert reader.new() == []
    assert reader.damaged == 0


def test_a_line_that_a_killed_writer_left_is_mended_by_the_next(path: Path) -> None:
    written(path, "first")
    reader = EventReader(path)
    assert kinds(reader) == ["first"]
    with path.open("ab") as file:
        file.write(line_of(2.0, "torn", {})[:-3])
    assert reader.new() == []
    written(path, "second")
    assert kinds(reader) == ["second"]
    assert reader.damaged == 0
    assert b"torn" not in path.read_bytes()


def test_damage_is_left_out_and_counted(path: Path) -> None:
    deep = b"[" * 9000
    foreign = (
        b"\xff\xfe",
        b"[1]",
        b"{}",
        b'{"at": "x", "kind": "y"}',
        b'{"at": 1e999, "kind": "y"}',
        deep,
        b"x" * 10**5,
    )
    written(path, "first")
    with path.open("ab") as file:
        file.write(b"\n".join(foreign) + b"\n")
    written(path, "second")
    reader = EventReader(path)
    assert kinds(reader) == ["first", "second"]
    assert reader.damaged == len(foreign)


def test_a_call_reads_so_much_and_no_more(path: Path) -> None:
    written(path, *["first"] * 3000)
    with path.open("ab") as file:
        file.write(b"x" * 10 * LONGEST_LINE + b"\n")
    written(path, *["second"] * 10)
    reader, calls = EventReader(path), []
    while reader.place < path.stat().st_size:
        before = reader.place
        calls.append(kinds(reader) if reader.place == 0 else [e.kind for e in reader.new(most_bytes=2 * LONGEST_LINE)])
        assert reader.place > before
    assert [kind for call in calls for kind in call] == ["first"] * 3000 + ["second"] * 10
    assert reader.damaged == 1


def test_a_file_that_was_cut_off_or_replaced_is_read_from_its_beginning(path: Path) -> None:
    written(path, "first", "second")
    reader = EventReader(path)
    reader.new()
    os.truncate(path, 0)
    written(path, "third")
    assert kinds(reader) == ["third"]
    path.unlink()
    assert reader.new() == []
    written(path, "fourth")
    assert kinds(reader) == ["fourth"]


@pytest.mark.parametrize("kind", ["symbolic link", "hard link", "folder", "pipe"])
def test_nothing_is_written_to_or_read_from_what_is_not_the_runs_own(kind: str, path: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.write_bytes(b"kept")
    match kind:
        case "symbolic link":
            path.symlink_to(other)
        case "hard link":
            path.hardlink_to(other)
        case "folder":
            path.mkdir()
        case _:
            os.mkfifo(path)
    written(path, "first")
    assert EventReader(path).new() == []
    assert other.read_bytes() == b"kept"


def test_lines_are_bounded_and_hold_finite_numbers_alone(path: Path) -> None:
    texts = {"long": "ä" * 10**6, "list": ["word"] * 10**5, "nan": float("nan"), "inf": -float("inf"), "half": "\ud800"}
    line = line_of(1.0, "kind", texts)
    assert len(line) <= LONGEST_LINE
    path.write_bytes(line)
    (event,) = EventReader(path).new()
    assert event.figures["nan"] is event.figures["inf"] is None
    assert event.figures["long"].startswith("ää")
    assert len(line_of(1.0, "kind", {str(number): "x" * 100 for number in range(10**4)})) < LONGEST_LINE


def test_a_full_disk_ends_nothing_and_what_it_cut_is_ended(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file, write = EventFile(path), os.write
    file.append(1.0, "first", {})
    with monkeypatch.context() as patch:
        patch.setattr(os, "write", lambda handle, content: write(handle, content[:5]))
        file.append(1.0, "cut", {})
    with monkeypatch.context() as patch:

        def full(handle: int, content: bytes) -> int:
            raise OSError(28, "No space left on device")

        patch.setattr(os, "write", full)
        file.append(1.0, "lost", {})
    file.append(1.0, "second", {})
    file.close()
    reader = EventReader(path)
    assert kinds(reader) == ["first", "second"]
    assert reader.damaged == 1
