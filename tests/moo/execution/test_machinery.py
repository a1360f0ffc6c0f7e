from __future__ import annotations

import errno
import logging
from types import SimpleNamespace

import pytest

from moo.execution import machinery
from moo.execution.machinery import MachineryError, Patience, is_want


def caused(error: Exception, cause: Exception) -> Exception:
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        OSError(errno.ENOSPC, "No space left on device"),
        OSError(errno.EDQUOT, "Disk quota exceeded"),
        OSError(errno.ENOMEM, "Cannot allocate memory"),
        RuntimeError("[enforce fail at alloc_cpu.cpp:117] err == 0. DefaultCPUAllocator: can't allocate memory"),
        RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB"),
        RuntimeError("std::bad_alloc"),
        caused(RuntimeError("the file could not be written"), OSError(errno.ENOSPC, "No space left on device")),
    ],
)
def test_what_a_machine_wants_says_nothing_of_a_job(error: Exception) -> None:
    assert is_want(error)


@pytest.mark.parametrize(
    "error",
    [
        ValueError("theta is not a number"),
        ArithmeticError(),
        FileNotFoundError(errno.ENOENT, "No such file or directory"),
        RuntimeError("mat1 and mat2 shapes cannot be multiplied"),
        caused(ValueError("b"), KeyError("a")),
    ],
)
def test_what_a_job_does_wrong_is_its_own(error: Exception) -> None:
    assert not is_want(error)


def test_errors_that_cause_each_other_come_to_an_end() -> None:
    error, other = ValueError("a"), ValueError("b")
    error.__cause__, other.__cause__ = other, error
    assert not is_want(error)


def test_work_that_finds_no_place_says_so_once_and_is_given_up(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    times = iter((0.0, 10.0, 61.0, 70.0, 899.0, 1700.0, 1800.0))
    monkeypatch.setattr(machinery, "time", SimpleNamespace(monotonic=lambda: next(times)))
    patience = Patience()
    for _ in range(3):
        patience.check()
    assert [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING] == [
        "waiting for a free place on the Ray cluster (see `ray status`)"
    ]
    patience.reset()
    patience.check()
    with pytest.raises(MachineryError, match="No worker had a place on the Ray cluster within 15 min"):
        patience.check()
