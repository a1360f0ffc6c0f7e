"""INA228: a shunt in the board's supply line, whose energy the chip adds up itself; read over I2C.

The mean power between two readings is that of every conversion between them, so that none is missed however late a
busy board reads, and twenty readings a second are enough. It rests on the chip's clock, which is within 0.5 %.
Source: Texas Instruments SLYS021A, sections 7.6 "Register Maps" and 8.1.2 "Current, Power, Energy, and Charge".
"""

from __future__ import annotations

import time
from collections.abc import Callable

from devices.meters.i2c import DEFAULT_BUS, Bus, why_silent
from devices.meters.ina import CONFIGURATION, DEFAULT_ADDRESS, InaSensor, signed
from devices.meters.polarity import UNCORRECTED, Correction
from devices.meters.power_meter import MeterError, Reading

ADC_CONFIGURATION, SHUNT_CALIBRATION, SHUNT_VOLTAGE, BUS_VOLTAGE = 0x01, 0x02, 0x04, 0x05
ENERGY = 0x09
DEFAULT_SHUNT_OHM = 0.015
"""Of the common breakout boards."""
RANGES_V = (0.16384, 0.04096)
"""Over the shunt, by ADCRANGE."""
CALIBRATION = 4096
"""13107.2e6 x CURRENT_LSB x shunt, times 4 in the smaller range, where the whole range is 2^19 steps of the current."""


class Ina228(InaSensor):
    """An INA228: 85 V, 163.84 or 40.96 mV over the shunt."""

    name = "ina228"
    period_s = 0.05
    """A conversion takes 1.2 ms: 2.4 % of a period, and errors do not add up over readings."""
    window_s = 0.035
    """Half of the longest step between two readings, and two conversions."""
    ADC_WORD = 0xB540
    """Shunt 1.052 ms and bus 150 us, continuously, no mean (section 7.6.1.2)."""
    FULL_SCALE = 2**19

    def __init__(
        self,
        bus: Bus,
        *,
        adc_range: int = 0,
        address: int = DEFAULT_ADDRESS,
        shunt_ohm: float = DEFAULT_SHUNT_OHM,
        bus_number: int = DEFAULT_BUS,
        correction: Correction = UNCORRECTED,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """As `InaSensor`; `adc_range` is 1 for the smaller range of the shunt's voltage."""
        self._range = adc_range
        self._current_lsb_a = RANGES_V[adc_range] / shunt_ohm / self.FULL_SCALE
        super().__init__(
            bus, address=address, shunt_ohm=shunt_ohm, bus_number=bus_number, correction=correction, clock=clock
        )
        self._wait_for_a_conversion()
        self._energy_j, self._time_s = self._counter()

    def read(self) -> Reading:
        """Mean power since the last reading.

        Raises:
            MeterError: if the sensor does not answer, is beyond its range, or lost its power since the last reading.
            NotTheBoardError: if the current flows backwards.
        """
        before_j, before_s = self._energy_j, self._time_s
        # The energy has no sign of its own, and is that of the range at most.
        current_a = self._current_a()
        self._energy_j, self._time_s = self._counter()
        if self._energy_j < before_j or not self._time_s > before_s:
            self._configure()
            raise MeterError(
                "the energy that an INA228 counts must grow, but fell: it lost its power for an instant; check its "
                "wires and supply."
            )
        power_w = (self._energy_j - before_j) / (self._time_s - before_s)
        if current_a < 0:
            power_w = -power_w
        return Reading((before_s + self._time_s) / 2, self._polarity.board_w(power_w))

    def _current_a(self) -> float:
        shunt = signed(self._long(SHUNT_VOLTAGE, 3) >> 4, 20)
        if abs(shunt) >= self.FULL_SCALE - 1:
            raise self._beyond(RANGES_V[self._range] / self._shunt_ohm)
        return shunt * self._current_lsb_a

    def _current_step_a(self) -> float:
        # Of the energy there are steps, too, but they are below a milliwatt in a period.
        return 0.0

    def _bus_v(self) -> float:
        return (self._long(BUS_VOLTAGE, 3) >> 4) * 195.3125e-6

    def _counter(self) -> tuple[float, float]:
        start_s = self._clock()
        energy_j = self._long(ENERGY, 5) * 16 * 3.2 * self._current_lsb_a
        return energy_j, (start_s + self._clock()) / 2

    def _configure(self) -> None:
        self._set_up(CONFIGURATION, self._range << 4)
        self._set_up(ADC_CONFIGURATION, self.ADC_WORD)
        self._set_up(SHUNT_CALIBRATION, CALIBRATION)

    def _long(self, register: int, size: int) -> int:
        try:
            content = self._bus.read_i2c_block_data(self._seat.address, register, size)
        except OSError as error:
            raise why_silent(error, self._seat) from error
        if len(content) != size:
            raise MeterError(
                f"register {register:#x} of an INA228 must have {size} bytes, but got {len(content)}: try again."
            )
        return int.from_bytes(bytes(content), "big")
