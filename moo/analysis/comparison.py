"""Baselines against a run's front: what the front has within the latency of each one. Start with `compared`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from moo.analysis.networks import measured_costs
from moo.storage.archive import Archive, Costs, Entry
from moo.storage.trained_network import DeployedFile, TrainedNetwork


@dataclass(frozen=True)
class Comparison:
    """A baseline, and the front's best network that takes no longer."""

    baseline: TrainedNetwork
    file: DeployedFile
    """Of the baseline, in the precision of the run."""
    costs: Costs | None
    """Of this file; None if it was not measured."""
    rival: Entry | None
    """None if the front has none, or if the two cannot be compared."""
    gain: float | None
    """Percentage points of top-1 on the test split by which the rival's file is better; None without a rival."""


def compared(archive: Archive, baselines: Sequence[TrainedNetwork]) -> list[Comparison]:
    """Each baseline with the network of least error on the selection split, of those on the front that are no slower.

    Only a front of trained networks is compared, file against file in the precision of the run, and latencies only
    where they came about alike: a modelled one says nothing against a measured one.

    Raises:
        ValueError: if a network has no file in the precision of the run.
    """
    comparisons = []
    for baseline in baselines:
        file, costs = baseline.file_in(archive.precision), measured_costs(baseline, archive.precision)
        rival = None if costs is None else _best_within(archive, costs)
        gain = None
        if rival is not None and rival.trained is not None:
            gain = 100 * (rival.trained.file_in(archive.precision).top1 - file.top1)
        comparisons.append(Comparison(baseline, file, costs, rival, gain))
    return comparisons


def _best_within(archive: Archive, limit: Costs) -> Entry | None:
    if not archive.is_retrained:
        return None
    for entry in archive.front():
        costs = archive.costs(entry)
        if costs.latency_source == limit.latency_source and costs.latency_ms <= limit.latency_ms:
            return entry
    return None
