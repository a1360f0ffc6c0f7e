"""The one interface to a board. Start with `open_device`."""

from __future__ import annotations

from typing import Protocol

from devices.measurement import Board, Measurement, MeasureSettings

DEVICE_NAMES = ("host", "ssh://USER@HOST[:PORT]")


class MeasurementError(RuntimeError):
    """The board could not measure: the agent crashed or hung, or the model is not one that it can run."""


class BoardUnreachableError(MeasurementError):
    """No board answers: refused, switched off, rebooting, or out of the network. It says nothing about the model."""


class BoardRefusedError(BoardUnreachableError):
    """The board answers, but a key is not known, it is not set up, or its disk is full. A person has to act."""


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


def open_device(name: str, settings: MeasureSettings, *, meter: str = "none") -> Device:
    """A board by name; nothing is started before its first use.

    Args:
        name: one of `DEVICE_NAMES`.
        settings: how it measures.
        meter: what reads its energy, as in `ina219`, `auto` or `none` (docs/meters.md); energy is modelled without.

    Raises:
        ValueError: if there is no such board or meter.
    """
    # Here, because every board's module needs `MeasurementError` from this one.
    from devices.host import HostDevice
    from devices.sampled_meter import open_meter
    from devices.ssh import SshDevice
    from devices.ssh_address import BoardAddress, SshOptions

    if name == "host":
        host = HostDevice(settings)
        host.attach_meter(open_meter(meter))
        return host
    if name.startswith("ssh://"):
        board = SshDevice(BoardAddress.parse(name), settings, SshOptions.from_environment())
        board.attach_meter(open_meter(meter, agent_clock=board.clock_seconds, start_on_board=board.start_meter))
        return board
    raise ValueError(f"`--device` must be one of {', '.join(DEVICE_NAMES)}, but got {name!r}: use `--device host`.")
