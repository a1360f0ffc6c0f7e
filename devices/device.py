"""The one interface to a board; `devices.factory.open_device` opens one."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from devices.configuration import BASE, RuntimeConfiguration
from devices.measurement import Board, Conditions, Measurement
from devices.models import Model


class Device(Protocol):
    """A board that measures networks, one at a time."""

    @property
    def shares_host(self) -> bool:
        """Whether measuring competes with the search for this machine's cores, so that they must take turns."""

    @property
    def metered(self) -> bool:
        """Whether a meter reads its energy, which is modelled else."""

    def describe(self) -> Board:
        """The board and its runtime: the same at every call, but for the clock at the time of asking.

        Raises:
            MeasurementError: if the board does not answer.
        """

    def measure(self, model: Model, configuration: RuntimeConfiguration = BASE) -> Measurement:
        """Cost of one inference, batch size 1; of segments one after another, with what decides at each exit.

        Args:
            model: a serialised ONNX model, or the files of one, such as the segments of a network with early exits.
            configuration: how it is run; the board keeps its clock until another is asked for.

        Raises:
            MeasurementError: if the board could not measure it; the next call starts afresh.
            BoardRefusedError: if the board cannot run this configuration.
        """

    def close(self) -> None:
        """Free the board, whether it was used or not; closing twice does no harm, and no other call may follow."""


@runtime_checkable
class SensingDevice(Protocol):
    """A board that tells its state between measurements."""

    def conditions(self) -> Conditions:
        """Clock, temperature and throttling now; it waits for its turn, as a measurement does.

        Raises:
            MeasurementError: if the board does not answer; the next call starts afresh.
        """
