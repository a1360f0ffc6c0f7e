"""All pictures of a run. Start with `write_plots`; each is a function of plain data in a module beside this one.

A modelled number is never shown as a measured one: labels name the sources, and markers differ by source.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path

from matplotlib.figure import Figure

from devices.profiling.family import FamilyProfile
from moo.analysis.adaptation import AdaptiveResults
from moo.analysis.errors import error_kind
from moo.analysis.networks import ShownNetwork, best_of_each, evaluated, shown_network, shown_points
from moo.analysis.objectives import why_two_objectives
from moo.analysis.rank_correlation import LEAST_PAIRS, trust_in_supernet
from moo.analysis.representatives import distinct_front
from moo.storage.archive import Archive, Entry, networks_of
from moo.storage.store import StoredTrial, StoreReader
from moo.trials import CoefficientTrial
from moo.visualization.adaptive import (
    adaptive_clocks_figure,
    adaptive_fronts_figure,
    oracle_figure,
    policy_over_clocks,
    shares_figure,
)
from moo.visualization.architectures import architectures_figure
from moo.visualization.coefficients import TrialPoint, coefficients_figure
from moo.visualization.configurations import (
    clock_figure,
    clocks_of,
    configurations_space_figure,
    few_networks,
    trade_figure,
)
from moo.visualization.family import family_figure
from moo.visualization.front import latency_error_figure, projections_figure, space_figure
from moo.visualization.samples import Sample, samples_figure
from moo.visualization.search import hypervolume_figure, theta_figure
from moo.visualization.style import save_figure
from moo.visualization.training import points_lost, precision_figure, ranking_figure
from search_space.spaces import FBNetSpace

COST_TABLES, SAMPLES = "cost_tables", "samples"
CAPTIONS = {
    "front_latency_error": "Error against latency; colour is energy.",
    "front_projections": "The front in its three projections.",
    "front_3d": "The front in three dimensions.",
    "configurations": "Energy against latency of some networks of the front, in all runtime configurations.",
    "clocks": "Energy against the clock of some networks of the front.",
    COST_TABLES: "The board's cost tables: predicted against measured latency, and costs, in each configuration.",
    "adaptive_fronts": "What early exits gain: error against expected latency and energy, with and without them.",
    "adaptive_shares": "Which share of images leaves where, for points with early exits, the quickest at the top.",
    "adaptive_clocks": "Expected energy of one network and its exits against the clock.",
    "adaptive_oracle": "Policies beside their oracle, which knows the labels: a bound that cannot be deployed.",
    "ranking": "Error after training against error with inherited weights.",
    "precisions": "Accuracy and latency of the int8 files against the fp32 files.",
    "architectures": "What the networks of the front are made of, the fastest at the top.",
    "coefficients": "Which coefficients give which network.",
    "hypervolume": "Hypervolume against evaluated architectures and against time, with predicted costs.",
    SAMPLES: "Training images as they are, and as networks see them.",
    "theta": "The inner search on the supernet that gave the most accurate network of the front that came of one.",
}
"""Caption of each picture by the name of its file; also the order in which they are shown."""


def write_plots(
    folder: Path,
    archive: Archive,
    store: StoreReader,
    space: FBNetSpace,
    *,
    front_size: int = 24,
    adaptive: AdaptiveResults | None = None,
) -> list[Path]:
    """Write all pictures as PNG files.

    Args:
        folder: where to; made if it is not there.
        archive: all evaluated architectures.
        store: of the same run.
        space: that was searched.
        front_size: operating points of the front that are shown at most.
        adaptive: networks with early exits; None where the run has none.

    Returns:
        The files, in the order of `CAPTIONS`; none if nothing was evaluated. Pictures of before that are not drawn any
        more are removed.
    """
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    figures = _figures(archive, store, space, front_size)
    for name, figure in chain(figures, _adaptive_figures(adaptive)):
        paths.append(folder / f"{name}.png")
        save_figure(figure, paths[-1])
    for name in CAPTIONS:
        path = folder / f"{name}.png"
        # These were drawn before the search: what was measured and the images are not in the store.
        if name not in (COST_TABLES, SAMPLES) and path not in paths:
            path.unlink(missing_ok=True)
    return plots_there(folder)


def plots_there(folder: Path) -> list[Path]:
    """The pictures that a folder holds, in the order of `CAPTIONS`."""
    return [path for name in CAPTIONS if (path := folder / f"{name}.png").exists()]


def write_cost_tables_picture(folder: Path, family: FamilyProfile, space: FBNetSpace) -> None:
    """Draw the profile of a run's board, beside its other pictures.

    Args:
        folder: where to; made if it is not there.
        family: at least two configurations.
        space: their search space.
    """
    folder.mkdir(parents=True, exist_ok=True)
    save_figure(family_figure(family, space), folder / f"{COST_TABLES}.png")


def write_samples_picture(folder: Path, samples: Sequence[Sample], *, size: int, said: str) -> None:
    """Draw some images of a run as networks see them, beside its other pictures.

    Args:
        folder: where to; made if it is not there.
        samples: at least one.
        size: height and width that networks take, in pixels.
        said: what becomes of pictures.
    """
    folder.mkdir(parents=True, exist_ok=True)
    save_figure(samples_figure(samples, size=size, said=said), folder / f"{SAMPLES}.png")


def why_not_in_space(archive: Archive) -> str:
    """Why there is no picture of the front in three dimensions, as a sentence; empty if there is one."""
    return why_two_objectives([point.objectives for point in archive.front()])


def _figures(archive: Archive, store: StoreReader, space: FBNetSpace, front_size: int) -> Iterator[tuple[str, Figure]]:
    if not len(archive):
        return
    networks = evaluated(archive, store.trained(baselines=True), front_size=front_size)
    front, trials = archive.front(), store.trials()
    shown = best_of_each(shown_points(distinct_front(archive), front_size))
    yield "front_latency_error", latency_error_figure(networks, space=space.name)
    yield "front_projections", projections_figure(networks)
    several, energy = len(archive.configurations) > 1, archive.energy.label
    if not why_not_in_space(archive):
        figure = space_figure(networks)
        if several:
            figure = configurations_space_figure(
                networks.front, archive.configurations, energy=energy, summary=networks.summary
            )
        yield "front_3d", figure
    if several:
        points = few_networks(_in_all_configurations(archive, networks_of(shown)))
        yield "configurations", trade_figure(points, archive.configurations, energy=energy)
        if len(clocks_of(points)) > 1:
            yield "clocks", clock_figure(points, energy=energy)
    trained = [entry for entry in archive.entries if entry.trained is not None]
    if len(trained) >= LEAST_PAIRS:
        yield "ranking", ranking_figure(trained, trust_in_supernet(archive), kind=error_kind(archive.data))
    deployed = [network for network in store.trained(baselines=False) if points_lost(network) is not None]
    if deployed:
        yield "precisions", precision_figure(deployed, kind=error_kind(archive.data))
    errors = [point.error for point in shown] if archive.is_retrained else None
    entries, costs = [point.entry for point in shown], [point.costs for point in shown]
    yield (
        "architectures",
        architectures_figure(entries, costs, space, trained_errors=errors, kind=error_kind(archive.data)),
    )
    if trials_drawn := trial_points(archive, store):
        yield "coefficients", coefficients_figure(trials_drawn)
    generations = {number: stored.trial.generation for number, stored in trials.items()}
    yield "hypervolume", hypervolume_figure(archive.entries, archive.reference_point, generations, store.minutes())
    number = best_searched(networks_of(front), trials)
    if number is not None:
        coefficients = trials[number].trial.coefficients
        assert coefficients is not None
        yield "theta", theta_figure(store.theta(number), space.operators, trial_id=number, coefficients=coefficients)


def _adaptive_figures(adaptive: AdaptiveResults | None) -> Iterator[tuple[str, Figure]]:
    if adaptive is None:
        return
    yield "adaptive_fronts", adaptive_fronts_figure(adaptive)
    if not adaptive.points:
        return
    yield "adaptive_shares", shares_figure(adaptive.front)
    if policy := policy_over_clocks(adaptive.points):
        yield "adaptive_clocks", adaptive_clocks_figure(policy, adaptive.static)
    yield "adaptive_oracle", oracle_figure(adaptive.points, adaptive.static)


def _in_all_configurations(archive: Archive, entries: Sequence[Entry]) -> list[ShownNetwork]:
    """All operating points of some networks, whether they are on the front or not."""
    wanted = {entry.architecture.id for entry in entries}
    points = archive.trained_points() if archive.is_retrained else archive.points(entries)
    return [shown_network(point, several=True) for point in points if point.id in wanted]


def trial_points(archive: Archive, store: StoreReader) -> list[TrialPoint]:
    """Each trial of coefficients that ended well, with error and costs of its networks in its own configuration.

    Those of its networks that are on the front have a point each; where none is, the one that stands for the trial.
    """
    on_front: dict[int, list[Entry]] = {}
    for entry in networks_of(archive.front()):
        on_front.setdefault(entry.trial_id, []).append(entry)
    return [
        TrialPoint(
            trial_id=number,
            coefficients=stored.trial.coefficients,
            network=entry.architecture.id,
            error=_searched_error(archive, entry),
            costs=archive.searched_costs(entry),
            on_front=number in on_front,
        )
        for number, stored in store.trials().items()
        if stored.architecture_id is not None and stored.trial.coefficients is not None
        for entry in on_front.get(number, [archive[stored.architecture_id]])
    ]


def _searched_error(archive: Archive, entry: Entry) -> float:
    error = archive.searched_error(entry, entry.configuration or archive.base)
    return entry.error if error is None else error


def best_searched(front: Sequence[Entry], trials: Mapping[int, StoredTrial]) -> int | None:
    """The trial whose inner search on the supernet gave the most accurate network of the front, else the best trial."""
    searched = [n for n, stored in trials.items() if isinstance(stored.trial, CoefficientTrial) and stored.objectives]
    on_front = [entry.trial_id for entry in front if entry.trial_id in searched]
    return next(iter(on_front), min(searched, key=lambda number: trials[number].objectives or (), default=None))
