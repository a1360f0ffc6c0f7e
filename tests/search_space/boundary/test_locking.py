from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from search_space.boundary.locking import lock_at_once
from search_space.boundary.writing import lock_file

ROOT = Path(__file__).parents[3]
PACKAGES = ("search_space", "dnas", "devices", "evaluation", "moo", "scripts")
ON_THE_BOARD = "devices/agent/agent.py"


def test_a_lock_keeps_others_out_unless_both_share_it(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.touch()
    with path.open("rb") as first, path.open("rb") as second:
        assert lock_at_once(first, shared=True)
        assert lock_at_once(second, shared=True)
        assert not lock_at_once(first)
    with path.open("rb") as first, path.open("rb") as second:
        assert lock_at_once(first)
        assert not lock_at_once(second)
    with path.open("rb") as second:
        assert lock_at_once(second)


def test_a_system_without_locks_is_told_in_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "fcntl", None)
    with pytest.raises(ValueError, match=r"must have locks of files.*WSL 2"):
        lock_file(tmp_path / "lock")


def test_fcntl_is_imported_where_it_is_needed_only() -> None:
    """Windows lacks it, where `--help` would be a traceback."""
    lacking = re.compile(r"^(import|from) fcntl\b", re.MULTILINE)
    found = [path for name in PACKAGES for path in (ROOT / name).rglob("*.py") if lacking.search(path.read_text())]
    assert [str(path.relative_to(ROOT)) for path in found] == [ON_THE_BOARD]
