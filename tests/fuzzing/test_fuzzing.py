"""Whatever others say, readers read it, or say in one line what is wrong, soon and in little memory.

`pytest -n 0 -m "" tests/fuzzing --fuzz-inputs 20000 --fuzz-seed 1` tries more.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.fuzzing.cases import by_reader, findings, input_of
from tests.fuzzing.reader import Reader
from tests.fuzzing.readers import readers

ALL = readers()


@pytest.mark.parametrize("reader", ALL, ids=lambda reader: reader.name)
def test_samples_are_valid(reader: Reader, tmp_path: Path) -> None:
    for content in reader.samples:
        if reader.name not in NO_WHOLE_SAMPLES:
            reader.read(tmp_path, content)


NO_WHOLE_SAMPLES = {
    "pre-trained weights, safetensors", "pre-trained weights, PyTorch", "space's name", "store, rows", "known_hosts",
}  # fmt: skip
"""Their samples have what is mutated, but are too small to be whole."""


@pytest.mark.slow
def test_mutated_samples_are_read_or_refused(request: pytest.FixtureRequest) -> None:
    inputs, seed = (request.config.getoption(name) for name in ("--fuzz-inputs", "--fuzz-seed"))
    found = findings(readers, inputs, seed=seed)
    assert not found, f"{len(found)} of {inputs}:\n" + "\n".join(by_reader(found))


def test_a_seed_gives_one_input() -> None:
    for seed in range(60):
        assert input_of(ALL, seed)[1] == input_of(ALL, seed)[1]


def hanging() -> list[Reader]:
    def hangs(_: Path, content: bytes) -> None:
        while content is not None:
            pass

    return [Reader("bad", [b"{}"], hangs)]


def growing() -> list[Reader]:
    return [Reader("bad", [b"{}"], lambda _, content: len(bytearray(1_500_000_000)) + len(content))]


def dying() -> list[Reader]:
    return [Reader("bad", [b"{}"], lambda *_: os.kill(os.getpid(), signal.SIGKILL))]


def raising() -> list[Reader]:
    def raises(_: Path, content: bytes) -> None:
        raise KeyError(content)

    return [Reader("bad", [b"{}"], raises)]


def saying() -> list[Reader]:
    def says(_: Path, content: bytes) -> None:
        raise ValueError("two\nlines")

    return [Reader("bad", [b"{}"], says)]


@pytest.mark.parametrize(
    ("make", "word"),
    [(hanging, "5 s"), (growing, "GB"), (dying, "died"), (raising, "KeyError"), (saying, "printable")],
)
def test_what_goes_wrong_is_found(make: Callable[[], list[Reader]], word: str) -> None:
    found = findings(make, 1, seed=0)
    assert [word in one.what for one in found] == [True], found
