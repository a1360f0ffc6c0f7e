"""I2C buses: opening one, and what each of their errors means. Start with `open_bus`."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import NamedTuple, Protocol

from devices.meters import hwmon
from devices.meters.power_meter import MeterError
from devices.meters.rights import remedy_for

DEFAULT_BUS = 1
DEVICES = Path("/dev")


class Bus(Protocol):
    """The part of `smbus2.SMBus` that is used; words are little-endian, the sensors' registers big-endian."""

    def read_word_data(self, i2c_addr: int, register: int) -> int:
        """A register of 16 bits."""

    def write_word_data(self, i2c_addr: int, register: int, value: int) -> None:
        """Set a register of 16 bits."""

    def read_i2c_block_data(self, i2c_addr: int, register: int, length: int) -> list[int]:
        """The bytes of a longer register."""


class Seat(NamedTuple):
    """Where a sensor is."""

    sensor: str
    """As in `ina219`."""
    address: int
    bus: int = DEFAULT_BUS

    @property
    def typed(self) -> str:
        """How the user names it."""
        return f"{self.sensor}:{self.address:#x}{f',bus={self.bus}' if self.bus != DEFAULT_BUS else ''}"


def open_bus(number: int, *, devices: Path = DEVICES) -> Bus:
    """I2C bus `/dev/i2c-{number}`.

    Raises:
        MeterError: if `smbus2` is not installed, or the bus cannot be opened.
    """
    try:
        from smbus2 import SMBus
    except ImportError:
        raise MeterError("sensors on I2C need `smbus2`: install it with `pip install smbus2`.") from None
    path = devices / f"i2c-{number}"
    try:
        bus: Bus = SMBus(os.fspath(path))
    except OSError as error:
        raise MeterError(_why_closed(error, path)) from error
    return bus


def bus_numbers(devices: Path = DEVICES) -> list[int]:
    """The I2C buses of this machine."""
    return sorted(int(path.name[4:]) for path in devices.glob("i2c-*") if path.name[4:].isdecimal())


def why_silent(error: OSError, seat: Seat, *, hwmon_root: Path | None = None) -> MeterError:
    """What an error of a transfer means, and what to do about it.

    Args:
        error: of the bus.
        seat: the sensor.
        hwmon_root: tree of the kernel's sensors.
    """
    answers = f"the {seat.sensor} at I2C address {seat.address:#x} must answer, but got {_shown(error)}: "
    scan = f"`i2cdetect -y {seat.bus}`"
    if error.errno == errno.EBUSY:
        return MeterError(_why_held(seat, hwmon_root or hwmon.ROOT))
    if error.errno == errno.ETIMEDOUT:
        return MeterError(
            f"{answers}something holds bus {seat.bus} low; look for SDA and SCL swapped or touching, then switch the "
            "sensor off and on again."
        )
    if error.errno == errno.EAGAIN:
        return MeterError(f"{answers}another device talks on bus {seat.bus}; try again.")
    if error.errno in (errno.EOPNOTSUPP, errno.ENOSYS):
        return MeterError(f"{answers}bus {seat.bus} cannot read registers; wire it to another bus, and give `bus=`.")
    if error.errno in (errno.ENODEV, errno.EBADF, errno.ENOENT, errno.ESHUTDOWN):
        return MeterError(f"{answers}bus {seat.bus} itself is gone; plug its adapter in again.")
    return MeterError(
        f"{answers}check its wires and supply, and look for its address with {scan}; on another bus give `bus=`."
    )


def _why_held(seat: Seat, root: Path) -> str:
    found = hwmon.option_for(seat.bus, seat.address, root=root)
    through = f"`--meter {found or f'hwmon:{seat.sensor}'}`"
    return (
        f"the {seat.sensor} at I2C address {seat.address:#x} must be free, but a driver of the kernel holds it "
        f"(`i2cdetect -y {seat.bus}` shows UU): read it through that driver with {through}, or remove its overlay, a "
        "line `dtoverlay=...` of /boot/firmware/config.txt, and reboot."
    )


def _why_closed(error: OSError, path: Path) -> str:
    must = f"{path} must be there and open to this user, but got {_shown(error)}: "
    if isinstance(error, PermissionError):
        return must + remedy_for(path, group="i2c")
    others = [number for number in bus_numbers(path.parent) if f"i2c-{number}" != path.name]
    if isinstance(error, FileNotFoundError) and others:
        listed = ", ".join(f"`bus={number}`" for number in others[:8])
        return must + (
            f"there are others, so give {listed} if the sensor is on one of them; else switch I2C on with `sudo "
            "raspi-config nonint do_i2c 0`, or `dtparam=i2c_arm=on` in /boot/firmware/config.txt and a reboot."
        )
    if isinstance(error, FileNotFoundError):
        return must + (
            "switch I2C on with `sudo raspi-config nonint do_i2c 0`; on Ubuntu and DietPi with `dtparam=i2c_arm=on` in "
            "/boot/firmware/config.txt (/boot/config.txt) and a reboot; then, if it is still missing, `sudo modprobe "
            "i2c-dev`."
        )
    return must + f"see whether `i2cdetect -y {path.name[4:]}` works."


def _shown(error: OSError) -> str:
    return str(error) if error.errno is None else f"[Errno {error.errno}] {error.strerror}"
