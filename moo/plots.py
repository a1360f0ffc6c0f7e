"""All pictures of a run. Start with `write_plots`; each picture is a function of plain data in the `*_plots` modules.

A modelled number is never shown as a measured one: labels name the sources, and markers differ by source.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from matplotlib.figure import Figure

from moo.architecture_plot import architectures_figure
from moo.archive import Archive
from moo.front_networks import evaluated
from moo.front_plots import latency_error_figure, projections_figure
from moo.front_space_plot import space_figure
from moo.jobs import TupleJob
from moo.rank_correlation import trust_in_supernet
from moo.search_plots import Bubble, coefficients_figure, hypervolume_figure, theta_figure
from moo.store import Store
from moo.trained_plots import points_lost, precision_figure, ranking_figure
from search_space.spaces import FBNetSpace

CAPTIONS = {
    "front_latency_error": "Error against latency; colour is energy.",
    "front_projections": "The front in its three projections.",
    "front_3d": "The front in three dimensions.",
    "ranking": "Error after training against error with inherited weights.",
    "precisions": "Accuracy and latency of the int8 files against the fp32 files.",
    "architectures": "What the networks of the front are made of, the fastest at the top.",
    "coefficients": "Which coefficients give which network.",
    "hypervolume": "Hypervolume against evaluated architectures and against time, with predicted costs.",
    "theta": "The inner search that gave the most accurate network of the front.",
}
"""Caption of each picture by the name of its file; also the order in which they are shown."""


def write_plots(folder: Path, archive: Archive, store: Store, space: FBNetSpace) -> list[Path]:
    """Write all pictures as PNG files.

    Args:
        folder: where to; made if it is not there.
        archive: all evaluated architectures.
        store: of the same run.
        space: that was searched.

    Returns:
        The files, in the order of `CAPTIONS`; none if nothing was evaluated.
    """
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for name, figure in _figures(archive, store, space):
        paths.append(folder / f"{name}.png")
        figure.savefig(paths[-1])
    return paths


def _figures(archive: Archive, store: Store, space: FBNetSpace) -> Iterator[tuple[str, Figure]]:
    if not len(archive):
        return
    networks = evaluated(archive, store.trained(baselines=True))
    front, tuples = archive.front(), store.tuples()
    yield "front_latency_error", latency_error_figure(networks, space=space.name)
    yield "front_projections", projections_figure(networks)
    yield "front_3d", space_figure(networks)
    trained = [entry for entry in archive.entries if entry.trained is not None]
    if trained:
        yield "ranking", ranking_figure(trained, trust_in_supernet(archive))
    deployed = [network for network in store.trained(baselines=False) if points_lost(network) is not None]
    if deployed:
        yield "precisions", precision_figure(deployed)
    costs = [archive.costs(entry) for entry in front]
    errors = [archive.error(entry) for entry in front] if archive.is_retrained else None
    yield "architectures", architectures_figure(front, costs, space, trained_errors=errors)
    if tuples_drawn := bubbles(archive, store):
        yield "coefficients", coefficients_figure(tuples_drawn)
    generations = {number: stored.job.generation for number, stored in tuples.items()}
    yield "hypervolume", hypervolume_figure(archive.entries, archive.reference_point, generations, store.minutes())
    best = front[0]
    if best.coefficients is not None:
        theta = store.theta(best.tuple_id)
        yield "theta", theta_figure(theta, space.operators, tuple_id=best.tuple_id, coefficients=best.coefficients)


def bubbles(archive: Archive, store: Store) -> list[Bubble]:
    """One bubble for each tuple that ended well, with the costs that the search had of its architecture."""
    drawn = []
    for stored in store.tuples().values():
        if stored.architecture_id is not None and isinstance(stored.job, TupleJob):
            entry = archive[stored.architecture_id]
            drawn.append(Bubble(stored.job.coefficients, entry.error, archive.searched_costs(entry)))
    return drawn
