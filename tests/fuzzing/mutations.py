"""Inputs that nobody would write: valid samples, cut, flipped, spliced, and with wrong values in them."""

from __future__ import annotations

import copy
import json
import random
from collections.abc import Sequence
from typing import Any

_RAW = {
    "@huge": "1" + "0" * 400,
    "@float": "1e400",
    "@tiny": "5e-324",
    "@large": "1e308",
    "@nan": "NaN",
    "@inf": "-Infinity",
    "@deep": "[" * 100_000 + "]" * 100_000,
    "@open": "{" + '"a":[' * 30_000,
}
"""What JSON text has that no value gives, by what stands for it."""
_TEXTS = (
    "",
    " ",
    "\x00",
    "\x1b[2J",
    "a\nb\r\u2028c",
    "\ud800",
    "\u202e",
    "[red]x[/]",
    "$\\frac{",
    "../../../etc/passwd",
    "/dev/zero",
    "x" * 2_000_000,
    "9" * 5000,
    "\n```\n",
    "ort 99999999999t fp32",
    "é" * 300,
)
_VALUES: tuple[Any, ...] = (
    None,
    True,
    False,
    0,
    -1,
    1,
    2**31,
    2**62,
    10**9,
    0.5,
    -0.0,
    1e-320,
    [],
    {},
    [[]],
    [None],
    {"a": 1},
    [0] * 1000,
    *_RAW,
    *_TEXTS,
)
_CHUNKS = (
    b"\x00",
    b"\xff\xfe",
    b"\xef\xbb\xbf",
    b"[" * 3000,
    b"{" * 3000,
    b"- " * 3000,
    b"&a [*a]",
    b"<<: *a",
    b"1e400",
    b"\n" * 100,
    b"\x8d\xff\xff\xff\xff\xff\xff\xff\x7f",
    b"r\x00\x00\x00\x10",
    b"\x96\x00\x00\x00\x00\x10\x00\x00\x00",
    b"\x7f\xff\xff\xff",
    b"!!python/object/apply:os.system [ls]",
    b"9" * 5000,
    b"\xed\xa0\x80",
    b"\x1b]8;;http://evil\x07",
)


def mutated(samples: Sequence[bytes], rng: random.Random) -> bytes:
    """A valid sample made wrong, in most cases.

    Args:
        samples: valid ones of a form.
        rng: of all choices.
    """
    sample = rng.choice(samples)
    for _ in range(rng.choice((1, 1, 1, 2, 4))):
        sample = rng.choice(_WAYS)(sample, samples, rng)
    return sample


def _wrong_value(sample: bytes, samples: Sequence[bytes], rng: random.Random) -> bytes:
    """Another value or key somewhere in a JSON text; of what is no JSON, flipped bits."""
    try:
        content = json.loads(sample)
    except (ValueError, RecursionError):
        return _flipped(sample, samples, rng)
    content = copy.deepcopy(content)
    places = list(_places(content))
    value = rng.choice(_VALUES)
    if not places:
        return _raw(json.dumps(value))
    inner, key = rng.choice(places)
    way = rng.randrange(4)
    if way == 0:
        del inner[key]
    elif way == 1 and isinstance(inner, dict):
        inner[rng.choice(_TEXTS)] = inner.pop(key)
    elif way == 2 and isinstance(inner[key], int | float) and abs(inner[key]) < 2**63:
        inner[key] = rng.choice((-inner[key], inner[key] * 10**6, inner[key] / 3, float(inner[key])))
    else:
        inner[key] = value
    return _raw(json.dumps(content))


def _places(content: Any) -> list[tuple[Any, Any]]:
    keys = content if isinstance(content, dict) else range(len(content)) if isinstance(content, list) else ()
    return [place for key in keys for place in ((content, key), *_places(content[key]))]


def _raw(text: str) -> bytes:
    for mark, raw in _RAW.items():
        text = text.replace(f'"{mark}"', raw)
    return text.encode("utf-8", "surrogatepass")


def _flipped(sample: bytes, samples: Sequence[bytes], rng: random.Random) -> bytes:
    del samples
    changed = bytearray(sample)
    for _ in range(rng.choice((1, 1, 2, 8, 64))):
        if changed:
            changed[rng.randrange(len(changed))] ^= 1 << rng.randrange(8)
    return bytes(changed)


def _cut(sample: bytes, samples: Sequence[bytes], rng: random.Random) -> bytes:
    del samples
    return sample[: rng.randint(0, len(sample))]


def _without(sample: bytes, samples: Sequence[bytes], rng: random.Random) -> bytes:
    del samples
    start = rng.randint(0, len(sample))
    return sample[:start] + sample[start + rng.randint(1, 40) :]


def _repeated(sample: bytes, samples: Sequence[bytes], rng: random.Random) -> bytes:
    del samples
    start = rng.randint(0, len(sample))
    part = sample[start : start + rng.randint(1, 60)]
    return sample[:start] + part * rng.choice((2, 3, 100)) + sample[start:]


def _spliced(sample: bytes, samples: Sequence[bytes], rng: random.Random) -> bytes:
    other = rng.choice(samples)
    return sample[: rng.randint(0, len(sample))] + other[rng.randint(0, len(other)) :]


def _with_chunk(sample: bytes, samples: Sequence[bytes], rng: random.Random) -> bytes:
    del samples
    start = rng.randint(0, len(sample))
    return sample[:start] + rng.choice(_CHUNKS) + sample[start + rng.choice((0, 0, 1, 8)) :]


def _numbers(sample: bytes, samples: Sequence[bytes], rng: random.Random) -> bytes:
    """Four or eight bytes that are a large number, as lengths and places in binary files are."""
    del samples
    start = rng.randint(0, len(sample))
    count = rng.choice((2, 4, 8))
    value = rng.choice((0, 1, 2 ** (8 * count - 1) - 1, 2 ** (8 * count) - 1, 2 ** (8 * count - 4)))
    return sample[:start] + value.to_bytes(count, rng.choice(("little", "big"))) + sample[start + count :]


_WAYS = (_wrong_value, _wrong_value, _wrong_value, _flipped, _cut, _without, _repeated, _spliced, _with_chunk, _numbers)
