"""What a network may cost at most. Importing this is quick."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class CostLimits:
    """What a network may cost at most; None is no limit."""

    max_latency_ms: float | None = None
    max_energy_mj: float | None = None
    """Of the energy that is minimised."""
    max_params: int | None = None
    """Trainable parameters."""

    def __post_init__(self) -> None:
        for name in ("max_latency_ms", "max_energy_mj", "max_params"):
            value = getattr(self, name)
            if value is not None and not (math.isfinite(value) and value > 0):
                raise ValueError(f"`--{name.replace('_', '-')} > 0` must hold, and be finite, but got {value}.")

    @property
    def is_empty(self) -> bool:
        """Whether there is no limit at all."""
        return self.max_latency_ms is None and self.max_energy_mj is None and self.max_params is None

    def violation(self, latency_ms: float, energy_mj: float, params: int) -> float:
        """By how much the limits are exceeded, each as a share of itself, added up; 0 within all of them."""
        pairs = (
            (latency_ms, self.max_latency_ms),
            (energy_mj, self.max_energy_mj),
            (float(params), self.max_params),
        )
        return sum(max(0.0, value / limit - 1) for value, limit in pairs if limit is not None)
