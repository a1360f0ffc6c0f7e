"""Run folders that versions 2 and 3 of the store left in the middle of their third generation, as they lay on the disk.

That of version 3 is a run with two threads in int8.
"""

from __future__ import annotations

import json
import shutil
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from devices.configuration import RuntimeConfiguration
from moo.execution.backend import InProcessBackend
from moo.search.loop import run_search
from moo.search.outputs import write_pictures_and_report
from moo.storage.archive import Archive
from moo.storage.choices import points_to_measure
from moo.storage.migrations import STEPS, statements_from
from moo.storage.record import open_record
from moo.storage.run_folder import RunFolder
from moo.storage.schema import SCHEMA_VERSION
from moo.storage.store import new_store, open_store, read_store
from tests.moo.conftest import TINY, MakeReplay, Prepare

VERSION_2 = Path(__file__).with_name("run_of_version_2")
VERSION_3 = Path(__file__).with_name("run_of_version_3")
COLUMNS = (
    "id, generation, alpha, beta, gamma, delta, proposed, status, architecture_id, error, latency_ms, energy_mj, "
    "seconds, traceback, records, theta, date"
)
TWO_THREADS_INT8 = RuntimeConfiguration(threads=2, precision="int8")


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    """The folder of version 2; its store is made from SQL."""
    folder = copy_of(VERSION_2, tmp_path / "run")
    with sqlite3.connect(folder.store) as connection:
        connection.execute(
            "INSERT INTO events (date, kind, content) VALUES (?, ?, ?)",
            ("2026-11-25T00:00:00.000+00:00", "tuple failed", json.dumps({"tuple": 7, "traceback": "MemoryError"})),
        )
    connection.close()
    (folder.tensorboard / "tuple_0001").mkdir(parents=True)
    return folder


@pytest.fixture
def folder_3(tmp_path: Path) -> RunFolder:
    """The folder of version 3; its store is made from SQL."""
    return copy_of(VERSION_3, tmp_path / "run")


def copy_of(source: Path, path: Path) -> RunFolder:
    shutil.copytree(source, path)
    script = path / "search.sql"
    with sqlite3.connect(path / "search.sqlite") as connection:
        connection.executescript(script.read_text())
    connection.close()
    script.unlink()
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


def test_of_a_run_of_version_3_nothing_is_lost(folder_3: RunFolder) -> None:
    queries = [f"SELECT {COLUMNS} FROM trials ORDER BY id"]
    queries.append("SELECT trial_id, position, architecture_id FROM evaluations ORDER BY 1, 2")
    queries += [f"SELECT * FROM {table} ORDER BY 1, 2" for table in ("measurements", "events")]
    queries.append(
        "SELECT id, operators, error, cross_entropy, latency_ms, energy_mj, test_error FROM architectures ORDER BY id"
    )
    before = [rows(folder_3.store, query) for query in queries]
    assert [len(found) > 0 for found in before] == [True] * len(queries)
    assert rows(folder_3.store, "PRAGMA user_version") == [(3,)]
    record = open_record(folder_3)
    archive = record.load_archive(Archive((1.0, 100.0, 1000.0), configurations=(TWO_THREADS_INT8,)), TINY)
    assert [rows(folder_3.store, query) for query in queries] == before
    assert rows(folder_3.store, "PRAGMA user_version") == [(SCHEMA_VERSION,)]
    assert rows(folder_3.store, "PRAGMA foreign_key_check") == []
    assert {entry.configuration for entry in archive.entries} == {None}
    assert {(entry.params, entry.quantized_error, entry.correct) for entry in archive.entries} == {(None, None, None)}
    measured = [entry for entry in archive.entries if entry.measurements]
    assert len(measured) == 5
    assert all(entry.measured_in(TWO_THREADS_INT8) is not None for entry in measured)
    # Its front was made with errors in fp32; those in int8 are not known.
    assert archive.front() == ()
    assert len(archive.unquantized()) > 0
    assert points_to_measure(record.store) == {}
    assert {stored.trial.configuration for stored in record.store.trials().values()} == {None}
    record.close()
    config, _ = folder_3.read_config()
    assert config.given_configurations == (TWO_THREADS_INT8,)


@pytest.mark.parametrize("version", [VERSION_2, VERSION_3], ids=["2", "3"])
def test_a_new_store_has_the_tables_and_indices_of_a_migrated_one(tmp_path: Path, version: Path) -> None:
    folder = copy_of(version, tmp_path / "run")
    open_record(folder).close()
    new_store(tmp_path / "new.sqlite").close()
    names = "SELECT type, name, tbl_name FROM sqlite_master ORDER BY 1, 2"
    assert rows(folder.store, names) == rows(tmp_path / "new.sqlite", names)
    for table in ("trials", "evaluations", "architectures", "measurements", "trained", "events"):
        columns = f"SELECT name, type, \"notnull\", pk FROM pragma_table_info('{table}') ORDER BY 1"
        assert rows(folder.store, columns) == rows(tmp_path / "new.sqlite", columns)


@pytest.mark.slow
def test_it_is_resumed_and_reported(folder: RunFolder, prepare_tiny: Prepare, replay: MakeReplay) -> None:
    before = rows(folder.store, f"SELECT {COLUMNS} FROM tuples ORDER BY id")
    config, _ = folder.read_config()
    settings = {
        "threads": (1,),
        "precision": ("fp32",),
        "generations": 3,
        "supernet_generations": 1,
        "pretrain_lr": 0.3,
        "train_precision": "fp32",
    }
    preparation = prepare_tiny("run", device=replay(), resumed=True, **settings)
    assert preparation.config == config
    archive = run_search(preparation, InProcessBackend(preparation.setup), lambda event: None)
    after = rows(folder.store, f"SELECT {COLUMNS} FROM trials ORDER BY id")
    assert after[: len(before)] == before
    assert len(after) > len(before)
    assert archive.front()
    assert all("trial" in item and "tuple" not in item for item in json.loads(folder.front.read_text()))
    write_pictures_and_report(preparation, archive)
    assert "trial 2 failed: `MemoryError: too big`" in folder.report.read_text()


@pytest.mark.slow
def test_a_run_of_version_3_in_int8_is_resumed_in_its_configuration(
    folder_3: RunFolder, prepare_tiny: Prepare, replay: MakeReplay
) -> None:
    before = rows(folder_3.store, f"SELECT {COLUMNS} FROM trials ORDER BY id")
    config, _ = folder_3.read_config()
    settings = {
        "threads": (2,),
        "precision": ("int8",),
        "generations": 3,
        "supernet_generations": 1,
        "pretrain_lr": 0.3,
        "train_precision": "fp32",
    }
    preparation = prepare_tiny("run", device=replay(), resumed=True, **settings)
    assert preparation.config == config
    archive = run_search(preparation, InProcessBackend(preparation.setup), lambda event: None)
    after = rows(folder_3.store, f"SELECT {COLUMNS} FROM trials ORDER BY id")
    assert after[: len(before)] == before
    assert len(after) > len(before)
    assert len(archive.front()) > 0
    for point in archive.front():
        assert point.configuration == TWO_THREADS_INT8
        assert point.error == point.entry.quantized_error
        assert point.measurement is not None
        assert (folder_3.networks / point.id / "model_int8.onnx").is_file()
    items = json.loads(folder_3.front.read_text())
    assert {item["configuration"]["label"] for item in items} == {"ort 2t int8"}
    write_pictures_and_report(preparation, archive)
    assert "trial 2 failed: `MemoryError: too big`" in folder_3.report.read_text()


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
