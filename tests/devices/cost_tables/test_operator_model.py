import numpy as np
import pytest

from devices.cost_tables.operator_model import COUNTS, OperatorLatency, OperatorModel, fit_operator_model, graph_counts
from search_space.block_graph import block_graph
from search_space.counts import count
from search_space.graphs import Graph, GraphBuilder
from search_space.operators import OPERATORS
from search_space.spaces import Layer, space_named

NOTHING = Graph((16, 8, 8), ())
SPACE = space_named("fbnet-cifar")


def counts_of(graph: Graph) -> dict[str, float]:
    return dict(zip(COUNTS, graph_counts(graph).tolist(), strict=True))


def test_counts_of_a_block_by_hand() -> None:
    layer = Layer(in_channels=16, out_channels=16, stride=1, size=8)
    grouped = next(operator for operator in OPERATORS if operator.name == "k3_e1_g2")
    pixels, channels = 64, 16
    assert counts_of(block_graph(layer, grouped)) == {
        "operations": 5,
        "dense MACs": 2 * pixels * channels * channels / 2,
        "numbers out of dense operations": 2 * pixels * channels,
        "weights of dense operations": 2 * (channels * channels / 2 + 2 * channels),
        "bytes of a dense convolution beyond the cache": 0,
        "depthwise MACs": pixels * channels * 9,
        "depthwise weights": channels * 9 + 2 * channels,
        "numbers in and out of shuffles": 2 * pixels * channels,
        "numbers in and out of other operations": 3 * pixels * channels,
    }


def test_only_a_large_convolution_goes_beyond_the_cache() -> None:
    def excess(channels: int) -> float:
        builder = GraphBuilder((channels, 4, 4))
        builder.conv("conv", Graph.INPUT, channels, batch_norm=False)
        return counts_of(builder.build())["bytes of a dense convolution beyond the cache"]

    assert excess(256) == 0
    assert excess(512) == 4 * (512 * 512 + 2 * 512 * 16) - 512 * 1024


@pytest.mark.parametrize("name", ["fbnet-cifar", "fbnet-imagenet"])
def test_counts_agree_with_those_of_the_space(name: str) -> None:
    graph = space_named(name).graph(tuple(OPERATORS[index % 9].name for index in range(22)))
    counts = counts_of(graph)
    assert counts["dense MACs"] + counts["depthwise MACs"] == count(graph).macs
    assert counts["weights of dense operations"] + counts["depthwise weights"] == count(graph).params


def test_nothing_costs_nothing() -> None:
    assert OperatorModel(np.ones(len(COUNTS))).latency_ms(NOTHING) == 0


def test_known_prices_are_found_again() -> None:
    prices = np.random.default_rng(0).uniform(0.5, 2, len(COUNTS)) * [1e-2, *[1e-6] * 8]
    truth = OperatorModel(prices)
    operators = []
    for layer in dict.fromkeys(SPACE.layers):
        skip = block_graph(layer, OPERATORS[-1])
        for operator in OPERATORS[:-1]:
            block = block_graph(layer, operator)
            operators.append(OperatorLatency(block, skip, truth.latency_ms(block) - truth.latency_ms(skip)))
    assert fit_operator_model(operators).ms_per_count == pytest.approx(prices, rel=1e-6)


def test_no_price_is_negative() -> None:
    layer = SPACE.layers[0]
    operators = [
        OperatorLatency(block_graph(layer, operator), NOTHING, 1.0 / (1 + index))
        for index, operator in enumerate(OPERATORS[:-1])
    ]
    assert (fit_operator_model(operators).ms_per_count >= 0).all()
