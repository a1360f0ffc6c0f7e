"""Runs a script with this machine as a board whose figures follow from the network alone: what is measured is replayed.

    python -m benchmarks.resuming.replayed scripts/pareto_search.py --device host ...

The agent runs every network as ever, so that it can be killed; only then can two runs on a board be compared.
"""

from __future__ import annotations

import runpy
import sys
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from unittest import mock

from devices.agent.host import HostDevice
from devices.configuration import BASE, RuntimeConfiguration
from devices.measurement import Measurement, MeasureSettings
from devices.models import Model

BRIEF = MeasureSettings(warmup_runs=0, min_runs=2, max_runs=2, min_seconds=0.0, cooldown_seconds=0.0)


class ReplayedHost(HostDevice):
    """Measures briefly, and says what the network's size and configuration give."""

    def __init__(self, settings: MeasureSettings) -> None:
        super().__init__(BRIEF)

    def measure(self, model: Model, configuration: RuntimeConfiguration = BASE) -> Measurement:
        """See `HostDevice.measure`."""
        real = super().measure(model, configuration)
        wide = 1 + sha256(f"{len(model)} {configuration.label}".encode()).digest()[0] / 1000
        latency_ms = 1e-5 * len(model) * wide / configuration.threads**0.5
        return replace(
            real,
            latency_ms=latency_ms,
            median_ms=latency_ms,
            iqr_ms=0.0,
            energy_mj=2.0 * latency_ms,
            gross_energy_mj=3.0 * latency_ms,
            idle_w=1.0,
            before=replace(real.before, clock_mhz=None, temperature_c=None, throttled=None),
            after=replace(real.after, clock_mhz=None, temperature_c=None, throttled=None),
            reliable=True,
        )


def main() -> None:
    """Run the script that the first argument names with those after it."""
    script = Path(sys.argv[1])
    sys.argv = sys.argv[1:]
    sys.path[0] = str(script.parent)
    with mock.patch("devices.factory.HostDevice", ReplayedHost):
        runpy.run_path(str(script), run_name="__main__")


if __name__ == "__main__":
    main()
