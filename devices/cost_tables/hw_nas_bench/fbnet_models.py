"""Networks of the FBNet space as HW-NAS-Bench's own package names them: `FBNet_Infer`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from devices.cost_tables.hw_nas_bench.api import architecture_of_config
from search_space.networks import Network


class FBNet_Infer(Network):  # noqa: N801
    """A network of the FBNet space, with random weights: logits of shape (B, K) for images of shape (B, C, H, W)."""

    def __init__(self, config: Mapping[str, Any]) -> None:
        """Build it.

        Args:
            config: of `HWNASBenchAPI.get_net_config` for `fbnet`; `op_idx_list`, `dataset` and `num_classes` suffice.

        Raises:
            ValueError: if it does not describe such a network.
        """
        space, architecture = architecture_of_config({**config, "arch_str": None})
        super().__init__(space.graph(architecture.operators))
        self.op_idx_list = list(config["op_idx_list"])
        self.num_classes = config["num_classes"]
