"""Commands that README, CONTRIBUTING and docs/ show: found by a Markdown parser, and told apart by their program."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from markdown_it import MarkdownIt

ROOT = Path(__file__).parents[2]
DOCUMENTS = (ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md")))
TOOLS = frozenset(
    {"pip", "conda", "git", "tensorboard", "pytest", "ruff", "mypy", "lint-imports", "bash", "python", "."}
)
"""Programs besides our scripts that `test_commands.py` checks as far as a machine without a network can."""
SYSTEM = frozenset(
    {"sudo", "ssh", "ssh-keygen", "ssh-keyscan", "ssh-add", "ssh-copy-id", "cat", "df", "rm", "chmod", "mkdir"}
    | {"i2cdetect", "rfcomm", "vcgencmd", "dmesg", "ray", "docker", "export", "pnnx", "hf"}
)
"""Programs of the board's or the user's own system, which no test runs."""
NO_COMMANDS = (
    r" *5 V supply ",
    r"P\(f, n\) = ",
    r"z /sys/devices/",
    r"NAME\[:ADDRESS\]",
    r"gross = ",
)
"""How indented blocks begin that hold a drawing, a formula, a file or a form."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Command:
    """A command of a document."""

    document: str
    words: tuple[str, ...]
    """As a shell would pass them on; without variables."""
    inline: bool
    """Whether it stands in the text, where a part of it may be meant."""

    @property
    def kind(self) -> str:
        """`script` or `benchmark` of ours, `tool`, `system`, or `unknown`."""
        first = self.words[0]
        if first == "python" and re.match(r"(scripts|benchmarks)/", self.words[1]):
            return "script" if self.words[1].startswith("scripts/") else "benchmark"
        if (ROOT / "scripts" / first).is_file():
            return "script"
        return "tool" if first in TOOLS else "system" if first in SYSTEM else "unknown"

    @property
    def module(self) -> str:
        """The module of a script or benchmark, as in `scripts.describe`."""
        path = self.words[1] if self.words[0] == "python" else f"scripts/{self.words[0]}"
        return path.removesuffix(".py").replace("/", ".")

    @property
    def options(self) -> list[str]:
        """The words after the script or program."""
        return [*self.words[2 if self.words[0] == "python" else 1 :]]

    def __str__(self) -> str:
        return f"{self.document}: {' '.join(self.words)}"


@cache
def shown_commands() -> tuple[Command, ...]:
    """All commands of all documents, in their order."""
    return tuple(command for path in DOCUMENTS for command in _commands(path))


def commands_in(name: str, text: str) -> tuple[Command, ...]:
    """The commands of a Markdown text.

    Args:
        name: of the document.
        text: its content.
    """
    return tuple(_commands_in(name, text))


@cache
def shown_python() -> tuple[tuple[str, str], ...]:
    """The blocks of Python code of all documents: document and code."""
    found = []
    for path in DOCUMENTS:
        for block in _tokens(path.read_text()):
            is_python = block.info == "python" or (block.type == "code_block" and _is_python(block.content))
            if block.type in ("fence", "code_block") and is_python:
                found.append((path.name, block.content))
    return tuple(found)


@cache
def inline_options() -> tuple[tuple[str, tuple[str, ...]], ...]:
    """Options that stand in the text without their command: document and words."""
    return tuple(
        (path.name, tuple(shlex.split(text)))
        for path in DOCUMENTS
        for text in _inline(path.read_text())
        if text.startswith("--") and "..." not in text
    )


def _commands(path: Path) -> Iterator[Command]:
    yield from _commands_in(path.name, path.read_text())


def _commands_in(name: str, text: str) -> Iterator[Command]:
    for block in _tokens(text):
        if block.type == "inline":
            for child in block.children:
                if child.type == "code_inline" and _is_inline_command(child.content):
                    yield from _of_line(name, child.content, inline=True)
        elif block.info in ("bash", "sh", "shell", "console") or _is_shell(block):
            for line in block.content.replace("\\\n", " ").splitlines():
                yield from _of_line(name, line, inline=False)


def _tokens(text: str) -> list[Any]:
    tokens = MarkdownIt("commonmark").enable("table").parse(text)
    return [token for token in tokens if token.type in ("fence", "code_block", "inline")]


def _inline(text: str) -> Iterator[str]:
    for block in _tokens(text):
        for child in block.children or ():
            if child.type == "code_inline":
                yield child.content


def _is_shell(block: Any) -> bool:
    """Whether an indented block holds commands: what is neither Python nor listed as something else does."""
    text = block.content
    return block.type == "code_block" and not _is_python(text) and not any(re.match(rule, text) for rule in NO_COMMANDS)


def _is_python(text: str) -> bool:
    return text.startswith(("from ", "import "))


def _is_inline_command(text: str) -> bool:
    first, *rest = text.split()
    known = first in TOOLS - {"."} or first in SYSTEM or (ROOT / "scripts" / first).is_file()
    return bool(rest) and known


def _of_line(document: str, line: str, *, inline: bool) -> Iterator[Command]:
    words: list[str] = []
    for word in [*shlex.split(line, comments=True), "&&"]:
        if word != "&&":
            words.append(word)
        elif words:
            yield Command(document=document, words=tuple(words), inline=inline)
            words = []
