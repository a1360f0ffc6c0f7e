"""UM24C, UM25C and UM34C: USB meters between supply and board, read over Bluetooth or USB as a serial port.

One byte asks for a frame of 130 bytes, big-endian: model at 0, voltage at 2, current at 4, power at 6; its end is a
fixed mark, or for the UM34C an exclusive-or of certain bytes. The layout is that of libsigrok's driver `rdtech-um`,
https://sigrok.org/wiki/RDTech_UM_series.
"""

from __future__ import annotations

import errno
import functools
import operator
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple, Protocol

from devices.meters.power_meter import MeterError, Reading
from devices.meters.rights import remedy_for

FRAME_BYTES = 130
REQUEST = b"\xf0"
ATTEMPTS = 3
"""Frames that are requested before a reading is given up."""
TIMEOUT_S = 1.0
"""Time that the meter has for one frame."""


class Model(NamedTuple):
    """Scales of one model, and how its frames end."""

    name: str
    voltage_lsb_v: float
    current_lsb_a: float
    checked: bool
    """Whether the last byte is a checksum of others, not a mark."""


MODELS = {
    0x0963: Model("UM24C", 0.01, 0.001, checked=False),
    0x09C9: Model("UM25C", 0.001, 0.0001, checked=False),
    0x0D4C: Model("UM34C", 0.01, 0.001, checked=True),
}
PORTS = ("rfcomm*", "ttyUSB*", "ttyACM*")
"""Serial ports of Bluetooth and USB, in `/dev`."""
END_MARK = 0xFFF1
_CHECKED = "1 3 7 9 15 17 19 23 31 39 41 45 49 53 55 57 59 63 67 69 73 79 83 89 97 99 109 111 113 119 121 127"
CHECKED_BYTES = tuple(int(position) for position in _CHECKED.split())


class Port(Protocol):
    """The part of `serial.Serial` that is used."""

    def write(self, data: bytes, /) -> object:
        """Send bytes."""

    def read(self, size: int, /) -> bytes:
        """Up to `size` bytes, fewer after the port's time-out."""

    def reset_input_buffer(self) -> object:
        """Discard input that was not read."""


class Um25c:
    """A meter of that family."""

    name = "um25c"
    period_s = 0.5
    """The meter renews its figures twice a second, however often it is asked."""
    window_s = 1.0
    """What it tells may be half a second old, and is a mean of the half second before that."""
    step_w = 0.0

    def __init__(self, port: Port, *, label: str = "", clock: Callable[[], float] = time.monotonic) -> None:
        self._port = port
        self._label = f" at {label}" if label else ""
        self._clock = clock

    def read(self) -> Reading:
        """Power at the time of asking; broken frames are asked for again.

        Raises:
            MeterError: if the port is gone, or no whole frame arrived.
        """
        problem = ""
        for _ in range(ATTEMPTS):
            try:
                self._port.reset_input_buffer()
                time_s = self._clock()
                self._port.write(REQUEST)
                frame = self._port.read(FRAME_BYTES)
            except OSError as error:
                raise MeterError(
                    f"the um25c{self._label} must stay connected, but got {error}: plug it in again; over "
                    "Bluetooth, bind it again with `rfcomm bind`."
                ) from error
            if not frame:
                raise MeterError(
                    f"the um25c{self._label} must answer within {TIMEOUT_S:g} s, but did not: make sure that "
                    "it is switched on and that no phone is connected to it."
                )
            try:
                return Reading(time_s, power_of_frame(frame))
            except ValueError as error:
                problem = str(error)
        raise MeterError(
            f"the um25c{self._label} must send whole frames, but {ATTEMPTS} were broken, the last one thus: {problem} "
            "Bring it nearer, or use another cable."
        )


def power_of_frame(frame: bytes) -> float:
    """Power in W.

    Raises:
        ValueError: if the frame is not whole.
    """
    if len(frame) != FRAME_BYTES:
        raise ValueError(f"a frame must have {FRAME_BYTES} bytes, but got {len(frame)}.")
    model = MODELS.get(int.from_bytes(frame[:2], "big"))
    if model is None:
        known = ", ".join(f"{number:#06x}" for number in MODELS)
        raise ValueError(f"a frame must begin with one of {known}, but got 0x{frame[:2].hex()}.")
    if model.checked:
        whole = frame[-1] == functools.reduce(operator.xor, (frame[position] for position in CHECKED_BYTES))
    else:
        whole = int.from_bytes(frame[-2:], "big") == END_MARK
    if not whole:
        raise ValueError(f"the end of a {model.name}'s frame must agree with it, but got 0x{frame[-2:].hex()}.")
    voltage_v = int.from_bytes(frame[2:4], "big") * model.voltage_lsb_v
    current_a = int.from_bytes(frame[4:6], "big") * model.current_lsb_a
    return voltage_v * current_a


def open_port(path: str) -> Port:
    """A serial port as these meters use it, and nobody else at the same time.

    Raises:
        MeterError: if `pyserial` is not installed, or the port cannot be opened.
    """
    try:
        import serial
    except ImportError:
        raise MeterError("UM25C meters need `pyserial`: install it with `pip install pyserial`.") from None
    try:
        port: Port = serial.Serial(path, 9600, timeout=TIMEOUT_S, write_timeout=TIMEOUT_S, exclusive=True)
    except (OSError, ValueError) as error:
        raise MeterError(
            f"the serial port {path} must be there and open to this user, but got {error}: {_why_closed(error, path)}"
        ) from error
    return port


def serial_ports(devices: Path = Path("/dev")) -> list[str]:
    """Serial ports that a meter may be at; those on USB by their names that stay, where they have such."""
    stable = sorted(devices.glob("serial/by-id/*"))
    named = {path.resolve() for path in stable}
    others = [path for pattern in PORTS for path in sorted(devices.glob(pattern)) if path.resolve() not in named]
    return [str(path) for path in (*stable, *others)]


def _why_closed(error: Exception, path: str) -> str:
    number = getattr(error, "errno", None)
    if number in (errno.EACCES, errno.EPERM):
        return remedy_for(Path(path), group="dialout")
    if number in (errno.EBUSY, errno.EAGAIN):
        return f"another program has it (a search, an app, ModemManager); `sudo fuser -v {path}` names it: end that."
    if number in (errno.EHOSTDOWN, errno.EHOSTUNREACH, errno.ECONNREFUSED, errno.ETIMEDOUT):
        return "switch the meter on, bring it nearer, and disconnect it from the app on the phone."
    found = serial_ports()
    there = f"there are {', '.join(found[:8])}" if found else "there is none on this machine"
    return f"plug the meter in, or bind it with `rfcomm bind 0 ADDRESS`; {there}."
