"""Baselines against a run's front: what the front has within the latency of each one. Start with `compared`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from moo.analysis.networks import file_costs
from moo.storage.archive import Archive, Costs, OperatingPoint
from moo.storage.trained_network import DeployedFile, TrainedNetwork


@dataclass(frozen=True)
class Comparison:
    """A baseline, and the front's best network that takes no longer."""

    baseline: TrainedNetwork
    file: DeployedFile
    """Of the baseline, in the precision of the run's base configuration."""
    costs: Costs | None
    """Of this file; None if it was not measured."""
    rival: OperatingPoint | None
    """None if the front has none, or if the two cannot be compared."""
    gain: float | None
    """Percentage points of top-1 on the test split by which the rival's file is better; None without a rival."""


def compared(archive: Archive, baselines: Sequence[TrainedNetwork]) -> list[Comparison]:
    """Each baseline with the trained network of least error on the selection split that is no slower.

    Only where the front is one of trained networks; file against file in the base configuration of the run, in which
    baselines are measured, and latencies only where they came about alike: a modelled one says nothing against a
    measured one.

    Raises:
        ValueError: if a network has no file in the precision of the base configuration.
    """
    comparisons = []
    precision = archive.base.precision
    for baseline in baselines:
        file, costs = baseline.file_in(precision), file_costs(baseline, precision, archive.energy)
        rival = None if costs is None else _best_within(archive, costs)
        gain = None
        if rival is not None and rival.entry.trained is not None:
            gain = 100 * (rival.entry.trained.file_in(precision).top1 - file.top1)
        comparisons.append(Comparison(baseline, file, costs, rival, gain))
    return comparisons


def _best_within(archive: Archive, limit: Costs) -> OperatingPoint | None:
    if not archive.is_retrained:
        return None
    return min(
        (
            point
            for point in archive.trained_points()
            if point.configuration == archive.base
            and point.costs.latency_source == limit.latency_source
            and point.costs.latency_ms <= limit.latency_ms
        ),
        key=lambda point: point.objectives,
        default=None,
    )
