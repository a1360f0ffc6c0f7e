from __future__ import annotations

import dataclasses
import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from devices.configuration import BASE, RuntimeConfiguration
from dnas.losses import Coefficients
from moo.storage.archive import Archive
from moo.storage.choices import points_to_measure
from moo.storage.record import begin_record
from moo.storage.run_folder import RunFolder
from moo.storage.store import entries_of, new_store, open_store
from moo.trials import AdaptiveEvaluation, ArchitectureTrial, CoefficientTrial, Trial
from search_space.exits import Exit
from search_space.spaces import FBNetSpace
from tests.moo.conftest import MeasurementOf, ResultOf

REFERENCE = (1.0, 10.0, 20.0)
ROOT = Path(__file__).parents[3]
COEFFICIENTS = Coefficients(1 / 3, 2.0, 3e-7, 4.0)
TWO_THREADS_INT8 = RuntimeConfiguration(threads=2, precision="int8")


@pytest.fixture
def path(tmp_path: Path) -> Any:
    return tmp_path / "search.sqlite"


@pytest.fixture
def store(path: Any) -> Iterator[Any]:
    store = new_store(path)
    yield store
    store.close()


def test_results_come_back_as_they_were(store: Any, space: FBNetSpace, result_of: ResultOf) -> None:
    result = result_of(3, (0, 1, 2), (1, 1, 1), chosen=1)
    store.add_result(result, space)
    kept = store.trials()[3]
    assert kept.trial == result.trial
    assert kept.objectives == (3 / 7, 2.0, 3.0)
    assert (kept.architecture_id, kept.seconds, kept.traceback) == ("333", 0.25, None)
    theta = store.theta(3)
    assert theta.records == result.theta.records
    np.testing.assert_array_equal(theta.theta_LO, result.theta.theta_LO)
    np.testing.assert_array_equal(theta.probs_TLO, result.theta.probs_TLO)
    assert theta.theta_LO.dtype == np.float32


def test_what_networks_do_with_early_exits_comes_back_by_trial(
    store: Any, space: FBNetSpace, result_of: ResultOf
) -> None:
    adaptive = [
        AdaptiveEvaluation(
            error=1 / 3,
            cross_entropy=0.1 * (number + 1),
            latency_ms=1 / 7,
            energy_mj=2.5,
            exits=(Exit(0, "linear"), Exit(2, "conv"))[:number],
            thresholds=(0.25, 2 / 3)[:number],
            exit_shares=((1.0,), (0.25, 0.75), (0.1, 0.2, 0.7))[number],
        )
        for number in range(3)
    ]
    for number, own in enumerate(adaptive):
        result = result_of(number, (0, 1, 2), (1, 1, 1), chosen=1)
        first, second = result.architectures
        # The same network is another one's best point where the coefficients are others.
        result = dataclasses.replace(result, architectures=(first, dataclasses.replace(second, adaptive=own)))
        assert result.objectives == (own.error, own.latency_ms, own.energy_mj)
        store.add_result(result, space)
        assert store.trials()[number].objectives == result.objectives
    store.add_result(result_of(3, (1, 1, 1)), space)
    store.add_failure(CoefficientTrial(4, 0, COEFFICIENTS), "Traceback:\nboom")
    assert store.adaptive_evaluations() == dict(enumerate(adaptive))
    # What is compared with other networks stays the network as it is.
    assert store.fill(Archive(REFERENCE), space)["333"].error == 3 / 7


def test_some_trials_are_read_without_the_others(store: Any, space: FBNetSpace, result_of: ResultOf) -> None:
    for number in range(5):
        store.add_result(result_of(number, (number % 3, 1, 2)), space)
    every = store.trials()
    assert list(every) == list(range(5))
    assert store.trials(range(1, 3)) == {number: every[number] for number in (1, 2)}
    assert store.trials(range(5, 9)) == {}


def test_trials_have_their_minutes_from_the_first_event_on(
    store: Any, space: FBNetSpace, result_of: ResultOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    times = iter(f"2000-01-01T00:{minute:02}:30.000+00:00" for minute in (1, 3, 7))
    monkeypatch.setattr("moo.storage.store._now", lambda: next(times))
    store.add_event("started")
    for number in (0, 1):
        store.add_result(result_of(number, (0, 1, 2)), space)
    assert store.minutes() == {0: 2.0, 1: 6.0}


def test_time_searched_adds_up_over_interruptions_and_kills(
    store: Any, space: FBNetSpace, result_of: ResultOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    course = [
        ("started", 0), ("searching", 2), ("searched", 5, 3.0), ("resumed", 20), ("searching", 30), ("trial", 34),
        ("resumed", 60), ("searching", 61),
    ]  # fmt: skip
    minutes = iter(at for _, at, *_ in course)
    monkeypatch.setattr("moo.storage.store._now", lambda: f"2000-01-01T00:{next(minutes):02}:00.000+00:00")
    for kind, _, *took in course:
        if kind == "trial":
            store.add_result(result_of(0, (0, 1, 2)), space)
        else:
            store.add_event(kind, **({"seconds": took[0]} if took else {}))
    assert store.seconds_searched() == 3.0 + 4 * 60, "the second search was killed after its trial"


def test_failures_come_back_without_objectives(store: Any) -> None:
    job = CoefficientTrial(1, 0, Coefficients(1 / 3, 2.0, 3e-7, 4.0))
    store.add_failure(job, "Traceback:\nboom")
    kept = store.trials()[1]
    assert kept.trial == job
    assert kept.objectives is None
    assert kept.architecture_id is None
    assert kept.traceback == "Traceback:\nboom"
    for number in (1, 2):
        with pytest.raises(ValueError, match=f"to have a course, but trial {number} has not"):
            store.theta(number)


def test_events_come_back_in_order_with_their_content(store: Any) -> None:
    store.add_event("started")
    store.add_event("finished", seconds=1.5, ids=["000"])
    events = store.events()
    assert [(kind, content) for _, kind, content in events] == [
        ("started", {}),
        ("finished", {"seconds": 1.5, "ids": ["000"]}),
    ]
    assert events[0][0] <= events[1][0]
    assert events[0][0].endswith("+00:00")


def test_what_is_committed_survives_a_power_cut(store: Any) -> None:
    """With less than FULL, a store in WAL mode loses the transactions since the last checkpoint."""
    (mode,) = store._connection.execute("PRAGMA journal_mode").fetchone()
    (synchronous,) = store._connection.execute("PRAGMA synchronous").fetchone()
    assert (mode, synchronous) == ("wal", 2)


def test_what_is_written_together_is_kept_all_or_not_at_all(store: Any) -> None:
    def write_two(*, fails: bool) -> None:
        with store.together():
            store.add_event("first")
            store.add_event("second")
            if fails:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_two(fails=True)
    assert store.events() == []
    write_two(fails=False)
    assert [kind for _, kind, _ in store.events()] == ["first", "second"]


def test_points_to_measure_come_back_by_stage(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    record = begin_record(folder)
    points = [("000", BASE), ("000", TWO_THREADS_INT8), ("888", RuntimeConfiguration(frequency_mhz=1500))]
    record.add_event("started")
    record.add_points_to_measure("generation 1", points)
    record.add_points_to_measure("end 1", [])
    record.close()
    again = open_store(folder.store)
    assert points_to_measure(again) == {"generation 1": points, "end 1": []}
    again.close()


def test_what_an_earlier_version_chose_to_measure_is_chosen_anew(store: Any) -> None:
    store.add_event("measuring", stage="generation 1", networks=["000", "888"])
    assert points_to_measure(store) == {}


@pytest.mark.parametrize(
    "trial",
    [
        CoefficientTrial(0, 1, COEFFICIENTS, TWO_THREADS_INT8),
        CoefficientTrial(0, 1, COEFFICIENTS),
        ArchitectureTrial(id=0, generation=1, indices=(0, 1, 2), configuration=TWO_THREADS_INT8),
        ArchitectureTrial(
            id=0, generation=1, indices=(0, 1, 2), coefficients=COEFFICIENTS, configuration=TWO_THREADS_INT8
        ),
        ArchitectureTrial(id=0, generation=1, indices=(0, 1, 2), coefficients=COEFFICIENTS),
    ],
)
def test_trials_come_back_with_their_configuration(
    store: Any, space: FBNetSpace, result_of: ResultOf, trial: Trial
) -> None:
    store.add_result(dataclasses.replace(result_of(0, (0, 1, 2), (1, 1, 1)), trial=trial), space)
    failed = dataclasses.replace(trial, id=1)
    store.add_failure(failed, "boom")
    assert [stored.trial for stored in store.trials().values()] == [trial, failed]
    archive = store.fill(Archive(REFERENCE), space)
    assert {entry.configuration for entry in archive.entries} == {trial.configuration}
    assert {entry.coefficients for entry in archive.entries} == {trial.coefficients}


def test_errors_in_int8_come_back(store: Any, path: Any, space: FBNetSpace, result_of: ResultOf) -> None:
    result = result_of(0, (0, 0, 0), (1, 1, 1), (2, 2, 2))
    quantized = (dataclasses.replace(result.architectures[0], quantized_error=0.25), *result.architectures[1:])
    store.add_result(dataclasses.replace(result, architectures=quantized), space)
    assert store.trials()[0].objectives == (0.25, 1.0, 2.0)
    store.set_quantized_error("333", 0.5)
    store.set_test_error("333", 0.375)
    store.set_test_error("888", 0.125, quantized=0.75)
    store.set_test_error("888", 0.0625)
    store.close()
    again = open_store(path)
    archive = again.fill(Archive(REFERENCE), space)
    again.close()
    found = {
        entry.architecture.id: (entry.quantized_error, entry.test_error, entry.quantized_test_error)
        for entry in archive.entries
    }
    assert found == {"000": (0.25, None, None), "333": (0.5, 0.375, None), "888": (None, 0.0625, 0.75)}
    assert [entry.params for entry in archive.entries] == [100, 103, 106]


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_right_images_are_those_of_the_trial_whose_error_counts(
    store: Any, space: FBNetSpace, result_of: ResultOf, order: tuple[int, int]
) -> None:
    results = []
    for number in (0, 1):
        result = result_of(number, (0, 0, 0))
        (found,) = result.architectures
        found = dataclasses.replace(found, error=0.25 + number / 8, correct=bytes([number, 255]))
        results.append(dataclasses.replace(result, architectures=(found,)))
    archive = Archive(REFERENCE)
    for number in order:
        store.add_result(results[number], space)
        for entry in entries_of(results[number], space):
            archive.add(entry)
    copy = store.fill(Archive(REFERENCE), space)
    assert copy.entries == archive.entries
    assert (copy["000"].error, copy["000"].correct) == (0.25, bytes([0, 255]))
    assert [item.correct for item in store.evaluated(space)] == [bytes([0, 255])]


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_an_error_in_int8_stays_whichever_trial_gave_it(
    store: Any, space: FBNetSpace, result_of: ResultOf, order: tuple[int, int]
) -> None:
    """The second trial was in int8; the first, which owns the architecture, was not."""
    first, second = result_of(0, (0, 0, 0)), result_of(1, (0, 0, 0))
    evaluated = (dataclasses.replace(second.architectures[0], quantized_error=0.25),)
    results = (first, dataclasses.replace(second, architectures=evaluated))
    archive = Archive(REFERENCE)
    for number in order:
        store.add_result(results[number], space)
        for entry in entries_of(results[number], space):
            archive.add(entry)
    copy = store.fill(Archive(REFERENCE), space)
    assert copy.entries == archive.entries
    assert (copy["000"].trial_id, copy["000"].quantized_error) == (0, 0.25)


def test_record_and_archive_stay_equal(
    tmp_path: Path, space: FBNetSpace, result_of: ResultOf, measurement_of: MeasurementOf
) -> None:
    record = begin_record(RunFolder(tmp_path))
    archive = record.load_archive(Archive(REFERENCE, configurations=(BASE, TWO_THREADS_INT8)), space)
    record.add_result(result_of(0, (0, 0, 0), (1, 1, 1)), space)
    record.set_quantized_error("000", 0.25)
    record.set_test_error("000", 0.5, quantized=0.625)
    for configuration in (BASE, TWO_THREADS_INT8):
        measured = dataclasses.replace(
            measurement_of(4.0 - configuration.threads),
            threads=configuration.threads,
            precision=configuration.precision,
        )
        record.add_measurement("000", measured)
    copy = record.store.fill(Archive(REFERENCE, configurations=(BASE, TWO_THREADS_INT8)), space)
    record.close()
    assert copy.entries == archive.entries
    assert len(copy["000"].measurements) == 2
    assert copy.front() == archive.front()
    assert {point.configuration for point in copy.front()} == {BASE, TWO_THREADS_INT8}


def test_the_archive_is_reproduced(
    store: Any, path: Any, space: FBNetSpace, result_of: ResultOf, measurement_of: MeasurementOf
) -> None:
    archive = Archive(REFERENCE)
    for result in (result_of(2, (0, 1, 2), (2, 2, 2)), result_of(0, (0, 0, 0)), result_of(1, (1, 1, 1), (0, 1, 2))):
        store.add_result(result, space)
        for entry in entries_of(result, space):
            archive.add(entry)
    store.add_failure(CoefficientTrial(4, 1, Coefficients(1.0, 1.0, 1.0, 1.0)), "boom")
    for latency_ms in (4.0, 5.0):
        store.add_measurement("888", measurement_of(latency_ms))
        archive.set_measurement("888", measurement_of(latency_ms))
    store.set_test_error("000", 0.125)
    archive.set_test_error("000", 0.125)
    store.close()

    again = open_store(path)
    copy = again.fill(Archive(REFERENCE), space)
    again.close()
    assert copy.entries == archive.entries
    assert copy["038"].trial_id == 1
    assert copy["888"].measurements == (measurement_of(5.0),)
    assert copy.front() == archive.front()


def test_an_error_in_the_middle_leaves_nothing(store: Any, path: Any, space: FBNetSpace, result_of: ResultOf) -> None:
    good = result_of(0, (0, 1, 2), (1, 1, 1))
    broken = dataclasses.replace(good.architectures[1], error="nan?", cross_entropy=None)  # type: ignore[arg-type]
    with pytest.raises(sqlite3.IntegrityError):
        store.add_result(dataclasses.replace(good, architectures=(good.architectures[0], broken)), space)
    assert store.trials() == {}
    with sqlite3.connect(path) as reader:
        assert reader.execute("SELECT count(*) FROM architectures").fetchone() == (0,)
    reader.close()
    store.add_result(good, space)
    assert list(store.trials()) == [0]


def test_a_trial_is_kept_once_and_measurements_need_their_architecture(
    store: Any, space: FBNetSpace, result_of: ResultOf, measurement_of: MeasurementOf
) -> None:
    store.add_result(result_of(0, (0, 1, 2)), space)
    with pytest.raises(sqlite3.IntegrityError):
        store.add_result(result_of(0, (1, 1, 1)), space)
    with pytest.raises(sqlite3.IntegrityError):
        store.add_measurement("111", measurement_of(1.0))
    archive = store.fill(Archive(REFERENCE), space)
    assert [entry.architecture.id for entry in archive.entries] == ["038"]


def test_another_program_can_read_while_the_search_writes(
    store: Any, path: Any, space: FBNetSpace, result_of: ResultOf
) -> None:
    reader = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
    for number in range(3):
        store.add_result(result_of(number, (number, 0, 0)), space)
        assert reader.execute("SELECT count(*) FROM trials").fetchone() == (number + 1,)
    reader.close()


WRITER = """
import sys
from pathlib import Path
from dnas.losses import Coefficients
from moo.trials import CoefficientTrial
from moo.storage.store import new_store

store = new_store(Path(sys.argv[1]))
for number in range(10**9):
    store.add_failure(CoefficientTrial(number, 0, Coefficients(1.0, 1.0, 1.0, 1.0)), "x" * 2000)
    store.add_event("ended", number=number)
    print(number, flush=True)
"""


def test_what_was_written_before_a_kill_is_there_after_it(path: Any) -> None:
    writer = subprocess.Popen([sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE, text=True, cwd=ROOT)
    assert writer.stdout is not None
    for line in writer.stdout:
        if int(line) >= 20:
            break
    os.kill(writer.pid, signal.SIGKILL)
    reported = [int(line) for line in writer.stdout.read().splitlines() if line.isdigit()]
    writer.stdout.close()
    writer.wait()
    store = open_store(path)
    trials, events = store.trials(), store.events()
    store.add_event("resumed")
    store.close()
    assert list(trials) == list(range(len(trials)))
    assert len(trials) > max([20, *reported])
    assert len(events) in (len(trials), len(trials) - 1)


def test_a_full_disk_is_an_error_of_the_system_that_names_the_store(store: Any, path: Any) -> None:
    store._connection.execute("PRAGMA max_page_count = 1")
    with pytest.raises(OSError, match="No space left") as full:
        store.add_event("much", text="x" * 100_000)
    assert full.value.filename == str(path)
    store._connection.execute("PRAGMA max_page_count = 100000")
    store.add_event("little")
    assert [kind for _, kind, _ in store.events()] == ["little"]


def test_a_file_that_is_no_store_is_refused(path: Any) -> None:
    path.write_bytes(b"no database" * 100)
    with pytest.raises(ValueError, match="a run's store must be an SQLite file that can be written to, but .*search"):
        open_store(path)
