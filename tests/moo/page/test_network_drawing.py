from __future__ import annotations

from typing import Any

from moo.page import network_drawing
from moo.page.cells import hover
from moo.page.network_drawing import drawing_json
from moo.page.network_view import drawn_json
from moo.page.opened import opened
from moo.storage.run_folder import RunFolder
from moo.visualization import architectures


def test_operators_have_the_colours_that_they_have_in_the_report() -> None:
    assert vars(network_drawing)["COLOURS"] == vars(architectures)["COLOURS"]


def test_each_layer_but_those_left_out_has_a_box_and_each_its_costs(finished_run: RunFolder) -> None:
    run = opened(finished_run)
    for entry in run.archive.entries:
        drawn = drawn_json(run, entry.architecture)
        elements = list(within(drawing_json(drawn, run.archive.base.label, [0])))
        kinds = [attributes.get("class") for tag, attributes, _ in elements if tag == "rect"]
        boxes = sum(str(kind).startswith("box") for kind in kinds)
        assert boxes == 2 + sum(not layer["identity"] for layer in drawn["layers"])
        assert kinds.count("latency") == kinds.count("energy") == 1 + len(drawn["layers"])
        assert kinds.count("box differs") == (not drawn["layers"][0]["identity"])
        assert [children for _, attributes, children in elements if attributes.get("class") == "unequal"] == [["≠"]]


def test_a_figure_takes_no_more_room_than_its_column() -> None:
    label = vars(network_drawing)["_label"]
    assert [label(value, 0.347) for value in (0.347, 0.0825, 0.000667, 0.0000334, 0)] == [
        "0.347", "0.0825", "0.0007", "3e-05", "0"
    ]  # fmt: skip


def within(element: list[Any]) -> list[list[Any]]:
    """An element, and all that it contains."""
    below = [found for child in element[2] if isinstance(child, list) for found in within(child)]
    return [element, *below]


def test_names_stay_text_beside_points_of_charts() -> None:
    assert hover("<b>pi</b>", "1 & 2") == "&lt;b&gt;pi&lt;/b&gt;<br>1 &amp; 2"
