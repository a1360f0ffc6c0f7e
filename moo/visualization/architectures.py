"""The networks of a front drawn layer by layer, as in FBNet's figure: colour is the operator, height its expansion."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch

from evaluation.errors import ERROR_NAMES, ErrorKind
from moo.formatting import percent, short
from moo.storage.archive import Costs, Entry
from moo.visualization.operator_colours import COLOURS
from moo.visualization.style import FAINT, GREY, INK, new_figure
from search_space.operators import OPERATORS, Operator, operator_named
from search_space.spaces import FBNetSpace, Layer

MOST_ROWS = 40
FIXED_COLOUR = "#E3E3E3"
_HEIGHTS = {0: 0.30, 1: 0.36, 3: 0.58, 6: 0.84}
_ROW_INCHES, _COLUMN_INCHES = 0.42, 0.6


def architectures_figure(
    entries: Sequence[Entry],
    costs: Sequence[Costs],
    space: FBNetSpace,
    *,
    trained_errors: Sequence[float] | None = None,
    kind: ErrorKind = "plain",
) -> Figure:
    """One row a network, the fastest at the top, with its error and costs at the right.

    Args:
        entries: the front; of more than 40 networks, 40 are drawn, evenly spread over the ranks of latency.
        costs: of each entry.
        space: that they belong to.
        trained_errors: of each entry, in [0, 1]; None where the front is one of inherited weights.
        kind: what is called an error.
    """
    errors = [entry.error for entry in entries] if trained_errors is None else trained_errors
    ranked = sorted(zip(entries, costs, errors, strict=True), key=lambda row: row[1].latency_ms)
    rows = [ranked[place] for place in _spread(len(ranked), MOST_ROWS)]
    columns = space.num_layers + 2
    id_inches, cost_inches = 0.5 + 0.075 * space.num_layers, 3.95
    width = max(id_inches + columns * _COLUMN_INCHES + cost_inches, 10.5)
    top, legend = 1.35, 0.95
    height = top + _ROW_INCHES * len(rows) + legend
    number = f"{len(rows)} of {len(ranked)}" if len(rows) < len(ranked) else f"{len(ranked)}"
    subtitle = f"networks of the front ({number}), the fastest at the top; colour: operator, height of a box: expansion"
    weights = "with inherited weights" if trained_errors is None else "after training"
    subtitle += f"\n{ERROR_NAMES[kind]}: on the selection split, {weights}"
    figure = new_figure(width, height, f"What the front of {space.name} is made of", subtitle)
    figure.set_layout_engine("none")
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_xlim(0, width)
    axes.set_ylim(height, 0)
    axes.axis("off")
    x_of = [id_inches + _COLUMN_INCHES * (column + 0.5) for column in range(columns)]
    _draw_head(axes, space, x_of, top)
    cost_x = x_of[-1] + _COLUMN_INCHES * 0.5 + 0.2
    for name, offset in (("error", 0.62), ("latency", 1.4), ("energy", 2.85)):
        axes.text(cost_x + offset, top - 0.16, name, fontsize=9, color=GREY, ha="right", va="center")
    for row, (entry, cost, error) in enumerate(rows):
        y = top + _ROW_INCHES * (row + 0.5)
        axes.text(0.15, y, entry.architecture.id, fontsize=8, family="monospace", color=INK, va="center")
        _draw_row(axes, entry, space, x_of, y)
        _draw_costs(axes, error, cost, cost_x, y)
    _draw_legend(axes, space, id_inches, height - 0.5)
    return figure


def _spread(number: int, most: int) -> list[int]:
    """Places of at most `most` of `number` items, with the first and the last."""
    if number <= most:
        return list(range(number))
    return [round(place * (number - 1) / (most - 1)) for place in range(most)]


def _draw_head(axes: Axes, space: FBNetSpace, x_of: Sequence[float], top: float) -> None:
    """Numbers of the layers, and over each stage its channels and the size of what it puts out."""
    names = ["stem", *(str(number) for number in range(1, space.num_layers + 1)), "head"]
    for name, x in zip(names, x_of, strict=True):
        axes.text(x, top - 0.16, name, fontsize=9, color=GREY, ha="center", va="center")
    first = 0
    for stage in space.stages:
        last = first + stage.layers - 1
        end = space.layers[last]
        size = -(-end.size // end.stride)
        left, right = x_of[first + 1] - _COLUMN_INCHES * 0.44, x_of[last + 1] + _COLUMN_INCHES * 0.44
        axes.plot([left, right], [top - 0.31] * 2, color=FAINT, linewidth=1.2)
        text = f"{stage.channels} ch, {size} px" if stage.layers > 1 else f"{stage.channels} ch"
        axes.text((left + right) / 2, top - 0.41, text, fontsize=8, color=GREY, ha="center", va="center")
        first = last + 1


def _draw_row(axes: Axes, entry: Entry, space: FBNetSpace, x_of: Sequence[float], y: float) -> None:
    axes.plot([x_of[0], x_of[-1]], [y, y], color=FAINT, linewidth=1.1, zorder=1)
    for x, text in ((x_of[0], "3×3"), (x_of[-1], "1×1, fc")):
        _draw_box(axes, x, y, _HEIGHTS[3], FIXED_COLOUR, text)
    for x, layer, name in zip(x_of[1:-1], space.layers, entry.architecture.operators, strict=True):
        _draw_operator(axes, x, y, operator_named(name), layer)


def _draw_operator(axes: Axes, x: float, y: float, operator: Operator, layer: Layer) -> None:
    if not operator.is_skip:
        groups = f"g{operator.groups}" if operator.groups > 1 else ""
        text = f"k{operator.kernel}e{operator.expansion}{groups}"
        _draw_box(axes, x, y, _HEIGHTS[operator.expansion], COLOURS[operator.name], text)
    elif not layer.keeps_shape:
        _draw_box(axes, x, y, _HEIGHTS[0], COLOURS["skip"], "1×1")


def _draw_box(axes: Axes, x: float, y: float, share: float, colour: str, text: str) -> None:
    width, height = 0.84 * _COLUMN_INCHES, share * _ROW_INCHES
    axes.add_patch(
        FancyBboxPatch(
            (x - width / 2, y - height / 2),
            width,
            height,
            boxstyle="round,pad=0,rounding_size=0.035",
            facecolor=colour,
            edgecolor=GREY,
            linewidth=0.5,
            zorder=2,
        )
    )
    dark = sum(weight * part for weight, part in zip((0.3, 0.59, 0.11), to_rgb(colour), strict=True)) < 0.5
    axes.text(x, y + 0.005, text, fontsize=6.8, color="white" if dark else INK, ha="center", va="center", zorder=3)


def _draw_costs(axes: Axes, error: float, costs: Costs, x: float, y: float) -> None:
    for offset, text, align, colour in (
        (0.62, percent(error), "right", INK),
        (1.4, f"{short(costs.latency_ms)} ms", "right", INK),
        (1.47, costs.latency_source, "left", GREY),
        (2.85, f"{short(costs.energy_mj)} mJ", "right", INK),
        (2.92, costs.energy_source, "left", GREY),
    ):
        axes.text(x + offset, y, text, fontsize=8.5, color=colour, ha=align, va="center")


def _draw_legend(axes: Axes, space: FBNetSpace, left: float, y: float) -> None:
    axes.text(0.15, y, "operators", fontsize=9, color=GREY, va="center")
    x = max(left, 0.95)
    for operator in OPERATORS:
        if operator.name in space.operators and not operator.is_skip:
            _draw_operator(axes, x + _COLUMN_INCHES / 2, y, operator, space.layers[0])
            x += _COLUMN_INCHES + 0.08
    if "skip" in space.operators:
        axes.plot([x + 0.1, x + 0.45], [y - 0.09] * 2, color=FAINT, linewidth=1.1)
        axes.text(x + 0.55, y - 0.09, "skip; a white 1×1 where the shape changes", fontsize=8, color=GREY, va="center")
    axes.text(x + 0.1, y + 0.11, "k kernel, e expansion, g groups", fontsize=8, color=GREY, va="center")
