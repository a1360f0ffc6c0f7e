"""Freed memory that stays: what a process still has after it freed large blocks."""

import ctypes
import subprocess
import sys

import pytest

from evaluation.training.allocator import keep_freed_memory

KEPT = """
import sys
from pathlib import Path

import torch
from evaluation.training.allocator import keep_freed_memory

if "keep" in sys.argv and not keep_freed_memory():
    sys.exit(3)


def pages() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1])


before = pages()
blocks = [torch.empty(2**22).fill_(1.0) for _ in range(4)]  # 16 MiB each, as the activations of a batch
del blocks
print(pages() - before)
"""
BLOCKS_BYTES = 4 * 2**24


def kept_pages(*words: str) -> int:
    done = subprocess.run([sys.executable, "-c", KEPT, *words], capture_output=True, text=True, check=False)
    if done.returncode == 3 or "/proc" in done.stderr:
        pytest.skip("this system is not Linux with glibc")
    assert done.returncode == 0, done.stderr
    return int(done.stdout)


@pytest.mark.slow
def test_freed_blocks_stay_with_the_process() -> None:
    assert kept_pages("keep") * 4096 > 0.9 * BLOCKS_BYTES
    assert kept_pages() * 4096 < 0.5 * BLOCKS_BYTES


def test_where_there_is_no_mallopt_nothing_happens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ctypes, "CDLL", lambda name: object())
    assert not keep_freed_memory()
