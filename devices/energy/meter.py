"""Energy of a run of inferences: what a device asks of a meter, and what it gets."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from devices.energy.idle_baseline import IdlePower


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
    """Power samples in the run."""


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
            MeasurementError: if the meter does not answer, or gave too few samples in that time.
        """

    def close(self) -> None:
        """Free the meter; closing twice does no harm, and no other call may follow."""
