import pytest
import torch

from search_space.catalogue import any_space_named
from search_space.networks import Network
from search_space.operators import OPERATOR_NAMES
from search_space.spaces import preset_names, space_named


@pytest.mark.parametrize("operator", OPERATOR_NAMES)
def test_logits_have_one_row_an_image_for_every_operator(operator: str) -> None:
    space = space_named("fbnet-micro").with_classes(7)
    network = Network(space.graph((operator,) * space.num_layers))
    assert network(torch.randn(2, *space.input_shape)).shape == (2, 7)


@pytest.mark.parametrize("name", preset_names())
def test_logits_have_one_row_an_image_in_every_preset(name: str) -> None:
    space = any_space_named(name, classes=3)
    operators = tuple(space.operators[index % len(space.operators)] for index in range(space.num_layers))
    with torch.no_grad():
        logits = Network(space.graph(operators)).eval()(torch.randn(2, *space.input_shape))
    assert logits.shape == (2, 3)
    assert logits.isfinite().all()


def test_every_node_runs_in_the_shape_that_the_graph_states() -> None:
    space = space_named("fbnet-micro")
    graph = space.graph(("k3_e1_g2", "k5_e6", "skip", "skip", "k3_e3", "k5_e1_g2", "skip", "k3_e6"))
    network = Network(graph)
    shapes: dict[str, torch.Size] = {}
    for node in graph.nodes:
        network.get_submodule(node.name).register_forward_hook(
            lambda _module, _inputs, output, name=node.name: shapes.update({name: output.shape})
        )
    network(torch.randn(2, *space.input_shape))
    for node in graph.nodes:
        assert tuple(shapes[node.name][1:]) in (node.shape, node.shape[:1])


def test_residual_is_added() -> None:
    space = space_named("fbnet-micro")
    network = Network(space.graph(("k3_e1",) + ("skip",) * 7)).eval()
    for parameter in network.get_submodule("layer00_project").parameters():
        torch.nn.init.zeros_(parameter)
    without = Network(space.graph(("skip",) * 8)).eval()
    without.load_state_dict({key: value for key, value in network.state_dict().items() if "layer00" not in key})
    x_BCHW = torch.randn(2, *space.input_shape)
    assert torch.equal(network(x_BCHW), without(x_BCHW))


def test_shuffle_moves_channel_g_c_to_c_g() -> None:
    space = space_named("fbnet-micro")
    network = Network(space.graph(("k3_e1_g2",) + ("skip",) * 7))
    x_BCHW = torch.arange(6.0).reshape(1, 6, 1, 1)
    assert network.get_submodule("layer00_shuffle")(x_BCHW).flatten().tolist() == [0, 3, 1, 4, 2, 5]


def test_gradients_reach_every_parameter() -> None:
    space = space_named("fbnet-micro")
    network = Network(space.graph(("k3_e1", "k3_e1_g2", "k3_e3", "k3_e6", "k5_e1", "k5_e1_g2", "k5_e3", "k5_e6")))
    network(torch.randn(4, *space.input_shape)).square().sum().backward()
    assert all(parameter.grad is not None for parameter in network.parameters())
