"""Power sensors that a driver of the kernel reads, in Linux's hwmon tree. Start with `Hwmon`.

A driver that has a sensor's address keeps everybody else from it; what it reads lies in `power1_input` (uW), in
`power1_average` (uW), or in `in1_input` (mV) and `curr1_input` (mA) of each channel. Sensors without power, as a
Raspberry Pi's `rpi_volt` and `pwmfan`, are passed over.
Source: https://docs.kernel.org/hwmon/sysfs-interface.html, and ina2xx, ina3221, ina238 beside it.
"""

from __future__ import annotations

import errno
import re
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from devices.meters.polarity import UNCORRECTED, Correction, Polarity
from devices.meters.power_meter import MeterError, Reading

ROOT = Path("/sys/class/hwmon")
SHORTEST_PERIOD_S = 0.01
LONGEST_INTERVAL_S = 2.0
"""A sensor that renews its figures less often is too slow for a run."""
UNKNOWN_INTERVAL_S = 1.0
"""Of a driver that does not tell it: many keep what they read for a second."""
INTERVALS_S = {"ina219": 0.0011, "ina220": 0.0011, "ina226": 0.036, "ina230": 0.036, "ina231": 0.036, "ina260": 0.036}
"""Of drivers of the kernel that read the chip whenever they are asked, without `update_interval`: as they set it up."""
STEPS_V = {"ina219": 20 * 10e-6, "ina220": 20 * 10e-6} | dict.fromkeys(("ina226", "ina230", "ina231"), 25 * 2.5e-6)
"""Volts over the shunt for one step of power, times a volt."""
LONGEST_TEXT = 60
"""Characters of a name or label that are kept."""


class SensorChannel(NamedTuple):
    """One power of one sensor."""

    folder: Path
    """As in `/sys/class/hwmon/hwmon2`."""
    sensor: str
    """The driver's name for it, as in `ina226`."""
    device: str
    """Where it is attached, as in `1-0040`; empty if that is unknown."""
    number: int
    label: str
    """What the board's description calls it; empty without."""
    power: str
    """The file of its power; empty where power is that of voltage and current."""
    has_current: bool

    @property
    def typed(self) -> str:
        """How the user names it where others are beside it."""
        return f"hwmon:{self.device or self.folder.name},channel={self.number}"

    def known_as(self, name: str) -> bool:
        """Whether it belongs to a sensor of this name, place or folder."""
        return name in (self.sensor, self.device, self.folder.name)


class Hwmon:
    """One channel of a kernel's sensor, or the sum of several."""

    name = "hwmon"

    def __init__(
        self,
        channels: Sequence[SensorChannel],
        *,
        correction: Correction = UNCORRECTED,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Find out how often the sensor is renewed.

        Args:
            channels: of one sensor.
            correction: sign and scale.
            clock: time in s.

        Raises:
            MeterError: if it is renewed too rarely.
        """
        self._channels = tuple(channels)
        self._clock = clock
        first = self._channels[0]
        self._label = f"the sensor {first.sensor} of the kernel"
        self._interval_s = _interval_s(first)
        if self._interval_s > LONGEST_INTERVAL_S:
            raise MeterError(
                f"{self._label} must renew its figures every {LONGEST_INTERVAL_S:g} s, but does so every "
                f"{self._interval_s:g} s: write a smaller number of ms into {first.folder}/update_interval, or use "
                "another meter."
            )
        self.period_s = max(SHORTEST_PERIOD_S, self._interval_s)
        # What is read may be an interval old, and is a mean of the interval before that.
        self.window_s = 1.5 * self._interval_s + SHORTEST_PERIOD_S
        self.step_w = _step_w(first)
        numbers = "+".join(str(channel.number) for channel in self._channels)
        self._polarity = Polarity(
            self._label, correction, example=f"hwmon:{first.device or first.sensor},channel={numbers}"
        )

    def read(self) -> Reading:
        """Power that the driver read last.

        Raises:
            MeterError: if a file is gone, refused, or holds no number.
            NotTheBoardError: if the current flows backwards.
        """
        start_s = self._clock()
        power_w = sum(_power_w(channel, self._label) for channel in self._channels)
        time_s = (start_s + self._clock()) / 2 - self._interval_s / 2
        return Reading(time_s, self._polarity.board_w(power_w))


def chosen_channels(name: str, numbers: Sequence[int], *, root: Path = ROOT) -> list[SensorChannel]:
    """The channels that the user means.

    Args:
        name: of a sensor, its place as in `1-0040`, or its folder as in `hwmon2`; empty for the only one.
        numbers: of its channels; none for the only one.
        root: the tree.

    Raises:
        MeterError: if there is none, or if there are several to choose from.
    """
    found = power_channels(root)
    if not found:
        raise MeterError(f"a power sensor must have a driver of the kernel, but {_seen(root)}: use another meter.")
    named = [channel for channel in found if not name or channel.known_as(name)]
    if not named:
        raise MeterError(f"a power sensor of the kernel must be called {name}, but there are {choices(found)}.")
    if len({channel.folder for channel in named}) > 1:
        raise MeterError(f"one power sensor of the kernel must be meant, but there are {choices(named)}: give one.")
    if not numbers and len(named) > 1:
        raise MeterError(f"one channel of {named[0].sensor} must be meant, but there are {choices(named)}: give one.")
    by_number = {channel.number: channel for channel in named}
    missing = [number for number in numbers if number not in by_number]
    if missing:
        raise MeterError(f"{named[0].sensor} has no channel {missing[0]}: there are {choices(named)}.")
    return [by_number[number] for number in numbers] if numbers else named


def power_channels(root: Path = ROOT) -> list[SensorChannel]:
    """All powers in the tree, by folder and number."""
    folders = [path for path in root.glob("hwmon*") if path.name[5:].isdigit()]
    return [
        channel for folder in sorted(folders, key=lambda path: int(path.name[5:])) for channel in _channels_of(folder)
    ]


def option_for(bus: int, address: int, *, root: Path = ROOT) -> str | None:
    """How the user names the sensor of the kernel that has an I2C address; None if hwmon shows none there."""
    here = [channel for channel in power_channels(root) if channel.device == f"{bus}-{address:04x}"]
    if not here:
        return None
    return here[0].typed if len(here) > 1 else f"hwmon:{here[0].device}"


def _channels_of(folder: Path) -> list[SensorChannel]:
    sensor = _text(folder / "name")
    try:
        files = {path.name for path in folder.iterdir()}
    except OSError:
        return []
    powers = _numbers(files, r"power(\d+)_(?:input|average)")
    # The driver of the INA3221 tells no power; its channels are pairs of a voltage and a current.
    pairs = _numbers(files, r"curr(\d+)_input") & _numbers(files, r"in(\d+)_input")
    device = (folder / "device").resolve().name if (folder / "device").exists() else ""
    return [
        SensorChannel(
            folder,
            sensor,
            device,
            number,
            label=_text(folder / f"power{number}_label") or _text(folder / f"in{number}_label"),
            power=next((file for file in (f"power{number}_input", f"power{number}_average") if file in files), ""),
            has_current=f"curr{number}_input" in files,
        )
        for number in sorted(powers or pairs)
    ]


def _numbers(files: set[str], pattern: str) -> set[int]:
    matches = (re.fullmatch(pattern, name) for name in files)
    return {int(match[1]) for match in matches if match is not None}


def _power_w(channel: SensorChannel, label: str) -> float:
    """Power of one channel, below 0 where its current is."""
    folder, number = channel.folder, channel.number
    current_a = _number(folder / f"curr{number}_input", label) / 1e3 if channel.has_current else 0.0
    if channel.power:
        power_w = _number(folder / channel.power, label) / 1e6
        # The power of an INA sensor has no sign of its own.
        return -abs(power_w) if current_a < 0 else power_w
    return _number(folder / f"in{number}_input", label) / 1e3 * current_a


def _interval_s(channel: SensorChannel) -> float:
    """Time between two figures of a sensor."""
    folder, number = channel.folder, channel.number
    averaged = channel.power.endswith("_average")
    for name in ("update_interval", *([f"power{number}_average_interval"] * averaged)):
        text = _text(folder / name)
        if text.isdecimal() and int(text) > 0:
            return int(text) / 1e3
    return INTERVALS_S.get(channel.sensor, UNKNOWN_INTERVAL_S)


def _step_w(channel: SensorChannel) -> float:
    """By the driver's arithmetic: power is told in 20 or 25 steps of current, each the lowest bit of the shunt."""
    if channel.sensor == "ina260":
        return 0.01
    shunt = _text(channel.folder / "shunt_resistor")
    volts = STEPS_V.get(channel.sensor)
    return volts / (int(shunt) / 1e6) if volts and shunt.isdecimal() and int(shunt) else 0.0


def _number(path: Path, label: str) -> int:
    try:
        return int(path.read_text())
    except PermissionError:
        raise MeterError(
            f"{path} must be readable, but this user may not read it: run `sudo chmod a+r {path}`, and again after "
            "each reboot."
        ) from None
    except FileNotFoundError:
        raise MeterError(
            f"{label} must stay, but {path} is gone: its driver was unloaded, or it was unplugged; see "
            "`cat /sys/class/hwmon/hwmon*/name`."
        ) from None
    except OSError as error:
        reason = "the channel is switched off" if error.errno == errno.ENODATA else "check its wires and supply"
        raise MeterError(f"{label} must answer, but reading {path} gave {error.strerror}: {reason}.") from error
    except ValueError as error:
        raise MeterError(f"{path} must hold a whole number, but got {error}: use another meter.") from error


def _text(path: Path) -> str:
    """The line of a file, made harmless; empty if there is none."""
    try:
        text = path.read_text(errors="replace").strip()
    except OSError:
        return ""
    return "".join(letter if letter.isprintable() else "?" for letter in text[:LONGEST_TEXT])


def choices(channels: Sequence[SensorChannel]) -> str:
    """How the user names each of these channels."""
    return ", ".join(
        f"`--meter {channel.typed}` ({channel.sensor}{' ' * bool(channel.label)}{channel.label})"
        for channel in channels[:12]
    )


def _seen(root: Path) -> str:
    names = sorted({_text(path) for path in root.glob("hwmon*/name")} - {""})
    return f"those under {root} tell no power: {', '.join(names)}" if names else f"there is none under {root}"
