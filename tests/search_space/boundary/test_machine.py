from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import pytest

from search_space.boundary import machine
from search_space.boundary.machine import available_cpus, available_memory, file_threads, keep_libraries_to_limits

GIB = 2**30


@pytest.fixture(autouse=True)
def large_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: set(range(64)), raising=False)


def tree(folder: Path, files: Mapping[str, str]) -> Path:
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(content)
    return folder


@pytest.mark.parametrize(
    ("environment", "cpus"),
    [
        ({}, 64),
        ({"SLURM_CPUS_ON_NODE": "16"}, 16),
        ({"SLURM_CPUS_ON_NODE": "16", "SLURM_CPUS_PER_TASK": "4"}, 4),
        ({"SLURM_CPUS_PER_TASK": "128"}, 64),
        ({"SLURM_CPUS_PER_TASK": "", "SLURM_CPUS_ON_NODE": "8"}, 8),
        ({"SLURM_CPUS_PER_TASK": "0"}, 64),
        ({"SLURM_CPUS_PER_TASK": "2(x3)"}, 64),
        ({"SLURM_CPUS_PER_TASK": "-1"}, 64),
        ({"SLURM_CPUS_PER_TASK": "9" * 10_000}, 64),
    ],
)
def test_slurm_says_how_many_cores_there_are(environment: dict[str, str], cpus: int, tmp_path: Path) -> None:
    assert available_cpus(environment, tmp_path) == cpus


@pytest.mark.parametrize(
    ("files", "cpus"),
    [
        ({"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "200000 100000\n"}, 2),
        ({"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "50000 100000\n"}, 1),
        ({"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "350000 100000\n"}, 3),
        ({"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "max 100000\n"}, 64),
        # A limit of a group above holds, too.
        (
            {
                "proc/self/cgroup": "0::/job/step\n",
                "sys/fs/cgroup/job/cpu.max": "400000 100000",
                "sys/fs/cgroup/job/step/cpu.max": "800000 100000",
            },
            4,
        ),
        # The name that a container's group has outside.
        ({"proc/self/cgroup": "0::/docker/ab12\n", "sys/fs/cgroup/cpu.max": "200000 100000"}, 2),
        ({"proc/self/cgroup": "0::/../../other\n", "sys/fs/cgroup/cpu.max": "200000 100000"}, 2),
        (
            {
                "proc/self/cgroup": "9:memory:/\n4:cpu,cpuacct:/docker/ab12\n",
                "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us": "300000",
                "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us": "100000",
            },
            3,
        ),
        (
            {
                "proc/self/cgroup": "4:cpuacct,cpu:/slurm/job_7\n",
                "sys/fs/cgroup/cpu/slurm/job_7/cpu.cfs_quota_us": "300000",
                "sys/fs/cgroup/cpu/slurm/job_7/cpu.cfs_period_us": "100000",
            },
            3,
        ),
        (
            {
                "proc/self/cgroup": "4:cpu:/\n",
                "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "-1",
                "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000",
            },
            64,
        ),
        ({"proc/self/cgroup": "nonsense", "sys/fs/cgroup/cpu.max": "x y"}, 64),
    ],
)
def test_a_container_says_how_many_cores_there_are(files: dict[str, str], cpus: int, tmp_path: Path) -> None:
    assert available_cpus({}, tree(tmp_path, files)) == cpus


@pytest.mark.parametrize(
    ("environment", "files"),
    [
        ({"SLURM_MEM_PER_NODE": "1024"}, {}),
        ({}, {"proc/self/cgroup": "0::/a\n", "sys/fs/cgroup/a/memory.max": f"{GIB}\n"}),
        ({}, {"proc/self/cgroup": "3:memory:/a\n", "sys/fs/cgroup/memory/a/memory.limit_in_bytes": f"{GIB}"}),
    ],
)
def test_limits_of_memory_count(environment: dict[str, str], files: dict[str, str], tmp_path: Path) -> None:
    assert available_memory(environment, tree(tmp_path, files)) == GIB


def test_without_limits_all_memory_is_there(tmp_path: Path) -> None:
    assert available_memory({}, tmp_path) == os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    files = {"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/memory.max": "max"}
    assert available_memory({}, tree(tmp_path, files)) == available_memory({}, Path(os.devnull))


def test_libraries_have_no_more_threads_than_cores_unless_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "_quotas", lambda root: iter(()))
    for before, after in (
        ({}, None),
        ({"SLURM_CPUS_PER_TASK": "4"}, "4"),
        ({"SLURM_CPUS_PER_TASK": "4", "OMP_NUM_THREADS": "2"}, "2"),
    ):
        environment = dict(before)
        keep_libraries_to_limits(environment)
        assert environment.get("OMP_NUM_THREADS") == after


def test_files_are_read_by_more_threads_than_cores_but_not_by_very_many(monkeypatch: pytest.MonkeyPatch) -> None:
    assert file_threads() <= 32
    monkeypatch.setattr(machine, "available_cpus", lambda: 1)
    assert file_threads() == 5
