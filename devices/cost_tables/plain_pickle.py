"""Pickles of plain containers, numbers, strings and NumPy arrays, read without running anything that they ask for.

`pickle.load` calls whatever a file names. Here only a few names are admitted, and even those stand for harmless
functions of this module: neither NumPy nor any other code sees the data before their types are checked.
`pickle_machine` bounds what they cost.
"""

from __future__ import annotations

import pickle
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from devices.cost_tables.pickle_machine import unpickle
from search_space.boundary.reading import read_bytes
from search_space.boundary.text import reason_of, shown

MOST_BYTES = 64 * 2**20
"""Of a file; HW-NAS-Bench's has some tens of millions."""
_NUMBER_TYPE = re.compile(r"[fiu][1248]|b1")


def read_plain_pickle(path: Path) -> object:
    """What a pickle holds: numbers, strings, plain containers, and `PickledArray` where it has arrays.

    Raises:
        ValueError: naming the file, if it is absent, no pickle, cut short, or holds anything else.
    """
    content = read_bytes(path, what="a pickle file", most=MOST_BYTES)
    try:
        return unpickle(content, _ADMITTED)
    except Exception as error:
        # Instructions that do not fit each other raise whatever comes of it.
        raise ValueError(
            f"a pickle file must hold plain containers, numbers, strings and NumPy arrays only and be whole, but "
            f"{str(path)!r} does not: {reason_of(error)}."
        ) from None


class PickledArray:
    """An array of numbers, or a list where the array was one of objects."""

    values: npt.NDArray[Any] | Sequence[Any] = ()

    def __setstate__(self, state: tuple[int, tuple[int, ...], _NumberType, bool, bytes | list[Any]]) -> None:
        _, shape, number_type, is_fortran, content = state
        self._fill(content, number_type, shape, "F" if is_fortran else "C")

    def _fill(self, content: Any, number_type: _NumberType, shape: tuple[int, ...], order: str) -> None:
        if not isinstance(number_type, _NumberType):
            raise pickle.UnpicklingError("an array must have a type of numbers")
        if number_type.is_object:
            if not isinstance(content, list) or len(shape) != 1:
                raise pickle.UnpicklingError("an array of objects must be one-dimensional")
            self.values = list(content)
        else:
            flat = np.frombuffer(content, dtype=number_type.code)
            self.values = flat.reshape(shape, order="F" if order == "F" else "C")


class _NumberType:
    """Stands for `numpy.dtype`."""

    def __init__(self, code: str, *_: object) -> None:
        self.is_object = code in ("O", "O8")
        if not self.is_object and not _NUMBER_TYPE.fullmatch(code):
            raise pickle.UnpicklingError(f"arrays must be of numbers, but one is of type {shown(code)}")
        self.code = code

    def numbers(self, content: bytes) -> list[Any]:
        """All numbers of some bytes, as Python's."""
        numbers: list[Any] = np.frombuffer(content, dtype=self.code).tolist()
        return numbers

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        if state[1] in ("<", ">") and not self.is_object:
            self.code = state[1] + self.code


def _empty_array(*_: object) -> PickledArray:
    """Stands for `_reconstruct`, whose result gets its content by `__setstate__`."""
    return PickledArray()


def _array_of_buffer(content: bytes, number_type: _NumberType, shape: tuple[int, ...], order: str) -> PickledArray:
    """Stands for `_frombuffer`, which pickle protocol 5 uses."""
    array = PickledArray()
    array._fill(content, number_type, shape, order)
    return array


def _number(number_type: _NumberType, content: bytes) -> object:
    """Stands for `scalar`: one number as a Python number."""
    if not isinstance(number_type, _NumberType) or number_type.is_object:
        raise pickle.UnpicklingError("a NumPy scalar must be a number")
    (value,) = number_type.numbers(content)
    plain: object = value
    return plain


def _bytes_of(text: str, encoding: str) -> bytes:
    """Stands for `_codecs.encode`, by which protocols 0 to 2 write bytes."""
    if encoding != "latin1":
        raise pickle.UnpicklingError(f"bytes must be written as latin1, but got {shown(encoding)}")
    return text.encode("latin1")


def _no_bytes() -> bytes:
    """Stands for `bytes`, by which protocols 0 to 2 write empty ones."""
    return b""


_ADMITTED: dict[tuple[str, str], Any] = {
    ("numpy", "ndarray"): PickledArray,
    ("numpy", "dtype"): _NumberType,
    ("_codecs", "encode"): _bytes_of,
    ("__builtin__", "bytes"): _no_bytes,
    **{
        (f"numpy.{core}.{module}", name): function
        for core in ("core", "_core")
        for module, name, function in (
            ("multiarray", "_reconstruct", _empty_array),
            ("multiarray", "scalar", _number),
            ("numeric", "_frombuffer", _array_of_buffer),
        )
    },
}
