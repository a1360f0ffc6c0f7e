import csv
import itertools
import json
import os
import pickle
from collections.abc import Callable
from math import prod
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch

from devices.cost_tables.hw_nas_bench import (
    FBNET_METRICS,
    NASBENCH201_METRICS,
    BenchmarkSpace,
    HWNASBenchAPI,
    architecture_of_config,
    block_name,
    graph_of_config,
)
from devices.cost_tables.hw_nas_bench.fbnet_models import FBNet_Infer
from devices.cost_tables.hw_nas_bench.nas_201_models import get_cell_based_tiny_net
from devices.cost_tables.pi4 import published_latencies
from search_space.counts import count
from search_space.networks import Network
from search_space.operators import OPERATOR_NAMES
from search_space.spaces import FBNetSpace, space_named

Tables = dict[str, Any]
CELLS = (
    "|avg_pool_3x3~0|+|nor_conv_1x1~0|skip_connect~1|+|nor_conv_1x1~0|skip_connect~1|skip_connect~2|",
    "|none~0|+|nor_conv_3x3~0|none~1|+|nor_conv_3x3~0|nor_conv_3x3~1|nor_conv_1x1~2|",
)
CLASSES = {"cifar10": 10, "cifar100": 100, "ImageNet16-120": 120}
STEM = {"cifar100": "ConvNorm_H32_W32_Cin3_Cout16_kernel3_stride1_group1"}
NOTEBOOK = (
    ([0] * 22, 17.618579145142576),
    ([0] * 21 + [1], 17.505280663142912),
    ([0] * 20 + [1, 1], 17.43969264414045),
)


def fbnet_tables(above_skip_LO: npt.NDArray[np.float64] | list[list[float]], all_skip: float) -> dict[str, float]:
    """Tables in HW-NAS-Bench's layout; the whole cost of skipping is booked on the stem."""
    table = {
        STEM["cifar100"]: all_skip,
        "ConvNorm_H4_W4_Cin352_Cout1504_kernel1_stride1_group1": 0.0,
        "AvgP_H4_W4_Cin1504_Cout1504_kernel4_stride1": 0.0,
        "FC_Cin1504_Cout100": 0.0,
    }
    for layer, row in zip(space_named("fbnet-cifar").layers, above_skip_LO, strict=True):
        for name, cost in zip(OPERATOR_NAMES, row, strict=True):
            table[block_name(layer, name)] = float(cost)
    return table


def content() -> Tables:
    """All of the pickle's layout, with the published Raspberry Pi 4 and numbers out of the air elsewhere."""
    rng = np.random.default_rng(0)
    published = published_latencies()
    raspi4 = fbnet_tables(published.above_skip_ms_LO, published.all_skip_ms)
    fbnet = {metric: {block: rng.uniform(1, 2) for block in raspi4} for metric in FBNET_METRICS}
    nasbench201 = {
        dataname: {
            **{metric: rng.uniform(1, 2, len(CELLS)) for metric in NASBENCH201_METRICS},
            "config": [
                {"name": "infer.tiny", "C": 16, "N": 5, "arch_str": cell, "num_classes": classes} for cell in CELLS
            ],
        }
        for dataname, classes in CLASSES.items()
    }
    return {"nasbench201": nasbench201, "fbnet": fbnet | {"raspi4_latency": raspi4}}


@pytest.fixture(params=[2, 4, "dict"])
def source(request: pytest.FixtureRequest, tmp_path: Path) -> str | Tables:
    """The same content as a file of an old and a new protocol, and as a dictionary."""
    if request.param == "dict":
        return content()
    path = tmp_path / "HW-NAS-Bench-v1_0.pickle"
    path.write_bytes(pickle.dumps(content(), protocol=request.param))
    return str(path)


@pytest.mark.parametrize(("arch", "latency_ms"), NOTEBOOK)
def test_values_printed_in_the_notebook(source: str | Tables, arch: list[int], latency_ms: float) -> None:
    results = HWNASBenchAPI(source, search_space="fbnet").query_by_index(arch, "cifar100")
    assert results["raspi4_latency"] == pytest.approx(latency_ms, rel=0, abs=1e-7)


def test_fbnet_results_are_sums_and_their_product(source: str | Tables) -> None:
    results = HWNASBenchAPI(source, search_space="fbnet").query_by_index([8] * 22, "cifar100")
    assert list(results) == [*FBNET_METRICS, "average_hw_metric"]
    assert results["average_hw_metric"] == pytest.approx(prod(results[name] for name in FBNET_METRICS))
    table = content()["fbnet"]["fpga_energy"]
    frame = [name for name in table if name.startswith(("ConvNorm", "AvgP", "FC"))]
    skips = [block_name(layer, "skip") for layer in space_named("fbnet-cifar").layers]
    assert len(frame) == 4
    assert results["fpga_energy"] == pytest.approx(sum(table[name] for name in frame + skips))


def test_nas_bench_201_results_are_rows_and_their_product(source: str | Tables) -> None:
    results = HWNASBenchAPI(source).query_by_index(1, "ImageNet16-120")
    table = content()["nasbench201"]["ImageNet16-120"]
    assert list(results) == [*NASBENCH201_METRICS, "average_hw_metric"]
    assert {name: results[name] for name in NASBENCH201_METRICS} == {
        name: table[name][1] for name in NASBENCH201_METRICS
    }
    costs = [results[name] for name in NASBENCH201_METRICS if name != "eyeriss_arithmetic_intensity"]
    assert results["average_hw_metric"] == pytest.approx(prod(costs))


def test_configurations_are_those_of_the_original(source: str | Tables) -> None:
    assert HWNASBenchAPI(source).get_net_config(0, "cifar10") == {
        "name": "infer.tiny",
        "C": 16,
        "N": 5,
        "arch_str": CELLS[0],
        "num_classes": 10,
    }
    config = HWNASBenchAPI(source, "fbnet").get_net_config([0] * 21 + [8], "ImageNet")
    assert config == {
        "dataset": "ImageNet",
        "num_classes": 1000,
        "op_idx_list": [0] * 21 + [8],
        "arch_str": ["k3_e1"] * 21 + ["skip"],
    }


@pytest.mark.parametrize(("dataname", "pixels"), [("cifar10", 32), ("cifar100", 32), ("ImageNet16-120", 16)])
def test_cell_networks_from_configurations(dataname: str, pixels: int) -> None:
    graph = graph_of_config(HWNASBenchAPI(content()).get_net_config(0, dataname))
    assert graph.input_shape == (3, pixels, pixels)
    logits = Network(graph).eval()(torch.zeros(1, *graph.input_shape))
    assert logits.shape == (1, CLASSES[dataname])
    if dataname == "cifar10":
        assert count(graph).params == 73306 + 2 * 28000


def test_fbnet_networks_from_configurations() -> None:
    api = HWNASBenchAPI(content(), "fbnet")
    arch = [index % 9 for index in range(22)]
    space, architecture = architecture_of_config(api.get_net_config(arch, "cifar100"))
    assert isinstance(space, FBNetSpace)
    assert (space.name, space.classes) == ("fbnet-cifar", 100)
    assert architecture.id == "".join(map(str, arch))
    graph = graph_of_config(api.get_net_config(arch, "cifar100"))
    assert Network(graph).eval()(torch.zeros(1, 3, 32, 32)).shape == (1, 100)
    assert graph_of_config(api.get_net_config(arch, "ImageNet")).input_shape == (3, 224, 224)


def test_lookup_tables(source: str | Tables) -> None:
    tables = HWNASBenchAPI(source, "fbnet").get_op_lookup_tables()
    assert tuple(tables) == FBNET_METRICS
    assert tables["raspi4_latency"]["ConvBlock_H32_W32_Cin16_Cout16_exp1_kernel3_stride1_group1"] == 0.595037342
    with pytest.raises(ValueError, match="must be fbnet for lookup tables, but is nasbench201"):
        HWNASBenchAPI(source).get_op_lookup_tables()


@pytest.mark.parametrize("arch", [[0] * 21, [0] * 21 + [9], [0] * 21 + [-1], 3, "0" * 22, [0.5] * 22])
def test_architectures_that_do_not_fit_fbnet_are_refused(arch: Any) -> None:
    api = HWNASBenchAPI(content(), "fbnet")
    for ask in (api.query_by_index, api.get_net_config):
        with pytest.raises(ValueError, match=r"22 numbers in \[0, 8\] for FBNet"):
            ask(arch, "cifar100")


@pytest.mark.parametrize("arch", [2, -1, [0], 0.5])
def test_architectures_that_are_not_in_nas_bench_201_are_refused(arch: Any) -> None:
    with pytest.raises(ValueError, match=r"whole number in \[0, 1\]"):
        HWNASBenchAPI(content()).query_by_index(arch, "cifar10")


@pytest.mark.parametrize(
    ("search_space", "arch", "rule"),
    [("fbnet", [0] * 22, "cifar100, ImageNet for FBNet"), ("nasbench201", 0, "cifar10")],
)
def test_unknown_data_sets_are_refused(search_space: BenchmarkSpace, arch: Any, rule: str) -> None:
    api = HWNASBenchAPI(content(), search_space)
    for ask in (api.query_by_index, api.get_net_config):
        with pytest.raises(ValueError, match=f"`dataname` must be one of {rule}.* but got 'mnist'"):
            ask(arch, "mnist")


def test_an_unknown_space_is_refused() -> None:
    with pytest.raises(ValueError, match="one of nasbench201, fbnet, but got 'darts'"):
        HWNASBenchAPI(content(), "darts")  # type: ignore[arg-type]


def test_a_missing_block_is_named() -> None:
    tables = content()
    del tables["fbnet"]["pixel3_latency"]["FC_Cin1504_Cout100"]
    with pytest.raises(ValueError, match="`pixel3_latency` must have all blocks, but the dictionary lacks FC_Cin1504"):
        HWNASBenchAPI(tables, "fbnet").query_by_index([0] * 22, "cifar100")


@pytest.mark.parametrize(
    ("search_space", "change", "rule"),
    [
        ("fbnet", lambda tables: tables.pop("fbnet"), "`fbnet` of .* must be a dictionary, but .* has none"),
        ("fbnet", lambda tables: tables["fbnet"].pop("fpga_energy"), "`fpga_energy` of .* but .* has none"),
        (
            "fbnet",
            lambda tables: tables["fbnet"]["fpga_energy"].update(FC_Cin1504_Cout100=float("nan")),
            "`fpga_energy` of block FC_Cin1504_Cout100 must be a finite number, but .* has nan",
        ),
        ("nasbench201", lambda tables: tables.update(nasbench201=[]), "must be a dictionary, but .* has a list"),
        (
            "nasbench201",
            lambda tables: tables["nasbench201"]["cifar10"].pop("config"),
            "`config`, but .* has none|`config` .*has none",
        ),
        (
            "nasbench201",
            lambda tables: tables["nasbench201"]["cifar10"].update(raspi4_latency=[1.0]),
            "one entry of `raspi4_latency` for each `config`, but .* has 1",
        ),
    ],
)
def test_other_layouts_are_refused(
    tmp_path: Path, search_space: BenchmarkSpace, change: Callable[[Tables], object], rule: str
) -> None:
    tables = content()
    change(tables)
    path = tmp_path / "tables.pickle"
    path.write_bytes(pickle.dumps(tables))
    with pytest.raises(ValueError, match=rule) as error:
        HWNASBenchAPI(path, search_space)
    assert str(path) in str(error.value)


def test_a_pickle_that_runs_a_program_is_refused(tmp_path: Path) -> None:
    class Attack:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return os.system, (f"touch {tmp_path / 'mark'}",)

    path = tmp_path / "tables.pickle"
    path.write_bytes(pickle.dumps(content() | {"extra": Attack()}))
    with pytest.raises(ValueError, match="asks for `(posix|nt).system`"):
        HWNASBenchAPI(path)
    assert not (tmp_path / "mark").exists()


@pytest.mark.parametrize(
    "config",
    [
        {},
        {"num_classes": 10},
        {"num_classes": 10, "arch_str": CELLS[0]},
        {"num_classes": 10, "arch_str": "|none~0|", "C": 16, "N": 5},
        {"num_classes": 100, "arch_str": ["k3_e1"] * 22, "dataset": "mnist"},
        {"num_classes": 100, "arch_str": ["k3_e1"] * 21, "dataset": "cifar100"},
    ],
)
def test_configurations_of_no_network_are_refused(config: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="must"):
        graph_of_config(config)


def test_published_rows_of_nas_bench_201(reference: Path) -> None:
    rows = json.loads((reference / "hwnasbench_example_rows.json").read_text())
    rows = [row for row in rows if isinstance(row["arch"], int)]
    tables = content()
    for dataname in CLASSES:
        chosen = sorted((row for row in rows if row["dataset"] == dataname), key=lambda row: row["arch"])
        assert [row["arch"] for row in chosen] == [0, 1, 2]
        tables["nasbench201"][dataname] = {
            **{metric: [row[metric] for row in chosen] for metric in NASBENCH201_METRICS},
            "config": 3 * tables["nasbench201"][dataname]["config"][:1],
        }
    api = HWNASBenchAPI(tables)
    for row in rows:
        expected = {name: value for name, value in row.items() if name not in ("arch", "dataset")}
        assert api.query_by_index(row["arch"], row["dataset"]) == expected


@pytest.mark.parametrize("device", ["raspi4", "pixel3", "fpga", "eyeriss"])
def test_published_sums_of_fbnet(reference: Path, device: str) -> None:
    lut = json.loads((reference / "fbnet_cifar100_lut_recovered.json").read_text())[device]
    above_skip_LO = [[row.get(name, 0.0) for name in OPERATOR_NAMES] for row in lut["delta_vs_skip"].values()]
    tables = content()
    tables["fbnet"][f"{device}_latency"] = fbnet_tables(above_skip_LO, lut["const_all_skip"])
    api = HWNASBenchAPI(tables, "fbnet")
    with (reference / "fbnet_cifar100_latency_help.csv").open() as file:
        rows = list(csv.DictReader(file))[:200]
    for row in rows:
        arch = [int(index) for index in row["arch"].split("_")]
        results = api.query_by_index(arch, "cifar100")
        assert results[f"{device}_latency"] == pytest.approx(float(row[f"{device}_ms"]), rel=1e-9)
    if device == "raspi4":
        for arch, latency_ms in NOTEBOOK:
            result = api.query_by_index(arch, "cifar100")["raspi4_latency"]
            assert result == pytest.approx(latency_ms, rel=1e-13)


def parameters(network: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def cell_parameters(kernels: tuple[int, ...], classes: int) -> int:
    """Of a network of the cell space whose cells have convolutions of these kernels, added up by hand."""
    total = 3 * 16 * 9 + 2 * 16
    for stage, channels in enumerate((16, 32, 64)):
        if stage:
            before = channels // 2
            total += before * channels * (9 + 1) + channels * channels * 9 + 2 * (2 * channels)
        total += 5 * sum(channels * channels * kernel**2 + 2 * channels for kernel in kernels)
    return total + 2 * 64 + 64 * classes + classes


def test_the_way_through_the_originals_readme_and_notebook(tmp_path: Path) -> None:
    path = tmp_path / "HW-NAS-Bench-v1_0.pickle"
    tables = content()
    path.write_bytes(pickle.dumps(tables))

    api = HWNASBenchAPI(str(path), search_space="nasbench201")
    for index in range(len(CELLS)):
        for dataset in CLASSES:
            costs = api.query_by_index(index, dataset)
            assert type(costs) is dict
            assert costs["raspi4_latency"] == tables["nasbench201"][dataset]["raspi4_latency"][index]
    assert [name for name in costs if "latency" not in name and "energy" not in name] == [
        "eyeriss_arithmetic_intensity",
        "average_hw_metric",
    ]
    config = api.get_net_config(0, "cifar10")
    assert config == {"name": "infer.tiny", "C": 16, "N": 5, "arch_str": CELLS[0], "num_classes": 10}
    network = get_cell_based_tiny_net(config)
    assert parameters(network) == cell_parameters((1, 1), 10)
    assert "Conv2d(3, 16, kernel_size=(3, 3)" in str(network)
    features, logits = network(torch.zeros(2, 3, 32, 32))
    assert (features.shape, logits.shape) == ((2, 64), (2, 10))

    api = HWNASBenchAPI(str(path), search_space="fbnet")
    for arch, latency_ms in NOTEBOOK:
        assert api.query_by_index(arch, "cifar100")["raspi4_latency"] == pytest.approx(latency_ms, abs=1e-7)
    config = api.get_net_config([0] * 22, "cifar100")
    assert config == {
        "dataset": "cifar100",
        "num_classes": 100,
        "op_idx_list": [0] * 22,
        "arch_str": ["k3_e1"] * 22,
    }
    inferred = FBNet_Infer(config)
    assert (inferred.num_classes, inferred.op_idx_list) == (100, [0] * 22)
    assert inferred(torch.zeros(2, 3, 32, 32)).shape == (2, 100)


@pytest.mark.parametrize("search_space", ["nasbench201", "fbnet"])
def test_the_tables_of_both_spaces_can_be_looked_at(tmp_path: Path, search_space: BenchmarkSpace) -> None:
    tables = content()
    tables["fbnet"]["edgetpu_latency"] = {"block": 1.0}
    path = tmp_path / "tables.pickle"
    path.write_bytes(pickle.dumps(tables))
    found = HWNASBenchAPI(path, search_space).HW_metrics
    assert list(found) == ["nasbench201", "fbnet"]
    assert found["fbnet"] == tables["fbnet"]
    for dataset, columns in tables["nasbench201"].items():
        assert list(found["nasbench201"][dataset]) == list(columns)
        assert found["nasbench201"][dataset]["config"][1]["arch_str"] == CELLS[1]
        np.testing.assert_array_equal(found["nasbench201"][dataset]["fpga_energy"], columns["fpga_energy"])


def test_cells_may_be_described_by_an_object_too() -> None:
    config = SimpleNamespace(name="infer.tiny", C=16, N=5, arch_str=CELLS[1], num_classes=120)
    assert parameters(get_cell_based_tiny_net(config)) == cell_parameters((3, 3, 3, 1), 120)


def test_networks_of_fbnet_have_the_published_parameters() -> None:
    # FBNet-C as timm's `fbnetc_100`.
    arch = [int(digit) for digit in "0380076737677777677773"]
    assert parameters(FBNet_Infer({"dataset": "ImageNet", "num_classes": 1000, "op_idx_list": arch})) == 5_572_200
    channels = [16, *(count for count, layers in ((16, 1), (24, 4), (32, 4), (64, 4), (112, 4), (184, 4), (352, 1))
                for _ in range(layers))]  # fmt: skip
    blocks = sum(
        source * source + 9 * source + source * target + 4 * source + 2 * target
        for source, target in itertools.pairwise(channels)
    )
    by_hand = 3 * 16 * 9 + 32 + blocks + 352 * 1504 + 2 * 1504 + 1504 * 100 + 100
    assert parameters(FBNet_Infer({"dataset": "cifar100", "num_classes": 100, "op_idx_list": [0] * 22})) == by_hand


@pytest.mark.parametrize(
    ("build", "config", "rule"),
    [
        (get_cell_based_tiny_net, {"name": "GDAS", "C": 16, "N": 5}, "must have the name 'infer.tiny' .* got 'GDAS'"),
        (get_cell_based_tiny_net, {"C": 16, "N": 5, "num_classes": 10}, "a cell as `arch_str`, but got None and None"),
        (FBNet_Infer, {"dataset": "cifar100", "num_classes": 100}, "or `op_idx_list` their indices, but got None"),
        (FBNet_Infer, {"dataset": "cifar100", "num_classes": 100, "op_idx_list": [9] * 22}, r"22 numbers in \[0, 8\]"),
    ],
)
def test_configurations_of_other_networks_are_refused(
    build: Callable[[dict[str, Any]], object], config: dict[str, Any], rule: str
) -> None:
    with pytest.raises(ValueError, match=rule):
        build(config)
