"""A network as a drawing: a box a layer, and below it what a cost table predicts for it.

A drawing is a tree of SVG elements, each as `[tag, attributes, children]`; the page makes elements of it, and nothing
of it is ever read as markup. Start with `drawing_json`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any

from devices.measurement import Source
from moo.formatting import cost, short
from moo.visualization.operator_colours import COLOURS

Json = dict[str, Any]
Element = list[Any]
LEGEND = (
    "k: kernel, e: expansion (height of a box), g: groups, /2: stride 2; a line alone: skip; a white 1×1: skip where "
    "the shape changes. Under each layer stands what the cost table predicts for it."
)
COLUMN, LEFT, BAR, PLAIN = 46, 62, 60, "#E3E3E3"
TOP, MIDDLE = 112, 70
HEIGHTS = {0: 14, 1: 16, 3: 26, 6: 38}
"""Of a box, by expansion."""
HEIGHT_OF_OTHERS = 26
QUANTITIES = (("latency", "latency_ms", "ms"), ("energy", "energy_mj", "mJ"))
MODELLED: Source = "modelled"
LEAST = 0.01
"""Share of the largest figure of which one has three digits above its bar."""


def drawing_json(network: Mapping[str, Any], label: str, marked: Collection[int] = ()) -> Element:
    """The drawing of a network.

    Args:
        network: as `moo.page.network_view.drawn_json` tells of it.
        label: of the configuration whose costs are drawn.
        marked: places of layers that differ from those of another network.
    """
    layers: list[Json] = network["layers"]
    last = len(layers) + 1
    through = _element("line", {"x1": _x(0), "x2": _x(last), "y1": MIDDLE, "y2": MIDDLE, "class": "through"})
    names = ["stem", *(str(place) for place in range(1, last)), "head"]
    children = [through, *(_text(_x(column), 44, name, "soft") for column, name in enumerate(names))]
    children += _ends(network, last)
    for place, layer in enumerate(layers):
        children += _layer(layer, place, differs=place in marked)
        if place == 0 or layers[place - 1]["out_channels"] != layer["out_channels"] or layer["stride"] > 1:
            over = (f"{layer['out_channels']} ch", f"{layer['out_size']} px")
            children += [
                _text(_x(place + 1) - 20, 16 + 13 * row, told, "soft", anchor="start") for row, told in enumerate(over)
            ]
    width = LEFT + COLUMN * (last + 1) + 8
    for row in range(len(QUANTITIES)):
        children += _bars(network["costs"][label], row, width)
    told = f"Network {network['id']}: {', '.join(layer['operator'] for layer in layers)}"
    size = {"width": width, "height": 108 + len(QUANTITIES) * (BAR + 22)}
    return _element("svg", {**size, "role": "img", "aria-label": told, "class": "layers"}, *children)


def _ends(network: Mapping[str, Any], last: int) -> Iterator[Element]:
    stem, head = network["stem"], network["head"]
    told = f"stem: 3×3, {stem['channels']} channels, stride {stem['stride']}, from {stem['size']} px"
    yield _box(0, 26, PLAIN, "3×3", told)
    yield _box(
        last, 26, PLAIN, "1×1 fc", f"head: 1×1 to {head['channels']} channels, pooling, {head['classes']} classes"
    )


def _layer(layer: Json, place: int, *, differs: bool) -> Iterator[Element]:
    column = place + 1
    told = (
        f"layer {column}: {layer['operator']}, {layer['in_channels']} to {layer['out_channels']} channels, "
        f"{layer['size']} to {layer['out_size']} px, stride {layer['stride']}"
    )
    if not layer["identity"]:
        height = HEIGHTS.get(layer["expansion"], HEIGHT_OF_OTHERS)
        yield _box(column, height, COLOURS.get(layer["operator"], PLAIN), _letters(layer), told, differs=differs)
    if layer["stride"] > 1:
        yield _text(_x(column) + 8, 104, f"/{layer['stride']}", "soft")
    if differs:
        yield _text(_x(column) - 8, 104, "≠", "unequal")


def _letters(layer: Json) -> str:
    if not layer["kernel"]:
        return "1×1"
    groups = f"g{layer['groups']}" if layer["groups"] > 1 else ""
    return f"k{layer['kernel']}e{layer['expansion']}{groups}"


def _bars(costs: Mapping[str, Any], row: int, width: int) -> Iterator[Element]:
    name, key, unit = QUANTITIES[row]
    values = [costs[key]["fixed"], *costs[key]["layers"]]
    most, y = max(*values, 1e-12), TOP + row * (BAR + 22) + BAR
    yield _text(4, y - 14, name, "soft", anchor="start")
    yield _text(4, y, unit, "soft", anchor="start")
    for column, value in enumerate(values):
        height = value / most * (BAR - 14)
        told = f"layer {column}" if column else "stem and head (fixed)"
        place = {"x": _x(column) - 16, "y": round(y - height, 1), "width": 32, "height": round(height, 1)}
        yield _element(
            "g",
            {},
            _element("title", {}, f"{told}: {cost(value, unit, MODELLED)}"),
            _element("rect", {**place, "class": name}),
            _text(_x(column), round(y - height - 3, 1), _label(value, most), "small"),
        )
    yield _element("line", {"x1": LEFT, "x2": width - 8, "y1": y, "y2": y, "class": "axis"})
    yield _text(_x(0), y + 12, "fixed", "small soft")


def _label(value: float, most: float) -> str:
    """A figure above its bar; what is next to nothing beside the largest takes no more room than its column."""
    return short(value) if value == 0 or value >= LEAST * most else f"{value:.1g}"


def _box(column: int, height: int, colour: str, content: str, told: str, *, differs: bool = False) -> Element:
    red, green, blue = (int(colour[place : place + 2], 16) for place in (1, 3, 5))
    ink = "#222" if 0.3 * red + 0.59 * green + 0.11 * blue > 128 else "#fff"
    place = {"x": _x(column) - 20, "y": MIDDLE - height / 2, "width": 40, "height": height, "rx": 3}
    text = _text(_x(column), 74, content, "small" if len(content) > 4 else "")
    text[1]["style"] = f"fill: {ink}"
    kind = "box differs" if differs else "box"
    return _element(
        "g", {}, _element("title", {}, told), _element("rect", {**place, "fill": colour, "class": kind}), text
    )


def _x(column: int) -> int:
    """The middle of a column."""
    return LEFT + COLUMN * column + COLUMN // 2


def _text(x: float, y: float, content: str, kind: str = "", anchor: str = "middle") -> Element:
    return _element("text", {"x": x, "y": y, "class": kind, "text-anchor": anchor}, content)


def _element(tag: str, attributes: Json, *children: Element | str) -> Element:
    return [tag, attributes, list(children)]
