"""Baselines beside a run's front: all in one list (`models`), or each against the best as fast (`compared`)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from devices.configuration import RuntimeConfiguration
from moo.analysis.networks import file_costs, grouped, shown_points
from moo.analysis.representatives import distinct_front
from moo.storage.archive import Archive, Costs, OperatingPoint
from moo.storage.trained_network import DeployedFile, TrainedNetwork


@dataclass(frozen=True, kw_only=True, slots=True)
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


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelRow:
    """A network of the front or a baseline, as papers compare them."""

    name: str
    """Architecture id, or a baseline's name."""
    configuration: RuntimeConfiguration
    baseline: bool
    top1: float | None
    """Accuracy on the test split, in [0, 1]; None where that was not read."""
    trained: bool
    """Whether `top1` is that of the trained file, instead of with inherited weights."""
    costs: Costs | None
    """None if a baseline was not measured."""


def models(archive: Archive, baselines: Sequence[TrainedNetwork], *, front_size: int = 24) -> list[ModelRow]:
    """The front, the points of one network together, then the baselines, the most accurate first.

    Args:
        archive: of a run.
        baselines: trained networks; they are measured in the base configuration.
        front_size: operating points of the front that are listed at most.

    Raises:
        ValueError: if a trained network has no file in the precision of a point.
    """
    rows = []
    for point in grouped(shown_points(distinct_front(archive), front_size)):
        trained = point.entry.trained
        top1 = None if point.test_error is None else 1 - point.test_error
        if trained is not None:
            top1 = trained.file_for(point.configuration).top1
        rows.append(
            ModelRow(
                name=point.id,
                configuration=point.configuration,
                baseline=False,
                top1=top1,
                trained=trained is not None,
                costs=point.costs,
            )
        )
    base = archive.base
    files = [(network, network.file_in(base.precision)) for network in baselines]
    for network, file in sorted(files, key=lambda pair: (-pair[1].top1, pair[0].name)):
        costs = file_costs(network, base.precision, archive.energy)
        rows.append(
            ModelRow(name=network.name, configuration=base, baseline=True, top1=file.top1, trained=True, costs=costs)
        )
    return rows


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
        comparisons.append(Comparison(baseline=baseline, file=file, costs=costs, rival=rival, gain=gain))
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
