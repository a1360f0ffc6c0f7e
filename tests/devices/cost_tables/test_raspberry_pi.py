import json
from dataclasses import replace

import jsonschema
import numpy as np
import pytest
from scipy.stats import spearmanr

from devices.configuration import BASE, Precision, RuntimeConfiguration, configurations_of
from devices.cost_tables.cost_table import SCHEMA_PATH, check_fits
from devices.cost_tables.operator_model import COUNTS
from devices.cost_tables.pi4 import pi4_cost_table
from devices.cost_tables.raspberry_pi import (
    BUILT_IN_BOARDS,
    INT8_DEPTHWISE,
    INT8_OTHER,
    SERIAL_DENSE,
    SERIAL_OTHER,
    built_in_configurations,
    built_in_tables,
    clock_factor,
    int8_factors,
    modelled_costs,
    thread_factors,
)
from devices.energy.power_model import RASPBERRY_PI_4, RASPBERRY_PI_5, PowerModel
from search_space.spaces import FBNetSpace, space_named

CIFAR = space_named("fbnet-cifar")
PUBLISHED = CIFAR.with_classes(100)
MICRO = space_named("fbnet-micro")
NAMES = tuple(BUILT_IN_BOARDS)
SPACES = (PUBLISHED, CIFAR, MICRO, space_named("fbnet-imagenet"))


def configuration(mhz: int | None = None, threads: int = 1, precision: Precision = "fp32") -> RuntimeConfiguration:
    return RuntimeConfiguration(frequency_mhz=mhz, threads=threads, precision=precision)


def latencies(space: FBNetSpace, name: str, *configurations: RuntimeConfiguration) -> np.ndarray:
    """Of 50 random networks in each configuration, shape (50, configurations)."""
    rng = np.random.default_rng(0)
    networks = rng.integers(len(space.operators), size=(50, space.num_layers)).tolist()
    tables = built_in_tables(name, space, configurations)
    return np.array([[table.latency_of(network) for table in tables] for network in networks])


@pytest.mark.parametrize(("name", "clocks"), [("pi4", {600, 1000, 1500}), ("pi5", {1500, 2000, 2400})])
def test_built_in_configurations(name: str, clocks: set[int]) -> None:
    found = built_in_configurations(name)
    assert len(found) == len(set(found)) == 18
    assert {c.frequency_mhz for c in found} == clocks
    assert {c.threads for c in found} == {1, 2, 4}
    assert found[0] == configuration(max(clocks)) == min(found)


@pytest.mark.parametrize("space", SPACES)
@pytest.mark.parametrize("name", NAMES)
def test_every_configuration_has_a_table(name: str, space: FBNetSpace) -> None:
    tables = built_in_tables(name, space)
    assert tables.configurations == built_in_configurations(name)
    for table in tables:
        check_fits(table, space)
        jsonschema.validate(table.to_json(), json.loads(SCHEMA_PATH.read_text()))
        assert table.idle_w == BUILT_IN_BOARDS[name].power.idle_w
        assert table.energy_source == "modelled"
        assert name in table.board
        for row in table.latency_ms:
            assert (row[:-1] > row[-1]).all()


def test_the_base_of_a_pi_4_is_the_published_table() -> None:
    published, tables = pi4_cost_table(PUBLISHED), built_in_tables("pi4", PUBLISHED)
    assert tables.base.to_json() == {**published.to_json(), "frequency_mhz": 1500}
    assert tables.base.latency_source == "published"
    assert {table.latency_source for table in list(tables)[1:]} == {"modelled"}


def test_without_a_clock_the_top_one_is_meant() -> None:
    for name, top_mhz in (("pi4", 1500), ("pi5", 2400)):
        governed, set_ = built_in_tables(name, MICRO, [configuration(threads=2), configuration(top_mhz, threads=2)])
        np.testing.assert_array_equal(governed.latency_ms, set_.latency_ms)
        np.testing.assert_array_equal(governed.energy_mj, set_.energy_mj)
        assert governed.frequency_mhz is None
    assert built_in_tables("pi4", PUBLISHED, [BASE]).base.to_json() == pi4_cost_table(PUBLISHED).to_json()


def test_configurations_come_in_the_order_given() -> None:
    chosen = (configuration(1500, 4), configuration(1800), configuration(1500, 3, "int8"))
    assert built_in_tables("pi4", MICRO, chosen).configurations == chosen


@pytest.mark.parametrize("space", SPACES)
@pytest.mark.parametrize(("name", "top_mhz", "share"), [("pi4", 1500, 0.76), ("pi5", 2400, 0.73)])
def test_clocks_follow_the_law_of_one_coefficient(name: str, top_mhz: int, share: float, space: FBNetSpace) -> None:
    top, low = latencies(space, name, configuration(top_mhz, 2), configuration(1500 if name == "pi5" else 600, 2)).T
    ratio = 1.6 if name == "pi5" else 2.5
    np.testing.assert_allclose(low / top, share * ratio + 1 - share)


def test_the_clock_law_by_hand() -> None:
    assert clock_factor(0.76, 1500, 1500) == 1
    assert clock_factor(0.76, 1500, 750) == pytest.approx(1.76)
    assert clock_factor(1.0, 1500, 500) == pytest.approx(3)


@pytest.mark.parametrize("name", NAMES)
def test_threads_take_the_published_share_of_the_time(name: str) -> None:
    one, two, four = latencies(CIFAR, name, *(configuration(threads=n) for n in (1, 2, 4))).T
    assert 0.70 < (two / one).mean() < 0.80
    assert 0.60 < (four / one).mean() < 0.65
    assert (two < one).all()
    assert (four < two).all()


def test_dense_convolutions_gain_most_by_threads_and_small_operations_least() -> None:
    factors = dict(zip(COUNTS, thread_factors(4), strict=True))
    assert factors["dense MACs"] == pytest.approx(SERIAL_DENSE + (1 - SERIAL_DENSE) / 4)
    assert factors["depthwise MACs"] == pytest.approx(SERIAL_OTHER + (1 - SERIAL_OTHER) / 4)
    assert factors["dense MACs"] < factors["depthwise MACs"] < factors["operations"] == 1
    np.testing.assert_array_equal(thread_factors(1), 1)


def test_small_networks_gain_less_by_threads_than_large_ones() -> None:
    small, large = (latencies(space, "pi4", configuration(), configuration(threads=4)) for space in (MICRO, CIFAR))
    assert (small[:, 1] / small[:, 0]).mean() > (large[:, 1] / large[:, 0]).mean()


def test_int8_factors_by_kind() -> None:
    factors = dict(zip(COUNTS, int8_factors(0.5), strict=True))
    assert factors["dense MACs"] == factors["numbers out of dense operations"] == 0.5 * INT8_OTHER
    assert factors["depthwise MACs"] == factors["depthwise weights"] == 0.5 * INT8_DEPTHWISE
    assert factors["operations"] == 1


@pytest.mark.parametrize(("name", "factor"), [("pi4", 0.54), ("pi5", 0.38)])
def test_int8_comes_to_the_published_share_of_the_time(name: str, factor: float) -> None:
    fp32, int8 = latencies(CIFAR, name, configuration(), configuration(precision="int8")).T
    assert (int8 / fp32).mean() == pytest.approx(factor, abs=0.02)


def test_operators_scale_differently() -> None:
    one, other = built_in_tables("pi4", CIFAR, [configuration(), configuration(threads=4, precision="int8")])
    ratio = (other.latency_ms / np.where(one.latency_ms > 0, one.latency_ms, 1))[:, :-1]
    assert ratio.max() / ratio.min() > 1.1


def test_a_pi_5_takes_one_share_of_the_time_of_a_pi_4() -> None:
    four, five = built_in_tables("pi4", PUBLISHED), built_in_tables("pi5", PUBLISHED)
    np.testing.assert_allclose(five.base.latency_ms, 0.288 * four.base.latency_ms)
    assert five.base.fixed_latency_ms == pytest.approx(0.288 * four.base.fixed_latency_ms)
    assert five.base.latency_source == "modelled"


@pytest.mark.parametrize(("name", "power"), [("pi4", RASPBERRY_PI_4), ("pi5", RASPBERRY_PI_5)])
def test_energies_are_those_of_the_power_model(name: str, power: PowerModel) -> None:
    for table in built_in_tables(name, MICRO):
        watts = power.net_w(table.configuration)
        np.testing.assert_allclose(table.energy_mj, watts * table.latency_ms)
        assert table.fixed_energy_mj == pytest.approx(watts * table.fixed_latency_ms)


@pytest.mark.parametrize(("name", "rank_correlation"), [("pi4", -0.83), ("pi5", -0.95)])
def test_within_one_network_what_is_quicker_costs_more_energy(name: str, rank_correlation: float) -> None:
    """Spearman over clocks and threads of one precision; measured on single networks: -0.82 to -0.94."""
    tables = [table for table in built_in_tables(name, CIFAR) if table.precision == "fp32"]
    network = [0] * CIFAR.num_layers
    found = spearmanr([t.latency_of(network) for t in tables], [t.energy_of(network) for t in tables])
    assert found.statistic == pytest.approx(rank_correlation, abs=0.03)


@pytest.mark.parametrize("name", NAMES)
def test_along_threads_latency_falls_and_energy_rises(name: str) -> None:
    tables = built_in_tables(name, CIFAR, [configuration(threads=n) for n in (1, 2, 4)])
    network = [1] * CIFAR.num_layers
    latency_ms, energy_mj = [t.latency_of(network) for t in tables], [t.energy_of(network) for t in tables]
    assert latency_ms == sorted(latency_ms, reverse=True)
    assert energy_mj == sorted(energy_mj)


def test_methods_name_laws_and_errors() -> None:
    table = built_in_tables("pi5", CIFAR)[configuration(1500, 4, "int8")]
    for part in ("ort 4t 1500MHz int8", "ncnn", "MLPerf", "a = 0.73", "left out", RASPBERRY_PI_5.description):
        assert part in table.method
    assert RASPBERRY_PI_4.description not in table.method


def test_some_of_the_operators_are_columns_of_the_whole_tables() -> None:
    some = replace(PUBLISHED, operators=("k3_e1", "k5_e6", "skip"))
    for part, whole in zip(built_in_tables("pi5", some), built_in_tables("pi5", PUBLISHED), strict=True):
        np.testing.assert_allclose(part.latency_ms, whole.latency_ms[:, [0, 7, 8]])


def test_other_boards_are_refused() -> None:
    with pytest.raises(ValueError, match="must be one of pi4, pi5, but got 'pi6'"):
        built_in_tables("pi6", MICRO)
    with pytest.raises(ValueError, match="must be one of pi4, pi5, but got 'pi6'"):
        built_in_configurations("pi6")


@pytest.mark.parametrize(
    ("name", "chosen", "message"),
    [
        (
            "pi4",
            RuntimeConfiguration(runtime="litert"),
            "`--runtime litert` needs a board that measures, but",
        ),
        ("pi4", configuration(threads=5), "`threads` must be at most 4, the cores of pi4, but got 5"),
        ("pi4", configuration(500), "`frequency_mhz` must be from 600 to 1800 on pi4, but got 500"),
        ("pi4", configuration(1900), "but got 1900: use 1500, 1000, 600, say"),
        ("pi5", configuration(1200), "`frequency_mhz` must be from 1500 to 2400 on pi5, but got 1200"),
    ],
)
def test_what_a_board_cannot_do_is_refused(name: str, chosen: RuntimeConfiguration, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        built_in_tables(name, MICRO, [chosen])


def test_clocks_in_between_will_do() -> None:
    chosen = configurations_of((1,), (1800, 1500, 1200), ("fp32",))
    latency_ms = latencies(MICRO, "pi4", *chosen)
    assert (np.diff(latency_ms, axis=1) > 0).all()


@pytest.mark.parametrize("name", NAMES)
def test_networks_take_longer_at_a_larger_size(name: str) -> None:
    spaces = [space_named("fbnet-micro", size=size) for size in (32, 64, 96, 128)]
    means = [latencies(space, name, BASE).mean() for space in spaces]
    assert means == sorted(means)
    # Nearly as the number of pixels: what an operation costs as such does not grow.
    assert 2.5 < means[3] / means[1] < 4.5
    assert [built_in_tables(name, space).base.space for space in spaces][2] == "fbnet-micro@96"


@pytest.mark.parametrize("name", ["pi4", "pi5"])
@pytest.mark.parametrize(
    "configuration", [BASE, RuntimeConfiguration(threads=4, precision="int8"), RuntimeConfiguration(frequency_mhz=1500)]
)
def test_costs_of_a_graph_are_those_of_the_table_of_its_space(name: str, configuration: RuntimeConfiguration) -> None:
    # No layer of 72 pixels is in the published table, so that all of it is the operator model's.
    space = space_named("fbnet-micro", size=72)
    indices = tuple(index % len(space.vocabulary) for index in range(space.num_layers))
    operators = tuple(space.vocabulary[index] for index in indices)
    table = built_in_tables(name, space, [configuration]).base
    costs = modelled_costs(name, space.graph(operators), configuration)
    assert costs.latency_ms == pytest.approx(table.latency_of(indices), rel=1e-6)
    assert costs.energy_mj == pytest.approx(table.energy_of(indices), rel=1e-6)
    assert (costs.idle_w, costs.energy_error) == (table.idle_w, table.energy_error)


def test_costs_of_a_graph_need_a_board_that_there_is() -> None:
    graph = space_named("fbnet-micro").graph(("skip",) * MICRO.num_layers)
    with pytest.raises(ValueError, match="a built-in board must be one of pi4, pi5"):
        modelled_costs("pi6", graph, BASE)
    with pytest.raises(ValueError, match="`threads` must be at most 4"):
        modelled_costs("pi5", graph, RuntimeConfiguration(threads=8))
