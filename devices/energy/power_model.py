"""Energy without a meter: a constant power of each busy core, always labelled `modelled`."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class PowerModel:
    """Power of a board as a linear function of the number of busy threads.

    At one clock and one thread count its energy is proportional to latency: it adds no third objective by itself.
    """

    idle_w: float
    """Power of the idle board; reported, and never part of `energy_mj`."""
    active_w_per_thread: float
    """Power above idle of one busy thread."""
    description: str
    """Where the figures come from, for provenance."""

    def __post_init__(self) -> None:
        if not self.idle_w >= 0:
            raise ValueError(f"`idle_w >= 0` must hold, but got idle_w={self.idle_w}.")
        if not self.active_w_per_thread > 0:
            raise ValueError(
                f"`active_w_per_thread > 0` must hold, but got active_w_per_thread={self.active_w_per_thread}."
            )

    def energy_mj(self, latency_ms: float, threads: int) -> float:
        """Net energy above idle of one inference, in mJ (W x ms)."""
        return self.active_w_per_thread * threads * latency_ms


HOST_POWER_MODEL = PowerModel(
    idle_w=0.0,
    active_w_per_thread=5.0,
    description="nominal: 5 W above idle for each busy core, not measured on this machine",
)
"""A round figure for a laptop or server core; idle power is unknown and taken as 0."""

RASPBERRY_PI_POWER_MODEL = PowerModel(
    idle_w=2.7,
    active_w_per_thread=0.9,
    description="nominal: a Raspberry Pi 4 draws some 2.7 W idle and 6.4 W with four busy cores; not measured on yours",
)
"""Round figures for a Raspberry Pi 4; other models differ, and only a meter shows by how much."""
