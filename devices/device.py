"""The one interface to a board. Start with `open_device`."""

from __future__ import annotations

from typing import Protocol

from devices.measurement import Board, Measurement, MeasureSettings

DEVICE_NAMES = ("host",)


class MeasurementError(RuntimeError):
    """The board could not measure: the agent crashed or hung, or the model is not one that it can run."""


class Device(Protocol):
    """A board that measures networks, one at a time."""

    @property
    def shares_host(self) -> bool:
        """Whether measuring competes with the search for this machine's cores, so that they must take turns."""

    def describe(self) -> Board:
        """The board and its runtime.

        Raises:
            MeasurementError: if the board does not answer.
        """

    def measure(self, model: bytes) -> Measurement:
        """Cost of one inference, batch size 1.

        Args:
            model: a serialised ONNX model.

        Raises:
            MeasurementError: if the board could not measure it; the next call starts afresh.
        """

    def close(self) -> None:
        """Free the board; no call may follow."""


def open_device(name: str, settings: MeasureSettings) -> Device:
    """A board by name; nothing is started before its first use.

    Raises:
        ValueError: if there is no such board.
    """
    # Here, because every board's module needs `MeasurementError` from this one.
    from devices.host import HostDevice

    if name == "host":
        return HostDevice(settings)
    raise ValueError(f"`--device` must be one of {', '.join(DEVICE_NAMES)}, but got {name!r}: use `--device host`.")
