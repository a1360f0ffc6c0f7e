"""What a power meter is."""

from __future__ import annotations

from typing import NamedTuple, Protocol


class MeterError(RuntimeError):
    """A meter cannot be opened, does not answer, or gives an impossible answer."""


class NotTheBoardError(MeterError):
    """What a meter sees is not what its board draws: reading again does not help."""


class Reading(NamedTuple):
    """Power at one time."""

    time_s: float
    """Of the machine's monotonic clock, ascending; the middle of the time that `power_w` is a mean of."""
    power_w: float


class PowerMeter(Protocol):
    """One meter, opened."""

    @property
    def name(self) -> str:
        """As in `ina219`."""

    @property
    def period_s(self) -> float:
        """Time after which another reading is worth taking: the hardware has a new one then."""

    @property
    def window_s(self) -> float:
        """A reading depends on the power within this time of its `time_s`, before or after, and on no other.

        It covers the time that the hardware averages over, and how old its last result may be when it is read.
        """

    @property
    def step_w(self) -> float:
        """Powers are told in whole steps of this; 0 where a step is far below what a board's power varies by."""

    def read(self) -> Reading:
        """Power now, or the mean since the last reading.

        Raises:
            MeterError: if the meter does not answer, or gives an impossible answer; the next reading may work again.
            NotTheBoardError: if it no longer sees what its board draws, and the next reading would not either.
        """
