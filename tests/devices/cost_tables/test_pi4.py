import csv
import json
import runpy
from dataclasses import replace
from pathlib import Path

import jsonschema
import numpy as np
import pytest

from devices.cost_tables.cost_table import SCHEMA_PATH, check_fits
from devices.cost_tables.pi4 import (
    TABLE_PATH,
    fitted_model,
    held_out_ms,
    pi4_cost_table,
    published_latencies,
)
from devices.energy.power_model import RASPBERRY_PI_4
from search_space.spaces import Stage, space_named

CIFAR = space_named("fbnet-cifar")
PUBLISHED = CIFAR.with_classes(100)
BENCHMARK = Path(__file__).parents[3] / "benchmarks" / "built_in_boards" / "pi4_model.py"
PRESETS = ("fbnet-cifar", "fbnet-micro", "fbnet-imagenet", "fbnet-96-0.35")


def test_sums_of_the_table_are_the_published_latencies(reference: Path) -> None:
    table = pi4_cost_table(PUBLISHED)
    with (reference / "fbnet_cifar100_latency_help.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 5000
    for row in rows:
        indices = [int(index) for index in row["arch"].split("_")]
        assert table.latency_of(indices) == pytest.approx(float(row["raspi4_ms"]), rel=0, abs=1e-6)


@pytest.mark.parametrize(
    ("indices", "latency_ms"),
    [
        ([0] * 22, 17.618579145142576),
        ([0] * 21 + [1], 17.505280663142912),
        ([0] * 20 + [1, 1], 17.43969264414045),
    ],
)
def test_latencies_printed_in_the_notebook_of_hw_nas_bench(indices: list[int], latency_ms: float) -> None:
    assert pi4_cost_table(PUBLISHED).latency_of(indices) == pytest.approx(latency_ms, rel=0, abs=1e-6)


@pytest.mark.parametrize(
    ("indices", "latency_ms"),
    [
        ([0] * 22, 57.65650005702628),
        ([0] * 21 + [1], 57.98271677602315),
        ([0] * 20 + [1, 1], 58.2021167500061),
    ],
)
def test_the_model_comes_near_published_networks_for_other_images(indices: list[int], latency_ms: float) -> None:
    """HW-NAS-Bench's notebook has these for 224 px; the model saw only operators at 32 px."""
    table = pi4_cost_table(space_named("fbnet-imagenet"))
    assert table.latency_source == "modelled"
    assert table.latency_of(indices) == pytest.approx(latency_ms, rel=0.08)


def test_in_the_published_shapes_entries_are_published_and_energy_is_modelled() -> None:
    table = pi4_cost_table(PUBLISHED)
    assert (table.latency_source, table.energy_source) == ("published", "modelled")
    assert (table.latency_ms[:, -1] == 0).all()
    assert (table.latency_ms[:, :-1] > 0).all()
    np.testing.assert_allclose(table.energy_mj, 1.01 * table.latency_ms)
    assert table.fixed_energy_mj == pytest.approx(1.01 * table.fixed_latency_ms)
    assert table.idle_w == RASPBERRY_PI_4.idle_w
    assert RASPBERRY_PI_4.description in table.method


def test_another_classifier_changes_the_fixed_cost_only_and_makes_it_modelled() -> None:
    ten, hundred = pi4_cost_table(CIFAR), pi4_cost_table(PUBLISHED)
    np.testing.assert_array_equal(ten.latency_ms, hundred.latency_ms)
    assert 0 < hundred.fixed_latency_ms - ten.fixed_latency_ms < 0.5
    assert ten.latency_source == "modelled"
    assert "100 to 10 classes" in ten.method


def test_some_of_the_operators_are_columns_of_the_whole_table() -> None:
    some = ("k3_e1", "k5_e6", "skip")
    table = pi4_cost_table(replace(PUBLISHED, operators=some))
    np.testing.assert_array_equal(table.latency_ms, pi4_cost_table(PUBLISHED).latency_ms[:, [0, 7, 8]])
    assert table.latency_source == "published"


def test_without_skip_the_fixed_cost_stays() -> None:
    without = replace(PUBLISHED, operators=PUBLISHED.operators[:-1])
    assert pi4_cost_table(without).latency_of([0] * 22) == pi4_cost_table(PUBLISHED).latency_of([0] * 22)


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_has_a_table(name: str) -> None:
    space = space_named(name)
    table = pi4_cost_table(space)
    check_fits(table, space)
    jsonschema.validate(table.to_json(), json.loads(SCHEMA_PATH.read_text()))
    for row, layer in zip(table.latency_ms, space.layers, strict=True):
        assert (row[:-1] > row[-1]).all()
        if layer.keeps_shape:
            assert row[-1] == 0


def test_layers_of_published_shape_keep_their_differences_in_other_spaces() -> None:
    shorter = replace(PUBLISHED, name="shorter", stages=(Stage(16, 1, 1), Stage(24, 2, 1), Stage(36, 1, 1)))
    table, published = pi4_cost_table(shorter), pi4_cost_table(PUBLISHED)
    differences = table.latency_ms - table.latency_ms[:, -1:]
    np.testing.assert_allclose(differences[:3], published.latency_ms[:3])
    assert table.latency_ms[1, -1] > 0, "a strided 1x1 convolution, no longer in the fixed cost"
    assert table.latency_source == "modelled"
    assert "in 3 of 4 layers" in table.method


def test_a_space_that_differs_in_its_stem_alone_is_modelled() -> None:
    table = pi4_cost_table(replace(PUBLISHED, last_channels=512))
    assert table.latency_source == "modelled"
    assert table.fixed_latency_ms < pi4_cost_table(PUBLISHED).fixed_latency_ms


def test_errors_for_stages_that_the_model_never_saw() -> None:
    figures = runpy.run_path(str(BENCHMARK))["errors"](networks=500)
    assert figures["operators"] < 0.2
    assert figures["operators, each shape once"] < 0.2
    assert max(figures["networks, by predicted stage"]) < 0.08
    assert figures["networks, all stages predicted"] < 0.08
    assert figures["networks, everything predicted"] < 0.08


def test_a_left_out_stage_has_no_part_in_its_prediction() -> None:
    published = published_latencies()
    changed = published.above_skip_ms_LO.copy()
    changed[published.stage_of_layer == 3, :-1] *= 7.0
    elsewhere = replace(published, above_skip_ms_LO=changed)
    for index in np.flatnonzero(published.stage_of_layer == 3):
        np.testing.assert_array_equal(held_out_ms(elsewhere)[index], held_out_ms(published)[index])
    assert not np.allclose(fitted_model(elsewhere).ms_per_count, fitted_model(published).ms_per_count)


def test_the_file_names_its_source_and_licence() -> None:
    content = json.loads(TABLE_PATH.read_text())
    assert "HW-NAS-Bench" in content["source"]
    assert content["licence"] == "MIT"
