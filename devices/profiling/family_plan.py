"""What is measured for the tables of several configurations. Start with `Plan.of`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from devices.configuration import RuntimeConfiguration
from devices.profiling.profile import FEW

LAW_NETWORKS = 10
"""Networks at the lowest clock that the first way's law is fitted to."""
LAW_NETWORKS_OF_OTHERS = 3
"""Networks at the lowest clock for each further way, whose coefficient is drawn towards the first's."""


@dataclass(frozen=True)
class ClockFamily:
    """Configurations that differ in their clock alone."""

    top: RuntimeConfiguration
    lower: tuple[RuntimeConfiguration, ...]
    """Descending; not empty."""

    @property
    def lowest(self) -> RuntimeConfiguration:
        """The only one of the lower ones in which anything is measured."""
        return self.lower[-1]


@dataclass(frozen=True)
class Plan:
    """What is measured how."""

    configurations: tuple[RuntimeConfiguration, ...]
    """The base first."""
    adapted: tuple[RuntimeConfiguration, ...]
    """By whole networks, from the base."""
    clocks: tuple[ClockFamily, ...]

    @classmethod
    def of(cls, configurations: Sequence[RuntimeConfiguration]) -> Plan:
        """The plan for some configurations, in any order.

        Raises:
            ValueError: if there are none, or one is given twice.
        """
        if not configurations or len(set(configurations)) < len(configurations):
            labels = ", ".join(item.label for item in configurations) or "none"
            raise ValueError(f"the configurations of a family must differ, and be at least one, but got {labels}.")
        ordered = tuple(sorted(configurations))
        ways: dict[tuple[str, int, str], list[RuntimeConfiguration]] = {}
        for item in ordered:
            if item.frequency_mhz is not None:
                ways.setdefault((item.runtime, item.threads, item.precision), []).append(item)
        clocks = tuple(ClockFamily(top, tuple(lower)) for top, *lower in ways.values() if lower)
        lower = {item for group in clocks for item in group.lower}
        return cls(ordered, tuple(item for item in ordered[1:] if item not in lower), clocks)

    @property
    def base(self) -> RuntimeConfiguration:
        """The one that is profiled."""
        return self.configurations[0]

    def whole_networks(self, of_base: int) -> int:
        """How many networks are measured in each pass besides the base's profile, which has so many."""
        return sum(self.networks_in(of_base).values())

    def networks_in(self, of_base: int) -> dict[RuntimeConfiguration, int]:
        """The same by configuration, in which any are measured."""
        counts = dict.fromkeys(self.adapted, FEW)
        for number, clocks in enumerate(self.clocks):
            candidates = of_base if clocks.top == self.base else FEW
            counts[clocks.lowest] = min(LAW_NETWORKS_OF_OTHERS if number else LAW_NETWORKS, candidates)
        return counts
