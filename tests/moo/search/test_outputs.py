from __future__ import annotations

import json
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import safetensors.numpy

from devices.configuration import RuntimeConfiguration, configurations_of
from devices.cost_tables.energy_objective import EnergyObjective
from devices.cost_tables.family import CostTables
from moo.search.outputs import front_json, write_front, write_pictures_and_report
from moo.storage.archive import Archive
from moo.storage.run_folder import RunFolder
from moo.storage.store import new_store
from moo.trials import DeliveryJob, DeliveryResult
from search_space.architectures import operator_indices
from search_space.counts import count
from search_space.litert.flat_model import notes_in
from search_space.onnx_files import random_weights
from search_space.spaces import FBNetSpace
from tests.moo.conftest import DATASET, EntryOf, MeasurementOf, Prepare, ResultOf, TrainedOf, family_of


@pytest.fixture
def folder(tmp_path: Path) -> Any:
    return RunFolder(tmp_path)


@pytest.fixture
def archive(entry_of: EntryOf, measurement_of: MeasurementOf) -> Any:
    archive = Archive((1.0, 10.0, 20.0))
    archive.add(entry_of((0, 0, 0), 0.3, 1.0, 2.0, trial_id=3))
    archive.add(entry_of((1, 1, 1), 0.1, 4.0, 8.0, trial_id=1))
    archive.add(entry_of((0, 1, 1), 0.4, 5.0, 9.0, trial_id=2))
    archive.set_measurement("333", measurement_of(6.0))
    archive.set_test_error("333", 0.125)
    return archive


@pytest.fixture
def delivered(archive: Any, space: FBNetSpace) -> Any:
    results = {}
    for point in archive.front():
        graph = space.graph(point.entry.architecture.operators)
        weights = random_weights(graph, np.random.default_rng(0))
        job = DeliveryJob(operator_indices(space, point.entry.architecture))
        results[point.id] = DeliveryResult(job=job, weights=weights, test_error=0.125)
    return results


def test_the_front_as_json_says_how_each_cost_came_about(archive: Any) -> None:
    best, other = front_json(archive)
    assert best["architecture"] == {"space": "tiny", "id": "333", "operators": ["k3_e6"] * 3}
    assert (best["error"], best["latency_ms"], best["energy_mj"], best["test_error"]) == (0.1, 6.0, 12.0, 0.125)
    assert (best["latency_source"], best["energy_source"]) == ("measured", "modelled")
    assert best["coefficients"] == {"alpha": 2.0, "beta": 1.0, "gamma": 1.0, "delta": 1.0}
    assert best["measurement"]["board"] == "bench board"
    assert other["architecture"]["id"] == "000"
    assert (other["latency_ms"], other["latency_source"], other["measurement"]) == (1.0, "modelled", None)
    json.dumps(front_json(archive))


def test_after_training_error_and_costs_are_of_the_same_file(
    entry_of: EntryOf, trained_of: TrainedOf, measurement_of: MeasurementOf
) -> None:
    archive = Archive((1.0, 10.0, 20.0), configurations=(RuntimeConfiguration(precision="int8"),))
    archive.add(replace(entry_of((0, 0, 0), 0.3), quantized_error=0.35))
    measured = replace(measurement_of(2.0), precision="int8")
    archive.set_trained("000", trained_of("000", error=0.1, measurement=measurement_of(4.0), int8_measurement=measured))
    (item,) = front_json(archive)
    assert (item["precision"], item["error_source"]) == ("int8", "trained")
    assert (item["error"], item["latency_ms"]) == (pytest.approx(0.11), 2.0)


def test_each_point_of_the_front_is_an_item_with_its_configuration(
    entry_of: EntryOf, measurement_of: MeasurementOf, tables: CostTables
) -> None:
    four = configurations_of(threads=(1, 2), precisions=("fp32", "int8"))
    archive = Archive((1.0, 30.0, 60.0), configurations=four, energy=EnergyObjective("gross"))
    archive.use_tables(family_of(tables.base, four))
    archive.add(replace(entry_of((0, 0, 0), 0.3), quantized_error=0.35))
    archive.set_test_error("000", 0.31, quantized=0.36)
    archive.set_measurement("000", replace(measurement_of(3.0), threads=2, idle_w=2.0))
    items = front_json(archive)
    assert len(items) == len(archive.front()) >= 2
    assert len({item["configuration"]["label"] for item in items}) == len(items)
    for item, point in zip(items, archive.front(), strict=True):
        one = point.configuration
        assert item["configuration"] == {
            "runtime": "ort", "threads": one.threads, "frequency_mhz": None, "precision": one.precision,
            "label": one.label,
        }  # fmt: skip
        assert item["precision"] == one.precision
        assert (item["error"], item["inherited_error"]) == (0.35 if one.precision == "int8" else 0.3, 0.3)
        assert item["test_error"] == (0.36 if one.precision == "int8" else 0.31)
        assert (item["energy_kind"], item["energy_mj"]) == ("gross", item["gross_energy_mj"])
        assert item["net_energy_mj"] < item["gross_energy_mj"]
    (measured,) = [item for item in items if item["latency_source"] == "measured"]
    assert measured["configuration"]["label"] == "ort 2t fp32"
    assert (measured["net_energy_mj"], measured["gross_energy_mj"]) == (6.0, 12.0)


def test_a_large_front_says_which_points_are_shown(entry_of: EntryOf) -> None:
    archive = Archive((1.0, 100.0, 100.0))
    for number, indices in enumerate(product(range(3), repeat=3)):
        archive.add(entry_of(indices, 0.9 - 0.03 * number, 1.0 + number, 1.0 + number**2, trial_id=number))
    items = front_json(archive, front_size=8)
    assert len(items) == 27
    shown = [item for item in items if item["shown"]]
    assert 4 <= len(shown) <= 8
    assert items[0]["shown"]
    assert items[-1]["shown"]
    assert all(item["shown"] for item in front_json(archive, front_size=27))


def test_each_network_of_the_front_has_a_folder(folder: Any, archive: Any, space: FBNetSpace, delivered: Any) -> None:
    write_front(folder, archive, space, delivered, DATASET)
    assert json.loads(folder.front.read_text()) == front_json(archive)
    assert {path.name for path in folder.networks.iterdir()} == {"000", "333"}
    path = folder.networks / "333"
    assert json.loads((path / "architecture.json").read_text()) == archive["333"].architecture.to_json()
    weights = safetensors.numpy.load((path / "weights.safetensors").read_bytes())
    assert weights.keys() == delivered["333"].weights.keys()
    assert all((value == delivered["333"].weights[name]).all() for name, value in weights.items())
    onnx.checker.check_model(onnx.load(path / "model.onnx"))


def test_points_under_litert_have_its_files(folder: Any, entry_of: EntryOf, space: FBNetSpace, delivered: Any) -> None:
    pytest.importorskip("ai_edge_litert", reason="`ai-edge-litert` is not installed: run `pip install ai-edge-litert`")
    archive = Archive((1.0, 10.0, 20.0), configurations=(RuntimeConfiguration(runtime="litert"),))
    archive.add(entry_of((0, 0, 0), 0.3, 1.0, 2.0))
    archive.add(entry_of((1, 1, 1), 0.1, 4.0, 8.0))
    for place in ("333", "000"):
        (folder.networks / place).mkdir(parents=True)
    (folder.networks / "000" / "model_int8.tflite").touch()
    (folder.networks / "333" / "model_int8.tflite").touch()
    (folder.networks / "333" / "model_int8.onnx").write_bytes(b"damaged")
    write_front(folder, archive, space, delivered, DATASET)
    assert {path.parent.name for path in folder.networks.glob("*/model.tflite")} == {"000", "333"}
    assert not list(folder.networks.glob("*/model_int8.tflite")), "what cannot be made of an ONNX file goes"
    notes = notes_in((folder.networks / "333" / "model.tflite").read_bytes())
    assert (notes["network"], notes["layout"]) == ('"333"', '"NHWC"')
    card = (folder.networks / "333" / "card.md").read_text()
    assert 'Interpreter("model.tflite", num_threads=1)' in card
    assert "pip install ai-edge-litert pillow" in card
    assert front_json(archive)[0]["configuration"]["label"] == "litert 1t fp32"


def test_a_card_says_what_the_network_is_and_how_to_use_it(
    folder: Any, archive: Any, space: FBNetSpace, delivered: Any
) -> None:
    write_front(folder, archive, space, delivered, DATASET)
    card = (folder.networks / "333" / "card.md").read_text()
    counts = count(space.graph(("k3_e6",) * 3))
    for line in (
        "| error, selection split | 10.0 % (3.5–25.6), 30 images |",
        "| error, test split | 12.5 % (5.5–26.1), 40 images |",
        "| latency | 6.0000 ms (measured; 5th percentile of single inferences) |",
        "| energy above idle | 12.0000 mJ (modelled) |",
        "| conditions | bench board, none, 1 thread(s), 50 runs, 2000-01-01T00:00:00+00:00 |",
        f"| multiply-accumulates | {counts.macs:,} |",
        f"| parameters | {counts.params:,} |",
        "minus (0.5000, 0.2500, 0.1250) and divided by (0.1000, 0.2000, 0.3000)",
        "in this order: cat, dog, fox, owl.",
        "3. `k3_e6`",
    ):
        assert line in card
    other = (folder.networks / "000" / "card.md").read_text()
    assert "ms (modelled; " in other
    assert "| conditions | not measured |" in other
    assert "| error, test split | not read, 40 images |" in other


def test_folders_of_networks_that_left_the_front_go_and_other_files_stay(
    folder: Any, archive: Any, space: FBNetSpace, delivered: Any
) -> None:
    (folder.networks / "888").mkdir(parents=True)
    (folder.networks / "888" / "model.onnx").touch()
    (folder.networks / ".DS_Store").touch()
    write_front(folder, archive, space, delivered, DATASET)
    assert {path.name for path in folder.networks.iterdir()} == {"000", "333", ".DS_Store"}


def test_pictures_and_both_reports_are_written(prepare_tiny: Prepare, space: FBNetSpace, result_of: ResultOf) -> None:
    preparation = prepare_tiny(measure=False)
    preparation.folder.path.mkdir(parents=True)
    store = new_store(preparation.folder.store)
    store.add_result(result_of(0, (0, 0, 0), (1, 2, 0)), space)
    archive = store.fill(Archive((0.75, 10.0, 20.0)), space)
    store.close()
    write_pictures_and_report(preparation, archive)
    report, page = (preparation.folder.path / name for name in ("report.md", "report.html"))
    assert report.read_text().startswith("# Pareto front of tiny on stripes")
    assert page.read_text().count("data:image/png;base64,") == len(list(preparation.folder.plots.glob("*.png"))) > 5
