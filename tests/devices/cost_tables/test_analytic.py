import numpy as np
import pytest

from devices.configuration import BASE
from devices.cost_tables.analytic import MS_PER_KERNEL, analytic_cost_table
from devices.cost_tables.cost_table import check_fits
from devices.energy.power_model import HOST_POWER_MODEL
from search_space.spaces import preset_names, space_named


@pytest.mark.parametrize("name", [name for name in preset_names() if name.startswith("fbnet")])
def test_every_preset_has_a_table(name: str) -> None:
    space = space_named(name)
    table = analytic_cost_table(space)
    check_fits(table, space)
    assert (table.latency_source, table.energy_source) == ("modelled", "modelled")


def test_the_table_is_always_the_same() -> None:
    one, two = (analytic_cost_table(space_named("fbnet-micro")).to_json() for _ in range(2))
    assert one == two


def test_a_strided_skip_by_hand() -> None:
    space = space_named("fbnet-micro")
    layer = space.layers[3]
    assert (layer.in_channels, layer.out_channels, layer.stride, layer.size) == (24, 32, 2, 8)
    macs = 4 * 4 * 24 * 32
    numbers = 24 * 8 * 8 + 32 * 4 * 4 + 24 * 32 + 2 * 32
    expected_ms = max(macs / 10e6, 4 * numbers / 4e6) + MS_PER_KERNEL
    assert analytic_cost_table(space).latency_ms[3, -1] == pytest.approx(expected_ms)


def test_larger_blocks_cost_more_and_identities_nothing() -> None:
    space = space_named("fbnet-micro")
    latency_ms = analytic_cost_table(space).latency_ms
    column = {name: latency_ms[:, index] for index, name in enumerate(space.operators)}
    for small, large in (("k3_e1", "k3_e3"), ("k3_e3", "k3_e6"), ("k5_e3", "k5_e6"), ("k3_e6", "k5_e6")):
        assert (column[small] < column[large]).all()
    np.testing.assert_array_equal(column["skip"] == 0, [layer.keeps_shape for layer in space.layers])


def test_energy_is_that_of_the_power_model() -> None:
    table = analytic_cost_table(space_named("fbnet-micro"))
    np.testing.assert_allclose(table.energy_mj, HOST_POWER_MODEL.net_w(BASE) * table.latency_ms)
    assert table.fixed_energy_mj == pytest.approx(HOST_POWER_MODEL.net_w(BASE) * table.fixed_latency_ms)
    assert table.idle_w == HOST_POWER_MODEL.idle_w
