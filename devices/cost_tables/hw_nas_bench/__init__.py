"""HW-NAS-Bench's tables and networks behind the names of its own package `hw_nas_bench_api`, which this one replaces.

    from devices.cost_tables.hw_nas_bench import HWNASBenchAPI as HWAPI
    from devices.cost_tables.hw_nas_bench.nas_201_models import get_cell_based_tiny_net
    from devices.cost_tables.hw_nas_bench.fbnet_models import FBNet_Infer

api             `HWNASBenchAPI`, and its configurations as this project's graphs
nas_201_models  PyTorch networks of the cell space
fbnet_models    PyTorch networks of the FBNet space
"""

from devices.cost_tables.hw_nas_bench.api import (
    FBNET_METRICS,
    NASBENCH201_METRICS,
    BenchmarkSpace,
    HWNASBenchAPI,
    architecture_of_config,
    block_name,
    graph_of_config,
)

__all__ = [
    "FBNET_METRICS",
    "NASBENCH201_METRICS",
    "BenchmarkSpace",
    "HWNASBenchAPI",
    "architecture_of_config",
    "block_name",
    "graph_of_config",
]
