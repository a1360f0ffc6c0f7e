"""Published weights under the names of a graph's network. Start with `graph_weights`.

Three ways of naming are known: torchvision's, timm's, and that of `efficientnet_lite_pytorch`. Modules are brought into
the order of execution by their names, as a file may have them in any order, and matched with the graph's by shape.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from search_space.boundary.text import shown
from search_space.folding import BATCH_NORM_EPSILON, Array
from search_space.graphs import Conv, Graph, Linear
from search_space.onnx_files import weight_shapes

_TOP = (
    "conv_stem", "_conv_stem", "bn1", "_bn0", "features", "blocks", "_blocks", "conv_head", "_conv_head", "bn2", "_bn1",
    "classifier", "_fc",
)  # fmt: skip
"""First parts of names in the order of execution, of all three ways."""
_IN_BLOCK = {
    "inverted residual": ("conv_pw", "bn1", "conv_dw", "bn2", "se", "conv_pwl", "bn3"),
    "separable": ("conv_dw", "bn1", "se", "conv_pw", "bn2"),
    "convolution": ("conv", "bn1"),
    "efficientnet_lite_pytorch": ("_expand_conv", "_bn0", "_depthwise_conv", "_bn1", "_project_conv", "_bn2"),
}
_IN_SQUEEZE = ("conv_reduce", "fc1", "conv_expand", "fc2")


def graph_weights(graph: Graph, state: Mapping[str, Array], *, epsilon: float) -> dict[str, Array]:
    """Weights of a graph, all but those of its classifier, whose classes are others.

    Args:
        graph: whose last node is the classifier.
        state: arrays by name, with any classifier.
        epsilon: that the published network adds to variances. Ours adds another; the variances take up the difference,
            so that outputs stay exact.

    Raises:
        ValueError: if the arrays are not those of this network.
    """
    modules = _modules(state)
    wanted = [node for node in graph.nodes if isinstance(node.operation, (Conv, Linear))]
    convolutions = [parts for parts in modules.values() if parts["weight"].ndim > 1]
    if len(convolutions) != len(wanted):
        raise ValueError(
            f"weights must have {len(wanted)} convolutions and linear layers, but these have {len(convolutions)}."
        )
    weights: dict[str, Array] = {}
    shapes = weight_shapes(graph)
    names = iter(modules.items())
    for node in wanted[:-1]:
        name, parts = next(names)
        key = f"{node.name}.weight" if isinstance(node.operation, Linear) else f"{node.name}.conv.weight"
        weights[key] = _shaped(parts["weight"], shapes[key], name, node.name)
        if isinstance(node.operation, Linear):
            weights[f"{node.name}.bias"] = _shaped(_part(parts, "bias", name), shapes[f"{node.name}.bias"], name, "")
        elif isinstance(node.operation, Conv) and node.operation.batch_norm:
            name, parts = next(names)
            for part in ("weight", "bias", "running_mean", "running_var"):
                key = f"{node.name}.norm.{part}"
                weights[key] = _shaped(_part(parts, part, name), shapes[key], name, key)
            weights[f"{node.name}.norm.running_var"] += np.float32(epsilon - BATCH_NORM_EPSILON)
    return weights


def naming_of(state: Mapping[str, Array]) -> str:
    """Whose names these are: `torchvision`, `timm`, or `efficientnet_lite_pytorch`."""
    if any(name.startswith("features.") for name in state):
        return "torchvision"
    return "efficientnet_lite_pytorch" if "_conv_stem.weight" in state else "timm"


def _modules(state: Mapping[str, Array]) -> dict[str, dict[str, Array]]:
    """The arrays of each module by its name, modules in the order of execution."""
    modules: dict[str, dict[str, Array]] = {}
    for name, array in state.items():
        module, _, part = name.rpartition(".")
        if part in ("weight", "bias", "running_mean", "running_var"):
            modules.setdefault(module, {})[part] = array
    modules = {name: parts for name, parts in modules.items() if "weight" in parts}
    for name in modules:
        if name.split(".")[0] not in _TOP:
            raise ValueError(
                f"weights must have the names of torchvision, timm or efficientnet_lite_pytorch, but got {shown(name)}."
            )
    return {name: modules[name] for name in sorted(modules, key=lambda name: _place(name, modules))}


def _place(name: str, modules: Mapping[str, object]) -> tuple[tuple[int, int | str], ...]:
    """What sorts modules into the order of execution."""
    first, *rest = name.split(".")
    place: list[tuple[int, int | str]] = [(0, _TOP.index(first))]
    numbers = [part for part in rest if _is_number(part)]
    block = ".".join([first, *rest[: len(numbers)]])
    order = _order(block, modules) if "blocks" in first else ()
    for part in rest:
        if _is_number(part):
            place.append((0, int(part)))
        elif part in order:
            place.append((0, order.index(part)))
        elif part in _IN_SQUEEZE:
            place.append((0, _IN_SQUEEZE.index(part)))
        else:
            place.append((1, part))
    return tuple(place)


def _order(block: str, modules: Mapping[str, object]) -> tuple[str, ...]:
    if block.startswith("_"):
        return _IN_BLOCK["efficientnet_lite_pytorch"]
    if f"{block}.conv_pwl" in modules:
        return _IN_BLOCK["inverted residual"]
    return _IN_BLOCK["separable" if f"{block}.conv_dw" in modules else "convolution"]


def _is_number(part: str) -> bool:
    return part.isascii() and part.isdigit() and len(part) < 10


def _part(parts: Mapping[str, Array], part: str, name: str) -> Array:
    if part not in parts:
        raise ValueError(f"weights of {shown(name)} must have a {part}, but it is missing.")
    return parts[part]


def _shaped(array: Array, shape: tuple[int, ...], name: str, of: str) -> Array:
    """An array in a shape; 1x1 convolutions of pooled features are linear layers."""
    if array.shape != shape and array.shape != (*shape, 1, 1):
        raise ValueError(
            f"weights must be those of this network, but {shown(name)} has shape {array.shape}, and {of or name} needs "
            f"{shape}."
        )
    return np.array(array.reshape(shape), np.float32)
