"""The SQLite store of a run: what resume, plots, reports and other programs read.

Tables: `trials` (coefficients, or the architecture that was proposed as it is; result, course of the inner search),
`architectures`, `evaluations` (which trial gave which, and how these do with early exits), `measurements`, `trained`
(networks of the front, and baselines), `events`. What belongs together is written in one transaction, so a run killed
at any instant loses nothing that had ended. Start with `open_store`; `moo.storage.record` alone writes.
"""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timezone
from operator import itemgetter
from pathlib import Path

import numpy as np

from devices.measurement import Measurement
from dnas.inner_search import StepRecord, ThetaResult
from moo.storage.archive import Archive, Entry
from moo.storage.database import Connection, new_database, open_database, read_database, reading, transaction
from moo.storage.schema import STAY, TAKE_OVER
from moo.storage.trained_network import TrainedNetwork
from moo.storage.trial_columns import coefficients_of, columns_of, configuration_of, trial_of_row
from moo.trials import (
    AdaptiveEvaluation,
    EvaluatedArchitecture,
    Objectives,
    Trial,
    TrialResult,
)
from search_space.architectures import architecture_from_indices, architecture_of, operator_indices
from search_space.spaces import FBNetSpace

IN_INT8 = "evaluating in int8"
"""Kind of the event that says which networks were chosen for that."""
ESTIMATE = "estimate"
"""Kind of the event that says how much time seemed left: `stage`, `seconds_left`, `elapsed_seconds`."""
MOST_COURSE_BYTES = 2**28
"""Of the arrays of one inner search, unpacked."""
FILE_MEASURED = "file measured"
"""Kind of the event that says that a point's very file was measured."""


@dataclass(frozen=True, kw_only=True, slots=True)
class StoredTrial:
    """A trial that has ended."""

    trial: Trial
    objectives: Objectives | None
    """Of the architecture that stands for it, with predicted costs; None if it failed."""
    architecture_id: str | None
    seconds: float
    traceback: str | None


class StoreReader:
    """What a run's database holds; use it from one thread."""

    def __init__(self, connection: Connection, path: Path) -> None:
        self._connection = connection
        self._path = path

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    @reading
    def trained(self, *, baselines: bool) -> list[TrainedNetwork]:
        """Trained networks of the front, or baselines, by name."""
        rows = self._connection.execute(
            "SELECT content FROM trained WHERE baseline = ? ORDER BY name", (int(baselines),)
        )
        return [TrainedNetwork.from_json(json.loads(content)) for (content,) in rows]

    @reading
    def events(self) -> list[tuple[str, str, dict[str, object]]]:
        """Date, kind and content of all events, oldest first."""
        rows = self._connection.execute("SELECT date, kind, content FROM events ORDER BY id")
        return [(date, kind, json.loads(content)) for date, kind, content in rows]

    @reading
    def measurements(self) -> list[tuple[str, Measurement]]:
        """All measurements of networks, those that later ones took the place of as well, by architecture id."""
        rows = self._connection.execute("SELECT architecture_id, content FROM measurements ORDER BY id")
        return [(identifier, Measurement.from_json(json.loads(content))) for identifier, content in rows]

    @reading
    def networks_in_int8(self, stage: str) -> list[str] | None:
        """Ids of the networks that were chosen to be evaluated in int8 at a stage; None before that."""
        query = "SELECT content FROM events WHERE kind = ? AND json_extract(content, '$.stage') = ? ORDER BY id DESC"
        row = self._connection.execute(query, (IN_INT8, stage)).fetchone()
        return None if row is None else [str(identifier) for identifier in json.loads(row[0])["networks"]]

    @reading
    def trials(self, ids: range = range(2**62)) -> dict[int, StoredTrial]:
        """Trials that have ended, by id: those of a range, by default all."""
        rows = self._connection.execute(
            "SELECT id, generation, alpha, beta, gamma, delta, proposed, configuration, status, error, latency_ms, "
            "energy_mj, architecture_id, seconds, traceback FROM trials WHERE id >= ? AND id < ? ORDER BY id",
            (ids.start, ids.stop),
        )
        return {
            number: StoredTrial(
                trial=trial_of_row(number, generation, *proposal),
                objectives=(error, latency, energy) if status == "done" else None,
                architecture_id=chosen,
                seconds=took or 0.0,
                traceback=trace,
            )
            for number, generation, *proposal, status, error, latency, energy, chosen, took, trace in rows
        }

    @reading
    def evaluated(self, space: FBNetSpace) -> list[EvaluatedArchitecture]:
        """All evaluated architectures, each once, in the order of trials, with the costs that these predicted.

        Args:
            space: that was searched.
        """
        rows = self._connection.execute(
            "SELECT a.operators, a.error, a.cross_entropy, a.latency_ms, a.energy_mj, a.params, a.quantized_error, "
            "a.correct FROM architectures a JOIN evaluations e ON e.architecture_id = a.id GROUP BY a.id "
            "ORDER BY min(e.trial_id), min(e.position), a.id"
        )
        return [
            EvaluatedArchitecture(
                indices=operator_indices(space, architecture_of(space, tuple(json.loads(operators)))),
                error=error,
                cross_entropy=cross_entropy,
                latency_ms=latency_ms,
                energy_mj=energy_mj,
                params=params or 0,
                quantized_error=quantized_error,
                correct=correct,
            )
            for operators, error, cross_entropy, latency_ms, energy_mj, params, quantized_error, correct in rows
        ]

    @reading
    def adaptive_evaluations(self) -> dict[int, AdaptiveEvaluation]:
        """What the architecture that stands for each trial does with early exits, by trial, where it was judged so."""
        rows = self._connection.execute(
            "SELECT t.id, e.adaptive FROM trials t JOIN evaluations e ON e.trial_id = t.id "
            "AND e.architecture_id = t.architecture_id WHERE e.adaptive IS NOT NULL ORDER BY t.id"
        )
        return {number: AdaptiveEvaluation.from_json(json.loads(content)) for number, content in rows}

    def num_trials(self) -> int:
        """How many trials of the run itself have ended, failed ones too; what it took over from another is not."""
        return int(self._connection.execute("SELECT count(*) FROM trials WHERE generation >= 0").fetchone()[0])

    def has_trial(self, number: int) -> bool:
        """Whether a trial has ended."""
        return self._connection.execute("SELECT 1 FROM trials WHERE id = ?", (number,)).fetchone() is not None

    def has_generation(self, generation: int) -> bool:
        """Whether a trial of a generation (from 0) has ended."""
        query = "SELECT 1 FROM trials WHERE generation = ? LIMIT 1"
        return self._connection.execute(query, (generation,)).fetchone() is not None

    @reading
    def trials_as_they_ended(self) -> list[StoredTrial]:
        """All trials that have ended, the first to end first."""
        stored = self.trials()
        rows = self._connection.execute("SELECT id FROM trials ORDER BY date, id")
        return [stored[number] for (number,) in rows]

    @reading
    def seconds_searched(self) -> float:
        """Time that searching took so far, pre-training left out; where it was killed, up to what it kept last."""
        trials = self._connection.execute("SELECT date, 'trial', '{}' FROM trials WHERE generation >= 0")
        happened = [*trials, *self._connection.execute("SELECT date, kind, content FROM events ORDER BY id")]
        seconds, start, last = 0.0, "", ""
        for date, kind, content in sorted(happened, key=itemgetter(0)):
            if kind == "searched":
                seconds += float(json.loads(content)["seconds"])
                start = ""
            elif kind == "searching":
                start = date
            elif kind == "resumed" and start:
                seconds += _seconds_between(start, last)
                start = ""
            last = date
        return seconds

    @reading
    def known_at(self) -> list[tuple[float, Objectives]]:
        """Each architecture's seconds from the beginning of the search to when it was known, with objectives."""
        (start,) = self._connection.execute("SELECT max(date) FROM events WHERE kind = 'searching'").fetchone()
        rows = self._connection.execute(
            "SELECT min(t.date), a.error, a.latency_ms, a.energy_mj FROM architectures a "
            "JOIN evaluations e ON e.architecture_id = a.id JOIN trials t ON t.id = e.trial_id "
            "GROUP BY a.id ORDER BY min(t.date), a.id"
        )
        return [(_seconds_between(start, date), (error, latency, energy)) for date, error, latency, energy in rows]

    @reading
    def minutes(self) -> dict[int, float]:
        """When each trial ended, in minutes from the first event of the run; interruptions count."""
        dates = "SELECT min(date) FROM (SELECT date FROM events UNION SELECT date FROM trials)"
        (first,) = self._connection.execute(dates).fetchone()
        rows = self._connection.execute("SELECT id, date FROM trials ORDER BY id")
        return {number: _seconds_between(first, date) / 60 for number, date in rows}

    @reading
    def theta(self, trial_id: int) -> ThetaResult:
        """The course of a trial's inner search.

        Raises:
            ValueError: if that trial has none.
        """
        row = self._connection.execute("SELECT records, theta FROM trials WHERE id = ?", (trial_id,)).fetchone()
        if row is None or row[0] is None:
            raise ValueError(f"a trial must have searched theta to have a course, but trial {trial_id} has not.")
        with zipfile.ZipFile(io.BytesIO(row[1])) as packed:
            if sum(entry.file_size for entry in packed.infolist()) > MOST_COURSE_BYTES:
                raise ValueError(f"the course of a search must have at most {MOST_COURSE_BYTES} bytes, but has more.")
        with np.load(io.BytesIO(row[1])) as arrays:
            records = tuple(StepRecord.of(figures) for figures in json.loads(row[0]))
            return ThetaResult(arrays["theta_LO"], records, arrays["probs_TLO"])

    @reading
    def fill(self, archive: Archive, space: FBNetSpace) -> Archive:
        """Put all architectures into an empty archive, with their measurements, test errors and trainings.

        Args:
            archive: to fill; it is returned.
            space: that was searched.
        """
        rows = self._connection.execute(
            "SELECT a.operators, a.error, a.latency_ms, a.energy_mj, a.params, a.quantized_error, a.test_error, "
            "a.quantized_test_error, a.correct, e.trial_id, e.position, "
            "t.configuration, t.alpha, t.beta, t.gamma, t.delta "
            "FROM evaluations e JOIN architectures a ON a.id = e.architecture_id "
            "JOIN trials t ON t.id = e.trial_id ORDER BY e.trial_id, e.position"
        )
        for operators, error, latency, energy, params, *row in rows:
            quantized, test, quantized_test, correct, trial, place, label, *c = row
            archive.add(
                Entry(
                    architecture=architecture_of(space, tuple(json.loads(operators))),
                    error=error,
                    predicted_latency_ms=latency,
                    predicted_energy_mj=energy,
                    trial_id=trial,
                    position=place,
                    coefficients=coefficients_of(c),
                    configuration=configuration_of(label),
                    params=params,
                    correct=correct,
                    quantized_error=quantized,
                    test_error=test,
                    quantized_test_error=quantized_test,
                )
            )
        for architecture_id, measurement in self.measurements():
            archive.set_measurement(architecture_id, measurement)
        for network in self.trained(baselines=False):
            if network.name in archive:
                archive.set_trained(network.name, network)
        return archive


class Store(StoreReader):
    """The same, and how it is written; `moo.storage.record.RunRecord` is the only writer."""

    def add_result(self, result: TrialResult, space: FBNetSpace) -> None:
        """Keep a trial's result, its architectures and the course of its inner search."""
        architectures = [architecture_from_indices(space, item.indices) for item in result.architectures]
        error, latency_ms, energy_mj = result.objectives
        records, theta = _course(result.theta)
        ended = {
            "status": "done",
            "architecture_id": architectures[result.chosen].id,
            "error": error,
            "latency_ms": latency_ms,
            "energy_mj": energy_mj,
            "seconds": result.seconds,
            "records": records,
            "theta": theta,
        }
        with self.together():
            self._insert("trials", columns_of(result.trial) | {"date": _now()} | ended)
            for position, (item, architecture) in enumerate(zip(result.architectures, architectures, strict=True)):
                (earlier,) = self._connection.execute(
                    "SELECT count(*) FROM evaluations WHERE architecture_id = ? AND trial_id < ?",
                    (architecture.id, result.trial.id),
                ).fetchone()
                found = {
                    "id": architecture.id,
                    "operators": json.dumps(architecture.operators),
                    "error": item.error,
                    "cross_entropy": item.cross_entropy,
                    "latency_ms": item.latency_ms,
                    "energy_mj": item.energy_mj,
                    "params": item.params,
                    "quantized_error": item.quantized_error,
                    "correct": item.correct,
                }
                # With supernets of their own, trials differ in what they find: the earliest counts.
                self._insert("architectures", found, f"ON CONFLICT (id) DO {STAY if earlier else TAKE_OVER}")
                adaptive = None if item.adaptive is None else json.dumps(item.adaptive.to_json())
                link = {"trial_id": result.trial.id, "position": position, "architecture_id": architecture.id}
                self._insert("evaluations", link | {"adaptive": adaptive})

    def add_failure(self, trial: Trial, traceback: str) -> None:
        """Keep that a trial failed, and why."""
        with self.together():
            self._insert("trials", columns_of(trial) | {"date": _now(), "status": "failed", "traceback": traceback})

    def forget_failures(self, generation: int) -> None:
        """Have a resumed run try the failed trials of a generation again; their tracebacks become events."""
        failed = [
            item for item in self.trials().values() if item.trial.generation == generation and not item.objectives
        ]
        with self.together():
            for item in failed:
                self._connection.execute("DELETE FROM trials WHERE id = ?", (item.trial.id,))
                self._note("trial failed", trial=item.trial.id, traceback=item.traceback)

    def add_measurement(self, architecture_id: str, measurement: Measurement, *, file: str | None = None) -> None:
        """Keep one measurement; all are kept, the last one counts.

        Args:
            architecture_id: of what was measured.
            measurement: of it.
            file: `model_key` of the file that is handed out, where that was measured.
        """
        m = measurement
        values = {
            "architecture_id": architecture_id,
            "latency_ms": m.latency_ms,
            "energy_mj": m.energy_mj,
            "board": m.board,
            "date": m.date,
            "content": json.dumps(m.to_json()),
        }
        with self.together():
            self._insert("measurements", values)
            if file is not None:
                label = measurement.configuration.label
                self._note(FILE_MEASURED, architecture=architecture_id, configuration=label, file=file)

    def set_quantized_error(self, architecture_id: str, error: float) -> None:
        """Keep a network's error in int8 on the selection split."""
        with self.together():
            self._connection.execute(
                "UPDATE architectures SET quantized_error = ? WHERE id = ?", (error, architecture_id)
            )

    def set_test_error(self, architecture_id: str, test_error: float, *, quantized: float | None = None) -> None:
        """Keep a network's error on the test split, and that of its int8 file where it was read."""
        with self.together():
            self._connection.execute(
                "UPDATE architectures SET test_error = ?, quantized_test_error = coalesce(?, quantized_test_error) "
                "WHERE id = ?",
                (test_error, quantized, architecture_id),
            )

    def set_trained(self, network: TrainedNetwork) -> None:
        """Keep what training made of a network; a later training takes the place of an earlier one."""
        n = network
        values = {
            "name": n.name,
            "baseline": n.baseline,
            "error": n.error,
            "top1": n.top1,
            "top3": n.top3,
            "date": _now(),
            "content": json.dumps(n.to_json()),
        }
        with self.together():
            self._connection.execute("DELETE FROM trained WHERE name = ?", (n.name,))
            self._insert("trained", values)

    def add_event(self, kind: str, **content: object) -> None:
        """Keep something that happened, with its time."""
        with self.together():
            self._note(kind, **content)

    @contextmanager
    def together(self) -> Iterator[None]:
        """What is written within this is kept all or not at all."""
        if self._connection.in_transaction:
            yield
            return
        with transaction(self._connection, self._path):
            self._connection.execute("BEGIN IMMEDIATE")
            yield

    def _note(self, kind: str, **content: object) -> None:
        self._insert("events", {"date": _now(), "kind": kind, "content": json.dumps(content)})

    def _insert(self, table: str, values: Mapping[str, object], on_conflict: str = "") -> None:
        columns, places = ", ".join(values), ", ".join("?" * len(values))
        self._connection.execute(
            f"INSERT INTO {table} ({columns}) VALUES ({places}) {on_conflict}", tuple(values.values())
        )


def new_store(path: Path) -> Store:
    """Make the store of a run that begins.

    Raises:
        OSError: if it cannot be made.
    """
    return Store(new_database(path), path)


def open_store(path: Path) -> Store:
    """Open the store of a run that has begun; one of an earlier version is brought to the present one.

    Raises:
        ValueError: as `moo.storage.database.open_database`.
    """
    return Store(open_database(path), path)


def read_store(path: Path, *, as_of_now: bool = False) -> StoreReader:
    """Open a store that is only read.

    Args:
        path: of the file.
        as_of_now: as for `moo.storage.database.read_database`.

    Raises:
        ValueError: as `moo.storage.database.read_database`.
    """
    return StoreReader(read_database(path, as_of_now=as_of_now), path)


def entries_of(result: TrialResult, space: FBNetSpace) -> list[Entry]:
    """The archive entries that a trial's result gives."""
    return [
        Entry(
            architecture=architecture_from_indices(space, item.indices),
            error=item.error,
            predicted_latency_ms=item.latency_ms,
            predicted_energy_mj=item.energy_mj,
            trial_id=result.trial.id,
            position=position,
            coefficients=result.trial.coefficients,
            configuration=result.trial.configuration,
            params=item.params,
            correct=item.correct,
            quantized_error=item.quantized_error,
        )
        for position, item in enumerate(result.architectures)
    ]


def _course(theta: ThetaResult | None) -> tuple[str | None, bytes | None]:
    """Records and arrays of an inner search, as they are stored."""
    if theta is None:
        return None, None
    buffer = io.BytesIO()
    np.savez(buffer, theta_LO=theta.theta_LO, probs_TLO=theta.probs_TLO)
    # Not `dataclasses.astuple`, which copies every figure and takes longer than all the rest.
    return json.dumps([record.figures for record in theta.records]), buffer.getvalue()


def _seconds_between(start: str, end: str) -> float:
    return (datetime.fromisoformat(end) - datetime.fromisoformat(start)).total_seconds()


def _now() -> str:
    return datetime.now(timezone.utc).isoformat(timespec="milliseconds")
