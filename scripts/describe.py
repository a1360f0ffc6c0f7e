"""Describe a search space, or one architecture of it with its exact MACs and parameters, layer by layer.

Example:
    python scripts/describe.py --space fbnet-imagenet --architecture fbnet-a
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import NoReturn

from rich import box
from rich.console import Console, JustifyMethod
from rich.table import Table

from scripts.interface.command_line import parse, run
from scripts.interface.help_pages import DESCRIBE
from scripts.interface.terminal import plain
from search_space.architectures import parse_architecture
from search_space.catalogue import any_space_named
from search_space.descriptions import ArchitectureDescription, SpaceDescription, describe_architecture, describe_space


@dataclass(frozen=True, kw_only=True, slots=True)
class DescribeConfig:
    """Describe a search space, or one architecture of it with its exact MACs and parameters, layer by layer."""

    space: str = "fbnet-cifar"
    """Name of a preset, `nas-bench-201`, or a .yaml file (docs/search_spaces.md)."""
    architecture: str | None = None
    """A published name, comma-separated operators, an id, or a .json file; without it the space is described."""
    size: int | None = None
    """Height and width of the images in pixels, where they are not the space's own; `--space fbnet-micro@96` says the
    same."""
    classes: int | None = None
    """Number of classes, where it is not the space's own."""
    json: bool = False
    """Print JSON instead of a table."""


def main() -> None:
    """Parse the options, describe, print."""
    config = parse(DescribeConfig, page=DESCRIBE)
    space = any_space_named(config.space, published=config.architecture, classes=config.classes, size=config.size)
    description: SpaceDescription | ArchitectureDescription
    if config.architecture is None:
        description = describe_space(space)
    else:
        description = describe_architecture(space, parse_architecture(space, config.architecture))
    if config.json:
        print(json.dumps(asdict(description), indent=2))
    else:
        _print_tables(Console(), description)


def _print_tables(console: Console, description: SpaceDescription | ArchitectureDescription) -> None:
    facts = asdict(description)
    rows = facts.pop("layers")
    summary = Table.grid(padding=(0, 2))
    for name, value in facts.items():
        summary.add_row(name.replace("_", " "), _text(value))
    layers = Table(box=box.SIMPLE)
    for name in rows[0]:
        justify: JustifyMethod = "left" if name in ("name", "operator") else "right"
        layers.add_column(name.removesuffix("_channels"), justify=justify, no_wrap=True)
    for row in rows:
        layers.add_row(*(_text(value) for value in row.values()))
    console.print(summary, layers)


def _text(value: object) -> str:
    if value is None:
        return "-"
    if isinstance(value, dict):
        return ", ".join(f"{plain(name)} {_text(item)}" for name, item in value.items())
    if isinstance(value, (list, tuple)):
        return ", ".join(plain(item) for item in value)
    if isinstance(value, int):
        return f"{value:,}" if value < 10**12 else f"{value:.2e}"
    return plain(value)


def command() -> NoReturn:
    """The console command of this script."""
    run(main)


if __name__ == "__main__":
    command()
