"""A run folder that version 2 of the store left in the middle of its third generation, as it lay on the disk."""

from __future__ import annotations

import json
import shutil
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from moo.execution.backend import InProcessBackend
from moo.search.loop import run_search
from moo.search.outputs import write_pictures_and_report
from moo.storage.migrations import STEPS, statements_from
from moo.storage.record import open_record
from moo.storage.run_folder import RunFolder
from moo.storage.schema import SCHEMA_VERSION
from moo.storage.store import open_store, read_store
from tests.moo.conftest import MakeReplay, Prepare

VERSION_2 = Path(__file__).with_name("run_of_version_2")
COLUMNS = (
    "id, generation, alpha, beta, gamma, delta, proposed, status, architecture_id, error, latency_ms, energy_mj, "
    "seconds, traceback, records, theta, date"
)


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    """The folder of version 2; its store is made from SQL."""
    path = tmp_path / "run"
    shutil.copytree(VERSION_2, path)
    script = path / "search.sql"
    with sqlite3.connect(path / "search.sqlite") as connection:
        connection.executescript(script.read_text())
        connection.execute(
            "INSERT INTO events (date, kind, content) VALUES (?, ?, ?)",
            ("2026-11-25T00:00:00.000+00:00", "tuple failed", json.dumps({"tuple": 7, "traceback": "MemoryError"})),
        )
    connection.close()
    script.unlink()
    (path / "tensorboard" / "tuple_0001").mkdir(parents=True)
    return RunFolder(path)


def rows(path: Path, query: str) -> list[Any]:
    with sqlite3.connect(path) as connection:
        found = connection.execute(query).fetchall()
    connection.close()
    return found


def test_nothing_is_lost_and_names_are_the_present_ones(folder: RunFolder) -> None:
    trials = rows(folder.store, f"SELECT {COLUMNS} FROM tuples ORDER BY id")
    evaluations = rows(folder.store, "SELECT tuple_id, position, architecture_id FROM evaluations ORDER BY 1, 2")
    measurements = rows(folder.store, "SELECT * FROM measurements")
    open_record(folder).close()
    assert len(trials) == 13
    assert rows(folder.store, f"SELECT {COLUMNS} FROM trials ORDER BY id") == trials
    found = rows(folder.store, "SELECT trial_id, position, architecture_id FROM evaluations ORDER BY 1, 2")
    assert found == evaluations
    assert rows(folder.store, "SELECT * FROM measurements") == measurements
    assert rows(folder.store, "PRAGMA user_version") == [(SCHEMA_VERSION,)]
    assert rows(folder.store, "PRAGMA foreign_key_check") == []
    store = read_store(folder.store)
    assert store.events()[-1][1:] == ("trial failed", {"trial": 7, "traceback": "MemoryError"})
    store.close()
    assert folder.surrogate_proposals(4).is_file()
    assert not list(folder.checkpoints.glob("steered_*"))
    assert (folder.tensorboard / "trial_0001").is_dir()


def test_a_new_store_has_the_tables_and_indices_of_a_migrated_one(folder: RunFolder, tmp_path: Path) -> None:
    open_record(folder).close()
    open_store(tmp_path / "new.sqlite").close()
    names = "SELECT type, name, tbl_name FROM sqlite_master ORDER BY 1, 2"
    assert rows(folder.store, names) == rows(tmp_path / "new.sqlite", names)
    for table in ("trials", "evaluations", "architectures", "measurements", "trained", "events"):
        columns = f"SELECT name, type, \"notnull\", pk FROM pragma_table_info('{table}')"
        assert rows(folder.store, columns) == rows(tmp_path / "new.sqlite", columns)


@pytest.mark.slow
def test_it_is_resumed_and_reported(folder: RunFolder, prepare_tiny: Prepare, replay: MakeReplay) -> None:
    before = rows(folder.store, f"SELECT {COLUMNS} FROM tuples ORDER BY id")
    config, _ = folder.read_config()
    preparation = prepare_tiny("run", device=replay(), generations=3, supernet_generations=1, resumed=True)
    assert preparation.config == config
    archive = run_search(preparation, InProcessBackend(preparation.setup), lambda event: None)
    after = rows(folder.store, f"SELECT {COLUMNS} FROM trials ORDER BY id")
    assert after[: len(before)] == before
    assert len(after) > len(before)
    assert archive.front()
    assert all("trial" in item and "tuple" not in item for item in json.loads(folder.front.read_text()))
    write_pictures_and_report(preparation, archive)
    assert "trial 2 failed: `MemoryError: too big`" in folder.report.read_text()


def test_a_migration_that_fails_leaves_the_store_as_it_was(folder: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    before = rows(folder.store, "SELECT * FROM sqlite_master")
    monkeypatch.setitem(STEPS, 2, STEPS[2] + "ALTER TABLE nowhere RENAME TO somewhere;")
    with pytest.raises(ValueError, match="a run's store must be an SQLite file that can be written to"):
        open_store(folder.store)
    assert rows(folder.store, "SELECT * FROM sqlite_master") == before
    assert rows(folder.store, "PRAGMA user_version") == [(2,)]


@pytest.mark.parametrize(
    ("version", "remedy"), [(1, "use a much earlier version"), (SCHEMA_VERSION + 1, "use a later version")]
)
def test_other_versions_are_refused(tmp_path: Path, version: int, remedy: str) -> None:
    rule = (
        f"a run's store must be of version 2 to {SCHEMA_VERSION}, but '.*old.sqlite' is of version {version}: {remedy}"
    )
    with pytest.raises(ValueError, match=rule):
        statements_from(version, tmp_path / "old.sqlite")
    with sqlite3.connect(tmp_path / "old.sqlite") as connection:
        connection.execute(f"PRAGMA user_version = {version}")
    connection.close()
    with pytest.raises(ValueError, match=rule):
        open_store(tmp_path / "old.sqlite")
