from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import onnxruntime
import pytest
import torch
from torch import Tensor

from search_space.counts import count
from search_space.exits import HEADS, Exit, head_graph
from search_space.graphs import Graph
from search_space.networks import Network
from search_space.onnx_files import INPUT_NAME, random_weights, to_onnx
from search_space.segments import PREVIOUS_NAME, BranchedGraph, Segment, branched_graph, segments_of
from search_space.spaces import FBNetSpace, Stage, space_named

SPACES = {
    "micro": replace(space_named("fbnet-micro"), classes=5),
    "cifar": replace(space_named("fbnet-cifar"), classes=5, input_size=16, last_channels=32),
    "imagenet": replace(space_named("fbnet-imagenet"), classes=5, input_size=32, last_channels=32),
    "one shape": FBNetSpace(
        name="one shape",
        input_size=6,
        classes=5,
        stem_channels=4,
        stem_stride=1,
        stages=(Stage(4, 6, 1),),
        last_channels=8,
    ),
}
GROUPED = ("k3_e1_g2", "k5_e1_g2")
Weights = dict[str, npt.NDArray[np.float32]]
Case = tuple[FBNetSpace, tuple[str, ...], tuple[Exit, ...]]


def cases() -> Iterator[Case]:
    """Random networks with random exits between which something is computed; also of identities and of shuffles."""
    rng = np.random.default_rng(0)
    for space in SPACES.values():
        for names in (space.operators, GROUPED, ("skip", "k3_e1")):
            for wanted in range(4):
                operators = tuple(map(str, rng.choice(names, space.num_layers)))
                places = [
                    layer
                    for layer, (name, shape) in enumerate(zip(operators, space.layers, strict=True))
                    if name != "skip" or not shape.keeps_shape
                ]
                chosen = sorted(rng.choice(places, min(wanted, len(places)), replace=False))
                yield space, operators, tuple(Exit(int(layer), rng.choice(HEADS)) for layer in chosen)


CASES = list(cases())
LABELS = [f"{space.name} {len(exits)} exits {operators[0]}" for space, operators, exits in CASES]


def weights_of(branched: BranchedGraph) -> Weights:
    """Random ones, with statistics that no two channels share."""
    rng = np.random.default_rng(1)
    weights = random_weights(branched.graph, rng)
    for name, array in weights.items():
        if name.endswith(("running_mean", "norm.bias", "classifier.bias")):
            weights[name] = rng.normal(0, 0.3, array.shape).astype(np.float32)
        elif name.endswith("running_var"):
            weights[name] = rng.uniform(0.5, 2, array.shape).astype(np.float32)
    return weights


def network_of(graph: Graph, weights: Weights) -> Network:
    network = Network(graph).eval()
    own = {name: torch.from_numpy(value) for name, value in weights.items()}
    missing, _ = network.load_state_dict(own, strict=False)
    assert not [name for name in missing if not name.endswith("num_batches_tracked")]
    return network


def images_of(space: FBNetSpace) -> Tensor:
    return torch.from_numpy(np.random.default_rng(2).standard_normal((3, *space.input_shape), dtype=np.float32))


@torch.no_grad()
def chained(segments: tuple[Segment, ...], weights: Weights, x_BCHW: Tensor) -> list[Tensor]:
    """Scores of segments that run one after the other."""
    logits = []
    for segment in segments:
        network = network_of(segment.graph, weights)
        names = [node for _, node in segment.outputs]
        outputs = network.outputs(x_BCHW, names)
        x_BCHW = outputs[0]
        logits.append(outputs[-1])
    return logits


@pytest.mark.parametrize(("space", "operators", "exits"), CASES, ids=LABELS)
def test_segments_one_after_another_are_the_branched_graph_and_the_network(
    space: FBNetSpace, operators: tuple[str, ...], exits: tuple[Exit, ...]
) -> None:
    branched, x_BCHW = branched_graph(space, operators, exits), images_of(space)
    weights = weights_of(branched)
    with torch.no_grad():
        together = network_of(branched.graph, weights).outputs(x_BCHW, branched.logits)
        alone_BK = network_of(space.graph(operators), weights)(x_BCHW)
    one_by_one = chained(segments_of(space, operators, exits), weights, x_BCHW)
    assert len(together) == len(one_by_one) == len(exits) + 1
    torch.testing.assert_close(together[-1], alone_BK, rtol=1e-5, atol=1e-5)
    for one, other in zip(one_by_one, together, strict=True):
        assert one.shape == (3, 5)
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(("space", "operators", "exits"), CASES, ids=LABELS)
def test_segments_cost_what_network_and_heads_cost(
    space: FBNetSpace, operators: tuple[str, ...], exits: tuple[Exit, ...]
) -> None:
    segments = segments_of(space, operators, exits)
    parts = [count(segment.graph) for segment in segments]
    whole = [count(space.graph(operators)), *(count(head_graph(space, one)) for one in exits)]
    assert sum(part.macs for part in parts) == sum(part.macs for part in whole)
    assert sum(part.params for part in parts) == sum(part.params for part in whole)
    branched = count(branched_graph(space, operators, exits).graph)
    assert (branched.macs, branched.params) == (sum(p.macs for p in whole), sum(p.params for p in whole))


@pytest.mark.parametrize(("space", "operators", "exits"), CASES[::5], ids=LABELS[::5])
def test_files_of_segments_are_the_network(
    space: FBNetSpace, operators: tuple[str, ...], exits: tuple[Exit, ...]
) -> None:
    branched, x_BCHW = branched_graph(space, operators, exits), images_of(space)
    weights, maps_BCHW = weights_of(branched), x_BCHW.numpy()
    with torch.no_grad():
        expected = network_of(branched.graph, weights).outputs(x_BCHW, branched.logits)
    for number, segment in enumerate(segments_of(space, operators, exits)):
        name = PREVIOUS_NAME if number else INPUT_NAME
        model = to_onnx(segment.graph, weights, outputs=segment.outputs, input_name=name)
        session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
        assert [value.name for value in session.get_inputs()] == [name]
        last = number == len(exits)
        assert [value.name for value in session.get_outputs()] == (["logits"] if last else ["maps", "logits"])
        *maps, logits_BK = session.run(None, {name: maps_BCHW})
        assert np.abs(logits_BK - expected[number].numpy()).max() <= 1e-5 * max(
            1.0, float(expected[number].abs().max())
        )
        if not last:
            assert maps[0].shape[1:] == segment.graph.shape_of(segment.maps or "")
            (maps_BCHW,) = maps


def test_all_heads_at_one_layer_stand_in_one_graph() -> None:
    space = SPACES["one shape"]
    operators = ("k3_e1",) * 6
    candidates = [Exit(layer, head) for layer in (1, 3) for head in HEADS]
    branched = branched_graph(space, operators, candidates)
    weights, x_BCHW = weights_of(branched), images_of(space)
    with torch.no_grad():
        together = network_of(branched.graph, weights).outputs(x_BCHW, branched.logits)
        for one, logits_BK in zip(candidates, together, strict=False):
            alone = branched_graph(space, operators, [one])
            (expected_BK,) = network_of(alone.graph, weights).outputs(x_BCHW, alone.logits[:1])
            torch.testing.assert_close(logits_BK, expected_BK, rtol=1e-5, atol=1e-5)


def test_identities_before_an_exit_lead_back_to_the_stem() -> None:
    space = SPACES["one shape"]
    first, second = segments_of(space, ("skip", "skip", "k3_e1", "skip", "skip", "skip"), [Exit(1, "linear")])
    assert first.maps == "stem"
    assert second.graph.nodes[0].name == "layer02_expand"


def test_something_must_be_computed_between_exits() -> None:
    space = SPACES["one shape"]
    operators = ("k3_e1", "skip", "skip", "k3_e1", "skip", "k3_e1")
    with pytest.raises(ValueError, match="a layer that computes something must lie between two exits, but got layer 0"):
        segments_of(space, operators, [Exit(0, "linear"), Exit(2, "linear")])
    assert len(segments_of(space, operators, [Exit(0, "linear"), Exit(3, "linear"), Exit(5, "conv")])) == 4


@pytest.mark.parametrize("exits", [(Exit(3, "linear"), Exit(1, "linear")), (Exit(6, "conv"),)])
def test_exits_that_cannot_be_passed_in_order_are_refused(exits: tuple[Exit, ...]) -> None:
    with pytest.raises(ValueError, match="must be at ascending layers, each at one of its own below 6"):
        segments_of(SPACES["one shape"], ("k3_e1",) * 6, exits)


def test_a_network_without_exits_is_one_segment() -> None:
    space = SPACES["micro"]
    operators = ("k3_e3",) * space.num_layers
    (only,) = segments_of(space, operators, ())
    assert only.graph == space.graph(operators)
    assert only.maps is None
    assert only.outputs == (("logits", only.logits),)


def test_outputs_of_any_nodes_are_those_that_the_network_computes() -> None:
    """In the order that is asked for; the same as hooks see."""
    space = SPACES["cifar"]
    network = Network(
        space.graph(("k3_e3", "k3_e1_g2") * (space.num_layers // 2) + ("k5_e1",) * (space.num_layers % 2))
    )
    network.eval()
    seen: dict[str, Tensor] = {}
    for node in network.graph.nodes:
        network.get_submodule(node.name).register_forward_hook(
            lambda _module, _inputs, output, name=node.name: seen.__setitem__(name, output.clone())
        )
    x_BCHW = images_of(space)
    with torch.no_grad():
        logits_BK = network(x_BCHW)
        names = [node.name for node in network.graph.nodes][::-3]
        for name, output in zip(names, network.outputs(x_BCHW, names), strict=True):
            torch.testing.assert_close(output, seen[name], rtol=0, atol=0)
    torch.testing.assert_close(seen[network.graph.nodes[-1].name], logits_BK, rtol=0, atol=0)


def test_a_file_has_the_outputs_and_the_input_that_are_asked_for() -> None:
    space = SPACES["micro"]
    graph = space.graph(("k3_e1",) * space.num_layers)
    weights, x_BCHW = random_weights(graph, np.random.default_rng(0)), images_of(space)
    names = [graph.nodes[-1].name, "stem", graph.nodes[5].name]
    model = to_onnx(
        graph, weights, outputs=[(f"output_{place}", name) for place, name in enumerate(names)], input_name="x"
    )
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    with torch.no_grad():
        expected = network_of(graph, weights).outputs(x_BCHW, names)
    got = session.run(["output_0", "output_1", "output_2"], {"x": x_BCHW.numpy()})
    for one, other in zip(got, expected, strict=True):
        np.testing.assert_allclose(one, other.numpy(), rtol=1e-4, atol=1e-4)
