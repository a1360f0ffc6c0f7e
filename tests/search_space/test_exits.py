from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pytest

from search_space.counts import count
from search_space.exits import (
    HEADS,
    Exit,
    HeadKind,
    candidate_exits,
    check_exits,
    head_graph,
    keeps_head_limit,
    layer_outputs,
    output_shape,
)
from search_space.spaces import FBNetSpace, Stage, space_named

EVEN = FBNetSpace(
    name="even",
    input_size=16,
    classes=3,
    stem_channels=8,
    stem_stride=1,
    stages=(Stage(8, 10, 1),),
    last_channels=16,
)
"""Ten layers of one shape, of which any may be an identity."""


def random_networks(space: FBNetSpace, number: int) -> list[tuple[str, ...]]:
    rng = np.random.default_rng(0)
    return [tuple(map(str, rng.choice(space.operators, space.num_layers))) for _ in range(number)]


@pytest.mark.parametrize("name", ["fbnet-micro", "fbnet-cifar", "fbnet-96-0.35"])
def test_candidates_keep_all_rules(name: str) -> None:
    space, rng = space_named(name), np.random.default_rng(1)
    found = 0
    for operators in random_networks(space, 20):
        share_L = np.sort(rng.uniform(size=space.num_layers))
        try:
            candidates = candidate_exits(space, operators, list(share_L))
        except ValueError:
            continue
        assert list(candidates) == sorted(set(candidates))
        layers = sorted({one.layer for one in candidates})
        assert all(0.2 <= share_L[layer] <= 0.9 for layer in layers)
        assert (np.diff(share_L[layers]) >= 0.1).all()
        assert not any(operators[layer] == "skip" and space.layers[layer].keeps_shape for layer in layers)
        macs = count(space.graph(operators)).macs
        assert all(count(head_graph(space, one)).macs <= 0.05 * macs for one in candidates)
        found += len(candidates)
    assert found > 20


def test_every_layer_that_may_have_an_exit_has_one_or_lies_close_behind_one() -> None:
    rng = np.random.default_rng(2)
    for operators in random_networks(EVEN, 50):
        share_L = np.sort(rng.uniform(size=10))
        try:
            layers = {one.layer for one in candidate_exits(EVEN, operators, list(share_L))}
        except ValueError:
            layers = set()
        for layer, (name, share) in enumerate(zip(operators, share_L, strict=True)):
            if name == "skip" or not 0.2 <= share <= 0.9:
                assert layer not in layers
            elif layer not in layers:
                assert any(0 <= share - share_L[other] < 0.1 for other in layers if other < layer)


def test_bounds_belong_to_what_may_have_an_exit() -> None:
    operators = ("k3_e6",) * 10
    share_L = [0.05, 0.199, 0.2, 0.29, 0.301, 0.5, 0.59, 0.8, 0.9, 0.95]
    assert sorted({one.layer for one in candidate_exits(EVEN, operators, list(share_L))}) == [2, 4, 5, 7, 8]


def test_heads_that_are_too_large_are_no_candidates() -> None:
    """The linear head alone fits a network whose maps are wide and whose layers are cheap."""
    operators = ("k3_e1",) * 10
    share_L = np.linspace(0.1, 1, 10)
    macs = count(EVEN.graph(operators)).macs
    assert count(head_graph(EVEN, Exit(3, "conv"))).macs <= 0.05 * macs
    assert {one.head for one in candidate_exits(EVEN, operators, list(share_L))} == {"linear", "conv"}
    cheap = ("k3_e1", *["skip"] * 8, "k3_e1")
    share_L[0] = 0.3
    assert count(head_graph(EVEN, Exit(0, "conv"))).macs > 0.05 * count(EVEN.graph(cheap)).macs
    assert candidate_exits(EVEN, cheap, list(share_L)) == (Exit(0, "linear"),)


@pytest.mark.parametrize(
    ("operators", "share_L"),
    [
        (("skip",) * 10, np.linspace(0.1, 1, 10)),
        (("k3_e6",) * 10, np.linspace(0.91, 1, 10)),
        (("k3_e6",) * 10, np.linspace(0.01, 0.19, 10)),
    ],
)
def test_a_network_without_a_place_is_refused(operators: tuple[str, ...], share_L: npt.NDArray[np.float64]) -> None:
    with pytest.raises(ValueError, match=r"at 20% to 90% of its latency, .* has none: choose a network of more layers"):
        candidate_exits(EVEN, operators, list(share_L))


@pytest.mark.parametrize(("channels", "size"), [(8, 16), (32, 16), (24, 7), (10, 1)])
@pytest.mark.parametrize("classes", [2, 10])
def test_heads_cost_what_their_definition_says(channels: int, size: int, classes: int) -> None:
    space = replace(EVEN, stem_channels=channels, stages=(Stage(channels, 1, 1),), input_size=size, classes=classes)
    small = -(-size // 2)
    linear, conv = (count(head_graph(space, Exit(0, head))) for head in HEADS)
    assert (linear.macs, linear.params) == (channels * classes, (channels + 1) * classes)
    assert conv.macs == small**2 * (9 * channels + 2 * channels**2) + 2 * channels * classes
    norms = 2 * channels + 2 * 2 * channels
    assert conv.params == 9 * channels + 2 * channels**2 + norms + (2 * channels + 1) * classes


def test_all_heads_of_a_network_have_one_limit() -> None:
    operators = ("k3_e1",) * 10
    tenth = 0.1 * count(EVEN.graph(operators)).macs
    one = count(head_graph(EVEN, Exit(0, "conv"))).macs
    most = int(tenth // one)
    assert 0 < most < 10
    exits = [Exit(layer, "conv") for layer in range(10)]
    assert keeps_head_limit(EVEN, operators, exits[:most])
    assert not keeps_head_limit(EVEN, operators, exits[: most + 1])
    assert keeps_head_limit(EVEN, operators, ())


def test_shapes_at_the_ends_of_layers_are_those_of_the_graph() -> None:
    for name in ("fbnet-micro", "fbnet-cifar", "fbnet-imagenet"):
        space = space_named(name)
        for operators in random_networks(space, 5):
            graph = space.graph(operators)
            for layer, node in enumerate(layer_outputs(graph, space.num_layers)):
                assert graph.shape_of(node) == output_shape(space, layer)


def test_the_output_of_an_identity_is_that_of_the_layer_before() -> None:
    graph = EVEN.graph(("skip", "skip", "k3_e1", "skip", "k5_e1", *["skip"] * 5))
    names = layer_outputs(graph, 10)
    assert names[:2] == ("stem", "stem")
    assert names[2] == names[3] == "layer02_add"
    assert set(names[4:]) == {"layer04_add"}


def test_exits_are_ordered_by_layer_and_then_by_head() -> None:
    exits = [Exit(layer, head) for layer in range(12) for head in HEADS]
    shuffled = [exits[place] for place in np.random.default_rng(0).permutation(len(exits))]
    assert sorted(shuffled) == exits
    assert max(Exit(2, "conv"), Exit(2, "linear")) == Exit(2, "conv")


@pytest.mark.parametrize("head", HEADS)
def test_an_exit_comes_back_from_json(head: HeadKind) -> None:
    one = Exit(7, head)
    assert Exit.from_json(json.loads(json.dumps(one.to_json()))) == one
    assert one.label == f"layer 7 {head}"


@pytest.mark.parametrize(
    "content",
    [
        None,
        [],
        "layer 3 conv",
        {"layer": 3},
        {"layer": 3, "head": "conv", "more": 1},
        {"layer": -1, "head": "conv"},
        {"layer": 1.0, "head": "conv"},
        {"layer": True, "head": "conv"},
        {"layer": 10**9, "head": "conv"},
        {"layer": 3, "head": "mlp"},
        {"layer": 3, "head": ["conv"]},
    ],
)
def test_what_is_no_exit_is_refused_in_one_line(content: object) -> None:
    with pytest.raises(ValueError, match=r"exit") as refusal:
        Exit.from_json(content)
    assert "\n" not in str(refusal.value)


def test_exits_must_be_passed_one_after_the_other() -> None:
    check_exits((), 3)
    check_exits((Exit(0, "conv"), Exit(2, "linear")), 3)
    for wrong in (
        (Exit(1, "conv"), Exit(0, "conv")),
        (Exit(1, "linear"), Exit(1, "conv")),
        (Exit(3, "conv"),),
    ):
        with pytest.raises(ValueError, match="must be at ascending layers, each at one of its own below 3"):
            check_exits(wrong, 3)
