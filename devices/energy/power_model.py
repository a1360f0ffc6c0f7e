"""Energy without a meter: power of a board by clock and busy threads, always labelled `modelled`.

Start with `power_model_of`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from devices.configuration import RuntimeConfiguration


@dataclass(frozen=True, kw_only=True, slots=True)
class PowerModel:
    """Power above idle of a board: P(f, n) = (c0 + c1 n) (f / f0) (V(f) / V(f0))^2, for n threads at a clock f.

    c0 is what waking caches, memory and regulators takes whatever the number of threads, which is why several threads
    may take less energy than one, and why energy is an objective of its own across configurations.

    Source: switching power of CMOS grows with f V^2 (Chandrakasan et al., "Low-power CMOS digital design", IEEE JSSC
    27 (1992), equation 1).
    """

    idle_w: float
    """Power of the idle board."""
    shared_w: float
    """c0: above idle, at the top clock, of any load."""
    thread_w: float
    """c1: above idle, at the top clock, of each busy thread."""
    top_mhz: int | None = None
    """f0; None if the clock is unknown, so that power does not depend on it."""
    governor_mhz: int | None = None
    """Clock of the busy board where its governor decides; None for f0."""
    volts: tuple[tuple[int, float], ...] = ()
    """Clock in MHz and core voltage there, ascending; linear in between. Empty: the voltage does not change."""
    relative_error: float = 0.25
    """How far the model may be off, as a fraction."""
    description: str
    """Where the figures come from, for provenance."""

    def __post_init__(self) -> None:
        for name in ("idle_w", "shared_w"):
            if not getattr(self, name) >= 0:
                raise ValueError(f"`{name} >= 0` must hold for a power model, but got {getattr(self, name)}.")
        if not self.thread_w > 0:
            raise ValueError(f"`thread_w > 0` must hold for a power model, but got {self.thread_w}.")
        clocks = [mhz for mhz, _ in self.volts]
        if clocks != sorted(set(clocks)):
            raise ValueError(f"the clocks of `volts` must ascend, but got {clocks}.")

    def net_w(self, configuration: RuntimeConfiguration, *, volts: float | None = None) -> float:
        """Power above idle in W under a network that keeps all its threads busy.

        Args:
            configuration: threads and clock; without a clock the busy board is taken to hold its highest.
            volts: the core's voltage as read from the board, in V, instead of the model's.
        """
        power_w = self.shared_w + self.thread_w * configuration.threads
        mhz = configuration.frequency_mhz or self.governor_mhz
        if mhz is None or self.top_mhz is None:
            return power_w
        ratio = 1.0
        if self.volts:
            ratio = (self.volts_at(mhz) if volts is None else volts) / self.volts_at(self.top_mhz)
        return power_w * mhz / self.top_mhz * ratio**2

    def energy_mj(self, latency_ms: float, configuration: RuntimeConfiguration, *, volts: float | None = None) -> float:
        """Net energy above idle of one inference, in mJ (W x ms)."""
        return self.net_w(configuration, volts=volts) * latency_ms

    def volts_at(self, mhz: int) -> float:
        """Core voltage at a clock, in V; that of the nearest known clock outside of the known ones."""
        clocks, levels = zip(*self.volts, strict=True)
        return float(np.interp(mhz, clocks, levels))


_PI_SOURCES = (
    "core voltages of sbc-bench and raspberrypi/firmware #1876 and #1825, loads of HPL clusters, MLPerf Inference and "
    "PowerJoular's coefficients; not measured on yours"
)

RASPBERRY_PI_3B_PLUS = PowerModel(
    idle_w=2.0,
    shared_w=0.35,
    thread_w=0.62,
    top_mhz=1400,
    volts=((600, 1.20), (1400, 1.37)),
    description=f"Raspberry Pi 3B+: {_PI_SOURCES}; the split between load and threads is borrowed from the Pi 5",
)
RASPBERRY_PI_4 = PowerModel(
    idle_w=2.7,
    shared_w=0.45,
    thread_w=0.56,
    top_mhz=1500,
    # 0.844 V up to 1500 MHz, then 0.267 V more for each GHz.
    volts=((600, 0.844), (1500, 0.844), (1800, 0.844 + 0.3 * 0.267), (2200, 0.844 + 0.7 * 0.267)),
    description=f"Raspberry Pi 4: {_PI_SOURCES}; the split between load and threads is borrowed from the Pi 5",
)
RASPBERRY_PI_5 = PowerModel(
    idle_w=3.0,
    shared_w=0.55,
    thread_w=0.87,
    top_mhz=2400,
    volts=((1500, 0.722), (1800, 0.788), (2000, 0.813), (2400, 0.869)),
    description=f"Raspberry Pi 5: {_PI_SOURCES}",
)
UNKNOWN_BOARD = replace(
    RASPBERRY_PI_4,
    relative_error=1.0,
    description=f"a board that is not known, taken for a {RASPBERRY_PI_4.description}",
)
"""An order of magnitude, no more."""
HOST_POWER_MODEL = PowerModel(
    idle_w=10.0,
    shared_w=5.0,
    thread_w=5.0,
    relative_error=1.0,
    description="nominal: 10 W idle; above it 5 W for any load and 5 W for each busy core; not measured here",
)
"""Round figures for a laptop or server: an order of magnitude, no more."""

_BY_MODEL = (
    ("raspberry pi 5", RASPBERRY_PI_5),
    ("raspberry pi compute module 5", RASPBERRY_PI_5),
    ("raspberry pi 500", RASPBERRY_PI_5),
    ("raspberry pi 4", RASPBERRY_PI_4),
    ("raspberry pi compute module 4", RASPBERRY_PI_4),
    ("raspberry pi 3", RASPBERRY_PI_3B_PLUS),
    ("raspberry pi compute module 3", RASPBERRY_PI_3B_PLUS),
    # The processor of a Pi 3.
    ("raspberry pi zero 2", RASPBERRY_PI_3B_PLUS),
)


def power_model_of(model: str, *, shares_host: bool = False, clocks_mhz: Sequence[int] = ()) -> PowerModel:
    """The power model of a board by the name that its system gives; of an unknown one that of a Raspberry Pi 4.

    Args:
        model: as in `Board.model`.
        shares_host: whether the board is this machine, which is no Raspberry Pi unless it says so.
        clocks_mhz: that it may run at, ascending, as in `Board.frequencies_mhz`: its governor takes the last one under
            load, as 1800 MHz of a later Raspberry Pi 4, so that networks with and without a clock are on one scale.
    """
    name = model.lower()
    known = next((power for prefix, power in _BY_MODEL if name.startswith(prefix)), None)
    power = known or (HOST_POWER_MODEL if shares_host else UNKNOWN_BOARD)
    return replace(power, governor_mhz=clocks_mhz[-1]) if clocks_mhz else power
