"""The SQLite store of a run: what resume, plots, reports and other programs read.

Tables: `tuples` (each search job: its coefficients, or the architecture that was proposed as it is; outcome, course of
the inner search), `architectures`, `evaluations` (which tuple gave which architectures), `measurements`, `trained`
(networks of the front, and baselines, after training), `events`.
Everything that belongs together is written in one transaction, so a run killed at any instant loses nothing that had
ended.
"""

from __future__ import annotations

import dataclasses
import errno
import io
import json
import os
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import numpy as np

from devices.measurement import Measurement
from dnas.inner_search import StepRecord, ThetaResult
from dnas.losses import Coefficients
from moo.storage.archive import Archive, Entry
from moo.storage.schema import SCHEMA, SCHEMA_VERSION, TAKE_OVER
from moo.storage.trained_network import TrainedNetwork
from moo.trials import ArchitectureJob, Objectives, SearchJob, SearchResult, TupleJob
from search_space.architectures import Architecture, architecture_from_indices, architecture_of
from search_space.spaces import FBNetSpace


@dataclass(frozen=True)
class StoredTuple:
    """A search job that has ended."""

    job: SearchJob
    objectives: Objectives | None
    """Of the architecture that stands for it, with predicted costs; None if it failed."""
    architecture_id: str | None
    seconds: float
    traceback: str | None


class Store:
    """One connection to a run's database; use it from one thread."""

    def __init__(self, path: Path) -> None:
        """Open a store, or make one.

        Raises:
            ValueError: if there is a file that is no store, or that cannot be written to.
        """
        self._path = path
        try:
            self._connection = sqlite3.connect(path)
            self._connection.execute("PRAGMA journal_mode = WAL")
            self._connection.execute("PRAGMA synchronous = NORMAL")
            self._connection.execute("PRAGMA foreign_keys = ON")
            (version,) = self._connection.execute("PRAGMA user_version").fetchone()
            if version not in (0, SCHEMA_VERSION):
                raise ValueError(
                    f"a run's store must be of version {SCHEMA_VERSION}, but {str(path)!r} is of version {version}: "
                    "use the version of this program that made it."
                )
            with self._transaction():
                for statement in SCHEMA.split(";"):
                    self._connection.execute(statement)
                self._connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
        except sqlite3.DatabaseError as error:
            raise ValueError(
                f"a run's store must be an SQLite file that can be written to, but {str(path)!r} is not: {error}."
            ) from None

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def add_result(self, result: SearchResult, space: FBNetSpace) -> None:
        """Keep a tuple's outcome, its architectures and the course of its inner search."""
        architectures = [architecture_from_indices(space, item.indices) for item in result.architectures]
        chosen = result.architectures[result.chosen]
        values = (
            "done",
            architectures[result.chosen].id,
            chosen.error,
            chosen.latency_ms,
            chosen.energy_mj,
            result.seconds,
            None,
            *_course(result.theta),
        )
        with self._transaction():
            self._insert_tuple(result.job, values)
            for position, (item, architecture) in enumerate(zip(result.architectures, architectures, strict=True)):
                (earlier,) = self._connection.execute(
                    "SELECT count(*) FROM evaluations WHERE architecture_id = ? AND tuple_id < ?",
                    (architecture.id, result.job.id),
                ).fetchone()
                # With supernets of their own, tuples differ in what they find: the earliest counts.
                self._connection.execute(
                    "INSERT INTO architectures VALUES (?, ?, ?, ?, ?, ?, NULL) ON CONFLICT (id) DO "
                    + ("NOTHING" if earlier else TAKE_OVER),
                    (
                        architecture.id,
                        json.dumps(architecture.operators),
                        item.error,
                        item.cross_entropy,
                        item.latency_ms,
                        item.energy_mj,
                    ),
                )
                self._connection.execute(
                    "INSERT INTO evaluations VALUES (?, ?, ?)", (result.job.id, position, architecture.id)
                )

    def add_failure(self, job: SearchJob, traceback: str) -> None:
        """Keep that a tuple failed, and why."""
        with self._transaction():
            self._insert_tuple(job, ("failed", None, None, None, None, None, traceback, None, None))

    def forget_failures(self, generation: int) -> None:
        """Make failed tuples of a generation be searched again by a resumed run; their tracebacks become events."""
        failed = [item for item in self.tuples().values() if item.job.generation == generation and not item.objectives]
        with self._transaction():
            for item in failed:
                self._connection.execute("DELETE FROM tuples WHERE id = ?", (item.job.id,))
        for item in failed:
            self.add_event("tuple failed", tuple=item.job.id, traceback=item.traceback)

    def add_measurement(self, architecture_id: str, measurement: Measurement) -> None:
        """Keep one measurement; all are kept, the last one counts."""
        m = measurement
        with self._transaction():
            self._connection.execute(
                "INSERT INTO measurements (architecture_id, latency_ms, energy_mj, board, date, content) "
                "VALUES (?, ?, ?, ?, ?, ?)",
                (architecture_id, m.latency_ms, m.energy_mj, m.board, m.date, json.dumps(m.to_json())),
            )

    def set_test_error(self, architecture_id: str, test_error: float) -> None:
        """Keep a network's error on the test split."""
        with self._transaction():
            self._connection.execute(
                "UPDATE architectures SET test_error = ? WHERE id = ?", (test_error, architecture_id)
            )

    def set_trained(self, network: TrainedNetwork) -> None:
        """Keep what training a network came to; a later training takes the place of an earlier one."""
        n = network
        with self._transaction():
            self._connection.execute(
                "INSERT OR REPLACE INTO trained VALUES (?, ?, ?, ?, ?, ?, ?)",
                (n.name, n.baseline, n.error, n.top1, n.top3, _now(), json.dumps(n.to_json())),
            )

    def trained(self, *, baselines: bool) -> list[TrainedNetwork]:
        """Trained networks of the front, or baselines, by name."""
        rows = self._connection.execute(
            "SELECT content FROM trained WHERE baseline = ? ORDER BY name", (int(baselines),)
        )
        return [TrainedNetwork.from_json(json.loads(content)) for (content,) in rows]

    def add_event(self, kind: str, **content: object) -> None:
        """Keep something that happened, with its time."""
        with self._transaction():
            self._connection.execute(
                "INSERT INTO events (date, kind, content) VALUES (?, ?, ?)", (_now(), kind, json.dumps(content))
            )

    def events(self) -> list[tuple[str, str, dict[str, object]]]:
        """Date, kind and content of all events, oldest first."""
        rows = self._connection.execute("SELECT date, kind, content FROM events ORDER BY id")
        return [(date, kind, json.loads(content)) for date, kind, content in rows]

    def add_networks_to_measure(self, stage: str, architecture_ids: Sequence[str]) -> None:
        """Keep which networks were chosen to be measured at a stage of the run, before the first of them is."""
        self.add_event("measuring", stage=stage, networks=list(architecture_ids))

    def networks_to_measure(self) -> dict[str, list[str]]:
        """Ids of the networks that were chosen at each stage."""
        chosen: dict[str, list[str]] = {}
        for _, kind, content in self.events():
            match kind, content:
                case "measuring", {"stage": str(stage), "networks": list(networks)}:
                    chosen[stage] = [str(identifier) for identifier in networks]
        return chosen

    def tuples(self) -> dict[int, StoredTuple]:
        """All tuples that have ended, by id."""
        rows = self._connection.execute(
            "SELECT id, generation, alpha, beta, gamma, delta, proposed, status, error, latency_ms, energy_mj, "
            "architecture_id, seconds, traceback FROM tuples ORDER BY id"
        )
        stored = {}
        for number, generation, *proposal, status, error, latency, energy, chosen, took, trace in rows:
            job = _job(number, generation, *proposal)
            objectives = (error, latency, energy) if status == "done" else None
            stored[number] = StoredTuple(job, objectives, chosen, took or 0.0, trace)
        return stored

    def num_tuples(self) -> int:
        """How many tuples have ended, failed ones too."""
        (count,) = self._connection.execute("SELECT count(*) FROM tuples").fetchone()
        return int(count)

    def tuples_as_they_ended(self) -> list[StoredTuple]:
        """All tuples that have ended, the first to end first."""
        stored = self.tuples()
        rows = self._connection.execute("SELECT id FROM tuples ORDER BY date, id")
        return [stored[number] for (number,) in rows]

    def seconds_searched(self) -> float:
        """Time that searching took so far, pre-training left out; that of a search that was killed is not known."""
        return sum(float(str(content["seconds"])) for _, kind, content in self.events() if kind == "searched")

    def known_at(self) -> list[tuple[float, Objectives]]:
        """Each architecture's seconds from the beginning of the search to when it was known, with objectives."""
        (start,) = self._connection.execute("SELECT max(date) FROM events WHERE kind = 'searching'").fetchone()
        rows = self._connection.execute(
            "SELECT min(t.date), a.error, a.latency_ms, a.energy_mj FROM architectures a "
            "JOIN evaluations e ON e.architecture_id = a.id JOIN tuples t ON t.id = e.tuple_id "
            "GROUP BY a.id ORDER BY min(t.date), a.id"
        )
        return [(_seconds_between(start, date), (error, latency, energy)) for date, error, latency, energy in rows]

    def minutes(self) -> dict[int, float]:
        """When each tuple ended, in minutes from the first event of the run; interruptions count."""
        dates = "SELECT min(date) FROM (SELECT date FROM events UNION SELECT date FROM tuples)"
        (first,) = self._connection.execute(dates).fetchone()
        rows = self._connection.execute("SELECT id, date FROM tuples ORDER BY id")
        return {number: _seconds_between(first, date) / 60 for number, date in rows}

    def theta(self, tuple_id: int) -> ThetaResult:
        """The course of a tuple's inner search.

        Raises:
            ValueError: if that tuple has none.
        """
        row = self._connection.execute("SELECT records, theta FROM tuples WHERE id = ?", (tuple_id,)).fetchone()
        if row is None or row[0] is None:
            raise ValueError(f"a tuple must have ended well to have a theta, but tuple {tuple_id} has not.")
        with np.load(io.BytesIO(row[1])) as arrays:
            records = tuple(StepRecord(*figures) for figures in json.loads(row[0]))
            return ThetaResult(arrays["theta_LO"], records, arrays["probs_TLO"])

    def fill(self, archive: Archive, space: FBNetSpace) -> None:
        """Put all architectures with their measurements, test errors and trainings into an archive."""
        rows = self._connection.execute(
            "SELECT a.id, a.operators, a.error, a.latency_ms, a.energy_mj, a.test_error, e.tuple_id, e.position, "
            "t.alpha, t.beta, t.gamma, t.delta FROM evaluations e JOIN architectures a ON a.id = e.architecture_id "
            "JOIN tuples t ON t.id = e.tuple_id ORDER BY e.tuple_id, e.position"
        )
        for _, operators, error, latency, energy, test_error, tuple_id, position, *coefficients in rows:
            architecture = architecture_of(space, tuple(json.loads(operators)))
            archive.add(
                Entry(
                    architecture, error, latency, energy, tuple_id, position, _coefficients(coefficients),
                    test_error=test_error,
                )
            )  # fmt: skip
        for architecture_id, content in self._connection.execute(
            "SELECT architecture_id, content FROM measurements ORDER BY id"
        ):
            archive.set_measurement(architecture_id, Measurement.from_json(json.loads(content)))
        for network in self.trained(baselines=False):
            if network.name in archive:
                archive.set_trained(network.name, network)

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        try:
            with self._connection:
                yield
        except sqlite3.OperationalError as error:
            if "disk is full" in str(error):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self._path)) from None
            raise

    def _insert_tuple(self, job: SearchJob, outcome: tuple[object, ...]) -> None:
        genes = (None,) * 4 if job.coefficients is None else dataclasses.astuple(job.coefficients)
        proposal = (*genes, None if isinstance(job, TupleJob) else json.dumps(job.indices))
        values = (job.id, job.generation, *proposal, *outcome, _now())
        self._connection.execute(f"INSERT INTO tuples VALUES ({', '.join('?' * len(values))})", values)


def entries_of(result: SearchResult, space: FBNetSpace) -> list[Entry]:
    """The archive entries that a tuple's outcome gives."""
    entries = []
    for position, item in enumerate(result.architectures):
        architecture: Architecture = architecture_from_indices(space, item.indices)
        entries.append(
            Entry(
                architecture, item.error, item.latency_ms, item.energy_mj, result.job.id, position,
                result.job.coefficients,
            )
        )  # fmt: skip
    return entries


def _job(number: int, generation: int, *proposal: Any) -> SearchJob:
    *genes, indices = proposal
    if indices is not None:
        return ArchitectureJob(number, generation, tuple(json.loads(indices)), _coefficients(genes))
    return TupleJob(number, generation, Coefficients(*genes))


def _coefficients(values: Sequence[float | None]) -> Coefficients | None:
    known = [value for value in values if value is not None]
    return Coefficients(*known) if known else None


def _course(theta: ThetaResult | None) -> tuple[str | None, bytes | None]:
    """Records and arrays of an inner search, as they are stored."""
    if theta is None:
        return None, None
    buffer = io.BytesIO()
    np.savez(buffer, theta_LO=theta.theta_LO, probs_TLO=theta.probs_TLO)
    # Not `dataclasses.astuple`, which copies every figure and takes longer than all the rest.
    return json.dumps([[*vars(record).values()] for record in theta.records]), buffer.getvalue()


def _seconds_between(start: str, end: str) -> float:
    return (datetime.fromisoformat(end) - datetime.fromisoformat(start)).total_seconds()


def _now() -> str:
    return datetime.now(timezone.utc).isoformat(timespec="milliseconds")
