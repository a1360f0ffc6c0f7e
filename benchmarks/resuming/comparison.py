"""Whether two folders of work hold the same results: files by their content, stores by their rows. See `differences`.

Dates and durations are left out, and so are pictures and reports, which tell of them.
"""

from __future__ import annotations

import io
import json
import re
import sqlite3
from collections.abc import Mapping
from contextlib import closing
from hashlib import sha256
from pathlib import Path
from typing import Any

import torch

from search_space.boundary.sealing import SEAL, read_sealed_state

OF_TIME = frozenset({"date", "seconds", "elapsed_seconds", "seconds_left", SEAL})
"""Names of values that differ from run to run; a seal is that of the others."""
SEALS = "seals"
"""Table of a store that follows from the others, dates included."""
TIMES = re.compile(r"\d{4}-\d\d-\d\dT[\d:.+]+|\([\d,]+ s\)")
"""Dates and durations in a text."""
OF_PLACE = frozenset({"out", "resume", "run", "source"})
"""Names of values that say where a run lies."""
OF_COURSE = frozenset({"started", "resumed", "searching", "searched", "finished", "estimate", "converged"})
"""Kinds of events that tell when a run was at work, not what it found."""
NOT_COMPARED = ("*.png", "report.md", "report.html", "run.log", "events.jsonl", ".lock", "*-wal", "*-shm")
FOLDERS_NOT_COMPARED = ("tensorboard", "plots")
"""Files that tell of time, or come and go."""
Content = dict[str, object]


def differences(one: Path, other: Path) -> list[str]:
    """What differs in two folders, in words; empty if they hold the same results.

    Args:
        one: folder of a run, a training or a profile.
        other: the same.
    """
    first, second = content_of(one), content_of(other)
    found = [f"{name} is missing" for name in sorted(first.keys() - second.keys())]
    found += [f"{name} is there besides" for name in sorted(second.keys() - first.keys())]
    return found + [f"{name} differs" for name in sorted(first.keys() & second.keys()) if first[name] != second[name]]


def content_of(folder: Path) -> Content:
    """What a folder holds, by file; of stores by file and table."""
    content: Content = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder)
        if not path.is_file() or name.parts[0] in FOLDERS_NOT_COMPARED:
            continue
        if any(name.match(pattern) for pattern in NOT_COMPARED):
            continue
        if path.suffix == ".sqlite":
            content |= {f"{name}/{table}": rows for table, rows in rows_of(path).items()}
        elif path.suffix == ".json":
            content[str(name)] = lasting(json.loads(path.read_text()))
        elif path.suffix == ".jsonl":
            lines = path.read_text().splitlines()
            content[str(name)] = [lasting(json.loads(line)) for line in lines if line]
        elif path.suffix == ".pt":
            state = io.BytesIO(read_sealed_state(path, what="a state", remedy="Begin anew."))
            content[str(name)] = lasting(torch.load(state, map_location="cpu", weights_only=True))
        elif path.suffix == ".md":
            content[str(name)] = TIMES.sub("", path.read_text())
        else:
            content[str(name)] = sha256(path.read_bytes()).hexdigest()
    return content


def rows_of(store: Path) -> dict[str, list[str]]:
    """The rows of each table of a store, in an order that does not depend on when they came."""
    with closing(sqlite3.connect(store)) as connection:
        tables = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        return {
            table: _rows(connection, table) for table in tables if not table.startswith("sqlite_") and table != SEALS
        }


def lasting(value: object) -> object:
    """A plain value without what depends on time and place; tensors as their bytes."""
    if isinstance(value, Mapping):
        return {str(key): lasting(item) for key, item in value.items() if key not in OF_TIME | OF_PLACE}
    if isinstance(value, list | tuple):
        return [lasting(item) for item in value]
    if isinstance(value, torch.Tensor):
        return str(value.dtype), tuple(value.shape), sha256(value.contiguous().numpy().tobytes()).hexdigest()
    return value


def _rows(connection: sqlite3.Connection, table: str) -> list[str]:
    connection.row_factory = sqlite3.Row
    numbered = table in ("events", "measurements")
    found = []
    for row in connection.execute(f"SELECT * FROM {table}"):
        values: dict[str, Any] = {key: row[key] for key in row.keys() if not (numbered and key == "id")}  # noqa: SIM118
        if values.get("kind") in OF_COURSE:
            continue
        if isinstance(values.get("content"), str):
            values["content"] = json.loads(values["content"])
        found.append(repr(lasting(values)))
    return sorted(found)
