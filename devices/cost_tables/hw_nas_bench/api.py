"""`HWNASBenchAPI`: tables of HW-NAS-Bench behind the interface of its own API, and its networks as graphs.

    api = HWNASBenchAPI("HW-NAS-Bench-v1_0.pickle", search_space="fbnet")
    api.query_by_index([0] * 22, "cifar100")["raspi4_latency"]

Latencies in ms, energies in mJ. Source: Li et al., "HW-NAS-Bench" (ICLR 2021), https://openreview.net/forum?id=_0kaDkv3dVf;
the interface is that of `hw_nas_bench_api.py` in https://github.com/GATECH-EIC/HW-NAS-Bench (MIT).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from math import prod
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np

from devices.cost_tables.plain_pickle import PickledArray, read_plain_pickle
from search_space.architectures import Architecture, architecture_of
from search_space.boundary.text import one_line, shown
from search_space.graphs import Graph
from search_space.nas_bench_201 import NasBench201Space, parse_cell
from search_space.operators import OPERATOR_NAMES, operator_named
from search_space.spaces import FBNetSpace, Layer, SearchSpace, space_named

BenchmarkSpace = Literal["nasbench201", "fbnet"]

FBNET_METRICS = (
    "edgegpu_latency",
    "edgegpu_energy",
    "raspi4_latency",
    "pixel3_latency",
    "eyeriss_latency",
    "eyeriss_energy",
    "fpga_latency",
    "fpga_energy",
)
NASBENCH201_METRICS = (
    "edgegpu_latency",
    "edgegpu_energy",
    "raspi4_latency",
    "edgetpu_latency",
    "pixel3_latency",
    "eyeriss_latency",
    "eyeriss_energy",
    "eyeriss_arithmetic_intensity",
    "fpga_latency",
    "fpga_energy",
)
_NOT_A_COST = "eyeriss_arithmetic_intensity"
"""The one metric that is not a factor of `average_hw_metric`."""
_FBNET_SPACES = {"cifar100": ("fbnet-cifar", 100), "ImageNet": ("fbnet-imagenet", 1000)}
_SMALL_IMAGES = {120: 16}
"""Sides of the images of NAS-Bench-201's data sets by number of classes, where they are not 32: ImageNet16-120."""


class HWNASBenchAPI:
    """Costs of the networks of NAS-Bench-201 or FBNet on six devices."""

    def __init__(
        self, file_path_or_dict: str | Path | Mapping[str, Any], search_space: BenchmarkSpace = "nasbench201"
    ) -> None:
        """Read the tables.

        Args:
            file_path_or_dict: the published pickle, which is read without running anything in it, or its content.
            search_space: which of the two spaces to answer for.

        Raises:
            ValueError: if there is no such space, or the file is not such a pickle or lacks the space.
        """
        if search_space not in get_args(BenchmarkSpace):
            raise ValueError(
                f"`search_space` must be one of {', '.join(get_args(BenchmarkSpace))}, but got {search_space!r}."
            )
        from_file = isinstance(file_path_or_dict, str | Path)
        self._origin = repr(str(file_path_or_dict)) if from_file else "the dictionary"
        content = read_plain_pickle(Path(file_path_or_dict)) if from_file else file_path_or_dict  # type: ignore[arg-type]
        self.search_space = search_space
        self._fbnet_spaces = {name: _fbnet_space(name) for name in _FBNET_SPACES}
        tables = self._tables(content)
        self.HW_metrics: dict[str, dict[str, Any]] = {**_plain(content), search_space: tables}
        """As in the file, whose two spaces it has both; that of `search_space` is checked."""

    def query_by_index(self, arch_index: int | Sequence[int], dataname: str) -> dict[str, float]:
        """All metrics of one network, and the product of the costs as `average_hw_metric`.

        Args:
            arch_index: NAS-Bench-201: the number of the architecture. FBNet: 22 indices of operators, in [0, 8].
            dataname: NAS-Bench-201: `cifar10`, `cifar100` or `ImageNet16-120`. FBNet: `cifar100` or `ImageNet`.

        Raises:
            ValueError: if the architecture or the data set is not in the tables.
        """
        if self.search_space == "fbnet":
            indices = _fbnet_indices(arch_index)
            blocks = tuple(_block_names(self._fbnet_space(dataname), indices))
            results = {name: self._sum(name, blocks) for name in FBNET_METRICS}
        else:
            index, table = self._nasbench201(arch_index, dataname)
            results = {name: float(table[name][index]) for name in NASBENCH201_METRICS}
        results["average_hw_metric"] = prod(value for name, value in results.items() if name != _NOT_A_COST)
        return results

    def get_net_config(self, arch_index: int | Sequence[int], dataname: str) -> dict[str, Any]:
        """The description of one network, for `graph_of_config`; arguments and errors as for `query_by_index`."""
        if self.search_space == "nasbench201":
            index, table = self._nasbench201(arch_index, dataname)
            return dict(table["config"][index])
        indices = _fbnet_indices(arch_index)
        return {
            "dataset": dataname,
            "num_classes": self._fbnet_space(dataname).classes,
            "op_idx_list": list(indices),
            "arch_str": [OPERATOR_NAMES[index] for index in indices],
        }

    def get_op_lookup_tables(self) -> dict[str, dict[str, float]]:
        """FBNet: for each metric the cost of each block by the block's name.

        Raises:
            ValueError: for NAS-Bench-201, which has no such tables.
        """
        if self.search_space != "fbnet":
            raise ValueError(f"`search_space` must be fbnet for lookup tables, but is {self.search_space}.")
        return {name: self.HW_metrics["fbnet"][name] for name in FBNET_METRICS}

    def _fbnet_space(self, dataname: str) -> FBNetSpace:
        return self._fbnet_spaces.get(dataname) or _fbnet_space(dataname)

    def _sum(self, metric: str, blocks: tuple[str, ...]) -> float:
        table = self.HW_metrics["fbnet"][metric]
        total = 0.0
        for block in blocks:
            if block not in table:
                raise ValueError(f"`{metric}` must have all blocks, but {self._origin} lacks {block}.")
            total += table[block]
        return total

    def _nasbench201(self, arch_index: int | Sequence[int], dataname: str) -> tuple[int, dict[str, Any]]:
        tables = self.HW_metrics["nasbench201"]
        if dataname not in tables:
            raise ValueError(f"`dataname` must be one of {one_line(', '.join(tables))}, but got {shown(dataname)}.")
        table = tables[dataname]
        count = len(table["config"])
        if not isinstance(arch_index, int | np.integer) or not 0 <= arch_index < count:
            raise ValueError(f"`arch_index` must be a whole number in [0, {count - 1}], but got {shown(arch_index)}.")
        return int(arch_index), table

    def _tables(self, content: object) -> dict[str, dict[str, Any]]:
        tables = self._mapping(self._mapping(content, "the top").get(self.search_space), f"`{self.search_space}`")
        if self.search_space == "fbnet":
            costs = {metric: self._block_costs(tables.get(metric), metric) for metric in FBNET_METRICS}
            return {**_plain(tables), **costs}
        return {str(name): self._network_costs(table, str(name)) for name, table in tables.items()}

    def _block_costs(self, table: object, metric: str) -> dict[str, float]:
        costs = self._mapping(table, f"`{metric}`")
        for block, cost in costs.items():
            if not _is_number(cost):
                raise ValueError(
                    f"`{metric}` of block {one_line(block)} must be a finite number, but {self._origin} has "
                    f"{shown(cost)}."
                )
        return {str(block): float(cost) for block, cost in costs.items()}

    def _network_costs(self, table: object, dataname: str) -> dict[str, Any]:
        columns = {name: _sequence(column) for name, column in self._mapping(table, f"`{one_line(dataname)}`").items()}
        for name in ("config", *NASBENCH201_METRICS):
            column = columns.get(name)
            if column is None or len(column) != len(columns["config"]):
                raise ValueError(
                    f"`{one_line(dataname)}` must have one entry of `{name}` for each `config`, but {self._origin} has "
                    f"{'none' if column is None else len(column)}."
                )
        for name in NASBENCH201_METRICS:
            wrong = next((cost for cost in columns[name] if not _is_number(cost)), None)
            if wrong is not None:
                raise ValueError(
                    f"`{name}` of `{one_line(dataname)}` must be finite numbers, but {self._origin} has {shown(wrong)}."
                )
        if not all(isinstance(config, Mapping) for config in columns["config"]):
            raise ValueError(
                f"each `config` of `{one_line(dataname)}` must be a dictionary; {self._origin} has others."
            )
        return columns

    def _mapping(self, value: object, where: str) -> Mapping[str, Any]:
        if not isinstance(value, Mapping):
            raise ValueError(f"{where} of HW-NAS-Bench must be a dictionary, but {self._origin} has {_brief(value)}.")
        return value


def graph_of_config(config: Mapping[str, Any]) -> Graph:
    """The network that `HWNASBenchAPI.get_net_config` describes, for `Network`, counts and ONNX.

    Raises:
        ValueError: if it does not describe a network of the two spaces.
    """
    space, architecture = architecture_of_config(config)
    return space.graph(architecture.operators)


def architecture_of_config(config: Mapping[str, Any]) -> tuple[SearchSpace, Architecture]:
    """The space and architecture that `HWNASBenchAPI.get_net_config` describes; errors as for `graph_of_config`."""
    cell, classes = config.get("arch_str"), config.get("num_classes")
    if not isinstance(classes, int):
        raise ValueError(f"`num_classes` of a configuration must be a whole number, but got {shown(classes)}.")
    if isinstance(cell, str):
        channels, cells = config.get("C"), config.get("N")
        if not isinstance(channels, int) or not isinstance(cells, int):
            raise ValueError(
                f"`C` and `N` of a configuration must be whole numbers, but got {shown((channels, cells))}."
            )
        space: SearchSpace = NasBench201Space(
            classes=classes, input_size=_SMALL_IMAGES.get(classes, 32), channels=channels, cells_per_stage=cells
        )
        return space, architecture_of(space, parse_cell(cell))
    if (indices := config.get("op_idx_list")) is not None:
        cell = [OPERATOR_NAMES[index] for index in _fbnet_indices(indices)]
    if not isinstance(cell, list | tuple):
        raise ValueError(
            f"`arch_str` of a configuration must be a string or a list of operators, or `op_idx_list` their indices, "
            f"but got {shown(cell)}."
        )
    space = _fbnet_space(config.get("dataset")).with_classes(classes)
    return space, architecture_of(space, tuple(cell))


def _block_names(space: FBNetSpace, indices: tuple[int, ...]) -> Iterator[str]:
    """The blocks of a network in the order in which HW-NAS-Bench adds them up."""
    size = space.input_size
    yield f"ConvNorm_H{size}_W{size}_Cin3_Cout{space.stem_channels}_kernel3_stride{space.stem_stride}_group1"
    for layer, index in zip(space.layers, indices, strict=True):
        yield block_name(layer, OPERATOR_NAMES[index])
    last = space.layers[-1]
    size, channels = last.size // last.stride, space.last_channels
    yield f"ConvNorm_H{size}_W{size}_Cin{last.out_channels}_Cout{channels}_kernel1_stride1_group1"
    yield f"AvgP_H{size}_W{size}_Cin{channels}_Cout{channels}_kernel{size}_stride1"
    yield f"FC_Cin{channels}_Cout{space.classes}"


def block_name(layer: Layer, operator_name: str) -> str:
    """HW-NAS-Bench's name of an operator at a layer."""
    shape = f"H{layer.size}_W{layer.size}_Cin{layer.in_channels}_Cout{layer.out_channels}"
    operator = operator_named(operator_name)
    if operator.is_skip:
        return f"Skip_{shape}_stride{layer.stride}"
    kernel = f"exp{operator.expansion}_kernel{operator.kernel}_stride{layer.stride}_group{operator.groups}"
    return f"ConvBlock_{shape}_{kernel}"


def _fbnet_space(dataname: object) -> FBNetSpace:
    if dataname not in _FBNET_SPACES:
        raise ValueError(f"`dataname` must be one of {', '.join(_FBNET_SPACES)} for FBNet, but got {shown(dataname)}.")
    name, classes = _FBNET_SPACES[str(dataname)]
    return space_named(name).with_classes(classes)


def _fbnet_indices(arch_index: object) -> tuple[int, ...]:
    indices = tuple(arch_index) if isinstance(arch_index, Sequence | np.ndarray) else ()
    fits = all(isinstance(index, int | np.integer) and 0 <= index < len(OPERATOR_NAMES) for index in indices)
    if len(indices) != 22 or not fits:
        raise ValueError(f"`arch_index` must be a list of 22 numbers in [0, 8] for FBNet, but got {shown(arch_index)}.")
    return tuple(int(index) for index in indices)


def _plain(value: Any) -> Any:
    """With arrays of NumPy in the place of those of the file."""
    if isinstance(value, Mapping):
        return {name: _plain(item) for name, item in value.items()}
    return value.values if isinstance(value, PickledArray) else value


def _is_number(cost: object) -> bool:
    if isinstance(cost, float):
        return math.isfinite(cost)
    return isinstance(cost, int | np.integer | np.floating) and abs(float(cost)) < math.inf


def _sequence(column: object) -> Any:
    values = column.values if isinstance(column, PickledArray) else column
    return values if isinstance(values, list | tuple | np.ndarray) else None


def _brief(value: object) -> str:
    return "none" if value is None else f"a {type(value).__name__}"
