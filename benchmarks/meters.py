"""The energy of a constant load through each meter's own pipeline, with its hardware's windows and delays simulated.

    python benchmarks/meters.py [--quick] [--json] [--load-w W] [--idle-w W]

Claim: within 2 % for every meter, whenever the run begins. Nothing is measured, so the machine does not matter; what
the hardware itself is off by is not in it (docs/meters.md).
"""

from __future__ import annotations

import dataclasses
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import numpy as np

from benchmarks.options import BenchmarkConfig, check_at_least, read_config
from benchmarks.results import print_results
from devices.energy.simulated_meters import SIMULATED_METERS, SimulatedEnergy, SimulatedMeter, simulated_energy
from scripts.interface.command_line import run

if TYPE_CHECKING:
    from typing_extensions import Self


@dataclass(frozen=True, kw_only=True, slots=True)
class MetersConfig(BenchmarkConfig):
    """Put a constant load through the pipeline of each meter."""

    idle_w: float = 2.7
    """Power of the idle board, by default a Raspberry Pi 4's."""
    load_w: float = 2.69
    """Power of the load, above idle; by default that of its four threads."""
    phases: int = 20
    """Runs of each meter, which begin at different times within its period."""
    quick: bool = False
    """Two runs of each meter."""

    def __post_init__(self) -> None:
        check_at_least(self, idle_w=0.1, load_w=0.1, phases=1)

    def quickened(self) -> Self:
        """Two runs of each meter."""
        return dataclasses.replace(self, phases=2)


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """One meter: its run that was furthest off."""

    meter: str
    seconds: float
    """Duration of the run."""
    readings: int
    true_mj: float
    """Net energy of one of 100 inferences."""
    read_mj: float
    error: float
    """As a share of the true energy."""
    interval: float
    """Half the width of the 95 % interval, as a share of the energy that was read."""


def main() -> None:
    """Simulate and print."""
    config = read_config(MetersConfig)
    rows = [worst_of(meter, config) for meter in SIMULATED_METERS]
    print_results(
        {"idle_w": config.idle_w, "load_w": config.load_w, "results": [asdict(row) for row in rows]},
        [
            f"{'meter':<32}{'run':>8}{'readings':>10}{'true':>12}{'read':>12}{'error':>9}{'interval':>11}",
            *(
                f"{row.meter:<32}{row.seconds:>6.1f} s{row.readings:>10}{row.true_mj:>9.2f} mJ{row.read_mj:>9.2f} mJ"
                f"{row.error:>+8.2%} {row.interval:>+9.1%}"
                for row in rows
            ),
        ],
        as_json=config.json,
    )


def worst_of(meter: SimulatedMeter, config: MetersConfig) -> Row:
    """The run of a meter whose energy was furthest off."""

    def energy_at(phase: float) -> SimulatedEnergy:
        return simulated_energy(meter, idle_w=config.idle_w, load_w=config.load_w, phase=phase)

    phases = np.linspace(0, 1, config.phases, endpoint=False).tolist()
    worst = max(map(energy_at, phases), key=lambda energy: abs(energy.relative_error))
    return Row(
        meter=meter.name,
        seconds=worst.seconds,
        readings=worst.read.samples,
        true_mj=worst.true_mj,
        read_mj=worst.read.net_mj,
        error=worst.relative_error,
        interval=worst.read.relative_interval,
    )


if __name__ == "__main__":
    run(main)
