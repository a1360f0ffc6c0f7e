from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import pytest

from moo.execution import ray_start
from moo.execution.ray_start import LONGEST_FOLDER, own_ray_options, short_folder

GIB = 2**30


@pytest.fixture
def system(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for all users."""
    return tmp_path_factory.mktemp("s")


@contextmanager
def shared_memory(monkeypatch: pytest.MonkeyPatch, *, free: int) -> Iterator[None]:
    with monkeypatch.context() as patch:
        patch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=free))
        yield


def test_a_folder_that_is_short_enough_is_rays_usual_one(monkeypatch: pytest.MonkeyPatch, system: Path) -> None:
    monkeypatch.setenv("RAY_TMPDIR", "/x")
    assert short_folder(system) == Path("/x/ray")
    assert list(system.iterdir()) == []


def test_where_the_path_is_too_long_for_sockets_ray_has_a_private_folder(
    monkeypatch: pytest.MonkeyPatch, system: Path
) -> None:
    monkeypatch.setenv("RAY_TMPDIR", f"/scratch/{'ä' * (LONGEST_FOLDER // 2)}")
    own = short_folder(system).parent
    assert own == system / f"ray-{os.getuid()}" == short_folder(system).parent
    assert own.stat().st_mode & 0o777 == 0o700
    # Somebody else's is not used: a link, or one that others may write to.
    own.chmod(0o777)
    assert short_folder(system).parent != own
    own.rmdir()
    own.symlink_to(system)
    assert short_folder(system).parent not in (own, system)


def test_rays_memory_is_within_limits_that_ray_does_not_know(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray_start, "available_cpus", lambda: 3)
    monkeypatch.setattr(ray_start, "available_memory", lambda: 10 * GIB)
    options = own_ray_options(workers=None, dashboard=True)
    assert (options["num_cpus"], options["object_store_memory"]) == (3, 3 * GIB)
    monkeypatch.setattr(ray_start, "available_memory", lambda: 1000 * GIB)
    with shared_memory(monkeypatch, free=64 * 2**20):
        options = own_ray_options(workers=5, dashboard=True)
    assert (options["num_cpus"], options["object_store_memory"]) == (5, 10**10)


def test_that_memory_for_sharing_is_small_is_said_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with shared_memory(monkeypatch, free=63 * 2**20), caplog.at_level(logging.WARNING):
        for _ in range(2):
            own_ray_options(workers=None, dashboard=False)
    assert [record.getMessage().partition(";")[0] for record in caplog.records] == [
        "Ray's processes share data by files instead of memory, which is slower: /dev/shm has 63 MB left"
    ]
