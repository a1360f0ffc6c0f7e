"""INA219 and INA226: a shunt in the board's supply line, read over I2C.

Power is bus voltage times shunt voltage over shunt resistance. The chips can multiply for themselves, by a calibration
register; but a sensor that lost its power for an instant forgets that register and then reports 0 W without an error.
Sources: Texas Instruments SBOS448G (INA219) and SBOS547B (INA226), sections "Register Maps".
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Protocol

from devices.meters.power_meter import MeterError, Reading

CONFIGURATION, SHUNT_VOLTAGE, BUS_VOLTAGE = 0x00, 0x01, 0x02
DEFAULT_ADDRESS = 0x40
DEFAULT_BUS = 1
DEFAULT_SHUNT_OHM = 0.1
SWAPPED_W = -0.05
"""Power below which the two wires of the shunt must have been swapped: offset errors are smaller."""


class Bus(Protocol):
    """The part of `smbus2.SMBus` that is used; words are little-endian, the sensors' registers big-endian."""

    def read_word_data(self, i2c_addr: int, register: int) -> int:
        """One register."""

    def write_word_data(self, i2c_addr: int, register: int, value: int) -> None:
        """Set one register."""


class Ina219:
    """An INA219: 26 V, 320 mV over the shunt."""

    name = "ina219"
    period_s = 0.010
    """The sensor averages 16 shunt conversions and takes one of the bus: 9.05 ms."""
    window_s = 0.015
    """What is read may be 9.05 ms old, and is a mean of the 9.05 ms before that."""

    CONFIGURATION_WORD = 0x19E7
    """16 V range; shunt range 320 mV, mean of 16; bus 12 bits; both, continuously (section 8.6.2.1)."""
    SHUNT_LSB_V = 10e-6
    BUS_LSB_V = 4e-3
    SHUNT_LIMIT = 32000

    def __init__(
        self,
        bus: Bus,
        *,
        address: int = DEFAULT_ADDRESS,
        shunt_ohm: float = DEFAULT_SHUNT_OHM,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Set up the sensor.

        Raises:
            MeterError: if nothing answers at that address, or something other than this sensor.
        """
        self._bus = bus
        self._address = address
        self._shunt_ohm = shunt_ohm
        self._clock = clock
        self._check_identity()
        self._write(CONFIGURATION, self.CONFIGURATION_WORD)
        came = self._read(CONFIGURATION)
        if came != self.CONFIGURATION_WORD:
            raise MeterError(
                f"the {self.name} at {address:#x} must hold the configuration {self.CONFIGURATION_WORD:#06x}, but has "
                f"{came:#06x}: check the address, and that the chip is an {self.name.upper()}."
            )
        self._ready_s = clock() + 2 * self.period_s

    def read(self) -> Reading:
        """Power of the last conversion.

        Raises:
            MeterError: if the sensor does not answer, is beyond its range, or its wires are swapped.
        """
        wait_s = self._ready_s - self._clock()
        if wait_s > 0:
            time.sleep(wait_s)
        shunt = self._read(SHUNT_VOLTAGE)
        time_s = self._clock() - self.period_s / 2
        shunt -= (shunt & 0x8000) << 1
        if abs(shunt) >= self.SHUNT_LIMIT:
            raise MeterError(
                f"the current through the {self.name} must stay below "
                f"{self.SHUNT_LIMIT * self.SHUNT_LSB_V / self._shunt_ohm:.2f} A, but is beyond its range: use a "
                "smaller shunt, and say so as in `shunt=0.01`."
            )
        power_w = self._bus_v() * shunt * self.SHUNT_LSB_V / self._shunt_ohm
        if power_w < SWAPPED_W:
            raise MeterError(f"the {self.name} must see a positive power, but got {power_w:.3f} W: swap IN+ and IN-.")
        return Reading(time_s, power_w)

    def _bus_v(self) -> float:
        # The lowest three bits are flags.
        return (self._read(BUS_VOLTAGE) >> 3) * self.BUS_LSB_V

    def _check_identity(self) -> None:
        """An INA219 has no register that says what it is; that it keeps its configuration must suffice."""

    def _read(self, register: int) -> int:
        try:
            return _swapped(self._bus.read_word_data(self._address, register))
        except OSError as error:
            raise self._silent(error) from error

    def _write(self, register: int, value: int) -> None:
        try:
            self._bus.write_word_data(self._address, register, _swapped(value))
        except OSError as error:
            raise self._silent(error) from error

    def _silent(self, error: OSError) -> MeterError:
        return MeterError(
            f"the {self.name} at I2C address {self._address:#x} must answer, but got {error}: check its wires and "
            "supply, and look for its address with `i2cdetect -y 1`."
        )


class Ina226(Ina219):
    """An INA226: 36 V, 81.92 mV over the shunt."""

    name = "ina226"
    period_s = 0.010
    """The sensor averages 4 pairs of a shunt (2.116 ms) and a bus conversion (0.14 ms): 9.02 ms."""

    CONFIGURATION_WORD = 0x422F
    """Mean of 4; bus 140 us; shunt 2.116 ms; both, continuously (section 7.1.1)."""
    SHUNT_LSB_V = 2.5e-6
    BUS_LSB_V = 1.25e-3
    SHUNT_LIMIT = 32767
    IDENTITIES = ((0xFE, 0x5449), (0xFF, 0x2260))
    """Registers of maker and chip, and what they hold; the lowest four bits are the revision."""

    def _bus_v(self) -> float:
        return self._read(BUS_VOLTAGE) * self.BUS_LSB_V

    def _check_identity(self) -> None:
        for register, expected in self.IDENTITIES:
            came = self._read(register)
            if came & 0xFFF0 != expected & 0xFFF0:
                raise MeterError(
                    f"register {register:#x} of an INA226 must hold {expected:#06x}, but got {came:#06x} at address "
                    f"{self._address:#x}: check the address; for an INA219 use `--meter ina219`."
                )


def open_bus(number: int) -> Bus:
    """I2C bus `/dev/i2c-{number}`.

    Raises:
        MeterError: if `smbus2` is not installed, or the bus cannot be opened.
    """
    try:
        from smbus2 import SMBus
    except ImportError:
        raise MeterError("INA219 and INA226 need `smbus2`: install it with `pip install smbus2`.") from None
    try:
        bus: Bus = SMBus(number)
    except OSError as error:
        raise MeterError(
            f"/dev/i2c-{number} must be there and open to this user, but got {error}: switch I2C on with "
            "`sudo raspi-config nonint do_i2c 0`, and join the group `i2c`."
        ) from error
    return bus


def _swapped(word: int) -> int:
    return (word & 0xFF) << 8 | word >> 8 & 0xFF
