"""Freed memory that stays: page faults of a process that allocates and frees the same large blocks."""

import subprocess
import sys

import pytest

FAULTS = """
import resource, sys
import torch
from dnas.memory import keep_freed_memory

if "keep" in sys.argv and not keep_freed_memory():
    sys.exit(3)

def step():
    kept = [torch.empty(2**22).fill_(1.0) for _ in range(4)]  # 16 MiB each, as the activations of a batch


for _ in range(8):
    step()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(8):
    step()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def faults(*words: str) -> int:
    done = subprocess.run([sys.executable, "-c", FAULTS, *words], capture_output=True, text=True, check=False)
    if done.returncode == 3:
        pytest.skip("this system's C library has no mallopt")
    assert done.returncode == 0, done.stderr
    return int(done.stdout)


def test_blocks_that_are_freed_are_used_again():
    assert 10 * faults("keep") < faults()


def test_where_there_is_no_mallopt_nothing_happens(monkeypatch):
    import ctypes

    from dnas.memory import keep_freed_memory

    monkeypatch.setattr(ctypes, "CDLL", lambda name: object())
    assert not keep_freed_memory()
