from __future__ import annotations

import dataclasses
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from devices.cost_tables.energy_objective import EnergyObjective
from devices.measurement import Board
from moo.config import SearchConfig
from moo.formatting import short
from moo.limits import CostLimits
from moo.report.report import command_of, report_markdown
from moo.storage.archive import Archive
from moo.storage.origin import MachineOrigin, SplitSizes
from moo.storage.store import entries_of, new_store
from scripts.interface.command_line import parse
from search_space.counts import count
from search_space.spaces import FBNetSpace
from tests.moo.conftest import ORIGIN as RUN_ORIGIN
from tests.moo.conftest import MeasurementOf, ResultOf, TrainedOf, archive_in_configurations

ORIGIN = dataclasses.replace(
    RUN_ORIGIN,
    dataset=dataclasses.replace(RUN_ORIGIN.dataset, images=SplitSizes(weights=100, theta=50, selection=40, test=30)),
    board=Board(name="host", model="a processor", os="Linux", runtime="none", clock_mhz=None),
    machine=MachineOrigin(system="Linux", python="3.12"),
    packages={"torch": "2.4"},
)


@pytest.fixture
def run(tmp_path: Path, space: FBNetSpace, result_of: ResultOf) -> Iterator[Any]:
    store, archive = new_store(tmp_path / "search.sqlite"), Archive((0.75, 10.0, 10.0))
    result = result_of(0, (0, 0, 0), (1, 2, 0))
    store.add_result(result, space)
    for entry in entries_of(result, space):
        archive.add(entry)
    yield archive, store
    store.close()


def test_the_front_is_a_table_with_sources_and_exact_counts(
    run: Any, space: FBNetSpace, measurement_of: MeasurementOf
) -> None:
    archive, store = run
    identifier = archive.front()[0].id
    archive.set_measurement(identifier, measurement_of(0.5))
    archive.set_test_error(identifier, 0.125)
    report = report_markdown(archive, store, SearchConfig(), ORIGIN, space, [])
    front = report.partition("## The front\n")[2]
    row = next(line for line in front.splitlines() if line.startswith(f"| `{identifier}`"))
    counts = count(space.graph(archive[identifier].architecture.operators))
    cells = [cell.strip() for cell in row.strip("|").split("|")]
    assert cells[1:] == [
        "0.0 %",
        "12.5 %",
        "0.500 ms (measured)",
        "1.00 mJ (modelled)",
        "–",
        f"{counts.macs:,}",
        f"{counts.params:,}",
    ]
    coefficients = archive[identifier].coefficients
    greek = " | ".join(short(value) for value in dataclasses.astuple(coefficients))
    assert f"| `{identifier}` | – | {greek} |" in front


def test_conditions_are_those_of_the_measurements(run: Any, space: FBNetSpace, measurement_of: MeasurementOf) -> None:
    archive, store = run
    for entry, reliable in zip(archive.entries, (True, False), strict=True):
        archive.set_measurement(entry.architecture.id, measurement_of(0.5, reliable=reliable))
    report = report_markdown(archive, store, SearchConfig(), ORIGIN, space, [])
    for text in (
        "| board | bench board |",
        "| threads | 1 |",
        "| clock | not told by the board |",
        "| timed inferences each | 50 |",
        "| spread too wide | 1 of 2 measurements |",
        "| source of latency | measured |",
        "| source of energy | modelled |",
        "5th percentile",
        "host (a processor)",
    ):
        assert text in report


def test_without_measurements_nothing_is_called_measured(run: Any, space: FBNetSpace) -> None:
    report = report_markdown(
        run[0], run[1], SearchConfig(measure=False), dataclasses.replace(ORIGIN, board=None), space, []
    )
    assert "Nothing was measured." in report
    assert "ms (modelled)" in report
    assert "(measured)" not in report


def test_failures_are_told_with_their_reasons(run: Any, space: FBNetSpace, result_of: ResultOf) -> None:
    archive, store = run
    store.add_failure(result_of(1).trial, "Traceback (most recent call last):\nRuntimeError: no memory\n")
    store.add_event("measuring failed", architecture="012", reason="the board hung")
    store.add_event("finished", seconds=61.2)
    report = report_markdown(archive, store, SearchConfig(), ORIGIN, space, [])
    assert "2, of which 1 failed" in report
    assert "trial 1 failed: `RuntimeError: no memory`" in report
    assert "`012` was not measured: the board hung" in report
    assert "| 61 s |" in report


def test_pictures_reference_point_and_splits_are_there(run: Any, space: FBNetSpace) -> None:
    archive, store = run
    report = report_markdown(archive, store, SearchConfig(), ORIGIN, space, ["plots/front_3d.png", "plots/other.png"])
    assert "](plots/front_3d.png)" in report
    assert "![other](plots/other.png)" in report
    assert f"dominates {archive.hypervolume():.4f}" in report
    assert "error 75.0 %, latency 10.0 ms, energy 10.0 mJ" in report
    assert "| selection | 40 |" in report


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"dataset": "my images/cats", "measure": False, "alpha": (0.1, 3.0), "loss": "multiplicative"},
        {"flip": True, "pretrain_epochs": 3, "cost_table": "table.json", "seed": 5},
        {"flip": False},
        {
            "device": ("ssh://pi@one", "ssh://pi@two"),
            "meter": "ina219",
            "precision": ("int8",),
            "frequency_mhz": (1500,),
        },
        {"threads": (1, 2, 4), "frequency_mhz": (1000, 1500), "precision": ("fp32", "int8"), "energy": "gross"},
        {"energy": "period", "period_ms": 100.0, "max_latency_ms": 25.0, "max_params": 10**6},
        {"configurations": "base", "alpha": (0.2, 0.2), "gamma": (0.0, 0.0), "population": 1, "generations": 1},
        {"from_run": "runs/cifar10", "device": ("pi5",)},
    ],
)
def test_the_command_gives_the_same_settings(settings: Any) -> None:
    config = SearchConfig(**settings)
    words = shlex.split(command_of(config))
    assert words[:2] == ["python", "scripts/pareto_search.py"]
    assert parse(SearchConfig, words[2:]) == config


def test_the_command_omits_what_changes_nothing() -> None:
    config = dataclasses.replace(SearchConfig(), workers=3, out="somewhere", quiet=True)
    assert command_of(config) == command_of(SearchConfig())


def test_a_report_of_trained_networks_has_their_sections_and_commands(
    run: Any, space: FBNetSpace, trained_of: TrainedOf, measurement_of: MeasurementOf
) -> None:
    archive, store = run
    for entry in archive.entries:
        network = dataclasses.replace(trained_of(entry.architecture.id), fine_tuned=True)
        archive.set_trained(network.name, network)
        store.set_trained(network)
    store.set_trained(trained_of("mobile", baseline=True, measurement=measurement_of(2.0)))
    report = report_markdown(archive, store, SearchConfig(), ORIGIN, space, [])
    titles = [line[3:] for line in report.splitlines() if line.startswith("## ")]
    assert titles[:6] == [
        "Networks to choose from", "Beside what you would use otherwise", "What was asked", "Board and conditions",
        "Accuracy, latency and energy", "The front",
    ]  # fmt: skip
    assert "The trained files" in titles
    assert "2 were trained for deployment" in report
    assert "python scripts/train_front.py RUN --epochs 3 --fine-tune" in report
    assert "python scripts/compare_baselines.py RUN --epochs 3\n" in report
    assert "| training of networks of the search | 120 s for 2" in report
    assert "| training of baselines | 60 s for 1" in report
    assert "Its errors are those after training" in report


def test_a_report_without_training_says_nothing_of_it(run: Any, space: FBNetSpace) -> None:
    report = report_markdown(run[0], run[1], SearchConfig(), ORIGIN, space, [])
    for text in ("trained files", "Baselines", "Trust", "training of"):
        assert text not in report
    assert "Training them for deployment raises their accuracy: `python scripts/train_front.py RUN`." in report
    assert "Nothing was compared yet: `python scripts/compare_baselines.py RUN` trains" in report
    assert "Its errors are those with inherited weights" in report


def test_time_of_workers_is_called_cpu_time_only_where_that_is_known(run: Any, space: FBNetSpace) -> None:
    on_cpu = dataclasses.replace(ORIGIN, packages={"torch": "2.4+cpu"})
    assert "CPU-hours" in report_markdown(run[0], run[1], SearchConfig(), on_cpu, space, [])
    assert "with a GPU to each worker where the machine had one" in report_markdown(
        run[0], run[1], SearchConfig(), ORIGIN, space, []
    )


def test_a_report_of_several_configurations_counts_networks_and_points(run: Any, space: FBNetSpace) -> None:
    archive = archive_in_configurations()
    front = archive.front()
    report = report_markdown(archive, run[1], SearchConfig(front_size=7), ORIGIN, space, [])
    networks = len({point.id for point in front})
    assert (
        f"Of 27 evaluated architectures, {networks} in {len(front)} operating points are dominated by none." in report
    )
    section = report.partition("## The front\n\n")[2]
    rows = [line for line in section.partition("\n\n")[0].splitlines()[2:] if line.startswith("| `")]
    assert 3 <= len(rows) <= 7
    assert f"these {len(rows)} stand for the front; `front.json` has all" in section
    assert "None keeps the limits" not in report


def test_conditions_of_several_configurations_name_them_all(
    run: Any, space: FBNetSpace, measurement_of: MeasurementOf
) -> None:
    archive = archive_in_configurations()
    for identifier in ("000", "333"):
        archive.set_measurement(identifier, measurement_of(1.0))
    archive.set_measurement("000", dataclasses.replace(measurement_of(0.5), threads=4, precision="int8"))
    report = report_markdown(archive, run[1], SearchConfig(), ORIGIN, space, [])
    for text in (
        "| threads | 1, 4 |",
        "| precision | fp32, int8 |",
        "| measured | 3 operating points of 2 networks |",
        "| networks measured | 2 |",
    ):
        assert text in report


@pytest.mark.parametrize(
    ("limits", "kept"),
    [
        (CostLimits(max_latency_ms=100.0), True),
        (CostLimits(max_latency_ms=0.01), False),
        (CostLimits(max_energy_mj=0.01, max_params=1), False),
    ],
)
def test_limits_that_nothing_keeps_are_told(run: Any, space: FBNetSpace, limits: CostLimits, *, kept: bool) -> None:
    archive = archive_in_configurations(limits=limits)
    report = report_markdown(archive, run[1], SearchConfig(), ORIGIN, space, [])
    assert ("None keeps the limits that were given; this is the nearest." in report) == (not kept)
    said = "No network keeps the limits that were given; the nearest is shown." in report.partition("\n## ")[0]
    assert said == (not kept)
    if limits.max_latency_ms is not None and not kept:
        fastest = min(point.costs.latency_ms for point in archive.points())
        assert {point.costs.latency_ms for point in archive.front()} == {fastest}


@pytest.mark.parametrize(
    ("energy", "label"),
    [
        (EnergyObjective("gross"), "energy with idle power, per image"),
        (EnergyObjective("period", 250.0), "energy in 250 ms, per image"),
    ],
)
def test_the_report_names_the_energy_that_was_minimised(
    run: Any, space: FBNetSpace, energy: EnergyObjective, label: str
) -> None:
    archive = archive_in_configurations(energy=energy)
    report = report_markdown(archive, run[1], SearchConfig(), ORIGIN, space, [])
    for title in ("Accuracy, latency and energy", "The front"):
        assert label in report.partition(f"## {title}\n\n")[2].partition("\n")[0]
    assert "| energy above idle |" in report.partition("## The front\n\n")[2].partition("\n")[0]
