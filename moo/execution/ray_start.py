"""What a Ray that is started on this machine is started with: cores, memory, a folder, a token."""

from __future__ import annotations

import logging
import math
import os
import secrets
import shutil
import tempfile
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

from search_space.boundary.machine import available_cpus, available_memory

LONGEST_FOLDER = 40
"""Bytes of the path of Ray's folder: below it lie sockets, whose paths have at most 103 to 107 bytes."""
STORE_SHARE = 0.3
"""Of memory, for what Ray's processes share; Ray's own default."""
_SMALLEST_STORE, _LARGEST_SLOW_STORE, _LARGEST_STORE = 75 * 2**20, 10**10, 200 * 10**9
"""Bytes of a store that Ray makes, that it puts on a disk where memory for sharing is too small, and by default."""
_SHARED_MEMORY = Path("/dev/shm")
_LOG = logging.getLogger(__name__)


def own_ray_options(*, workers: int | None, dashboard: bool, gpus: int | None = None) -> dict[str, Any]:
    """Arguments of `ray.init` for a Ray of this machine, within the limits of this process.

    Args:
        workers: jobs at the same time; it counts as many cores, if there are fewer.
        dashboard: whether it has its dashboard.
        gpus: that it counts; by default those that it finds.
    """
    options: dict[str, Any] = {
        "address": "local",
        "num_cpus": max(available_cpus(), workers or 1),
        "include_dashboard": dashboard,
        "_temp_dir": str(short_folder()),
    }
    if gpus is not None:
        options["num_gpus"] = gpus
    store, free = int(available_memory() * STORE_SHARE), math.inf
    with suppress(OSError):
        free = shutil.disk_usage(_SHARED_MEMORY).free
    if free < min(_LARGEST_SLOW_STORE, store):
        _say_that_sharing_is_slow(free)
    # Ray itself knows of containers' limits, but not of Slurm's, nor of those of groups within groups.
    options["object_store_memory"] = max(_SMALLEST_STORE, min(store, _LARGEST_STORE, max(_LARGEST_SLOW_STORE, free)))
    return options


@cache
def _say_that_sharing_is_slow(free: float) -> None:
    _LOG.warning(
        "Ray's processes share data by files instead of memory, which is slower: %s has %d MB left; in Docker, add "
        "`--shm-size=2g`.",
        _SHARED_MEMORY,
        int(free) // 2**20,
    )


def short_folder(system: Path = Path("/tmp")) -> Path:
    """Ray's folder: where Ray has it, or where that path is too long for sockets, a private one of this user.

    Args:
        system: a folder for all users with a short path.
    """
    usual = Path(os.environ.get("RAY_TMPDIR") or tempfile.gettempdir()) / "ray"
    if len(os.fsencode(usual)) <= LONGEST_FOLDER:
        return usual
    own = system / f"ray-{os.getuid()}"
    with suppress(OSError):
        own.mkdir(mode=0o700, exist_ok=True)
        found = own.lstat()
        # Anybody may have made something of that name.
        if own.is_dir() and not own.is_symlink() and found.st_uid == os.getuid() and not found.st_mode & 0o077:
            return own / "ray"
    # Ray lets everybody write to its own folder.
    return Path(tempfile.mkdtemp(prefix="ray-", dir=system)) / "ray"


def have_token() -> None:
    """Have a token of this process where Ray cannot keep one, as in containers whose user has no home."""
    if os.environ.get("RAY_AUTH_TOKEN") or os.environ.get("RAY_AUTH_TOKEN_PATH"):
        return
    try:
        folder = Path.home() / ".ray"
        folder.mkdir(exist_ok=True)
        kept = os.access(folder / "auth_token", os.R_OK) or os.access(folder, os.W_OK)
    except (OSError, RuntimeError):
        kept = False
    if not kept:
        os.environ["RAY_AUTH_TOKEN"] = secrets.token_hex(32)


def keep_token_private() -> None:
    """Let nobody else read the token that a started Ray asks for: who has it may run programs in its workers."""
    with suppress(OSError):
        handle = os.open(Path.home() / ".ray" / "auth_token", os.O_RDONLY | os.O_NOFOLLOW)
        try:
            os.fchmod(handle, 0o600)
        finally:
            os.close(handle)
