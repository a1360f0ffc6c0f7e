from __future__ import annotations

import itertools
from typing import Any

import pytest

from moo.visualization.architectures import architectures_figure
from moo.visualization.operator_colours import COLOURS
from search_space.operators import OPERATOR_NAMES
from search_space.spaces import FBNetSpace
from tests.moo.conftest import EntryOf, costs_of


def figure_of(number: Any, space: FBNetSpace, entry_of: EntryOf) -> Any:
    indices = list(itertools.islice(itertools.cycle(itertools.product(range(3), repeat=3)), number))
    entries = [entry_of(item, place / 100) for place, item in enumerate(indices)]
    costs = [costs_of(50.0 - place, 2.0, "measured", "modelled") for place in range(number)]
    return entries, architectures_figure(entries, costs, space)


def texts_of(figure: Any) -> Any:
    return [text.get_text() for text in figure.axes[0].texts]


def test_one_row_a_network_with_the_fastest_at_the_top(space: FBNetSpace, entry_of: EntryOf) -> None:
    entries, figure = figure_of(5, space, entry_of)
    rows = [text for text in figure.axes[0].texts if text.get_text() in {e.architecture.id for e in entries}]
    assert [row.get_text() for row in rows] == [entry.architecture.id for entry in reversed(entries)]
    assert [row.get_position()[1] for row in rows] == sorted(row.get_position()[1] for row in rows)


def test_boxes_are_named_and_coloured_by_operator(space: FBNetSpace, entry_of: EntryOf) -> None:
    entries, figure = figure_of(1, space, entry_of)
    assert entries[0].architecture.operators == ("k3_e1", "k3_e1", "k3_e1")
    assert texts_of(figure).count("k3e1") == 4, "three layers and the legend"


def test_a_skip_is_a_box_only_where_the_shape_changes(space: FBNetSpace, entry_of: EntryOf) -> None:
    skip = entry_of((2, 2, 2))
    figure = architectures_figure([skip], [costs_of(1.0, 1.0, "modelled", "modelled")], space)
    changing = sum(not layer.keeps_shape for layer in space.layers)
    assert texts_of(figure).count("1×1") == changing == 1


def test_each_cost_has_its_source_beside_it(space: FBNetSpace, entry_of: EntryOf) -> None:
    texts = texts_of(figure_of(4, space, entry_of)[1])
    assert texts.count("measured") == texts.count("modelled") == 4


@pytest.mark.parametrize(("number", "rows"), [(1, 1), (40, 40), (41, 40), (200, 40)])
def test_at_most_forty_networks_are_drawn(number: int, rows: int, space: FBNetSpace, entry_of: EntryOf) -> None:
    figure = figure_of(number, space, entry_of)[1]
    assert texts_of(figure).count("measured") == rows
    assert any(f"{rows} of {number}" in text.get_text() for text in figure.texts) == (rows < number)
    assert {"50.0 ms", f"{50 - (number - 1):.2f} ms"} & set(texts_of(figure)), "the ends are always drawn"


def test_all_operators_have_colours_of_their_own() -> None:
    assert set(COLOURS) == set(OPERATOR_NAMES)
    assert len(set(COLOURS.values())) == len(COLOURS)
