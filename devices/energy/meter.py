"""Energy of a run of inferences: what a device asks of a meter, and what it gets."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

from devices.energy.idle_baseline import IdlePower
from devices.errors import MeasurementError

MAX_RELATIVE_INTERVAL = 0.2
"""Half the width of the 95 % interval, as a share of the energy, above which an energy is not measured."""


@dataclass(frozen=True, kw_only=True, slots=True)
class MeteredEnergy:
    """Energy of one inference, from the power samples taken during a run."""

    net_mj: float
    """Above idle."""
    gross_mj: float
    """Including the board's idle power."""
    interval_mj: float
    """Half the width of the 95 % confidence interval of `net_mj`."""
    idle_w: float
    meter: str
    """Name of the meter, as in `ina219`."""
    samples: int
    """Readings of the meter in the run."""

    @property
    def doubt(self) -> str | None:
        """Why this is no measurement, as the end of a sentence; None if it is one."""
        if not self.net_mj > 0:
            return (
                f"{self.meter} gave {self.net_mj:.3g} mJ above idle, with a 95 % interval of {self.interval_mj:.3g} mJ "
                "either way, where it must be above 0"
            )
        if self.relative_interval > MAX_RELATIVE_INTERVAL:
            return (
                f"the 95 % interval of {self.meter} was {100 * self.relative_interval:.0f} % of the energy either way, "
                f"where {100 * MAX_RELATIVE_INTERVAL:.0f} % are allowed"
            )
        return None

    @property
    def relative_interval(self) -> float:
        """`interval_mj` as a share of `net_mj`; infinite if that is not above 0."""
        return self.interval_mj / self.net_mj if self.net_mj > 0 else math.inf


class TooFewSamplesError(MeasurementError):
    """A run was too short for its meter."""


class EnergyMeter(Protocol):
    """A meter on the supply of one board."""

    @property
    def seconds_needed(self) -> float:
        """Least duration of a run, in s.

        Raises:
            MeasurementError: if the meter does not answer.
        """

    def idle(self) -> IdlePower:
        """Power from now on for some time, in which the board is left idle.

        Raises:
            MeasurementError: if the meter does not answer, or gives too few samples.
        """

    def energy(self, start_s: float, end_s: float, runs: int, *, idle: IdlePower) -> MeteredEnergy:
        """Energy of one of `runs` inferences between two times of the board's monotonic clock, in s.

        Args:
            start_s: when the first inference began.
            end_s: when the last one ended.
            runs: their number.
            idle: power of the idle board, which the net energy is above.

        Raises:
            MeasurementError: if the meter does not answer.
            TooFewSamplesError: if it gave too few samples in that time.
        """

    def close(self) -> None:
        """Free the meter; closing twice does no harm, and no other call may follow."""
