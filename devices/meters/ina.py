"""INA219, INA226 and INA260: a shunt in the board's supply line, read over I2C. Start with `InaSensor`.

Power is bus voltage times shunt voltage over shunt resistance. The chips can multiply for themselves, by a calibration
register; but a sensor that lost its power for an instant forgets that register and then reports 0 W without an error,
and their power has no sign.
Sources: Texas Instruments SBOS448G (INA219), SBOS547B (INA226) and SBOS656C (INA260), sections "Register Maps".
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import ClassVar

from devices.meters.i2c import DEFAULT_BUS, Bus, Seat, why_silent
from devices.meters.polarity import UNCORRECTED, Correction, Polarity
from devices.meters.power_meter import MeterError, Reading

CONFIGURATION, SHUNT_VOLTAGE, BUS_VOLTAGE = 0x00, 0x01, 0x02
DEFAULT_ADDRESS = 0x40
DEFAULT_SHUNT_OHM = 0.1
SUPPLY_V = 5.0
"""Of boards, to tell what a step of the current is in watts."""
MAKER = 0x5449
"""What Texas Instruments writes into its chips."""
CHIPS = {0x226: "ina226", 0x227: "ina260", 0x322: "ina3221"}
LONG_CHIPS = {0x228: "ina228", 0x238: "ina238"}
"""By the upper twelve bits of the register that names the chip; the lowest four are its revision."""
IDENTITY_REGISTERS = ((0xFE, 0xFF, CHIPS), (0x3E, 0x3F, LONG_CHIPS))
"""Registers of maker and chip."""


class InaSensor(ABC):
    """What INA sensors have in common."""

    name: ClassVar[str]
    period_s = 0.010
    """A conversion takes a bit less."""
    window_s = 0.015
    """What is read may be one conversion old, and is a mean of the conversion before that."""

    CONFIGURATION_WORD: ClassVar[int]

    def __init__(
        self,
        bus: Bus,
        *,
        address: int = DEFAULT_ADDRESS,
        shunt_ohm: float = DEFAULT_SHUNT_OHM,
        bus_number: int = DEFAULT_BUS,
        correction: Correction = UNCORRECTED,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Set up the sensor.

        Args:
            bus: that it is on.
            address: on the bus.
            shunt_ohm: resistance that the current flows through.
            bus_number: of the bus, for messages.
            correction: sign and scale of the power.
            clock: time in s.

        Raises:
            MeterError: if nothing answers at that address, or something other than this sensor.
        """
        self._bus = bus
        self._seat = Seat(self.name, address, bus_number)
        self._shunt_ohm = shunt_ohm
        self._clock = clock
        self._polarity = Polarity(f"the {self.name}", correction, example=self._seat.typed)
        self.step_w = SUPPLY_V * self._current_step_a()
        self._check_identity()
        self._configure()
        self._ready_s = clock() + 2 * self.period_s

    def read(self) -> Reading:
        """Power of the last conversion.

        Raises:
            MeterError: if the sensor does not answer, or is beyond its range.
            NotTheBoardError: if the current flows backwards.
        """
        self._wait_for_a_conversion()
        current_a = self._current_a()
        time_s = self._clock() - self.period_s / 2
        return Reading(time_s, self._polarity.board_w(self._bus_v() * current_a))

    @abstractmethod
    def _current_a(self) -> float:
        """Current of the last conversion, below 0 if it flows backwards."""

    @abstractmethod
    def _current_step_a(self) -> float:
        """The lowest bit of the current."""

    @abstractmethod
    def _bus_v(self) -> float:
        """Voltage at the board."""

    def _configure(self) -> None:
        self._set_up(CONFIGURATION, self._configuration_word())

    def _configuration_word(self) -> int:
        return self.CONFIGURATION_WORD

    def _set_up(self, register: int, word: int) -> None:
        """Set a register, which must keep what it is told."""
        self._write(register, word)
        came = self._read(register)
        if came != word:
            raise MeterError(
                f"the {self.name} at {self._seat.address:#x} must hold the configuration {word:#06x}, but has "
                f"{came:#06x}: check the address, and that the chip is an {self.name.upper()}."
            )

    def _check_identity(self) -> None:
        found = self._identity()
        if found == self.name:
            return
        if found is None:
            raise MeterError(
                f"an {self.name.upper()} must say what it is, but the chip at address {self._seat.address:#x} does "
                "not: check the address; an INA219 says nothing, for one use `--meter ina219`."
            )
        raise self._another(found)

    def _identity(self) -> str | None:
        """What the chip says that it is; None if it says nothing."""
        for maker, chip, names in IDENTITY_REGISTERS:
            if self._read(maker) == MAKER:
                number = self._read(chip)
                return names.get(number >> 4, f"another chip, {number:#06x}")
        return None

    def _another(self, found: str) -> MeterError:
        supported = found in ("ina226", "ina228", "ina260", "ina3221")
        option = Seat(found, self._seat.address, self._seat.bus).typed
        remedy = f"use `--meter {option}`" if supported else "read it by a driver of the kernel, with `--meter hwmon`"
        what = f"an {found.upper()}" if found.isalnum() else found
        return MeterError(
            f"the chip at address {self._seat.address:#x} must be an {self.name.upper()}, but this is {what}: {remedy}."
        )

    def _wait_for_a_conversion(self) -> None:
        wait_s = self._ready_s - self._clock()
        if wait_s > 0:
            time.sleep(wait_s)

    def _beyond(self, most_a: float) -> MeterError:
        return MeterError(
            f"the current through the {self.name} must stay below {most_a:.2f} A, but is beyond its range: use a "
            "smaller shunt, and say so as in `shunt=0.01`."
        )

    def _read(self, register: int) -> int:
        try:
            return _swapped(self._bus.read_word_data(self._seat.address, register))
        except OSError as error:
            raise why_silent(error, self._seat) from error

    def _write(self, register: int, value: int) -> None:
        try:
            self._bus.write_word_data(self._seat.address, register, _swapped(value))
        except OSError as error:
            raise why_silent(error, self._seat) from error


class Ina219(InaSensor):
    """An INA219: 26 V, 320 mV over the shunt."""

    name = "ina219"
    CONFIGURATION_WORD = 0x39E7
    """32 V; shunt range 320 mV, mean of 16 (8.51 ms); bus 12 bits (0.53 ms); both, continuously (section 8.6.2.1).

    The lowest bit of the bus voltage is 4 mV in the 16 V range, too, which would cut off without a sign of it.
    """
    SHUNT_LSB_V = 10e-6
    BUS_LSB_V = 4e-3
    SHUNT_LIMIT = 32000

    def _current_a(self) -> float:
        shunt = signed(self._read(SHUNT_VOLTAGE), 16)
        if abs(shunt) >= self.SHUNT_LIMIT:
            raise self._beyond(self.SHUNT_LIMIT * self.SHUNT_LSB_V / self._shunt_ohm)
        return shunt * self.SHUNT_LSB_V / self._shunt_ohm

    def _current_step_a(self) -> float:
        return self.SHUNT_LSB_V / self._shunt_ohm

    def _bus_v(self) -> float:
        # The lowest three bits are flags; that of an overflow speaks of the calibrated registers, which are not used.
        return (self._read(BUS_VOLTAGE) >> 3) * self.BUS_LSB_V

    def _check_identity(self) -> None:
        # It has no register that says what it is, and need not answer for one; the others must not say that they are.
        self._read(CONFIGURATION)
        try:
            found = self._identity()
        except MeterError:
            return
        if found is not None:
            raise self._another(found)


class Ina226(Ina219):
    """An INA226: 36 V, 81.92 mV over the shunt."""

    name = "ina226"
    CONFIGURATION_WORD = 0x422F
    """Mean of 4; bus 140 us; shunt 2.116 ms; both, continuously: 9.02 ms (section 7.1.1)."""
    SHUNT_LSB_V = 2.5e-6
    BUS_LSB_V = 1.25e-3
    SHUNT_LIMIT = 32767

    def _bus_v(self) -> float:
        return self._read(BUS_VOLTAGE) * self.BUS_LSB_V

    def _check_identity(self) -> None:
        InaSensor._check_identity(self)


class Ina260(InaSensor):
    """An INA260: 36 V, 15 A through a shunt of 2 mOhm within."""

    name = "ina260"
    CONFIGURATION_WORD = 0x622F
    """Mean of 4; bus 140 us; current 2.116 ms; both, continuously: 9.02 ms (section 8.6.1)."""
    CURRENT_LSB_A = 1.25e-3
    BUS_LSB_V = 1.25e-3
    MOST_A = 15.0

    def _current_step_a(self) -> float:
        return self.CURRENT_LSB_A

    def _current_a(self) -> float:
        current_a = signed(self._read(SHUNT_VOLTAGE), 16) * self.CURRENT_LSB_A
        if abs(current_a) > self.MOST_A:
            raise MeterError(
                f"the current through an INA260 must stay below {self.MOST_A:g} A, but got {current_a:.2f} A: use a "
                "sensor with a shunt of its own."
            )
        return current_a

    def _bus_v(self) -> float:
        return self._read(BUS_VOLTAGE) * self.BUS_LSB_V


def signed(value: int, bits: int) -> int:
    """A number in two's complement."""
    return value - (1 << bits) if value & 1 << (bits - 1) else value


def _swapped(word: int) -> int:
    return (word & 0xFF) << 8 | word >> 8 & 0xFF
