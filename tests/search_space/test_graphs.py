from collections.abc import Callable

import pytest

from search_space.graphs import Add, AveragePool, Graph, GraphBuilder, Linear, Shuffle


def test_shapes_follow_from_the_operations() -> None:
    builder = GraphBuilder((3, 7, 7))
    x = builder.conv("a", Graph.INPUT, 8, kernel=3, stride=2)
    assert builder.shape_of(x) == (8, 4, 4)
    x = builder.add("pooled", AveragePool(2, stride=2), x)
    assert builder.shape_of(x) == (8, 2, 2)
    builder.classifier(x, 5)
    graph = builder.build()
    assert [node.shape for node in graph.nodes] == [(8, 4, 4), (8, 2, 2), (8, 1, 1), (5, 1, 1)]
    assert graph.shape_of(Graph.INPUT) == (3, 7, 7)
    assert graph.shape_of("pooled") == (8, 2, 2)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda b: (b.conv("a", "input", 4), b.conv("a", "input", 4)), "node names must differ, but got 'a' twice"),
        (lambda b: b.conv("a", "input", 8, groups=4), "cannot take 6 channels"),
        (lambda b: b.conv("a", "input", 4, groups=3), "channels must divide into groups"),
        (lambda b: b.conv("a", "input", 4, kernel=2), "kernels be odd"),
        (lambda b: b.add("a", Shuffle(4), "input"), r"`channels % groups == 0` must hold, but got 6 and 4"),
        (lambda b: b.add("a", Linear(6, 10), "input"), r"cannot take an input of shape \(6, 8, 8\)"),
        (lambda b: b.add("a", AveragePool(9), "input"), r"cannot take an input of shape \(6, 8, 8\)"),
        (
            lambda b: b.add("a", Add(), "input", b.conv("c", "input", 4)),
            "all inputs of an operation must have one shape",
        ),
        (lambda b: b.add("a", Add()), "all inputs of an operation must have one shape"),
    ],
)
def test_what_does_not_fit_is_refused(build: Callable[[GraphBuilder], object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build(GraphBuilder((6, 8, 8)))
