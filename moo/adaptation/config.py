"""What making a run's trained networks adaptive is made of. Importing this is quick."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated, Literal

from tyro.conf import Positional, UseAppendAction

from devices.configuration import BY_NAME, Precision, RuntimeConfiguration, RuntimeName, configurations_of
from devices.cost_tables.energy_objective import EnergyKind, EnergyObjective
from moo.config import SearchConfig, check_gpus_per_worker

InnerEngine = Literal["factorised", "nsga2"]
MOST_EXITS = 8
"""Exits of one network: each costs time to pass, and the ways to choose them multiply."""
MOST_IMAGES = 5000
"""Of a stream."""


@dataclass(frozen=True, kw_only=True, slots=True)
class AdaptFrontConfig:
    """Give the trained networks of a run early exits, at which easy images leave sooner, and find their front.

    For each network it trains exits, and searches which of them to keep, from what confidence on to leave, and how the
    board runs the network. The best are exported in segments, checked and measured.
    """

    run: Positional[str]
    """Folder of a run whose front is trained (`train_front.py`)."""
    only: Annotated[tuple[str, ...], UseAppendAction] = ()
    """Give exits to this network only; give it several times for several. Others keep a place as they are."""
    max_exits: int = 3
    """Exits that a network may have at most."""
    max_slowdown: float | None = None
    """By how much the way past all exits may take longer than the network as it is, in per cent; by default as much
    as it takes."""
    inner: InnerEngine = "factorised"
    """How exits, thresholds and configurations are searched: `factorised` searches exits and thresholds by themselves,
    and combines what is found with all configurations; `nsga2` evolves all three at once, as a control."""
    threads: tuple[int, ...] = ()
    """Threads of the runtime on the board; by default those of the run. This and the next three name configurations,
    each of which the run must have a cost table for."""
    frequency_mhz: tuple[int, ...] = ()
    """Clocks to set on the board; by default those of the run."""
    precision: tuple[Precision, ...] = ()
    """Numbers that networks compute with on the board; by default those of the run."""
    runtime: tuple[RuntimeName, ...] = ()
    """Runtimes on the board; by default those of the run."""
    energy: EnergyKind | None = None
    """Which energy is minimised: `net` is that above idle, `gross` includes the board's idle power, `period` is that
    of work that comes once in every `--period-ms`; by default that of the run."""
    period_ms: float | None = None
    """Length of the period of `--energy period`, in ms."""
    exit_epochs: float | None = None
    """Passes over the training images that exits are trained for, the network itself frozen; by default 0.3 of
    those of the network, and at least one."""
    joint_epochs: float | None = None
    """Passes that the networks of the front are then trained on for, together with their exits; 0 for none; by default
    a tenth of those of the network. What loses over 0.3 points at the last exit is dropped."""
    images: int = 500
    """Images that are streamed through each network on the board, as it would run; 0 for none."""
    dataset: str | None = None
    """Where the run's images lie now, if not where they lay in the search."""
    measure: bool = True
    """Whether the ways through networks are measured on the run's board; without, costs are predicted."""
    fresh: bool = False
    """Begin anew: forget the exits that were trained before."""
    workers: int | None = None
    """Networks at the same time; by default one for each GPU, else one for each CPU core."""
    gpus_per_worker: float | None = None
    """Share of a GPU that a training has: 0.25 trains four networks on each GPU at the same time, 0 on CPU cores."""
    threads_per_worker: int | None = None
    """CPU threads of each training; by default the cores are shared out."""
    address: str | None = None
    """Ray cluster to join (`auto`, `host:port`); by default, or with `local`, one is started on this machine."""
    dashboard: bool = True
    """Whether a started Ray has its dashboard."""
    quiet: bool = False
    """Print only the result."""

    def __post_init__(self) -> None:
        for name, least, most in (
            ("max_exits", 1, MOST_EXITS), ("workers", 1, None), ("threads_per_worker", 1, None),
            ("images", 0, MOST_IMAGES),
        ):  # fmt: skip
            value, option = getattr(self, name), name.replace("_", "-")
            if value is not None and value < least:
                raise ValueError(f"`--{option} >= {least}` must hold, but got {value}.")
            if value is not None and most is not None and value > most:
                raise ValueError(f"`--{option} <= {most}` must hold, but got {value}.")
        check_gpus_per_worker(self.gpus_per_worker)
        if self.exit_epochs is not None and not (math.isfinite(self.exit_epochs) and self.exit_epochs > 0):
            raise ValueError(f"`--exit-epochs > 0` must hold, but got {self.exit_epochs}.")
        if self.joint_epochs is not None and not (math.isfinite(self.joint_epochs) and self.joint_epochs >= 0):
            raise ValueError(f"`--joint-epochs >= 0` must hold, but got {self.joint_epochs}.")
        if self.max_slowdown is not None and not (math.isfinite(self.max_slowdown) and self.max_slowdown >= 0):
            raise ValueError(f"`--max-slowdown >= 0` must hold, in per cent, but got {self.max_slowdown}.")
        if self.energy is not None or self.period_ms is not None:
            # It checks itself.
            EnergyObjective(self.energy or "net", self.period_ms)
        configurations_of(self.threads or (1,), self.frequency_mhz or (None,), self.precision or ("fp32",))

    def configurations_among(self, known: tuple[RuntimeConfiguration, ...]) -> tuple[RuntimeConfiguration, ...]:
        """The configurations that are searched, the base first; what is not named is as in the run.

        Args:
            known: those of the run, which it has cost tables for.

        Raises:
            ValueError: if one that is named is not among these.
        """
        for name, given in (("threads", self.threads), ("precision", self.precision)):
            theirs = {getattr(one, name) for one in known}
            for value in given:
                if value not in theirs:
                    raise _not_searched(name, value, known)
        for runtime in self.runtime:
            if BY_NAME[runtime] not in {one.runtime for one in known}:
                raise _not_searched("runtime", runtime, known)
        for value in self.frequency_mhz:
            if value not in {one.frequency_mhz for one in known}:
                raise _not_searched("frequency-mhz", value, known)
        chosen = tuple(
            one
            for one in known
            if one.threads in (self.threads or (one.threads,))
            and one.frequency_mhz in (self.frequency_mhz or (one.frequency_mhz,))
            and one.precision in (self.precision or (one.precision,))
            and (not self.runtime or one.runtime in {BY_NAME[name] for name in self.runtime})
        )
        if not chosen:
            raise ValueError(
                "`--threads`, `--frequency-mhz`, `--precision` and `--runtime` together must name one of the run's, "
                f"which are {', '.join(one.label for one in known)}, but none is as they say: omit one of them."
            )
        return chosen

    def energy_among(self, search: SearchConfig) -> EnergyObjective:
        """The energy that is minimised: as named here, else that of the run."""
        if self.energy is None and self.period_ms is None:
            return search.energy_objective
        return EnergyObjective(self.energy or "net", self.period_ms)


def _not_searched(option: str, value: object, known: tuple[RuntimeConfiguration, ...]) -> ValueError:
    return ValueError(
        f"`--{option}` must be of the configurations that the run has cost tables for, which are "
        f"{', '.join(one.label for one in known)}, but got {value}: choose among these, or begin a run with others "
        "by `pareto_search.py --from`."
    )
