"""The SQLite file of a store: made, opened, brought to the present version, and known to be whole.

SQLite notices a broken page, not a changed value within one, nor rows that a damaged write-ahead log has lost. So the
table `seals` has, for each table, the sum of the digests of its rows, which triggers of the one writer keep with every
change, in its transaction; whoever opens the file adds them up. Start with `open_database`.
"""

from __future__ import annotations

import errno
import hashlib
import os
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import wraps
from pathlib import Path
from typing import ParamSpec, TypeVar

from moo.storage.migrations import statements_from
from moo.storage.run_folder import BESIDE_STORE, RESTORE
from moo.storage.schema import SCHEMA_VERSION, TABLES
from search_space.boundary.text import one_line, reason_of
from search_space.boundary.writing import make_folder

Connection = sqlite3.Connection
_SCHEMA_TABLE = "sqlite_master"
_MODULUS = 2**256
_ROWS = "the store of a run must hold what a search writes"
Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")


def new_database(path: Path) -> Connection:
    """Make the file of a run that begins, on the disk when this returns; what an aborted beginning left there goes.

    Raises:
        OSError: if it cannot be made.
    """
    make_folder(path.parent)
    for suffix in BESIDE_STORE:
        path.with_name(path.name + suffix).unlink(missing_ok=True)
    with _named(path):
        connection = _connected(path, "rwc")
        _bring_up(connection, path)
        _keep_sealed(connection)
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return connection


def open_database(path: Path) -> Connection:
    """Open the file of a run that has begun; one of an earlier version is brought to the present one.

    Raises:
        ValueError: if it is missing, damaged, cannot be written to, or is of a version that cannot be read.
    """
    with _named(path):
        connection = _connected(_existing(path), "rw")
        _check_structure(connection, path)
        if _version(connection) != SCHEMA_VERSION:
            _bring_up(connection, path)
        _check_seals(connection, path)
        _keep_sealed(connection)
    return connection


def read_database(path: Path, *, as_of_now: bool = False) -> Connection:
    """Open the file of a run to read it; one of an earlier version stays as it is.

    Args:
        path: of the file.
        as_of_now: whether what is written to it from now on is not seen, so that all that is read belongs together;
            that it is whole, the writer knows.

    Raises:
        ValueError: if it is missing, damaged, or of a version that cannot be read.
    """
    with _named(path):
        connection = _readable(_existing(path))
        if not as_of_now:
            _check_structure(connection, path)
        if _version(connection) != SCHEMA_VERSION:
            copy = sqlite3.connect(":memory:")
            connection.backup(copy)
            connection.close()
            connection = copy
            _bring_up(connection, path)
        connection.execute("PRAGMA query_only = ON")
        if as_of_now:
            connection.execute("BEGIN")
        else:
            _check_seals(connection, path)
    return connection


@contextmanager
def transaction(connection: Connection, path: Path) -> Iterator[None]:
    """All of it is kept, or nothing.

    Raises:
        OSError: if there is no space for it.
    """
    try:
        with connection:
            yield
    except sqlite3.OperationalError as error:
        if "disk is full" in str(error):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path)) from None
        raise


def reading(method: Callable[Arguments, Result]) -> Callable[Arguments, Result]:
    """What reads rows, which may be anybody's: whatever is wrong with them becomes a `ValueError`.

    Want of memory does not: it says nothing of them.

    Args:
        method: of a `StoreReader`, or a function of one.
    """

    @wraps(method)
    def named(*arguments: Arguments.args, **options: Arguments.kwargs) -> Result:
        try:
            return method(*arguments, **options)
        except Exception as error:
            if isinstance(error, MemoryError) or str(error).startswith(_ROWS):
                raise
            path = getattr(arguments[0], "_path", None)
            raise ValueError(f"{_ROWS}, but {str(path)!r} does not: {reason_of(error)}.") from error

    return named


def _existing(path: Path) -> Path:
    if not path.is_file():
        what = "is missing" if not path.exists() else "is no file"
        raise ValueError(f"a run that has begun must have its store, but {str(path)!r} {what}. {RESTORE}")
    return path


def _connected(path: Path, mode: str) -> Connection:
    connection = sqlite3.connect(f"{path.absolute().as_uri()}?mode={mode}", uri=True)
    for setting in ("journal_mode = WAL", "synchronous = FULL", "foreign_keys = ON"):
        connection.execute(f"PRAGMA {setting}")
    return connection


def _readable(path: Path) -> Connection:
    """A connection that only reads; in a folder that takes no files, what no other program writes to."""
    uri, log = path.absolute().as_uri(), path.with_name(path.name + "-wal")
    connection = sqlite3.connect(f"{uri}?mode=rw", uri=True)
    try:
        _version(connection)
    except sqlite3.OperationalError:
        if os.access(path.parent, os.W_OK) or log.exists():
            raise
        connection = sqlite3.connect(f"{uri}?mode=ro&immutable=1", uri=True)
    return connection


@contextmanager
def _named(path: Path) -> Iterator[None]:
    """What SQLite says of a file, with its name."""
    try:
        yield
    except (sqlite3.Error, sqlite3.Warning, OverflowError, UnicodeDecodeError) as error:
        # What SQLite calls operational is mostly the disk's or its rights', and the file is whole.
        mend = "Mend that, or restore it from a copy." if isinstance(error, sqlite3.OperationalError) else RESTORE
        raise ValueError(
            f"a run's store must be an SQLite file that can be written to, but {str(path)!r} is not: "
            f"{reason_of(error)}. {mend}"
        ) from None


def _version(connection: Connection) -> int:
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    return int(version)


def _bring_up(connection: Connection, path: Path) -> None:
    """Make the tables, or bring those of an earlier version to the present one, and seal what they hold."""
    with transaction(connection, path):
        connection.execute("BEGIN IMMEDIATE")
        for statement in statements_from(_version(connection), path):
            connection.execute(statement)
        connection.execute("DELETE FROM seals")
        sums = [(table, _blob(_sum_of(connection, table))) for table in (*TABLES, _SCHEMA_TABLE)]
        connection.executemany("INSERT INTO seals (name, digest) VALUES (?, ?)", sums)
        connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")


def _check_structure(connection: Connection, path: Path) -> None:
    (size,) = connection.execute("PRAGMA page_count").fetchone()
    if not size or not _version(connection):
        raise ValueError(
            f"a run that has begun must have its store, but {str(path)!r} is empty{' inside' * bool(size)}. {RESTORE}"
        )
    (found,) = connection.execute("PRAGMA integrity_check(1)").fetchone()
    if found != "ok":
        raise _damaged(path, one_line(found))


def _check_seals(connection: Connection, path: Path) -> None:
    seals = dict(connection.execute("SELECT name, digest FROM seals"))
    for table in (*TABLES, _SCHEMA_TABLE):
        if seals.get(table) != _blob(_sum_of(connection, table)):
            raise _damaged(path, f"its table `{table}` does not match its seal")
    for table, last in connection.execute("SELECT name, seq FROM sqlite_sequence").fetchall():
        if table not in TABLES or connection.execute(f"SELECT max(id) FROM {table}").fetchone() != (last,):
            raise _damaged(path, f"its numbers of {table!r} are not those of its rows")


def _damaged(path: Path, reason: str) -> ValueError:
    return ValueError(f"a run's store must be whole, but {str(path)!r} is not: {reason}. {RESTORE}")


def _keep_sealed(connection: Connection) -> None:
    """Have each change of a row change the seal of its table; triggers of this connection alone, so no other may."""
    connection.create_function("seal_changed", -1, _changed, deterministic=True)
    for table in TABLES:
        new, old = (", ".join(f"{row}.{column}" for column in _columns(connection, table)) for row in ("NEW", "OLD"))
        for event, changed in (
            ("INSERT", f"seal_changed(digest, 1, {new})"),
            ("DELETE", f"seal_changed(digest, -1, {old})"),
            ("UPDATE", f"seal_changed(seal_changed(digest, -1, {old}), 1, {new})"),
        ):
            connection.execute(
                f"CREATE TEMP TRIGGER seal_{table}_{event} AFTER {event} ON main.{table} "
                f"BEGIN UPDATE seals SET digest = {changed} WHERE name = '{table}'; END"
            )


def _changed(digest: bytes, sign: int, *values: object) -> bytes:
    return _blob(int.from_bytes(digest, "big") + sign * _digest(values))


def _sum_of(connection: Connection, table: str) -> int:
    columns = ", ".join(_columns(connection, table))
    return sum(_digest(row) for row in connection.execute(f"SELECT {columns} FROM {table}"))


def _columns(connection: Connection, table: str) -> Sequence[str]:
    if table == _SCHEMA_TABLE:
        # Where a table begins in the file, only SQLite needs to know.
        return ("type", "name", "tbl_name", "sql")
    return sorted(name for _, name, *_ in connection.execute(f"PRAGMA main.table_info({table})"))


def _digest(values: Iterable[object]) -> int:
    plain = [hashlib.sha256(value).digest() if isinstance(value, bytes) else value for value in values]
    return int.from_bytes(hashlib.sha256(repr(plain).encode("ascii", "backslashreplace")).digest(), "big")


def _blob(total: int) -> bytes:
    return (total % _MODULUS).to_bytes(32, "big")
