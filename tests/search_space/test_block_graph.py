from search_space.block_graph import block_graph
from search_space.operators import operator_named
from search_space.spaces import Layer


def test_block_graphs_are_blocks_alone() -> None:
    layer = Layer(16, 16, 1, 8)
    assert block_graph(layer, operator_named("skip")).nodes == ()
    names = [node.name for node in block_graph(layer, operator_named("k3_e1_g2")).nodes]
    assert names == ["expand", "shuffle", "depthwise", "project", "add"]
