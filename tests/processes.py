"""Processes of this machine, as the kernel tells of them."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path


def descendants(ancestor: int) -> dict[int, str]:
    """Command lines of all live processes that descend from one, by their numbers."""
    parents, lines = dict[int, int](), dict[int, str]()
    for entry in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            state, mother = (entry / "stat").read_text().rpartition(")")[2].split()[:2]
            if state != "Z":
                parents[int(entry.name)] = int(mother)
                lines[int(entry.name)] = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode().strip()
    found, waiting = dict[int, str](), [ancestor]
    while waiting:
        parent = waiting.pop()
        new = [number for number, one in parents.items() if one == parent and number not in found]
        found |= {number: lines[number] for number in new}
        waiting += new
    return found


def marked(mark: str) -> dict[int, str]:
    """Command lines of all live processes that were started with a text in their environment, by their numbers."""
    found = {}
    for entry in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            state = (entry / "stat").read_text().rpartition(")")[2].split()[0]
            if state != "Z" and mark.encode() in (entry / "environ").read_bytes():
                line = (entry / "cmdline").read_bytes().replace(b"\0", b" ")
                found[int(entry.name)] = line.decode(errors="replace").strip()
    return found
