"""What the server was told at its start: nothing of it can be set from the page."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

OptionKind = Literal["text", "whole number", "number", "boolean"]


@dataclass(frozen=True, kw_only=True, slots=True)
class SearchOption:
    """An option of the program that searches, as its command line has it."""

    field: str
    """Its name in `SearchConfig`."""
    name: str
    """As it is typed, without hyphens in front."""
    kind: OptionKind
    """Of its value, or of each of its values."""
    text: str
    """What it does."""
    default: str
    """In words; empty where there is none."""
    choices: tuple[str, ...] = ()
    """The words that it takes; none where any will do."""
    is_list: bool = False
    """Whether it takes several values."""
    is_repeatable: bool = False
    """Whether it is given once for each of them."""
    may_be_none: bool = False
    """Whether something is found out where it is not given."""


@dataclass(frozen=True)
class SearchOptionGroup:
    """Options that belong together, the most useful first."""

    title: str
    common: tuple[SearchOption, ...]
    more: tuple[SearchOption, ...]


@dataclass(frozen=True)
class SearchProgram:
    """The program that searches: how it is started, and what it takes."""

    command: tuple[str, ...]
    """Words before its options."""
    shown: tuple[str, ...]
    """The same as one types them."""
    groups: tuple[SearchOptionGroup, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class PageSettings:
    """What pages show, and what may be started from them."""

    runs: Path
    """Folder whose run folders are shown, and where new ones are made."""
    boards: tuple[str, ...] = ()
    """Boards that searches may be started on, as `--device` takes them, besides tables that come with the project."""
    datasets: tuple[str, ...] = ("digits",)
    """Data sets that searches may be started on, as `--dataset` takes them."""
    hosts: tuple[str, ...] = ("127.0.0.1", "localhost", "[::1]")
    """Names that the server answers to, as browsers have them in addresses."""
    token: str = field(default_factory=lambda: secrets.token_urlsafe(32))
    """Whoever has it may use the page."""
    trying: tuple[str, ...] = ()
    """Words of the command that searches coefficients on the supernet of a run, before its arguments; none are tried
    without."""
    program: SearchProgram | None = None
    """What starts searches; without, none are started."""
