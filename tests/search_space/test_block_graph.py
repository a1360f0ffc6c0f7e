import numpy as np
import pytest

from search_space.block_graph import block_graph, count_tables
from search_space.counts import count
from search_space.operators import operator_named
from search_space.spaces import CELL_SPACE, Layer, preset_names, space_named


def test_block_graphs_are_blocks_alone() -> None:
    layer = Layer(16, 16, 1, 8)
    assert block_graph(layer, operator_named("skip")).nodes == ()
    names = [node.name for node in block_graph(layer, operator_named("k3_e1_g2")).nodes]
    assert names == ["expand", "shuffle", "depthwise", "project", "add"]


@pytest.mark.parametrize("name", [name for name in preset_names() if name != CELL_SPACE])
def test_sums_over_layers_are_the_counts_of_the_whole_network(name: str) -> None:
    """Against the counts of whole graphs, exactly: of architectures at random, and of each operator throughout."""
    space = space_named(name)
    tables = count_tables(space)
    rng = np.random.default_rng(0)
    operators = np.arange(len(space.operators))
    drawn = [
        *rng.integers(0, len(operators), (5, space.num_layers)),
        *(np.full(space.num_layers, o) for o in operators),
    ]
    for indices in drawn:
        whole = count(space.graph(tuple(space.operators[index] for index in indices)))
        summed = [count_LO[np.arange(space.num_layers), indices].sum() + fixed for count_LO, fixed in tables]
        assert summed == [whole.macs, whole.params]
