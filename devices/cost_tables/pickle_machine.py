"""A machine that obeys the few instructions of a pickle which make plain data. Start with `unpickle`.

Python's own calls what a file names, keeps a place in memory for each number that a file invents, and counts no steps.
Source: the instructions are those of `pickletools`, protocols 0 to 5, without sets, instances, extensions, persistent
names and buffers of others.
"""

from __future__ import annotations

import ast
import pickle
import struct
from collections.abc import Callable, Mapping
from typing import Any

MOST_STEPS = 6_000_000
"""Instructions; HW-NAS-Bench's have two to five million."""
LONGEST_LINE = 4096
"""Bytes of an argument that is written as text."""
LONGEST_WHOLE = 9
"""Bytes of a whole number: 64 bits and a sign."""


def unpickle(content: bytes, globals_: Mapping[tuple[str, str], Any]) -> object:
    """What a pickle makes.

    Args:
        content: of the file.
        globals_: what stands for the names that it may ask for: functions, and classes with `__setstate__`.

    Raises:
        pickle.UnpicklingError: if it is cut short, asks for anything else, or has more than `MOST_STEPS`.
        Exception: whatever comes of instructions that do not fit each other.
    """
    return _Machine(content, globals_).run()


class _Machine:
    def __init__(self, content: bytes, globals_: Mapping[tuple[str, str], Any]) -> None:
        self._content = content
        self._place = 0
        self._stack: list[Any] = []
        self._below: list[list[Any]] = []
        """Stacks below the marks."""
        self._memo: dict[int, Any] = {}
        self._globals = globals_
        self._classes = tuple(value for value in globals_.values() if isinstance(value, type))
        self._functions = {id(value) for value in globals_.values()}

    def run(self) -> object:
        """Obey until the instruction to stop."""
        content, instructions = self._content, _INSTRUCTIONS
        for _ in range(MOST_STEPS):
            if self._place >= len(content):
                raise pickle.UnpicklingError("it is cut short")
            code = content[self._place]
            self._place += 1
            if code == _STOP:
                return self._stack.pop()
            instruction = instructions.get(code)
            if instruction is None:
                raise pickle.UnpicklingError(f"it has the instruction {code:#04x}")
            instruction(self)
        raise pickle.UnpicklingError(f"it has more than {MOST_STEPS:,} instructions")

    def _bytes(self, count: int) -> bytes:
        part = self._content[self._place : self._place + count]
        if len(part) < count:
            raise pickle.UnpicklingError("it is cut short")
        self._place += count
        return part

    def _number(self, form: str) -> Any:
        number, place = _FORMS[form], self._place
        try:
            (value,) = number.unpack_from(self._content, place)
        except struct.error:
            raise pickle.UnpicklingError("it is cut short") from None
        self._place = place + number.size
        return value

    def _line(self) -> str:
        end = self._content.find(b"\n", self._place, self._place + LONGEST_LINE)
        if end < 0:
            raise pickle.UnpicklingError("it is cut short, or has a line that is too long")
        line = self._content[self._place : end]
        self._place = end + 1
        return line.decode("latin1")

    def _push(self, value: object) -> None:
        self._stack.append(value)

    def _since_mark(self) -> list[Any]:
        values = self._stack
        self._stack = self._below.pop()
        return values

    def _top(self, kind: type) -> Any:
        value = self._stack[-1]
        if not isinstance(value, kind):
            raise pickle.UnpicklingError(f"it takes a {type(value).__name__} for a {kind.__name__}")
        return value

    def mark(self) -> None:
        self._below.append(self._stack)
        self._stack = []

    def pop(self) -> None:
        if self._stack:
            self._stack.pop()
        else:
            self._since_mark()

    def whole_in_text(self) -> None:
        line = self._line().removesuffix("L")
        self._push({"00": False, "01": True}[line] if line in ("00", "01") else _whole(line))

    def whole(self) -> None:
        count = self._number("<B")
        if count > LONGEST_WHOLE:
            raise pickle.UnpicklingError("it has a whole number of more than 64 bits")
        self._push(int.from_bytes(self._bytes(count), "little", signed=True))

    def text_in_quotes(self) -> None:
        value = ast.literal_eval(self._line())
        if not isinstance(value, str):
            raise pickle.UnpicklingError("it has a text without quotes")
        self._push(value.encode("latin1").decode("ascii"))

    def ask(self, module: str, name: str) -> None:
        if (module, name) not in self._globals:
            raise pickle.UnpicklingError(f"it asks for `{module}.{name}`")
        self._push(self._globals[module, name])

    def ask_by_stack(self) -> None:
        name, module = self._stack.pop(), self._stack.pop()
        if not isinstance(name, str) or not isinstance(module, str):
            raise pickle.UnpicklingError("it asks for what has no name")
        self.ask(module, name)

    def call(self) -> None:
        arguments, function = self._stack.pop(), self._stack.pop()
        if not isinstance(arguments, tuple) or id(function) not in self._functions:
            raise pickle.UnpicklingError("it calls what is no function")
        self._push(function(*arguments))

    def set_state(self) -> None:
        state = self._stack.pop()
        if not isinstance(self._stack[-1], self._classes):
            raise pickle.UnpicklingError("it gives a state to what has none")
        self._stack[-1].__setstate__(state)  # type: ignore[attr-defined]

    def append(self) -> None:
        value = self._stack.pop()
        self._top(list).append(value)

    def extend(self) -> None:
        values = self._since_mark()
        self._top(list).extend(values)

    def set_item(self) -> None:
        value, key = self._stack.pop(), self._stack.pop()
        _set_items(self._top(dict), [key, value])

    def set_items(self) -> None:
        values = self._since_mark()
        _set_items(self._top(dict), values)

    def make_dict(self) -> None:
        made: dict[Any, Any] = {}
        _set_items(made, self._since_mark())
        self._push(made)

    def tuple_of(self, count: int) -> None:
        if len(self._stack) < count:
            raise pickle.UnpicklingError("it lacks values for a tuple")
        values = tuple(self._stack[-count:])
        del self._stack[-count:]
        self._push(values)

    def keep(self, number: int) -> None:
        self._memo[number] = self._stack[-1]


def _set_items(made: dict[Any, Any], values: list[Any]) -> None:
    if len(values) % 2:
        raise pickle.UnpicklingError("it has a key without a value")
    for key, value in zip(values[::2], values[1::2], strict=True):
        # The hash of tuples that share their parts may take for ever.
        if not isinstance(key, str | int | float | bytes):
            raise pickle.UnpicklingError(f"it has a {type(key).__name__} as a key")
        made[key] = value


def _whole(line: str) -> int:
    if len(line) > 24:
        raise pickle.UnpicklingError("it has a whole number of more than 64 bits")
    return int(line)


def _text(machine: _Machine, form: str) -> None:
    machine._push(machine._bytes(machine._number(form)).decode("utf-8", "surrogatepass"))


def _old_text(machine: _Machine, form: str) -> None:
    machine._push(machine._bytes(machine._number(form)).decode("ascii"))


def _data(machine: _Machine, form: str) -> None:
    machine._push(machine._bytes(machine._number(form)))


_FORMS = {form: struct.Struct(form) for form in ("<B", "<H", "<i", "<I", "<Q", ">d")}
_STOP = ord(".")
_INSTRUCTIONS: dict[int, Callable[[_Machine], object]] = {
    code[0]: instruction
    for code, instruction in {
        pickle.PROTO: lambda m: m._number("<B"),
        pickle.FRAME: lambda m: m._number("<Q"),
        pickle.MARK: _Machine.mark,
        pickle.POP: _Machine.pop,
        pickle.POP_MARK: _Machine._since_mark,
        pickle.DUP: lambda m: m._push(m._stack[-1]),
        pickle.NONE: lambda m: m._push(None),
        pickle.NEWTRUE: lambda m: m._push(True),  # noqa: FBT003
        pickle.NEWFALSE: lambda m: m._push(False),  # noqa: FBT003
        pickle.INT: _Machine.whole_in_text,
        pickle.LONG: _Machine.whole_in_text,
        pickle.LONG1: _Machine.whole,
        pickle.BININT: lambda m: m._push(m._number("<i")),
        pickle.BININT1: lambda m: m._push(m._number("<B")),
        pickle.BININT2: lambda m: m._push(m._number("<H")),
        pickle.FLOAT: lambda m: m._push(float(m._line())),
        pickle.BINFLOAT: lambda m: m._push(m._number(">d")),
        pickle.STRING: _Machine.text_in_quotes,
        pickle.BINSTRING: lambda m: _old_text(m, "<I"),
        pickle.SHORT_BINSTRING: lambda m: _old_text(m, "<B"),
        pickle.UNICODE: lambda m: m._push(m._line().encode("latin1").decode("raw-unicode-escape")),
        pickle.BINUNICODE: lambda m: _text(m, "<I"),
        pickle.SHORT_BINUNICODE: lambda m: _text(m, "<B"),
        pickle.BINUNICODE8: lambda m: _text(m, "<Q"),
        pickle.BINBYTES: lambda m: _data(m, "<I"),
        pickle.SHORT_BINBYTES: lambda m: _data(m, "<B"),
        pickle.BINBYTES8: lambda m: _data(m, "<Q"),
        pickle.BYTEARRAY8: lambda m: _data(m, "<Q"),
        pickle.EMPTY_LIST: lambda m: m._push([]),
        pickle.LIST: lambda m: m._push(m._since_mark()),
        pickle.APPEND: _Machine.append,
        pickle.APPENDS: _Machine.extend,
        pickle.EMPTY_TUPLE: lambda m: m._push(()),
        pickle.TUPLE: lambda m: m._push(tuple(m._since_mark())),
        pickle.TUPLE1: lambda m: m.tuple_of(1),
        pickle.TUPLE2: lambda m: m.tuple_of(2),
        pickle.TUPLE3: lambda m: m.tuple_of(3),
        pickle.EMPTY_DICT: lambda m: m._push({}),
        pickle.DICT: _Machine.make_dict,
        pickle.SETITEM: _Machine.set_item,
        pickle.SETITEMS: _Machine.set_items,
        pickle.GET: lambda m: m._push(m._memo[_whole(m._line())]),
        pickle.BINGET: lambda m: m._push(m._memo[m._number("<B")]),
        pickle.LONG_BINGET: lambda m: m._push(m._memo[m._number("<I")]),
        pickle.PUT: lambda m: m.keep(_whole(m._line())),
        pickle.BINPUT: lambda m: m.keep(m._number("<B")),
        pickle.LONG_BINPUT: lambda m: m.keep(m._number("<I")),
        pickle.MEMOIZE: lambda m: m.keep(len(m._memo)),
        pickle.GLOBAL: lambda m: m.ask(m._line(), m._line()),
        pickle.STACK_GLOBAL: _Machine.ask_by_stack,
        pickle.REDUCE: _Machine.call,
        pickle.BUILD: _Machine.set_state,
    }.items()
}
