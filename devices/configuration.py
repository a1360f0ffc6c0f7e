"""How a network is run on a board: runtime, threads, clock and precision. Start with `RuntimeConfiguration`."""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import total_ordering
from typing import Literal, get_args

from search_space.boundary.text import shown

Precision = Literal["fp32", "int8"]
PRECISIONS: tuple[Precision, ...] = get_args(Precision)
Runtime = Literal["ort", "litert"]
RuntimeName = Literal["onnxruntime", "litert"]
"""Runtimes as options name them."""
ONNX_FILES: dict[Precision, str] = {"fp32": "model.onnx", "int8": "model_int8.onnx"}
LITERT_FILES: dict[Precision, str] = {"fp32": "model.tflite", "int8": "model_int8.tflite"}
"""Names of a network's files in its folder."""
MOST_THREADS, MOST_MHZ = 1024, 100_000
"""Of any board; a file or a reply that says more is wrong."""
RUNTIMES: tuple[Runtime, ...] = get_args(Runtime)
BY_NAME: dict[RuntimeName, Runtime] = {"onnxruntime": "ort", "litert": "litert"}

_LABEL = re.compile(r"(?P<runtime>[a-z]+) (?P<threads>\d+)t(?: (?P<mhz>\d+)MHz)? (?P<precision>[a-z0-9]+)")


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


@total_ordering
@dataclass(frozen=True, kw_only=True, slots=True)
class RuntimeConfiguration:
    """How a network is run; an operating point is a network in a configuration.

    They are ordered by runtime, threads, clock (the highest first, the governor's before all) and precision, so that
    the least of several is their base: one thread, at the top clock, in fp32.
    """

    runtime: Runtime = "ort"
    """`ort` is ONNX Runtime, `litert` LiteRT."""
    threads: int = 1
    frequency_mhz: int | None = None
    """Clock that is set on the board; None leaves it to the board's governor."""
    precision: Precision = "fp32"
    """Numbers that the network computes with; `int8` is static quantisation."""

    def __post_init__(self) -> None:
        if self.runtime not in RUNTIMES:
            raise ValueError(f"`runtime` must be one of {', '.join(RUNTIMES)}, but got {shown(self.runtime)}.")
        if not _is_whole(self.threads) or self.threads < 1:
            raise ValueError(
                f"`threads` must be a whole number of at least 1, but got {shown(self.threads)}: raise it."
            )
        if self.threads > MOST_THREADS:
            raise ValueError(f"`threads` must be at most {MOST_THREADS}, but got {shown(self.threads)}: lower it.")
        mhz = self.frequency_mhz
        if mhz is not None and not (_is_whole(mhz) and 0 < mhz <= MOST_MHZ):
            raise ValueError(
                f"`frequency_mhz` must be above 0 MHz and at most {MOST_MHZ}, but got {shown(mhz)}: use 1500, say."
            )
        if self.precision not in PRECISIONS:
            raise ValueError(f"`precision` must be one of {', '.join(PRECISIONS)}, but got {shown(self.precision)}.")

    def __lt__(self, other: RuntimeConfiguration) -> bool:
        return self._rank() < other._rank()

    @property
    def label(self) -> str:
        """Short text for people and files: `ort 4t 1500MHz int8`; without the clock where the governor has it."""
        clock = "" if self.frequency_mhz is None else f" {self.frequency_mhz}MHz"
        return f"{self.runtime} {self.threads}t{clock} {self.precision}"

    @property
    def short_label(self) -> str:
        """The label without the runtime where that is ONNX Runtime, which goes without saying: `4t 1500MHz int8`."""
        return self.label.removeprefix("ort ")

    @classmethod
    def parse(cls, label: str) -> RuntimeConfiguration:
        """The configuration of a label.

        Raises:
            ValueError: if it is none.
        """
        found = _LABEL.fullmatch(label)
        if found is None:
            raise ValueError(f"a configuration must read like `ort 4t 1500MHz int8`, but got {shown(label)}.")
        return cls(
            runtime=found["runtime"],  # type: ignore[arg-type]
            threads=int(found["threads"]),
            frequency_mhz=None if found["mhz"] is None else int(found["mhz"]),
            precision=found["precision"],  # type: ignore[arg-type]
        )

    def _rank(self) -> tuple[int, int, float, int]:
        clock = -math.inf if self.frequency_mhz is None else -self.frequency_mhz
        return RUNTIMES.index(self.runtime), self.threads, clock, PRECISIONS.index(self.precision)


def runtime_in(text: str) -> Runtime:
    """The runtime that a measurement or a table names, with its version: `ai-edge-litert 2.3.0`."""
    return "litert" if "litert" in text else "ort"


BASE = RuntimeConfiguration()
"""One thread of ONNX Runtime in fp32, at the clock that the board's governor sets."""


ConfigurationSet = Literal["default", "base"]
"""`default` leaves the choice to the board; `base` is one thread in fp32."""


def named_configurations(
    which: ConfigurationSet,
    threads: Sequence[int],
    frequencies_mhz: Sequence[int],
    precisions: Sequence[Precision],
    runtimes: Sequence[RuntimeName] = (),
) -> tuple[RuntimeConfiguration, ...] | None:
    """The configurations that a user's options name, the base first; None for the board's default ones.

    Args:
        which: of `--configurations`.
        threads: of `--threads`; none if it is not given, and so are the others.
        frequencies_mhz: of `--frequency-mhz`.
        precisions: of `--precision`.
        runtimes: of `--runtime`.

    Raises:
        ValueError: if a value is given twice or out of range, or beside `--configurations base`.
    """
    given = bool(threads or frequencies_mhz or precisions or runtimes)
    if which == "base" and given:
        raise ValueError(
            "`--configurations base` must stand alone, but got `--threads`, `--frequency-mhz`, `--precision` or "
            "`--runtime` besides: omit one of the two."
        )
    if which == "default" and not given:
        return None
    return configurations_of(
        threads or (1,), frequencies_mhz or (None,), precisions or ("fp32",), runtimes or ("onnxruntime",)
    )


def configurations_of(
    threads: Sequence[int] = (1,),
    frequencies_mhz: Sequence[int | None] = (None,),
    precisions: Sequence[Precision] = ("fp32",),
    runtimes: Sequence[RuntimeName] = ("onnxruntime",),
) -> tuple[RuntimeConfiguration, ...]:
    """All combinations, the base first.

    Raises:
        ValueError: if a value is given twice, or out of range.
    """
    options = {"threads": threads, "frequency-mhz": frequencies_mhz, "precision": precisions, "runtime": runtimes}
    for name, values in options.items():
        if len(set(values)) < len(values):
            raise ValueError(f"each value of `--{name}` must be given once, but got {' '.join(map(str, values))}.")
    return tuple(
        sorted(
            RuntimeConfiguration(runtime=BY_NAME[name], threads=number, frequency_mhz=mhz, precision=precision)
            for name, number, mhz, precision in itertools.product(runtimes, threads, frequencies_mhz, precisions)
        )
    )
