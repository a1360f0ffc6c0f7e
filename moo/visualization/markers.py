"""How networks are marked in pictures of a front, and what the legend and the axes say of them."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from matplotlib.lines import Line2D

from moo.analysis.networks import Evaluated, ShownNetwork
from moo.formatting import cost_label
from moo.storage.archive import Costs
from moo.visualization.style import FAINT, GREY, VERMILION, legend_marker, marker_of

_BASELINE_MARKERS = {"measured": "*", "modelled": "v", "published": "P"}
_MIXED_BASELINE_MARKER = "X"
SAME = "no better than a cheaper one"
"""What the legend calls points of the front that cannot be told apart from one that costs no more."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Group:
    """Networks that are marked alike."""

    name: str
    """As the legend calls them."""
    networks: tuple[ShownNetwork, ...]
    colour: str
    share: float
    """Area of a marker, as a share of a front marker's."""
    opacity: float

    @property
    def marker_size(self) -> float:
        """Of its legend entries, in points."""
        return 9.0 * math.sqrt(max(self.share, 0.42))


def groups_of(networks: Evaluated, colour: str) -> tuple[Group, ...]:
    """The evaluated networks in the order of drawing, the front (in this colour) last."""
    merged = Group(name=SAME, networks=networks.merged, colour=colour, share=0.45, opacity=0.35)
    if not networks.retrained:
        return (
            Group(name="dominated", networks=networks.dominated, colour=FAINT, share=0.39, opacity=0.6),
            merged,
            Group(name="front", networks=networks.front, colour=colour, share=1.0, opacity=1.0),
        )
    return (
        Group(name="inherited error", networks=networks.untrained, colour=FAINT, share=0.3, opacity=0.5),
        Group(name="dominated, trained", networks=networks.dominated, colour=GREY, share=0.45, opacity=0.8),
        merged,
        Group(name="front, trained", networks=networks.front, colour=colour, share=1.0, opacity=1.0),
    )


def baselines_of(networks: Evaluated) -> Group:
    """The baselines; their markers are those of `baseline_marker`."""
    return Group(name="baseline, trained", networks=networks.baselines, colour=VERMILION, share=1.9, opacity=1.0)


def baseline_marker(origin: str) -> str:
    """Marker of a baseline whose costs come from a source, or from two."""
    return _BASELINE_MARKERS.get(origin, _MIXED_BASELINE_MARKER)


def handles_of(groups: Sequence[Group], origin: Callable[[Costs], str], *, what: str = "") -> list[Line2D]:
    """Legend entries, the last group first, one for each origin of its networks' costs.

    Args:
        groups: as drawn.
        origin: what of a network's costs the marker tells.
        what: of which cost, before the origin's name.
    """
    return [
        legend_marker(f"{group.name}, {what}{name}", marker_of(name), group.colour, size=group.marker_size)
        for group in reversed(groups)
        for name in sorted({origin(network.costs) for network in group.networks})
    ]


def baseline_handles(group: Group, origin: Callable[[Costs], str], *, what: str = "") -> list[Line2D]:
    """The same for baselines."""
    names = sorted({origin(network.costs) for network in group.networks})
    return [
        legend_marker(f"{group.name}, {what}{name}", baseline_marker(name), group.colour, size=12) for name in names
    ]


def cost_axis_label(column: int, networks: Sequence[ShownNetwork], energy: str) -> str:
    """Label of an axis of latency (column 1) or energy (column 2), with the sources that occur.

    Args:
        column: of the coordinates.
        networks: that are drawn.
        energy: what energies are of one image.
    """
    if column == 1:
        return cost_label("latency", "ms", (network.costs.latency_source for network in networks))
    errors = [network.costs.energy_error for network in networks]
    return cost_label(energy, "mJ", (network.costs.energy_source for network in networks), errors)
