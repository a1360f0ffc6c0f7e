"""Files of others: whatever is in them is plain bounded data, or one line that names the file."""

import contextlib
import os
import random
from collections.abc import Callable
from pathlib import Path

import pytest

from search_space.boundary.reading import DEEPEST, local_path, parse_json, read_bytes, read_json, read_text, read_yaml

Reader = Callable[..., object]
READERS: list[Reader] = [read_bytes, read_text, read_json, read_yaml]


def test_plain_values_are_read(tmp_path: Path) -> None:
    path = tmp_path / "content.json"
    path.write_bytes(b'\xef\xbb\xbf{"a": [1, -2.5e3, null, true, "\xc3\xa9"]}')
    assert read_json(path, what="a file") == {"a": [1, -2500.0, None, True, "é"]}
    path.write_text("a: [1, 2.5]\nb: {c: d}\n")
    assert read_yaml(path, what="a file") == {"a": [1, 2.5], "b": {"c": "d"}}


@pytest.mark.parametrize("read", READERS)
def test_what_is_no_file_is_named(read: Reader, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="a table must exist, but got '.*absent'"):
        read(tmp_path / "absent", what="a table")
    with pytest.raises(ValueError, match="a table must be a file, but '.*' is a folder"):
        read(tmp_path, what="a table")
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ValueError, match="a table must be a file, but '.*pipe' is none"):
        read(tmp_path / "pipe", what="a table")


@pytest.mark.parametrize("read", READERS)
def test_size_is_bounded(read: Reader, tmp_path: Path) -> None:
    path = tmp_path / "large"
    with path.open("wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(ValueError, match="a table must have at most .*, but '.*large' has more"):
        read(path, what="a table")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("[" * 10**6, "nested more than 64 levels"),
        ("[" * (DEEPEST + 2) + "]" * (DEEPEST + 2), "nested more than 64 levels"),
        ('{"a":' * 900 + "1" + "}" * 900, "nested more than 64 levels"),
        ("1" * 10**6, "whole numbers must be of 64 bits"),
        ("9223372036854775808", "whole numbers must be of 64 bits"),
        ("1e400", "numbers must be finite"),
        ("0." + "1" * 10**6, "numbers must be finite"),
        ("NaN", "numbers must be finite, but it has NaN"),
        ("-Infinity", "numbers must be finite"),
        ('{"a": 1', "delimiter: line 1 column 8"),
        ("", "Expecting value"),
    ],
)
def test_json_is_bounded(text: str, reason: str, tmp_path: Path) -> None:
    path = tmp_path / "table.json"
    path.write_text(text)
    with pytest.raises(ValueError, match=f"a table must be JSON, but '.*table.json' is not: .*{reason}") as caught:
        read_json(path, what="a table")
    assert len(str(caught.value).splitlines()) == 1
    assert len(str(caught.value)) < 600


def test_the_deepest_and_the_largest_are_read() -> None:
    parse_json("[" * DEEPEST + "]" * DEEPEST)
    assert parse_json("9223372036854775807") == 2**63 - 1
    assert parse_json(b"1e308") == 1e308


def test_text_must_be_utf8(tmp_path: Path) -> None:
    path = tmp_path / "table"
    path.write_bytes(b"abc\xff")
    with pytest.raises(ValueError, match="a table must be UTF-8 text, but '.*table' is not, at byte 3"):
        read_text(path, what="a table")
    with pytest.raises(ValueError, match="no UTF-8 text, at byte"):
        parse_json(b'"\xff"')


@pytest.mark.parametrize(
    "text",
    [
        "a: &a [x, x]\nb: &b [*a, *a]\nc: [*b, *b]\n",
        "a: &a\n  <<: *a\n",
        "[" * 5000,
        "- " * 3000 + "x",
        "!!python/object/apply:os.system [ls]",
        "a: [1",
        "{{}: 1}",
        "? [a]\n: b\n",
        "2024-99-99",
        "\x00",
        "a: !!float x",
        "a: !!int ''",
    ],
)
def test_yaml_is_bounded(text: str, tmp_path: Path) -> None:
    path = tmp_path / "space.yaml"
    path.write_text(text)
    with pytest.raises(ValueError, match=r"a space file must be YAML, but '.*space.yaml' is not: ") as caught:
        read_yaml(path, what="a space file")
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize("read", [read_json, read_yaml])
def test_random_texts_are_read_or_refused(read: Reader, tmp_path: Path) -> None:
    rng, path = random.Random(0), tmp_path / "random"
    pieces = [*'[]{}":,-&*!?|>%@ \n\t#', "1", "e9", "null", "true", "<<: ", "&a", "*a", "!!set", "\\u", "- ", "0x"]
    for _ in range(1500):
        path.write_text("".join(rng.choices(pieces, k=rng.randint(0, 20))))
        with contextlib.suppress(ValueError):
            read(path, what="a file")


def test_the_home_of_nobody_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert local_path("~/run") == tmp_path / "run"
    with pytest.raises(ValueError, match=r"a home that is known, but got '~nobody-at-all/run': write it out\."):
        local_path("~nobody-at-all/run")
