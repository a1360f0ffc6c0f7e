"""How a user gets at a device file that was refused."""

from __future__ import annotations

import getpass
import grp
from pathlib import Path


def remedy_for(path: Path, *, group: str) -> str:
    """What to do, as the end of a sentence: the group that has the file, and who has to join it.

    Args:
        path: of the device file.
        group: that has such files as a rule, if this one has another owner.
    """
    return f"run `sudo usermod -aG {_group_of(path) or group} {user_name()}`, then log in anew."


def user_name() -> str:
    """Who this process belongs to."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "$USER"


def _group_of(path: Path) -> str | None:
    """The group that may read a file, where it is one that people join."""
    try:
        name = grp.getgrgid(path.stat().st_gid).gr_name
    except (OSError, KeyError):
        return None
    return None if name == "root" else name
