"""A store whose bytes are damaged anywhere is named, or holds what it held."""

from __future__ import annotations

import dataclasses
import os
import shutil
import sqlite3
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from devices.configuration import BASE
from moo.storage.archive import Archive
from moo.storage.record import begin_record
from moo.storage.run_folder import RunFolder
from moo.storage.store import new_store, open_store, read_store
from moo.trials import CoefficientTrial
from search_space.spaces import FBNetSpace
from tests.moo.conftest import MeasurementOf, ResultOf, TrainedOf

REFERENCE = (1.0, 10.0, 20.0)


@pytest.fixture
def folder(
    tmp_path: Path, space: FBNetSpace, result_of: ResultOf, measurement_of: MeasurementOf, trained_of: TrainedOf
) -> RunFolder:
    """A store into which everything was written that can be, changed rows included."""
    folder = RunFolder(tmp_path / "run")
    record = begin_record(folder)
    record.load_archive(Archive(REFERENCE), space)
    record.add_event("started")
    for result in (result_of(1, (0, 1, 2), (2, 2, 2)), result_of(0, (0, 0, 0), (2, 2, 2))):
        record.add_result(result, space)
    record.add_failure(CoefficientTrial(8, 2, result_of(8, (0, 0, 0)).trial.coefficients), "boom")  # type: ignore[arg-type]
    record.forget_failures(2)
    record.add_points_to_measure("end 1", [("000", BASE)])
    record.add_measurement("000", measurement_of(4.0))
    record.set_quantized_error("000", 0.5)
    record.set_test_error("888", 0.25, quantized=0.75)
    for error in (0.25, 0.125):
        record.set_trained(trained_of("888", error=error))
    record.close()
    assert [path.name for path in folder.path.iterdir()] == ["search.sqlite"]
    return folder


def content_of(path: Path, space: FBNetSpace) -> Any:
    """Everything that is read of a store."""
    store = open_store(path)
    try:
        return (
            store.trials(),
            store.events(),
            store.fill(Archive(REFERENCE), space).entries,
            store.trained(baselines=False),
            [np.asarray(store.theta(number).theta_LO).tolist() for number in store.trials()],
        )
    finally:
        store.close()


def outcome(path: Path, space: FBNetSpace, whole: Any) -> str:
    message = None
    try:
        found = content_of(path, space)
    except ValueError as error:
        message = str(error)
    if message is None:
        assert found == whole
        return "harmless"
    assert str(path) in message
    assert "\n" not in message
    return "named"


def test_a_changed_byte_is_named_or_harmless(folder: RunFolder, tmp_path: Path, space: FBNetSpace) -> None:
    content, rng = folder.store.read_bytes(), np.random.default_rng(0)
    whole = content_of(folder.store, space)
    path, outcomes = tmp_path / "damaged" / "search.sqlite", []
    path.parent.mkdir()
    used = np.flatnonzero(np.frombuffer(content, np.uint8))
    places = [
        *range(100),
        *rng.choice(used, 300, replace=False).tolist(),
        *rng.integers(len(content), size=50).tolist(),
    ]
    for place in places:
        damaged = bytearray(content)
        damaged[place] ^= 1 << int(rng.integers(8))
        for stale in path.parent.iterdir():
            stale.unlink()
        path.write_bytes(damaged)
        outcomes.append(outcome(path, space, whole))
    assert outcomes[100:400].count("named") > 250


def test_a_cut_store_is_named(folder: RunFolder, space: FBNetSpace) -> None:
    content = folder.store.read_bytes()
    for size in (0, 1, 50, 100, 4095, 4096, 8192, len(content) // 2, len(content) - 4096, len(content) - 1):
        folder.store.write_bytes(content[:size])
        assert outcome(folder.store, space, None) == "named", size


@pytest.mark.parametrize("open_it", [open_store, read_store])
def test_a_store_that_is_gone_is_not_begun_anew(folder: RunFolder, open_it: Any) -> None:
    folder.store.unlink()
    with pytest.raises(
        ValueError, match=r"must have its store, but .*search.sqlite' is missing. Restore it from a copy"
    ):
        open_it(folder.store)
    folder.store.mkdir()
    with pytest.raises(ValueError, match=r"must have its store, but .*search.sqlite' is no file"):
        open_it(folder.store)
    assert not list(folder.store.iterdir())


def test_rows_that_another_program_changed_are_named(folder: RunFolder) -> None:
    for change in (
        "DELETE FROM evaluations WHERE trial_id = 1",
        "UPDATE trials SET seconds = seconds + 1",
        "INSERT INTO events (date, kind, content) VALUES ('', 'no', '{}')",
        "DELETE FROM seals WHERE name = 'trained'",
        "UPDATE sqlite_sequence SET seq = 3",
        "CREATE INDEX one_more ON trials (seconds)",
    ):
        copy = folder.path / "copy.sqlite"
        shutil.copy(folder.store, copy)
        with sqlite3.connect(copy) as connection:
            connection.execute(change)
        connection.close()
        with pytest.raises(ValueError, match=r"a run's store must be whole, but .*copy.sqlite' is not: its"):
            open_store(copy)


def test_a_damaged_log_loses_the_last_changes_or_is_named(
    tmp_path: Path, space: FBNetSpace, result_of: ResultOf
) -> None:
    """What a kill leaves: the store and its write-ahead log; without the end of the log it is as if killed earlier."""
    store, states = new_store(tmp_path / "search.sqlite"), []
    for number in range(6):
        states.append(tuple(store.trials()))
        store.add_result(result_of(number, (number % 3, 0, 0)), space)
    states.append(tuple(store.trials()))
    names = ("search.sqlite", "search.sqlite-wal")
    files = {name: (tmp_path / name).read_bytes() for name in names}
    store.close()
    log, rng, seen = files[names[1]], np.random.default_rng(1), set()
    for turn in range(40):
        for path in tmp_path.iterdir():
            path.unlink()
        damaged = bytearray(log)
        damaged[int(rng.integers(len(log)))] ^= 255
        (tmp_path / names[0]).write_bytes(files[names[0]])
        (tmp_path / names[1]).write_bytes(damaged if turn % 2 else log[: int(rng.integers(len(log)))])
        again = open_store(tmp_path / names[0])
        seen.add(tuple(again.trials()))
        again.close()
    assert seen <= set(states)
    assert len(seen) > 3


def test_a_folder_that_takes_no_files_is_still_read(folder: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    if os.geteuid() == 0:
        pytest.skip("root writes everywhere")
    folder.path.chmod(0o500)
    store = read_store(folder.store)
    assert len(store.trials()) == 2
    store.close()
    folder.path.chmod(0o700)


def test_beginning_anew_takes_nothing_of_an_aborted_beginning(folder: RunFolder) -> None:
    record = begin_record(folder)
    assert record.store.trials() == {}
    record.close()


def test_values_are_sealed_as_they_come_back(tmp_path: Path, space: FBNetSpace, result_of: ResultOf) -> None:
    """Whole numbers in columns of reals, truths, and texts beyond ASCII."""
    store, result = new_store(tmp_path / "search.sqlite"), result_of(0, (0, 0, 0))
    store.add_result(dataclasses.replace(result, seconds=2), space)
    store.add_event("größer", name="\ud800 \u0000 ü")
    store.close()
    again = open_store(tmp_path / "search.sqlite")
    assert again.trials()[0].seconds == 2.0
    again.close()


def test_a_store_is_not_replaced_where_another_run_began_meanwhile(folder: RunFolder, space: FBNetSpace) -> None:
    folder.config.write_text("{}")
    before = content_of(folder.store, space)
    with pytest.raises(ValueError, match="a new run must have a new folder, but .* holds a run; choose another"):
        begin_record(folder)
    assert content_of(folder.store, space) == before


def test_want_of_memory_says_nothing_of_rows(folder: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    def wants(text: str) -> object:
        raise MemoryError

    store = read_store(folder.store)
    monkeypatch.setattr("json.loads", wants)
    with pytest.raises(MemoryError):
        store.events()
    store.close()


def test_what_is_no_damage_has_no_remedy_of_damage(folder: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(connection: object, path: Path) -> None:
        raise sqlite3.OperationalError("disk I/O error")

    monkeypatch.setattr("moo.storage.database._check_structure", full)
    with pytest.raises(ValueError, match=r"disk I/O error\. Mend that, or restore it from a copy\.$"):
        open_store(folder.store)
