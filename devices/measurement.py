"""What a board reports: what it is, what one network costs on it, and how each number was obtained."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import MISSING, asdict, dataclass, fields
from hashlib import sha256
from typing import Literal, get_args

from devices.configuration import Precision, RuntimeConfiguration, runtime_in
from devices.models import Model
from search_space.boundary.records import record_from_json
from search_space.boundary.text import one_line, shown

Source = Literal["measured", "modelled", "published"]
LARGEST = 1e9
"""Of a latency in ms, 11 days, or an energy in mJ; nothing that this project knows comes near."""
SOFTLY_LIMITED = ("Raspberry Pi 3 Model B Plus", "Raspberry Pi 3 Model A Plus")
"""Models whose clock falls at 60 degrees already."""
LEAST_LITERT = 2
"""The first major version of LiteRT's package that reads all our files."""
LITERT_REQUIREMENT = f"ai-edge-litert>={LEAST_LITERT},<3"
SLOWED = 0.97
"""Share of the clock that was set below which a board has slowed down."""
SOURCES: tuple[Source, ...] = get_args(Source)


@dataclass(frozen=True, kw_only=True, slots=True)
class Board:
    """A board and its runtime."""

    name: str
    """How the user names it: `host`."""
    model: str
    """Processor or board model, as the system gives it."""
    os: str
    runtime: str
    """Inference runtime and version."""
    clock_mhz: float | None
    """Clock of the first core at the time of asking; None if the system does not report it."""
    machine: str | None = None
    """Kind of processor: `aarch64`, `x86_64`; None if it is not known."""
    cores: int | None = None
    """Cores that a network may use; None if the system does not report them."""
    frequencies_mhz: tuple[int, ...] = ()
    """Clocks that can be set, ascending; empty if none can, or the system does not list them."""
    throttling_visible: bool = True
    """False for a board on Arm whose firmware tells nothing, or may not be asked, so that throttling goes unnoticed."""
    temperature_visible: bool = True
    """False for a board on Arm whose temperature is not told, so that it is measured however hot it is."""
    litert: str | None = None
    """LiteRT and its version; None where it is not installed."""

    def __post_init__(self) -> None:
        _in_one_line(self, ("name", "model", "os", "runtime", "machine", "litert"))

    @property
    def label(self) -> str:
        """Name and model, as written into measurements and tables."""
        return f"{self.name} ({self.model})"

    @property
    def max_temperature_c(self) -> float:
        """Temperature above which it is left to cool down before a measurement.

        A Pi 3A+ and 3B+ lower their clock from 60 degrees on (raspberrypi.com, config.txt, `temp_soft_limit`), the
        other models from 80 on (`temp_limit`).
        """
        return 55.0 if self.model.startswith(SOFTLY_LIMITED) else 70.0

    @property
    def notes(self) -> tuple[str, ...]:
        """What a user should know about measurements of this board."""
        firmware = (
            ", as its firmware may not be asked: on the board, join the group `video` by `sudo usermod -aG video "
            "$USER` and log in anew."
        )
        other = ": with `--frequency-mhz` a clock below the one that was set is seen."
        how = firmware if self.model.startswith("Raspberry Pi") else other
        blind = f"throttling of {self.label} cannot be seen{how}"
        hot = f"the temperature of {self.label} cannot be read, so it is not left to cool down: keep it cool yourself."
        found = ((self.throttling_visible, blind), (self.temperature_visible, hot))
        return tuple(note for visible, note in found if not visible)

    def runtime_of(self, configuration: RuntimeConfiguration) -> str:
        """The runtime that a configuration is run with, and its version."""
        return (self.litert or "litert, not installed") if configuration.runtime == "litert" else self.runtime

    def _check_litert(self) -> None:
        found = re.search(r"(\d+)\.(\d+)", self.litert or "")
        address = f"ssh://{self.name.removeprefix('ssh://')}"
        remedy = (
            f"run `pip install '{LITERT_REQUIREMENT}'`"
            if self.name == "host"
            else f"run `python scripts/setup_board.py {address} --runtime onnxruntime litert`"
        )
        if self.litert is None:
            raise ValueError(f"`--runtime litert` needs LiteRT on {self.label}, but it is not installed: {remedy}.")
        if found is None or int(found[1]) < LEAST_LITERT:
            raise ValueError(
                f"`--runtime litert` needs version {LEAST_LITERT} of LiteRT or a later one, but {self.label} has "
                f"{self.litert}: {remedy}."
            )

    def check(self, configuration: RuntimeConfiguration) -> None:
        """Check what can be known before anything runs: that the board has the runtime, the cores and the clock.

        Raises:
            ValueError: if it lacks them.
        """
        if configuration.runtime == "litert":
            self._check_litert()
        if self.cores is not None and configuration.threads > self.cores:
            raise ValueError(
                f"`threads` must be at most {self.cores}, the cores of {self.label}, but got {configuration.threads}: "
                "more threads than cores take 13 to 27 times as long."
            )
        mhz = configuration.frequency_mhz
        if mhz is not None and self.frequencies_mhz and mhz not in self.frequencies_mhz:
            raise ValueError(
                f"`frequency_mhz` must be one of {', '.join(map(str, self.frequencies_mhz))} on {self.label}, but got "
                f"{mhz}: choose one of these, or omit it."
            )


@dataclass(frozen=True, kw_only=True, slots=True)
class Conditions:
    """State of a board at one instant; None for what its system does not report."""

    clock_mhz: float | None = None
    """Clock that was measured under load: by a Raspberry Pi's firmware, a loop, or an x86 processor's counters."""
    temperature_c: float | None = None
    governor: str | None = None
    """What sets the clock: `ondemand`, `performance`."""
    throttled: int | None = None
    """A Raspberry Pi's flags: bit 0 under-voltage, 1 clock capped, 2 throttled, 3 soft temperature limit now; from bit
    16 on the same at any time since it was booted."""
    volts: float | None = None
    """Voltage of the cores."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Measurement:
    """Cost of one inference of one network, batch size 1.

    The latency is the 5th percentile of many single runs. Other programs can only slow a run down, so a low quantile
    stays at the cost of the network itself: it repeats within 1 % on machines where the median wanders by half. The
    minimum would depend on one lucky run; the 5th percentile does not. Median and IQR are kept as well.
    """

    latency_ms: float
    """5th percentile of the single-inference times."""
    median_ms: float
    iqr_ms: float
    """Interquartile range of the single-inference times."""
    runs: int
    """Number of timed inferences."""
    energy_mj: float
    """Energy of one inference above idle: net."""
    latency_source: Source
    energy_source: Source
    board: str
    """`Board.label`."""
    os: str
    runtime: str
    threads: int
    date: str
    """ISO 8601, UTC."""
    reliable: bool
    """False if the times spread so widely, or the board slowed down so much, that it should be repeated."""
    frequency_mhz: int | None = None
    """Clock that was set for the measurement; None if the board's governor decided."""
    precision: Precision = "fp32"
    before: Conditions = Conditions()
    after: Conditions = Conditions()
    gross_energy_mj: float | None = None
    """Energy of one inference including the board's idle power; None if that is not known."""
    energy_interval_mj: float | None = None
    """Half the width of the 95 % confidence interval of `energy_mj`; None without a meter."""
    idle_w: float | None = None
    """Idle power that was subtracted, or the model's without a meter; None if it is not known."""
    meter: str | None = None
    energy_error: float | None = None
    """How far a modelled energy may be off, as a fraction; None where it was measured, or is not known."""
    energy_note: str | None = None
    """Why the energy is modelled though a meter read along; else None."""

    def __post_init__(self) -> None:
        _in_one_line(self, ("board", "os", "runtime", "date", "meter", "energy_note"))
        for name in ("latency_ms", "median_ms", "iqr_ms", "energy_mj"):
            value = getattr(self, name)
            if not -LARGEST <= value <= LARGEST:
                raise ValueError(f"`{name}` of a measurement must be within {LARGEST:g}, but is {value:g}.")
        for source in (self.latency_source, self.energy_source):
            if source not in SOURCES:
                raise ValueError(f"a source must be one of {', '.join(SOURCES)}, but got {shown(source)}.")

    @property
    def configuration(self) -> RuntimeConfiguration:
        """How the network was run."""
        return RuntimeConfiguration(
            runtime=runtime_in(self.runtime),
            threads=self.threads,
            frequency_mhz=self.frequency_mhz,
            precision=self.precision,
        )

    @property
    def throttled(self) -> bool:
        """Whether the board slowed down during the measurement, for lack of power or because of heat.

        It is seen by the firmware's flags, and by a measured clock below the one that was set. Where neither is there,
        False means nothing: see `Board.throttling_visible`.
        """
        return slowed_down(self.before, self.after, self.frequency_mhz)

    def to_json(self) -> dict[str, object]:
        """A plain dictionary, for JSON files and the store."""
        return asdict(self)

    @classmethod
    def from_json(cls, content: Mapping[str, object]) -> Measurement:
        """The measurement that `to_json` gave.

        Raises:
            ValueError: if a key is unknown, one without a default is missing, or a value is not of its type.
        """
        if not isinstance(content, Mapping):
            raise ValueError(f"a measurement must be an object, but got {shown(content)}.")
        names = {entry.name for entry in fields(cls)}
        needed = {entry.name for entry in fields(cls) if entry.default is MISSING}
        if not needed <= content.keys() <= names:
            raise ValueError(
                f"a measurement must have {', '.join(sorted(needed))}, but lacks "
                f"{shown(sorted(needed - content.keys()))} and has {shown(sorted(content.keys() - names))} besides."
            )
        return record_from_json(cls, content, where="measurement")


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelledCosts:
    """Costs of one inference by a model of a board that nothing was measured on."""

    latency_ms: float
    energy_mj: float
    """Above idle."""
    idle_w: float
    energy_error: float | None
    """How far the energy may be off, as a fraction; None where that is not known."""


@dataclass(frozen=True, kw_only=True, slots=True)
class MeasureSettings:
    """How a board measures one network, whatever its configuration."""

    warmup_runs: int = 10
    """Inferences before timing starts."""
    min_runs: int = 50
    """Fewest timed inferences."""
    max_runs: int = 2000
    """Most timed inferences; this bound takes precedence over `min_seconds`."""
    min_seconds: float = 0.3
    """Least duration of the timed inferences, unless `max_runs` is reached."""
    metered_seconds: float = 2.0
    """Least duration of the timed inferences of a metered run; `max_runs` does not bound it."""
    max_temperature_c: float | None = None
    """A board that is hotter is left to cool down before a measurement; None: at what suits its model."""
    cooldown_seconds: float = 60.0
    """Longest time that it is left to cool down."""
    timeout_seconds: float = 60.0
    """Time after which a board is considered hung; cooling down does not count."""

    def __post_init__(self) -> None:
        for name, least in (("warmup_runs", 0), ("min_runs", 1)):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < least:
                raise ValueError(f"`{name}` must be a whole number of at least {least}, but got {value!r}: raise it.")
        if not self.max_runs >= self.min_runs:
            raise ValueError(
                f"`max_runs >= min_runs` must hold, but got max_runs={self.max_runs} and "
                f"min_runs={self.min_runs}: raise `max_runs`."
            )
        if not self.min_seconds >= 0:
            raise ValueError(f"`min_seconds >= 0` must hold, but got {self.min_seconds}: use 0 for no minimum.")
        if not self.timeout_seconds > self.min_seconds:
            raise ValueError(
                f"`timeout_seconds > min_seconds` must hold, but got timeout_seconds={self.timeout_seconds} and "
                f"min_seconds={self.min_seconds}: raise `timeout_seconds`."
            )
        if not self.metered_seconds > 0:
            raise ValueError(f"`metered_seconds > 0` must hold, but got {self.metered_seconds}: use about 2.")
        hottest_c = self.max_temperature_c
        if not ((hottest_c is None or hottest_c > 0) and self.cooldown_seconds >= 0):
            raise ValueError(
                "`max_temperature_c > 0` and `cooldown_seconds >= 0` must hold, but got "
                f"{hottest_c} and {self.cooldown_seconds}: use 0 seconds for no cool-down."
            )


def slowed_down(before: Conditions, after: Conditions, frequency_mhz: int | None) -> bool:
    """Whether a board slowed down between two instants, as far as its firmware's flags and its clock tell.

    Args:
        before: its state at the first.
        after: at the second.
        frequency_mhz: the clock that was set; None if its governor decided.
    """
    if frequency_mhz is not None and after.clock_mhz is not None and after.clock_mhz < SLOWED * frequency_mhz:
        return True
    if after.throttled is None:
        return False
    since_start = (after.throttled >> 16) & ~((before.throttled or 0) >> 16)
    return bool((after.throttled | since_start) & 0xF)


def _in_one_line(record: object, names: Sequence[str]) -> None:
    """Make texts of a frozen record harmless: a board, or a file of somebody else, said them."""
    for name in names:
        value = getattr(record, name)
        if value is not None:
            object.__setattr__(record, name, one_line(value))


def largest_error(errors: Iterable[float | None]) -> float | None:
    """The largest of the errors that are known; None if none is."""
    return max((error for error in errors if error is not None), default=None)


def model_key(model: Model) -> str:
    """What a serialised model is known by: its SHA-256, in hexadecimal; of several, that of all of theirs."""
    if isinstance(model, bytes):
        return sha256(model).hexdigest()
    return sha256("".join(map(model_key, model)).encode()).hexdigest()
