"""Cost tables at lower clocks, from that at the top clock and a few networks at the lowest. Start with `FittedLaw.of`.

N networks, L layers.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from devices.configuration import RuntimeConfiguration
from devices.cost_tables.cost_table import CostTable, TableError
from devices.energy.power_model import PowerModel
from devices.measurement import Measurement, largest_error
from devices.profiling.clock_law import USUAL_SPREAD, ClockLaw, fitted_share, pooled_share, shares_of
from devices.profiling.family_plan import ClockFamily
from devices.profiling.profile import mean_power_w

Array = npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, slots=True)
class ConfigurationProfile:
    """How the table of one configuration came about, and what it is worth."""

    table: CostTable
    networks_NL: npt.NDArray[np.intp]
    """Operator indices of the networks measured whole in this configuration; none between two clocks."""
    measurements: tuple[Measurement, ...]
    """Of these networks, length N."""
    predicted_ms_N: Array
    """Latency of each of these networks as predicted from all the others."""
    law: ClockLaw | None
    """Where the table follows from that of the same threads and precision at the top clock."""
    seconds: float
    """Spent on measuring in this configuration."""

    @property
    def configuration(self) -> RuntimeConfiguration:
        """How networks are run."""
        return self.table.configuration


@dataclass(frozen=True)
class MeasuredNetworks:
    """Whole networks in one configuration."""

    networks_NL: npt.NDArray[np.intp]
    measurements: tuple[Measurement, ...]
    seconds: float


@dataclass(frozen=True, kw_only=True, eq=False, slots=True)
class FittedLaw:
    """The clock law of one number of threads and one precision, and how far it is off."""

    law: ClockLaw
    lowest_mhz: int
    shares: dict[tuple[int, ...], float]
    """The coefficient of each network."""
    errors_N: Array
    """Relative errors of the latencies at the lowest clock, each with a coefficient from the other networks."""
    predicted_ms_N: Array
    """At the lowest clock, each with table and coefficient from other networks."""
    power_ratio: float
    """Mean power above idle at the lowest clock, over that at the top."""
    measured: MeasuredNetworks
    method: str

    @classmethod
    def of(
        cls, top: ConfigurationProfile, clocks: ClockFamily, measured: MeasuredNetworks, first: FittedLaw | None
    ) -> FittedLaw:
        """Fit a law.

        Args:
            top: the profile at the highest clock, which has the networks of the lowest.
            clocks: of these threads and this precision.
            measured: networks at the lowest clock.
            first: the law that this one is drawn towards.
        """
        top_mhz, low_mhz = clocks.top.frequency_mhz, clocks.lowest.frequency_mhz
        assert top_mhz is not None
        assert low_mhz is not None
        gain = top_mhz / low_mhz - 1
        networks = measured.networks_NL.tolist()
        places = [top.networks_NL.tolist().index(indices) for indices in networks]
        at_top = [top.measurements[place] for place in places]
        low_ms_N = np.array([measurement.latency_ms for measurement in measured.measurements])
        top_ms_N = np.array([measurement.latency_ms for measurement in at_top])
        shares_N = shares_of(top_ms_N, low_ms_N, top_mhz=top_mhz, low_mhz=low_mhz)
        count = len(shares_N)

        first_N = None if first is None else np.array([first.share_of(indices, top_mhz) for indices in networks])

        def fitted(kept: list[int]) -> ClockLaw:
            if first is None or first_N is None:
                return ClockLaw(share=fitted_share(shares_N[kept], gain=gain), top_mhz=top_mhz)
            # The same networks as the first's: what tells one network from another cancels out.
            of_first = first.law.at_top(top_mhz).share
            shares = of_first + shares_N[kept] - first_N[kept]
            spread = float(shares.std(ddof=1)) if len(kept) > 1 else USUAL_SPREAD
            share = pooled_share(fitted_share(shares, gain=gain), len(kept), towards=of_first, spread=spread)
            return ClockLaw(share=share, top_mhz=top_mhz)

        everything = list(range(count))
        law = fitted(everything)
        others = [fitted([own for own in everything if own != place]) if count > 1 else law for place in everything]
        factor_N = np.array([other.factor(low_mhz) for other in others])
        drawn = "" if first is None else f", drawn towards {first.law.share:.2f}"
        return cls(
            law=law,
            lowest_mhz=low_mhz,
            shares=dict(zip(map(tuple, networks), shares_N.tolist(), strict=True)),
            errors_N=factor_N * top_ms_N / low_ms_N - 1,
            predicted_ms_N=factor_N * top.predicted_ms_N[places],
            power_ratio=mean_power_w(measured.measurements) / mean_power_w(at_top),
            measured=measured,
            method=f"the table of {clocks.top.label} by the clock law t(f) = t({top_mhz}) (a {top_mhz} / f + 1 - a), "
            f"a = {law.share:.3f} from {count} networks at {low_mhz} MHz{drawn}",
        )

    def share_of(self, indices: list[int], top_mhz: int) -> float:
        """The coefficient of a network that was measured, told from another clock; the law's for any other network."""
        share = self.shares.get(tuple(indices), self.law.share)
        return ClockLaw(share=max(share, 0.0), top_mhz=self.law.top_mhz).at_top(top_mhz).share

    def scaled(
        self, top: ConfigurationProfile, configuration: RuntimeConfiguration, model: PowerModel
    ) -> ConfigurationProfile:
        """The profile at a lower clock than that of the top."""
        mhz = configuration.frequency_mhz
        assert mhz is not None
        factor = self.law.factor(mhz)
        energy_factor = factor * self._power_factor(top.configuration, configuration, model)
        measured_here = mhz == self.lowest_mhz
        table, found = top.table, self.measured
        return ConfigurationProfile(
            table=replace(
                table,
                latency_ms=factor * table.latency_ms,
                energy_mj=energy_factor * table.energy_mj,
                fixed_latency_ms=factor * table.fixed_latency_ms,
                fixed_energy_mj=energy_factor * table.fixed_energy_mj,
                latency_source="modelled",
                energy_source="modelled",
                energy_error=largest_error((table.energy_error, model.relative_error)),
                clock_mhz=None,
                frequency_mhz=mhz,
                date=found.measurements[0].date,
                method=self.method + ("" if measured_here else f"; nothing was measured at {mhz} MHz"),
                error=self._error(top),
            ),
            networks_NL=found.networks_NL if measured_here else found.networks_NL[:0],
            measurements=found.measurements if measured_here else (),
            predicted_ms_N=self.predicted_ms_N if measured_here else self.predicted_ms_N[:0],
            law=self.law,
            seconds=found.seconds if measured_here else 0.0,
        )

    def _error(self, top: ConfigurationProfile) -> TableError:
        """Errors of table and law together, taken as independent: each of one with each of the other.

        That of the law is the one at the lowest clock, where it is the largest.
        """
        latency_ms_N = np.array([measurement.latency_ms for measurement in top.measurements])
        of_table_N = top.predicted_ms_N / latency_ms_N
        together = np.abs(np.outer(of_table_N, 1 + self.errors_N) - 1)
        assert top.table.error is not None, "a profile always has an error"
        return replace(
            top.table.error,
            mean_relative=float(together.mean()),
            within_10_percent=float((together <= 0.1).mean()),
        )

    def _power_factor(self, top: RuntimeConfiguration, lower: RuntimeConfiguration, model: PowerModel) -> float:
        """Power at a clock over that at the top: the model's, corrected by what was measured at the lowest clock."""
        lowest = replace(lower, frequency_mhz=self.lowest_mhz)
        correction = self.power_ratio * model.net_w(top) / model.net_w(lowest)
        top_mhz, mhz = top.frequency_mhz, lower.frequency_mhz
        assert top_mhz is not None
        assert mhz is not None
        way_down = (top_mhz - mhz) / (top_mhz - self.lowest_mhz)
        return model.net_w(lower) / model.net_w(top) * float(correction**way_down)
