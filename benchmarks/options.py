"""Options of benchmarks: what every benchmark can be told, reading options from the command line, and their bounds."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from scripts.interface.command_line import parse

if TYPE_CHECKING:
    from typing_extensions import Self


@dataclass(frozen=True, kw_only=True, slots=True)
class BenchmarkConfig(ABC):
    """What every benchmark can be told; each adds options of its own."""

    quick: bool = False
    """Far less of everything: a check that it works."""
    json: bool = False
    """Print JSON."""

    @abstractmethod
    def quickened(self) -> Self:
        """The options that `--quick` stands for."""


Config = TypeVar("Config", bound=BenchmarkConfig)


def read_config(config_type: type[Config]) -> Config:
    """Options from the command line, those of a quick check where that is asked for.

    Raises:
        ValueError: if an option is out of its bounds.
    """
    config = parse(config_type)
    return config.quickened() if config.quick else config


def check_at_least(config: object, **bounds: float) -> None:
    """Check lower bounds of options, by the name of their field; of several values each counts.

    Raises:
        ValueError: naming the first option that is too small.
    """
    for name, least in bounds.items():
        value = getattr(config, name)
        values = value if isinstance(value, tuple) else (value,)
        if not all(one >= least for one in values):
            raise ValueError(f"`--{_option(name)} >= {least:g}` must hold, but got {min(values)}.")


def check_positive(config: object, *names: str) -> None:
    """Check that options are positive and finite.

    Raises:
        ValueError: naming the first option that is not.
    """
    for name in names:
        value = getattr(config, name)
        if not (math.isfinite(value) and value > 0):
            raise ValueError(f"`--{_option(name)} > 0` must hold, but got {value}.")


def _option(name: str) -> str:
    return name.replace("_", "-")
