"""Networks of the cell space as HW-NAS-Bench's own package names them. Start with `get_cell_based_tiny_net`.

Shape suffixes: B batch, C channels, H height, W width, F features, K classes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from devices.cost_tables.hw_nas_bench.api import graph_of_config
from search_space.boundary.text import shown
from search_space.graphs import GlobalAveragePool, Graph
from search_space.networks import Network

INFER_TINY = "infer.tiny"
"""The one kind of network that HW-NAS-Bench's configurations describe."""


class TinyNetwork(nn.Module):
    """A network of NAS-Bench-201's cell space, with random weights."""

    def __init__(self, graph: Graph) -> None:
        super().__init__()
        self.network = Network(graph)
        self._outputs = tuple(
            node.name
            for node in graph.nodes
            if isinstance(node.operation, GlobalAveragePool) or node == graph.nodes[-1]
        )

    def forward(self, inputs: Tensor) -> tuple[Tensor, Tensor]:
        """Features of shape (B, F) and logits of shape (B, K), in this order, for images of shape (B, C, H, W)."""
        features_BF11, logits_BK = self.network.outputs(inputs, self._outputs)
        return features_BF11.flatten(1), logits_BK


def get_cell_based_tiny_net(config: Mapping[str, Any] | Any) -> TinyNetwork:
    """The network of a configuration.

    Args:
        config: of `HWNASBenchAPI.get_net_config` for `nasbench201`: a dictionary, or an object with the same names as
            attributes.

    Raises:
        ValueError: if it does not describe such a network.
    """
    values = config if isinstance(config, Mapping) else _attributes(config)
    if values.get("name", INFER_TINY) != INFER_TINY or not isinstance(values.get("arch_str"), str):
        raise ValueError(
            f"a configuration must have the name {INFER_TINY!r} and a cell as `arch_str`, but got "
            f"{shown(values.get('name'))} and {shown(values.get('arch_str'))}."
        )
    return TinyNetwork(graph_of_config(values))


def _attributes(config: object) -> dict[str, Any]:
    names = ("name", "C", "N", "arch_str", "num_classes")
    return {name: getattr(config, name) for name in names if hasattr(config, name)}
