"""INA sensors as their data sheets describe their registers, on a simulated I2C bus. Start with `SimulatedBus`.

A sensor shows the last finished conversion, in the way that it was told: range, channels, calibration. Registers are
those of the tables "Register Maps" of SBOS448G (INA219, section 8.6), SBOS547B (INA226, 7.1), SBOS656C (INA260, 8.6),
SBOS576B (INA3221, 8.6) and SLYS021A (INA228, 7.6).
"""

from __future__ import annotations

import errno
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import ClassVar

Load = Callable[[], float]
"""A current in A, or an energy in J."""


@dataclass(kw_only=True)
class SimulatedChip(ABC):
    """One sensor in a supply line."""

    current_a: Load
    """Mean of the last conversion, below 0 if it flows backwards."""
    bus_v: float = 5.0
    shunt_ohm: float = 0.1
    written: dict[int, int] = field(default_factory=dict)

    DEFAULTS: ClassVar[dict[int, int]]
    """What registers that can be written hold after a reset."""
    CONSTANT: ClassVar[dict[int, int]] = {}
    """What says maker and chip."""

    def word(self, register: int) -> int:
        """A register of 16 bits."""
        if register in self.CONSTANT:
            return self.CONSTANT[register]
        if register in self.DEFAULTS:
            return self.written.get(register, self.DEFAULTS[register])
        return self.shown(register) & 0xFFFF

    def set_word(self, register: int, value: int) -> None:
        """Write; what cannot be written stays as it is."""
        if register in self.DEFAULTS:
            self.written[register] = self.kept(register, value)

    def kept(self, register: int, value: int) -> int:
        """What a register holds of what is written."""
        return value

    def reset(self) -> None:
        """Lose power for an instant."""
        self.written.clear()

    @abstractmethod
    def shown(self, register: int) -> int:
        """A result; 0 for what the chip has no register for."""

    def long(self, register: int, size: int) -> int:
        """A register of more than 16 bits."""
        raise NotImplementedError(f"no register {register:#x} of {size} bytes")

    def _shunt(self, lsb_v: float, limit: int, current_a: float | None = None) -> int:
        voltage_v = (self.current_a() if current_a is None else current_a) * self.shunt_ohm
        return max(-limit, min(limit, round(voltage_v / lsb_v)))


class SimulatedIna219(SimulatedChip):
    """Configuration 0, shunt 1, bus 2 with its flags, power 3, current 4, calibration 5; it does not say what it is."""

    DEFAULTS: ClassVar = {0: 0x399F, 5: 0}

    def kept(self, register: int, value: int) -> int:
        """All bits, but that of a reset and the lowest one of the calibration."""
        return value & (0x3FFF if register == 0 else 0xFFFE)

    def shown(self, register: int) -> int:
        """Shunt, bus, power and current."""
        configuration, calibration = self.word(0), self.word(5)
        shunt = self._shunt(10e-6, (4000, 8000, 16000, 32000)[configuration >> 11 & 3])
        bus = min(round(self.bus_v / 4e-3), 8000 if configuration >> 13 & 1 else 4000)
        current = shunt * calibration // 4096
        overflows = abs(current) > 0x7FFF
        # Bit 1 of the bus register says that a conversion is ready, bit 0 that the calibrated registers overflowed.
        return {1: shunt, 2: bus << 3 | 0b10 | overflows, 3: abs(current) * bus // 5000, 4: current}.get(register, 0)


class SimulatedIna226(SimulatedChip):
    """Configuration 0, shunt 1, bus 2, power 3, current 4, calibration 5, mask 6, limit 7, maker 0xFE, chip 0xFF."""

    DEFAULTS: ClassVar = {0: 0x4127, 5: 0, 7: 0}
    CONSTANT: ClassVar = {0xFE: 0x5449, 0xFF: 0x2260}

    def shown(self, register: int) -> int:
        """Shunt, bus, power and current; the mask says that a conversion is ready."""
        shunt, bus = self._shunt(2.5e-6, 0x7FFF), min(round(self.bus_v / 1.25e-3), 0x7FFF)
        current = shunt * self.word(5) // 2048
        return {1: shunt, 2: bus, 3: abs(current) * bus // 20000, 4: current, 6: 1 << 3}.get(register, 0)


class SimulatedIna260(SimulatedChip):
    """Configuration 0, current 1, bus 2, power 3, mask 6, limit 7, maker 0xFE, chip 0xFF."""

    DEFAULTS: ClassVar = {0: 0x6127, 7: 0}
    CONSTANT: ClassVar = {0xFE: 0x5449, 0xFF: 0x2270}

    def kept(self, register: int, value: int) -> int:
        """Bits 14 to 12 of the configuration are 110 for ever."""
        return value & 0x0FFF | 0x6000 if register == 0 else value

    def shown(self, register: int) -> int:
        """Current in steps of 1.25 mA, bus in 1.25 mV, power in 10 mW without a sign."""
        current = max(-0x8000, min(0x7FFF, round(self.current_a() / 1.25e-3)))
        bus = min(round(self.bus_v / 1.25e-3), 0x7FFF)
        power = round(abs(current) * 1.25e-3 * bus * 1.25e-3 / 0.01)
        return {1: current, 2: bus, 3: power, 6: 1 << 3}.get(register, 0)


class SimulatedIna3221(SimulatedChip):
    """Configuration 0, shunt and bus of each channel from 1 to 6, mask 0xF, maker 0xFE, chip 0xFF."""

    DEFAULTS: ClassVar = {0: 0x7127}
    CONSTANT: ClassVar = {0xFE: 0x5449, 0xFF: 0x3220}
    SHARES = (0.5, 0.3, 0.2)
    """Of the current, that flow through each channel."""

    def shown(self, register: int) -> int:
        """Numbers of 13 bits above three that are 0; a channel that is off keeps what it last had, here nothing."""
        channel, is_bus = divmod(register - 1, 2)
        if not 0 <= channel <= 2 or not self.word(0) >> (14 - channel) & 1:
            return 0
        share_a = self.current_a() * self.SHARES[channel]
        return (min(round(self.bus_v / 8e-3), 0xFFF) if is_bus else self._shunt(40e-6, 0xFFF, share_a)) << 3


@dataclass(kw_only=True)
class SimulatedIna228(SimulatedChip):
    """Configuration 0 and 1, calibration 2, shunt 4, bus 5, current 7, power 8, energy 9, maker 0x3E, chip 0x3F."""

    energy_j: Load
    """Since any time."""
    began_j: float = 0.0
    """When it was switched on."""

    DEFAULTS: ClassVar = {0: 0, 1: 0xFB68, 2: 0x1000}
    CONSTANT: ClassVar = {0x3E: 0x5449, 0x3F: 0x2281}

    def reset(self) -> None:
        """Lose power: the energy begins again."""
        super().reset()
        self.began_j = self.energy_j()

    def shown(self, register: int) -> int:
        """The flags: memory is sound, a conversion is ready."""
        return 0b11 if register == 0xB else 0

    def long(self, register: int, size: int) -> int:
        """Shunt and bus, numbers of 20 bits above four that are 0; energy, of 40 bits, without a sign."""
        small = self.word(0) >> 4 & 1
        current_lsb_a = self.word(2) / (13107.2e6 * self.shunt_ohm * (4 if small else 1))
        if (register, size) == (4, 3):
            shunt = self._shunt(78.125e-9 if small else 312.5e-9, 0x7FFFF)
            return (shunt & 0xFFFFF) << 4
        if (register, size) == (5, 3):
            return round(self.bus_v / 195.3125e-6) << 4
        if (register, size) == (9, 5):
            return int((self.energy_j() - self.began_j) / (16 * 3.2 * current_lsb_a))
        return super().long(register, size)


@dataclass(kw_only=True)
class SimulatedBus:
    """A bus with one sensor."""

    chip: SimulatedChip
    address: int = 0x40
    plugged: bool = True
    error: OSError | None = None
    """What each transfer ends with, if not None."""
    transfer: Callable[[], None] = lambda: None
    """Called for each transfer, to let its time pass."""

    def read_word_data(self, i2c_addr: int, register: int) -> int:
        """A register, the bytes in the other order, as SMBus has them."""
        self._transfer(i2c_addr)
        return _swapped(self.chip.word(register))

    def write_word_data(self, i2c_addr: int, register: int, value: int) -> None:
        """Write a register."""
        self._transfer(i2c_addr)
        self.chip.set_word(register, _swapped(value))

    def read_i2c_block_data(self, i2c_addr: int, register: int, length: int) -> list[int]:
        """A longer register, its highest byte first."""
        self._transfer(i2c_addr)
        return list(self.chip.long(register, length).to_bytes(length, "big"))

    def _transfer(self, address: int) -> None:
        if self.error is not None:
            raise self.error
        if address != self.address or not self.plugged:
            raise OSError(errno.EREMOTEIO, "Remote I/O error")
        self.transfer()


def _swapped(word: int) -> int:
    return int.from_bytes(word.to_bytes(2, "big"), "little")
