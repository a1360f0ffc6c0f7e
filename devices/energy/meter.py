"""Energy of an inference run, as a meter saw it: what a device asks of a meter, and what it gets."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, kw_only=True, slots=True)
class MeteredEnergy:
    """Energy of one inference, from the power samples in the time of its run."""

    net_mj: float
    """Above idle."""
    gross_mj: float
    """With the board's idle power."""
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
        """How long a run must last at least, in s.

        Raises:
            MeasurementError: if the meter does not answer.
        """

    def begin(self) -> None:
        """Measure idle power; called just before a run, while the board does nothing.

        Raises:
            MeasurementError: if the meter does not answer.
        """

    def end(self, start_s: float, end_s: float, runs: int) -> MeteredEnergy:
        """Energy of one of `runs` inferences between two times of the board's monotonic clock, in s.

        Raises:
            MeasurementError: if the meter does not answer, or gave too few samples in that time.
        """

    def close(self) -> None:
        """Free the meter; no call may follow."""
