import builtins
import contextlib
import io
import math
import os
import pickle
import pickletools
import random
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from devices.cost_tables.plain_pickle import PickledArray, read_plain_pickle

PROTOCOLS = range(pickle.HIGHEST_PROTOCOL + 1)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "tables.pickle"


class Call:
    """Pickles as a call of a function."""

    def __init__(self, function: Callable[..., object], *arguments: object) -> None:
        self.function, self.arguments = function, arguments

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return self.function, self.arguments


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_containers_numbers_and_arrays_come_back(path: Path, protocol: int) -> None:
    plain = {"a": [1, 2.5, None, True], "b": ("text", b"bytes"), 3: {"nested": {}}}
    arrays = [
        np.arange(6.0).reshape(2, 3),
        np.asfortranarray(np.arange(6).reshape(2, 3)),
        np.array([1, 2], dtype=">f4"),
        np.array([True, False]),
        np.zeros(0),
    ]
    path.write_bytes(pickle.dumps([plain, arrays, np.float64(0.1), np.int32(-7)], protocol=protocol))
    got = read_plain_pickle(path)
    assert isinstance(got, list)
    got_plain, got_arrays, number, integer = got
    assert got_plain == plain
    assert (number, integer) == (0.1, -7)
    for got_array, array in zip(got_arrays, arrays, strict=True):
        assert isinstance(got_array, PickledArray)
        np.testing.assert_array_equal(got_array.values, array)


def test_an_array_of_objects_is_a_list(path: Path) -> None:
    path.write_bytes(pickle.dumps(np.array([{"C": 16}, {"C": 8}], dtype=object)))
    array = read_plain_pickle(path)
    assert isinstance(array, PickledArray)
    assert array.values == [{"C": 16}, {"C": 8}]


@pytest.mark.parametrize(
    ("function", "arguments", "name"),
    [
        (os.system, ("touch {}",), "system"),
        (builtins.eval, ("open('{}', 'w')",), "builtin.*eval"),
        (builtins.exec, ("open('{}', 'w')",), "builtin.*exec"),
        (builtins.getattr, ({}, "clear"), "builtin.*getattr"),
        (np.fromfile, ("/etc/hostname",), "numpy.*fromfile"),
        (np.load, ("other.npy", None, True), "numpy.*load"),
        (np.memmap, ("{}",), "numpy.memmap"),
        (io.open, ("{}", "w"), "open"),
    ],
)
@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_nothing_that_a_file_asks_for_is_called(
    tmp_path: Path, path: Path, protocol: int, function: Callable[..., object], arguments: tuple[object, ...], name: str
) -> None:
    mark = tmp_path / "mark"
    arguments = tuple(part.format(mark) if isinstance(part, str) else part for part in arguments)
    path.write_bytes(pickle.dumps({"fbnet": Call(function, *arguments)}, protocol=protocol))
    with pytest.raises(ValueError, match=f"asks for `.*{name}`") as error:
        read_plain_pickle(path)
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)
    assert not mark.exists()


@pytest.mark.parametrize(
    "content",
    [
        b"cnumpy.core.multiarray\n_reconstruct.__globals__\n.",
        b"cnumpy\nndarray.tofile\n.",
        b"cnumpy.f2py\ndiagnose\n.",
        b"cnumpy.testing._private.utils\nrunstring\n(S'1'\n}tR.",
        b"cdevices.plain_pickle\nos\n.",
        b"cpickle\nloads\n.",
        b"Pname\n.",
    ],
)
def test_other_ways_to_code_are_refused(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    with pytest.raises(ValueError, match="must hold plain containers"):
        read_plain_pickle(path)


def test_the_test_pickles_do_what_they_say() -> None:
    names = [argument for _, argument, _ in pickletools.genops(pickle.dumps(Call(os.system, "true"), protocol=0))]
    assert "posix system" in names or "nt system" in names


def test_types_that_are_no_numbers_are_refused(path: Path) -> None:
    for array in (np.array(["text"]), np.array([(1, 2.0)], dtype=[("a", "i4"), ("b", "f8")]), np.array([b"x"])):
        path.write_bytes(pickle.dumps(array))
        with pytest.raises(ValueError, match="arrays must be of numbers"):
            read_plain_pickle(path)


def test_raw_bytes_are_never_taken_for_objects(path: Path) -> None:
    """With a forged type NumPy would take bytes of the file for addresses."""
    numbers = pickle.dumps(np.array([0x4141414141414141]), protocol=2)
    assert numbers.count(b"i8") == 1
    path.write_bytes(numbers.replace(b"i8", b"O8"))
    with pytest.raises(ValueError, match="array of objects"):
        read_plain_pickle(path)


def test_an_array_shorter_than_its_shape_is_refused(path: Path) -> None:
    path.write_bytes(pickle.dumps(np.zeros(8, dtype="u1"), protocol=3).replace(b"K\x08\x85", b"K\x09\x85"))
    with pytest.raises(ValueError, match="reshape"):
        read_plain_pickle(path)


def test_files_cut_anywhere_are_refused(path: Path) -> None:
    whole = pickle.dumps({"a": np.arange(5.0), "b": [1, "text"]}, protocol=2)
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        with pytest.raises(ValueError, match="be whole, but .*tables.pickle"):
            read_plain_pickle(path)


def test_noise_is_refused_or_plain(path: Path) -> None:
    rng = np.random.default_rng(0)
    for _ in range(300):
        path.write_bytes(rng.bytes(40))
        try:
            read_plain_pickle(path)
        except ValueError as error:
            assert str(path) in str(error)  # noqa: PT017


def test_an_absent_file_is_named(path: Path) -> None:
    with pytest.raises(ValueError, match=r"must exist, but got .*tables.pickle"):
        read_plain_pickle(path)
    with pytest.raises(ValueError, match="a pickle file must be a file"):
        read_plain_pickle(path.parent)


@pytest.mark.parametrize(
    "content",
    [
        b"\x80\x04]r\x00\x00\x00\x10.",
        b"\x80\x04\x8d\xff\xff\xff\xff\xff\xff\xff\x7f.",
        b"\x80\x05\x96\x00\x00\x00\x00\x10\x00\x00\x00.",
        b"\x80\x04\x95\xff\xff\xff\xff\xff\xff\xff\x7f].",
        b"\x80\x04]p999999999\n.",
        b"I" + b"9" * 5000 + b"\n.",
        b"\x80\x04\x8a\xff" + b"\x7f" * 255 + b".",
        # A list in itself, and lists and keys whose parts are shared nine deep, ten times each.
        b"\x80\x04]\x94h\x00a.",
        b"]q\x000" + b"".join(b"](" + b"h%c" % n * 10 + b"eq%c0" % (n + 1) for n in range(9)) + b"h\x09.",
        b"(K\x01tq\x000" + b"".join(b"(" + b"h%c" % n * 10 + b"tq%c0" % (n + 1) for n in range(9)) + b"}h\x09K\x01s.",
        b"(" * 100_000 + b".",
        b"]" * 200_000 + b".",
        b"]" + b"2" * 200_000 + b".",
    ],
)
def test_bombs_cost_no_more_than_their_bytes(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    tracemalloc.start()
    try:
        with contextlib.suppress(ValueError):
            read_plain_pickle(path)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 2**21 + 200 * len(content)
    if isinstance(content, bytes) and content.startswith(b"(K"):
        with pytest.raises(ValueError, match="a tuple as a key"):
            read_plain_pickle(path)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_plain_data_is_what_python_reads(path: Path, protocol: int) -> None:
    rng = random.Random(protocol)

    def value(depth: int) -> object:
        kinds: list[Callable[[], object]] = [
            lambda: rng.choice(
                [None, True, False, 0, -1, 255, 65536, -(2**31), 2**62, -(2**63), 0.1, -1e300, math.inf]
            ),
            lambda: "".join(rng.choices("ab\n\\'\"é\u2028\U0001f600\x00", k=rng.randint(0, 400))),
            lambda: rng.randbytes(rng.randint(0, 300)),
            lambda: [value(depth - 1) for _ in range(rng.randint(0, 5))],
            lambda: tuple(value(depth - 1) for _ in range(rng.randint(0, 5))),
            lambda: {str(n): value(depth - 1) for n in range(rng.randint(0, 5))},
        ]
        return rng.choice(kinds if depth else kinds[:3])()

    for _ in range(200):
        expected = value(4)
        path.write_bytes(pickle.dumps(expected, protocol=protocol))
        assert read_plain_pickle(path) == expected
