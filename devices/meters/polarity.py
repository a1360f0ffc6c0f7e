"""The sign and scale of a sensor whose current may flow both ways, and what a wrong sign means.

On a board with a battery (a UPS HAT) the sensor lies between battery and board, soldered so that charging is positive:
its sign is turned by `sign=-1`. While the battery charges, such a sensor does not see what the board draws.
"""

from __future__ import annotations

from typing import NamedTuple

from devices.meters.power_meter import NotTheBoardError

BACKWARDS_W = 0.05
"""Power by which a current must flow backwards to be no offset error of a sensor."""


class Correction(NamedTuple):
    """What a sensor's power is multiplied by."""

    sign: int = 1
    """1, or -1 where the current to the board is negative."""
    scale: float = 1.0
    """From a comparison with a better meter, as for the true resistance of a shunt."""


UNCORRECTED = Correction()


class Polarity:
    """Makes the power of a sensor that of its board, and tells where it cannot be that."""

    def __init__(self, sensor: str, correction: Correction, *, example: str) -> None:
        """Nothing was read yet.

        Args:
            sensor: what errors call it, as in `the ina219`.
            correction: what its power is multiplied by.
            example: how the user names it, with options if it has any, as in `ina219:0x43`.
        """
        self._sensor = sensor
        self._correction = correction
        self._example = example
        self._forwards_w: float | None = None

    def board_w(self, sensor_w: float) -> float:
        """Power that the board draws, from the power that the sensor gave.

        Raises:
            NotTheBoardError: if it is below 0 by more than a sensor's offset.
        """
        power_w = sensor_w * self._correction.sign * self._correction.scale
        if power_w < -BACKWARDS_W:
            raise NotTheBoardError(self._backwards(power_w))
        if power_w > BACKWARDS_W:
            self._forwards_w = power_w
        return power_w

    def _backwards(self, power_w: float) -> str:
        if self._forwards_w is not None:
            return (
                f"the power that {self._sensor} sees must keep its sign, but went from {self._forwards_w:.3f} W to "
                f"{power_w:.3f} W: a battery has begun or ceased to charge, and what the board draws is not seen any "
                "more; leave the charger unplugged, and measure again."
            )
        if self._correction.sign < 0:
            return (
                f"{self._sensor} must see a positive power, but got {power_w:.3f} W with `sign=-1`: omit that; on a "
                "board with a battery, which charges now, unplug the charger instead."
            )
        option = f"{self._example}{',' if ':' in self._example else ':'}sign=-1"
        return (
            f"{self._sensor} must see a positive power, but got {power_w:.3f} W: on a board with a battery (a UPS HAT "
            f"turns the sign) give `--meter {option}`, otherwise swap IN+ and IN-."
        )
