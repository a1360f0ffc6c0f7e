import codecs
from pathlib import Path

import numpy as np
import pytest

from devices.cost_tables.readers import read_any_cost_table
from devices.cost_tables.text_tables import parse_text_table
from search_space.operators import REPRODUCTION_NAMES
from search_space.spaces import space_named

SPACE = space_named("fbnet-micro")
MICROSECONDS = np.random.default_rng(0).uniform(1, 90_000, (8, 9)).round(4)
NAMES = [*REPRODUCTION_NAMES]


def table(separator: str = " ", *, comma: bool = False, names: list[str] = NAMES, end: str = "\n") -> str:
    rows = [names, *([str(value).replace(".", "," if comma else ".") for value in row] for row in MICROSECONDS)]
    return end.join(separator.join(row) for row in rows) + end


def numbered(separator: str, first: str = "", start: int = 0) -> str:
    head, *lines = table(separator).splitlines()
    return "\n".join([first + separator + head, *(f"{start + i}{separator}{line}" for i, line in enumerate(lines))])


SAVED = {
    "commas": table(","),
    "commas and blanks": table(", "),
    "semicolons": table(";"),
    "German Excel": table(";", comma=True, end=";;\r\n"),
    "tabs": table("\t"),
    "tabs and decimal commas": table("\t", comma=True),
    "blanks and decimal commas": table(" ", comma=True),
    "columns of blanks": table("    "),
    "CRLF": table(end="\r\n"),
    "CR": table(end="\r"),
    "capitals": table(",", names=[name.upper() for name in NAMES]),
    "quoted": "\n".join(",".join(f'"{cell}"' for cell in line.split()) for line in table().splitlines()),
    "quoted decimal commas": "\n".join(
        ",".join(f'"{cell}"' for cell in line.split()) for line in table(" ", comma=True).splitlines()
    ),
    "single quotes": table().replace("skip", "'skip'"),
    "trailing separators": table(",", end=",\n"),
    "blank lines": table(end="\n\n  \n"),
    "blank cells only": table(",", end="\n,,,,,,,,\n"),
    "comments": "# measured at night\n// by hand\n" + table(end="  # us\n"),
    "header as a comment": "# " + table(),
    "three decimals": table(";", comma=True).replace(",5;", ",500;"),
    "Excel's line": "sep=;\n" + table(";"),
    "pandas' index": numbered(","),
    "layers from 1": numbered("\t", "Layer", 1),
}


@pytest.mark.parametrize("saved", SAVED)
def test_tables_as_editors_save_them(tmp_path: Path, saved: str) -> None:
    path = tmp_path / "table.txt"
    path.write_bytes(SAVED[saved].encode())
    np.testing.assert_allclose(read_any_cost_table(path, SPACE).latency_ms, MICROSECONDS / 1000)


@pytest.mark.parametrize(
    ("mark", "encoding"),
    [
        (codecs.BOM_UTF8, "utf-8"),
        (codecs.BOM_UTF16_LE, "utf-16-le"),
        (codecs.BOM_UTF16_BE, "utf-16-be"),
        (codecs.BOM_UTF32_LE, "utf-32-le"),
    ],
)
def test_byte_order_marks(tmp_path: Path, mark: bytes, encoding: str) -> None:
    path = tmp_path / "table.txt"
    path.write_bytes(mark + table("\t", end="\r\n").encode(encoding))
    np.testing.assert_allclose(read_any_cost_table(path, SPACE).latency_ms, MICROSECONDS / 1000)


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("1.5;2,5;3\n", "decimal points or decimal commas and no marks of thousands, but has '1.5' and '2,5'"),
        ("1.234,5;2\n", "no marks of thousands, but has '1.234,5' and '1.234,5'"),
        ('"1,234","2,345"\n', "no marks of thousands, but has '2,345' and '1,234'"),
        ('1,"2\n', "must have whole quotation marks"),
        ("1\x002\n", "must be text, but .* holds zero bytes"),
    ],
)
def test_what_may_be_read_in_two_ways_is_refused(text: str, rule: str) -> None:
    with pytest.raises(ValueError, match=rule) as error:
        parse_text_table(text, Path("table.txt"))
    assert "table.txt" in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("word", ["1_000", "0x1F", "12us", "", "\u0663"])
def test_what_is_no_number_is_refused(tmp_path: Path, word: str) -> None:
    path = tmp_path / "table.csv"
    lines = table(",").splitlines()
    lines[3] = ",".join([word, *lines[3].split(",")[1:]])
    path.write_text("\n".join(lines))
    with pytest.raises(ValueError, match=f"layer 2, operator k3_e1, has '{word}', which is not a number"):
        read_any_cost_table(path, SPACE)


def test_a_comment_names_the_space() -> None:
    assert parse_text_table("# Space = fbnet-cifar\n1 2\n", Path("t")).space == "fbnet-cifar"
    assert parse_text_table("// space: fbnet-cifar\n1 2\n", Path("t")).space == "fbnet-cifar"
    assert parse_text_table("# outer space: far\n1 2\n", Path("t")).space is None
