"""Files that are there whole or not at all, never through a link; locks. Start with `write_atomically`.

A folder may have come from somebody else: a link in it would lead writing elsewhere.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any

from search_space.boundary.locking import lock_at_once, wait_for_lock

NO_LINK = os.O_NOFOLLOW | os.O_CLOEXEC
LEAST_FREE_BYTES = 64 * 2**20
"""Free space without which no work is begun: less than any run writes."""


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write plain values as a JSON file.

    Raises:
        OSError: as `write_atomically`.
    """
    write_atomically(path, (json.dumps(content, indent=1) + "\n").encode())


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file so that it is there whole or not at all, a power cut included; its folder is made.

    A link in its place is replaced, not followed. Of programs that write the same file, each waits for the other.

    Raises:
        OSError: if it cannot be written; nothing of it is left then.
    """
    make_folder(path.parent)
    temporary = path.with_name(path.name + ".part")
    with _alone_in(path.parent):
        try:
            temporary.unlink(missing_ok=True)
            handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | NO_LINK, 0o666)
            with open(handle, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(handle)
            os.replace(temporary, path)
        except OSError:
            # On a full disk, what is there of it takes space.
            with contextlib.suppress(OSError):
                temporary.unlink(missing_ok=True)
            raise
    _keep_names(path.parent)


def append_line(path: Path, line: bytes) -> None:
    """Append a line to a file, which is made if need be; on return it is on the disk, and it went there in one piece.

    A line that a crash has cut has no end, so this one begins with one, and has none itself.

    Raises:
        OSError: if it cannot be written whole, or there is a link in its place.
    """
    make_folder(path.parent)
    handle = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NONBLOCK | NO_LINK, 0o666)
    try:
        if os.write(handle, b"\n" + line) <= len(line):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        os.fsync(handle)
    finally:
        os.close(handle)


def check_no_links(folder: Path, *, what: str) -> None:
    """Check that a folder, which may itself be a link, holds none: all that is written below it stays there.

    Args:
        folder: to be written into; it need not exist.
        what: what it is, as in `a run folder`, for messages.

    Raises:
        ValueError: naming the first link.
    """
    for place, folders, files in os.walk(folder):
        for name in sorted((*folders, *files)):
            path = Path(place) / name
            if path.is_symlink():
                raise ValueError(
                    f"{what} must hold no links, as what is written through them lands elsewhere, but {str(path)!r} "
                    "is one: put what it leads to in its place, or remove it."
                )


def check_can_write(folder: Path, *, what: str) -> None:
    """Check that a folder, or the nearest one above it that is there, takes files and has space, by writing one.

    Permissions alone do not tell: of a read-only medium, a quota, a full disk, or another machine's rights.

    Args:
        folder: to be written into; it need not exist.
        what: what it is, as in `a run folder`, for messages.

    Raises:
        ValueError: if it does not.
    """
    # `Path.exists` raises where it may not look.
    place = next(place for place in (folder.absolute(), *folder.absolute().parents) if os.path.exists(place))
    probe = place / f".probe-{os.getpid()}-{os.urandom(4).hex()}"
    try:
        handle = os.open(probe, os.O_WRONLY | os.O_CREAT | os.O_EXCL | NO_LINK, 0o600)
        try:
            os.write(handle, bytes(4096))
            os.fsync(handle)
        finally:
            os.close(handle)
            probe.unlink()
        space = os.statvfs(place)
    except OSError as error:
        raise ValueError(
            f"{what} must lie where files can be written, but in {str(place)!r} none can: {error.strerror}. Mend "
            "that, or choose another folder."
        ) from None
    free = space.f_bavail * space.f_frsize
    if space.f_blocks and free < LEAST_FREE_BYTES:
        raise ValueError(
            f"{what} must lie where at least {LEAST_FREE_BYTES // 2**20} MiB are free, but {str(place)!r} has "
            f"{free // 2**20} MiB: make space, or choose another folder."
        )


def lock_file(path: Path) -> IO[bytes] | None:
    """Lock a file, which is made if need be and never changed, until it is closed or the process ends.

    Returns:
        The open file; None if another process has locked it.

    Raises:
        OSError: if it cannot be opened, or is a link.
    """
    make_folder(path.parent)
    lock = os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT | NO_LINK, 0o600), "r+b")
    try:
        is_ours = lock_at_once(lock)
    except BaseException:
        lock.close()
        raise
    if is_ours:
        return lock
    lock.close()
    return None


def make_folder(folder: Path) -> None:
    """Make a folder and those above it, so that they survive a power cut."""
    if folder.is_dir():
        return
    make_folder(folder.parent)
    folder.mkdir(exist_ok=True)
    _keep_names(folder.parent)


@contextlib.contextmanager
def _alone_in(folder: Path) -> Iterator[None]:
    """Be the only one who writes into a folder; where there are no locks of folders, without."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        with contextlib.suppress(OSError):
            wait_for_lock(handle)
        yield
    finally:
        os.close(handle)


def _keep_names(folder: Path) -> None:
    """Make the renaming itself survive a power cut; some file systems cannot be asked to."""
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
