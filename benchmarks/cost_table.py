"""How well cost tables predict networks that had no part in making them.

Claim: with calibration on whole networks, the mean error of 50 random networks is at most 5 %, 95 % of them are
predicted within 10 %, and their ranks correlate with 0.97 (`fbnet-micro`) or 0.98 (`fbnet-cifar`). A profile takes at
most 3 and 8 minutes. Hardware: any machine, one thread. Trials: 50 networks, each the quickest of four
measurements with all others in between, as in the profile.

    python benchmarks/cost_table.py --spaces fbnet-micro fbnet-cifar
"""

from __future__ import annotations

import json
import sys
import time
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from devices.factory import open_device
from devices.measurement import MeasureSettings
from devices.profiling.calibration import table_error
from devices.profiling.profile import measured_network, profile
from scripts.command_line import parse, run
from search_space.spaces import space_named


@dataclass(frozen=True)
class CostTableConfig:
    """Profile a board, then predict networks that calibration never saw."""

    device: str = "host"
    """Board."""
    spaces: tuple[str, ...] = ("fbnet-micro", "fbnet-cifar")
    """Search spaces."""
    networks: int = 50
    """Networks to predict: all operators equally likely at each layer."""
    passes: int = 4
    """How often everything is measured, as in profile_device.py."""
    seed: int = 0
    """Chooses these networks."""
    quick: bool = False
    """A few networks of `fbnet-micro` only."""
    json: bool = False
    """Print JSON."""


def main() -> None:
    """Print one row a space and table."""
    config = parse(CostTableConfig)
    rows = []
    for name in ("fbnet-micro",) if config.quick else config.spaces:
        rows += measured_rows(config, name, 8 if config.quick else config.networks)
    if config.json:
        print(json.dumps(rows, indent=1))
        return
    print(f"{'space':<12} {'table':<14} {'mean error':>10} {'within 10 %':>12} {'Spearman':>9} {'profiling':>10}")
    for row in rows:
        print(
            f"{row['space']:<12} {row['table']:<14} {row['mean_relative']:>10.1%} {row['within_10_percent']:>12.0%} "
            f"{row['spearman']:>9.3f} {row['seconds'] / 60:>6.1f} min"
        )


def measured_rows(config: CostTableConfig, name: str, count: int) -> list[dict[str, Any]]:
    """Errors of the table before and after calibration."""
    space = space_named(name)
    device = open_device(config.device, MeasureSettings())
    try:
        start = time.perf_counter()
        found = profile(
            device, space, passes=config.passes, on_progress=lambda done, total, what: _progress(name, done, total)
        )
        seconds = time.perf_counter() - start
        rng = np.random.default_rng(np.random.SeedSequence(config.seed, spawn_key=(99,)))
        networks = rng.integers(len(space.operators), size=(count, space.num_layers)).tolist()
        passes = [
            [measured_network(device, space, indices).latency_ms for indices in networks] for _ in range(config.passes)
        ]
        measured = np.min(passes, axis=0)
    finally:
        device.close()
    rows: list[dict[str, object]] = []
    for kind, table in (("operator-wise", found.operator_wise), ("calibrated", found.table)):
        predicted = np.array([table.latency_of(indices) for indices in networks])
        error = table_error(predicted, measured)
        rows.append({"space": name, "table": kind, "seconds": seconds, "board": table.board, **asdict(error)})
    return rows


def _progress(name: str, done: int, total: int) -> None:
    if done % 100 == 0 or done == total:
        sys.stderr.write(f"{name}: {done} of {total} measured\n")


if __name__ == "__main__":
    run(main)
