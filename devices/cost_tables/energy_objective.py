"""Which energy an inference is judged by: above idle, with idle, or over a period. Start with `EnergyObjective`.

The three favour different configurations: the lower clock wins by net energy, and loses by gross energy where the board
idles at a high power.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal, TypeVar, get_args

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    # Not at run time: the command line is made from this, and must be quick.
    from devices.cost_tables.cost_table import CostTable

EnergyKind = Literal["net", "gross", "period"]
ENERGY_KINDS: tuple[EnergyKind, ...] = get_args(EnergyKind)
Amount = TypeVar("Amount", float, "npt.NDArray[np.float64]")
"""Of one inference, or of several in an array."""


@dataclass(frozen=True)
class EnergyObjective:
    """The energy that is minimised."""

    kind: EnergyKind = "net"
    """`net`: above idle. `gross`: with the board's idle power while the inference lasts. `period`: idle power over a
    period, and net energy: for work that comes once in each period."""
    period_ms: float | None = None
    """Length of the period in ms; for `period` alone."""

    def __post_init__(self) -> None:
        if self.kind not in ENERGY_KINDS:
            raise ValueError(f"`--energy` must be one of {', '.join(ENERGY_KINDS)}, but got {self.kind!r}.")
        if (self.kind == "period") != (self.period_ms is not None):
            given = "none" if self.period_ms is None else f"{self.period_ms:g}"
            raise ValueError(
                f"`--period-ms` must be given with `--energy period`, and with no other, but got --energy {self.kind} "
                f"and --period-ms {given}."
            )
        if self.period_ms is not None and not (math.isfinite(self.period_ms) and self.period_ms > 0):
            raise ValueError(f"`--period-ms > 0` must hold, but got {self.period_ms}.")

    @property
    def needs_idle_power(self) -> bool:
        """Whether the board's idle power must be known."""
        return self.kind != "net"

    @property
    def label(self) -> str:
        """For people: `energy above idle`."""
        if self.kind == "net":
            return "energy above idle"
        if self.kind == "gross":
            return "energy with idle power"
        return f"energy in {self.period_ms:g} ms"

    def energy_mj(self, net_mj: Amount, latency_ms: Amount, idle_w: float | None) -> Amount:
        """This energy of one inference in mJ, or of each of several.

        Args:
            net_mj: above idle.
            latency_ms: of the inference.
            idle_w: power of the idle board.

        Raises:
            ValueError: if the idle power is needed, and not known.
        """
        if not self.needs_idle_power:
            return net_mj
        if idle_w is None:
            raise ValueError(
                f"`--energy {self.kind}` needs the board's idle power, which is not known here: profile the board, or "
                "use `--energy net`."
            )
        return net_mj + idle_w * (latency_ms if self.period_ms is None else self.period_ms)

    def table(self, table: CostTable) -> CostTable:
        """The same table with this energy in the place of that above idle, for a search.

        Raises:
            ValueError: if the idle power is needed, and the table has none.
        """
        if not self.needs_idle_power:
            return table
        fixed_mj = self.energy_mj(table.fixed_energy_mj, table.fixed_latency_ms, table.idle_w)
        assert table.idle_w is not None, "it was needed just now"
        of_entries = 0.0 if self.kind == "period" else table.idle_w
        return replace(table, energy_mj=table.energy_mj + of_entries * table.latency_ms, fixed_energy_mj=fixed_mj)
