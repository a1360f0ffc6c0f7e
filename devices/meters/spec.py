"""A meter as the user names it: `ina219`, `ina219:0x41,shunt=0.05@board`, `shelly:http://192.168.1.20@here`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

DEFAULT_PLACES: Mapping[str, str] = {
    "ina219": "board",
    "ina226": "board",
    "pmic": "board",
    "rapl": "board",
    "nvml": "here",
    "um25c": "here",
    "shelly": "here",
    "tasmota": "here",
}
"""Where a meter is attached if the user does not say, by name."""

METER_NAMES = tuple(DEFAULT_PLACES)

OPTION_NAMES: Mapping[str, tuple[str, ...]] = {"ina219": ("bus", "shunt"), "ina226": ("bus", "shunt")}
"""Options that an address may contain, by the meter's name."""

LARGEST_ADDRESSES: Mapping[str, int] = {"ina219": 0x7F, "ina226": 0x7F, "nvml": 255}
"""The largest address of those meters whose address is a whole number."""

LONGEST = 200
"""Characters of a meter's name with its address."""
PLUGS = ("shelly", "tasmota")
"""Meters whose address is a URL."""


@dataclass(frozen=True)
class MeterSpec:
    """Which meter, at which address, on which machine."""

    name: str
    address: str = ""
    """I2C address, serial port, URL, index or folder, then options as in `0x40,shunt=0.1`; empty for the default."""
    place: str = ""
    """`board`, or `here` for the machine that searches; empty for the usual place of such a meter."""

    def __post_init__(self) -> None:
        if self.name not in DEFAULT_PLACES:
            raise ValueError(
                f"a meter must be one of auto, none, {', '.join(METER_NAMES)}, but got {self.name!r}: "
                "`python scripts/profile_device.py --list-meters` says which are here."
            )
        if not self.place:
            object.__setattr__(self, "place", DEFAULT_PLACES[self.name])
        if self.place not in ("board", "here"):
            raise ValueError(f"a meter must be at `@board` or `@here`, but got @{self.place}: use one of these.")
        if self.name in ("um25c", *PLUGS) and not self.main_address:
            example = {"um25c": "um25c:/dev/rfcomm0"}.get(self.name, f"{self.name}:http://192.168.1.20")
            raise ValueError(f"the meter {self.name} needs an address, but got none: give it as in `{example}`.")
        allowed = OPTION_NAMES.get(self.name, ())
        for option in self.options:
            if option not in allowed:
                raise ValueError(
                    f"the meter {self.name} has {', '.join(allowed) or 'no'} options, but got {option!r}: omit it."
                )
        if self.name in LARGEST_ADDRESSES:
            self.whole_number(0)
        if self.name in PLUGS and not self.url.startswith(("http://", "https://")):
            raise ValueError(f"a plug's address must be as in http://192.168.1.20, but got {self.main_address!r}.")
        self.shunt_ohm(1.0)
        self.bus(0)

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
        return "" if re.match(r"\w+=", first) else first

    @property
    def options(self) -> Mapping[str, str]:
        """What follows the main address, as in `shunt=0.1`, by name."""
        found: dict[str, str] = {}
        for part in self.address[len(self.main_address) :].strip(",").split(","):
            name, equals, value = part.partition("=")
            if part and not (equals and value):
                raise ValueError(f"an option of a meter must look like `shunt=0.1`, but got {part!r} in {self.text!r}.")
            if part:
                found[name.strip()] = value.strip()
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
        text, most = self.main_address, LARGEST_ADDRESSES[self.name]
        try:
            value = int(text, 0) if text else default
        except ValueError:
            value = -1
        if not 0 <= value <= most:
            raise ValueError(
                f"the address of {self.name} must be a whole number from 0 to {most:#x}, but got {text!r}."
            )
        return value

    def shunt_ohm(self, default: float) -> float:
        """The option `shunt`, or `default` without it.

        Raises:
            ValueError: if it is not a number above 0.
        """
        text = self.options.get("shunt")
        if text is None:
            return default
        try:
            value = float(text)
        except ValueError:
            value = 0.0
        if not 0 < value < float("inf"):
            raise ValueError(f"the option `shunt` of {self.name} must be a number above 0, in ohm, but got {text!r}.")
        return value

    def bus(self, default: int) -> int:
        """The option `bus`, or `default` without it.

        Raises:
            ValueError: if it is not a whole number.
        """
        text = self.options.get("bus", str(default))
        if not text.isdecimal():
            raise ValueError(f"the option `bus` of {self.name} must be a whole number as in `bus=1`, but got {text!r}.")
        return int(text)
