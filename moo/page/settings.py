"""What the server was told at its start: nothing of it can be set from the page."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from pathlib import Path


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
