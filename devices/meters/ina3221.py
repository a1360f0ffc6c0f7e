"""INA3221: three channels with a shunt each, read over I2C; one of them, or the sum of several.

Source: Texas Instruments SBOS576B, section 8.6 "Register Maps".
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from devices.meters.i2c import DEFAULT_BUS, Bus
from devices.meters.ina import CONFIGURATION, DEFAULT_ADDRESS, DEFAULT_SHUNT_OHM, InaSensor, signed
from devices.meters.polarity import UNCORRECTED, Correction
from devices.meters.power_meter import Reading


class Ina3221(InaSensor):
    """An INA3221: 26 V, 163.8 mV over each shunt."""

    name = "ina3221"
    CONFIGURATION_WORD = 0x022F
    """Mean of 4; bus 140 us; shunt 2.116 ms; both, continuously: 9.02 ms for each channel that is switched on."""
    SHUNT_LSB_V = 40e-6
    BUS_LSB_V = 8e-3
    SHUNT_LIMIT = 4095

    def __init__(
        self,
        bus: Bus,
        *,
        channels: Sequence[int] = (1,),
        address: int = DEFAULT_ADDRESS,
        shunt_ohm: float = DEFAULT_SHUNT_OHM,
        bus_number: int = DEFAULT_BUS,
        correction: Correction = UNCORRECTED,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """As `InaSensor`; `channels` are those that are added, from 1 to 3."""
        self._channels = tuple(channels)
        # They are converted one after another.
        self.period_s = InaSensor.period_s * len(self._channels)
        self.window_s = InaSensor.window_s * len(self._channels)
        super().__init__(
            bus, address=address, shunt_ohm=shunt_ohm, bus_number=bus_number, correction=correction, clock=clock
        )

    def read(self) -> Reading:
        """Power of the last conversion, summed over the channels.

        Raises:
            MeterError: if the sensor does not answer, or is beyond its range.
            NotTheBoardError: if the current flows backwards.
        """
        self._wait_for_a_conversion()
        start_s = self._clock()
        power_w = sum(self._shunt_a(channel) * self._channel_v(channel) for channel in self._channels)
        time_s = (start_s + self._clock()) / 2 - self.period_s / 2
        return Reading(time_s, self._polarity.board_w(power_w))

    def _current_a(self) -> float:
        return sum(self._shunt_a(channel) for channel in self._channels)

    def _current_step_a(self) -> float:
        return self.SHUNT_LSB_V / self._shunt_ohm

    def _bus_v(self) -> float:
        return self._channel_v(self._channels[0])

    def _configuration_word(self) -> int:
        return self.CONFIGURATION_WORD | sum(1 << (15 - channel) for channel in self._channels)

    def _shunt_a(self, channel: int) -> float:
        # The lowest three bits are none of the number.
        shunt = signed(self._read(CONFIGURATION + 2 * channel - 1), 16) >> 3
        if abs(shunt) >= self.SHUNT_LIMIT:
            raise self._beyond(self.SHUNT_LIMIT * self.SHUNT_LSB_V / self._shunt_ohm)
        return shunt * self.SHUNT_LSB_V / self._shunt_ohm

    def _channel_v(self, channel: int) -> float:
        return (signed(self._read(CONFIGURATION + 2 * channel), 16) >> 3) * self.BUS_LSB_V
