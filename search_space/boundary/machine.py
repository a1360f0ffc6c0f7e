"""What of this machine the process may use: limits of Slurm, containers and affinity count, not what is built in."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, MutableMapping
from contextlib import suppress
from pathlib import Path

_SLURM_CPUS = ("SLURM_CPUS_PER_TASK", "SLURM_CPUS_ON_NODE")
"""Of a task, where the job names them; else of the job on this node."""
_MOST_FILE_THREADS = 32


def available_cpus(environment: Mapping[str, str] = os.environ, root: Path = Path("/")) -> int:
    """Cores that this process may use, at least 1: the least of affinity, Slurm's and the container's limits.

    Args:
        environment: where Slurm says what it gave.
        root: of the file system that tells limits of containers (control groups of version 1 and 2).
    """
    limits = [_by_affinity()]
    given = next((environment[name] for name in _SLURM_CPUS if _is_count(environment.get(name, ""))), None)
    if given is not None:
        limits.append(int(given))
    # Of part of a core, less than all of it is there: threads that share it wait for each other.
    limits += [int(cores) for cores in _quotas(root)]
    return max(1, min(limits))


def available_memory(environment: Mapping[str, str] = os.environ, root: Path = Path("/")) -> int:
    """Bytes of memory that this process may use: the least of the machine's, Slurm's and the container's limits.

    Args:
        environment: as for `available_cpus`.
        root: as for `available_cpus`.
    """
    limits = [os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")]
    if _is_count(megabytes := environment.get("SLURM_MEM_PER_NODE", "")):
        limits.append(int(megabytes) * 2**20)
    limits += [
        int(text)
        for folder in _groups(root, "memory")
        for name in ("memory.max", "memory.limit_in_bytes")
        if _is_count(text := _content(folder / name))
    ]
    return min(limits)


def file_threads() -> int:
    """Threads that read and decode files: some more than cores, as files may come slowly."""
    return min(_MOST_FILE_THREADS, available_cpus() + 4)


def keep_libraries_to_limits(environment: MutableMapping[str, str] = os.environ) -> None:
    """Have libraries start no more threads than there are cores for, unless the user says how many.

    OpenMP and BLAS know of affinity alone. To be called before these are imported.

    Args:
        environment: of this process.
    """
    cores = available_cpus(environment)
    if "OMP_NUM_THREADS" not in environment and cores < _by_affinity():
        environment["OMP_NUM_THREADS"] = str(cores)


def _by_affinity() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _quotas(root: Path) -> Iterator[float]:
    """Cores by each limit of time that holds here."""
    for folder in _groups(root, "cpu"):
        quota, _, period = _content(folder / "cpu.max").partition(" ")
        if not quota:
            quota, period = _content(folder / "cpu.cfs_quota_us"), _content(folder / "cpu.cfs_period_us")
        if _is_count(quota) and _is_count(period):
            yield int(quota) / int(period)


def _groups(root: Path, controller: str) -> Iterator[Path]:
    """Folders of the control groups that this process is in, its own first.

    A container sees its own group as the root, and may be told the name that it has outside.
    """
    base = root / "sys/fs/cgroup"
    for line in _content(root / "proc/self/cgroup").splitlines():
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if controllers and controller not in controllers.split(","):
            continue
        top = base / controllers if controllers and (base / controllers).is_dir() else base
        top = base / controller if controllers and top == base else top
        own = top / path.strip("/")
        while own != top and top in own.parents:
            yield own
            own = own.parent
        yield top


def _is_count(text: str) -> bool:
    """Whether it is a positive number that the system may give."""
    return text.isascii() and text.isdigit() and len(text) < 20 and int(text) > 0


def _content(file: Path) -> str:
    with suppress(OSError, UnicodeError):
        return file.read_text().strip()
    return ""
