"""A meter as the user names it: `ina219`, `ina219:0x41,shunt=0.05@board`, `shelly:http://192.168.1.20@here`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from devices.meters.polarity import Correction


class MeterKind(NamedTuple):
    """What may be said of a meter of one name."""

    place: str
    """Where it is attached if the user does not say."""
    options: tuple[str, ...] = ()
    """What may follow the address."""
    addresses: range | None = None
    """Its addresses, where these are whole numbers."""
    example: str = ""
    """How one is named, where an address is needed."""


SHUNT = ("bus", "shunt", "sign", "scale")
I2C = range(0x40, 0x50)
"""The sixteen addresses that two pins of an INA sensor choose from."""

KINDS: Mapping[str, MeterKind] = {
    "ina219": MeterKind("board", SHUNT, I2C),
    "ina226": MeterKind("board", SHUNT, I2C),
    "ina228": MeterKind("board", (*SHUNT, "adcrange"), I2C),
    "ina260": MeterKind("board", ("bus", "sign", "scale"), I2C),
    "ina3221": MeterKind("board", (*SHUNT, "channel"), range(0x40, 0x44)),
    "hwmon": MeterKind("board", ("channel", "sign", "scale")),
    "pmic": MeterKind("board"),
    "rapl": MeterKind("board"),
    "nvml": MeterKind("here", addresses=range(256)),
    "um25c": MeterKind("here", example="um25c:/dev/rfcomm0"),
    "shelly": MeterKind("here", example="shelly:http://192.168.1.20"),
    "tasmota": MeterKind("here", example="tasmota:http://192.168.1.20"),
}
"""All meters, by name."""

METER_NAMES = tuple(KINDS)

LONGEST = 200
"""Characters of a meter's name with its address."""
PLUGS = ("shelly", "tasmota")
"""Meters whose address is a URL."""
SCALES = (0.1, 10.0)
"""A factor beyond these corrects no sensor."""
LARGEST_SHUNT_OHM = 10.0
CHANNELS = range(1, 4)
"""Of an INA3221."""
_SENSOR = re.compile(r"[\w.-]{1,60}")


@dataclass(frozen=True)
class MeterSpec:
    """Which meter, at which address, on which machine."""

    name: str
    address: str = ""
    """I2C address, serial port, URL, index or folder, then options as in `0x40,shunt=0.1`; empty for the default."""
    place: str = ""
    """`board`, or `here` for the machine that searches; empty for the usual place of such a meter."""

    def __post_init__(self) -> None:
        kind = KINDS.get(self.name)
        if kind is None:
            raise ValueError(
                f"a meter must be one of auto, none, {', '.join(METER_NAMES)}, but got {self.name!r}: "
                "`python scripts/profile_device.py --list-meters` says which are here."
            )
        if not self.place:
            object.__setattr__(self, "place", kind.place)
        if self.place not in ("board", "here"):
            raise ValueError(f"a meter must be at `@board` or `@here`, but got @{self.place}: use one of these.")
        if kind.example and not self.main_address:
            raise ValueError(f"the meter {self.name} needs an address, but got none: give it as in `{kind.example}`.")
        for option in self.options:
            if option not in kind.options:
                accepted = f"accepts the options {', '.join(kind.options)}" if kind.options else "accepts no options"
                raise ValueError(f"the meter {self.name} {accepted}, but got {option!r}: omit it.")
        if kind.addresses is not None:
            self.whole_number(kind.addresses[0])
        if self.name in PLUGS and not self.url.startswith(("http://", "https://")):
            raise ValueError(f"a plug's address must be as in http://192.168.1.20, but got {self.main_address!r}.")
        if self.name == "hwmon" and self.main_address and _SENSOR.fullmatch(self.main_address) is None:
            raise ValueError(
                f"a sensor of the kernel must be named as in `hwmon:ina226`, but got {self.main_address!r}: "
                "`cat /sys/class/hwmon/hwmon*/name` lists the names."
            )
        self.shunt_ohm(1.0)
        self.bus(0)
        self.channels((1,))
        self.adc_range()
        self.correction()

    @classmethod
    def parse(cls, text: str) -> MeterSpec:
        """The meter that a text names, `NAME[:ADDRESS][@board|@here]`.

        Raises:
            ValueError: if there is no such meter, place or option, or an address is missing.
        """
        if len(text) > LONGEST or not text.isprintable():
            raise ValueError(f"a meter must be a line of at most {LONGEST} printable characters.")
        rest, at, place = text.strip().rpartition("@")
        if not at:
            rest, place = place, ""
        elif not place:
            raise ValueError(f"a meter must be at `@board` or `@here`, but got {text!r}: omit the `@`, or say where.")
        name, _, address = rest.partition(":")
        return cls(name.strip().lower(), address.strip(), place.strip().lower())

    @property
    def text(self) -> str:
        """Name and address, as the meter's server takes them."""
        return f"{self.name}:{self.address}" if self.address else self.name

    @property
    def main_address(self) -> str:
        """The address without its options."""
        first = self.address.split(",", 1)[0]
        return "" if re.match(r"\w+=", first) else first.strip()

    @property
    def options(self) -> Mapping[str, str]:
        """What follows the main address, as in `shunt=0.1`, by name."""
        first, *others = self.address.split(",")
        found: dict[str, str] = {}
        for part in others if self.main_address or not first else [first, *others]:
            name, equals, value = (piece.strip() for piece in part.partition("="))
            if not name and not equals:
                continue
            if not (name and value):
                raise ValueError(f"an option of a meter must look like `shunt=0.1`, but got {part!r} in {self.text!r}.")
            if name in found:
                raise ValueError(f"an option of a meter must come once, but {name!r} comes twice in {self.text!r}.")
            found[name] = value
        return found

    @property
    def url(self) -> str:
        """The address of a plug, with `http://` if that was omitted."""
        address = self.main_address.rstrip("/")
        return address if "://" in address else f"http://{address}"

    def whole_number(self, default: int) -> int:
        """The address of a meter that has a number, or `default` without one.

        Raises:
            ValueError: if it is not such a number.
        """
        text, allowed = self.main_address, KINDS[self.name].addresses
        assert allowed is not None
        value = _whole(text, base=0) if text else default
        if value not in allowed:
            digits = "" if (hexadecimal := _whole(text, base=16)) not in allowed else f": write {hexadecimal:#x}"
            shown = "{:#x}" if allowed[0] else "{}"
            raise ValueError(
                f"the address of {self.name} must be a whole number from {shown.format(allowed[0])} to "
                f"{shown.format(allowed[-1])}, but got {text!r}{digits}."
            )
        return value

    def shunt_ohm(self, default: float) -> float:
        """The option `shunt`, or `default` without it.

        Raises:
            ValueError: if it is not a number above 0.
        """
        text = self.options.get("shunt")
        value = default if text is None else _number(text)
        if not 0 < value <= LARGEST_SHUNT_OHM:
            raise ValueError(
                f"the option `shunt` of {self.name} must be a number above 0 and at most {LARGEST_SHUNT_OHM:g}, in "
                f"ohm, but got {text!r}."
            )
        return value

    def bus(self, default: int) -> int:
        """The option `bus`, or `default` without it.

        Raises:
            ValueError: if it is not a whole number.
        """
        text = self.options.get("bus", str(default))
        value = _whole(text, base=10)
        if value < 0:
            raise ValueError(f"the option `bus` of {self.name} must be a whole number as in `bus=1`, but got {text!r}.")
        return value

    def adc_range(self) -> int:
        """The option `adcrange`, or 0 without it.

        Raises:
            ValueError: if it is neither 0 nor 1.
        """
        text = self.options.get("adcrange", "0")
        if text not in ("0", "1"):
            raise ValueError(
                f"the option `adcrange` of {self.name} must be 0 (163.84 mV over the shunt) or 1 (40.96 mV), but got "
                f"{text!r}."
            )
        return int(text)

    def channels(self, default: tuple[int, ...]) -> tuple[int, ...]:
        """The option `channel`, several of which are joined by a `+`, or `default` without it.

        Raises:
            ValueError: if one is not a whole number from 1 on, no channel of this sensor, or comes twice.
        """
        text = self.options.get("channel")
        if text is None:
            return default
        found = tuple(_whole(part, base=10) for part in text.split("+"))
        most = CHANNELS[-1] if self.name == "ina3221" else 99
        if len(set(found)) < len(found) or not all(1 <= channel <= most for channel in found):
            raise ValueError(
                f"the option `channel` of {self.name} must be whole numbers from 1 to {most}, as in `channel=1` or "
                f"`channel=1+2` for the sum of two, but got {text!r}."
            )
        return found

    def correction(self) -> Correction:
        """The options `sign` and `scale`.

        Raises:
            ValueError: if they are no such numbers.
        """
        sign = self.options.get("sign", "1")
        if sign not in ("1", "+1", "-1"):
            raise ValueError(f"the option `sign` of {self.name} must be 1 or -1, but got {sign!r}.")
        text = self.options.get("scale", "1")
        scale = _number(text)
        if not SCALES[0] <= scale <= SCALES[1]:
            raise ValueError(
                f"the option `scale` of {self.name} must be a number from {SCALES[0]:g} to {SCALES[1]:g}, as in "
                f"`scale=1.02`, but got {text!r}."
            )
        return Correction(int(sign), scale)


def _whole(text: str, *, base: int) -> int:
    """A whole number that is not below 0; -1 for what is none."""
    try:
        value = int(text, base) if text.isascii() and text.isalnum() else -1
    except ValueError:
        return -1
    return value


def _number(text: str) -> float:
    """A number; 0, which is none of those asked for, for what is none."""
    try:
        return float(text)
    except ValueError:
        return 0.0
