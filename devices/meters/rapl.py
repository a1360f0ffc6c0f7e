"""RAPL: energy counters of Intel and AMD processors, in Linux's powercap tree.

The counters of all packages and of their memory are added; cores and graphics are parts of a package. The zone `psys`
and the tree `intel-rapl-mmio` count the same energy again and are omitted. A counter starts again at 0 after
`max_energy_range_uj`, on servers within minutes.
Source: https://docs.kernel.org/power/powercap/powercap.html
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path

from devices.meters.power_meter import MeterError, Reading

ROOT = Path("/sys/class/powercap")


class Rapl:
    """Mean power of processor packages and their memory between two readings."""

    name = "rapl"
    period_s = 0.05
    """Counters move every millisecond or so: about 2 % of a period, and errors do not add up over readings."""
    window_s = 0.035
    """Half of the longest step between two readings, and a step of the counters."""
    step_w = 0.0

    def __init__(self, root: Path = ROOT, *, clock: Callable[[], float] = time.monotonic) -> None:
        """Find the counters and read them for the first time.

        Raises:
            MeterError: if there are none, or this user may not read them.
        """
        self._zones = counted_zones(root)
        self._ranges_uj = [_number(zone / "max_energy_range_uj") for zone in self._zones]
        self._clock = clock
        self._energies_uj, self._time_s = self._counters()

    def read(self) -> Reading:
        """Mean power since the last reading.

        Raises:
            MeterError: if a counter cannot be read.
        """
        before_uj, before_s = self._energies_uj, self._time_s
        self._energies_uj, self._time_s = self._counters()
        seconds = self._time_s - before_s
        if not seconds > 0:
            raise MeterError(f"time must pass between two readings, but got {seconds} s.")
        spent_uj = sum(
            self._energies_uj[zone] - before_uj[zone] + (self._ranges_uj[zone] if wrapped else 0)
            for zone, wrapped in enumerate(now < before for now, before in _pairs(self._energies_uj, before_uj))
        )
        return Reading((before_s + self._time_s) / 2, spent_uj / 1e6 / seconds)

    def _counters(self) -> tuple[list[int], float]:
        start_s = self._clock()
        energies_uj = [_number(zone / "energy_uj") for zone in self._zones]
        return energies_uj, (start_s + self._clock()) / 2


def counted_zones(root: Path = ROOT) -> list[Path]:
    """Folders of the counters whose sum is the processors' energy and their memory's.

    Raises:
        MeterError: if there are none.
    """
    zones = [path for path in sorted(root.glob("intel-rapl:*")) if _is_counted(path)]
    if not zones:
        raise MeterError(
            f"RAPL needs processor packages under {root}, but there are none: most virtual machines and all ARM "
            "boards lack them; use another meter."
        )
    return zones


def _is_counted(zone: Path) -> bool:
    try:
        name = (zone / "name").read_text().strip()
    except OSError:
        return False
    return name.startswith("package") or name == "dram"


def _number(path: Path) -> int:
    try:
        return int(path.read_text())
    except PermissionError:
        raise MeterError(
            f"{path} must be readable, but this user may not read it: run "
            "`sudo chmod a+r /sys/class/powercap/intel-rapl:*/energy_uj`, and again after each reboot."
        ) from None
    except (OSError, ValueError) as error:
        raise MeterError(f"{path} must hold a whole number, but got {error}: use another meter.") from error


def _pairs(first: Sequence[int], second: Sequence[int]) -> list[tuple[int, int]]:
    return [(value, second[index]) for index, value in enumerate(first)]
