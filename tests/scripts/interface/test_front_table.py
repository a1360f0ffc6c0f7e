from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from rich.console import Console

from devices.configuration import BASE, Precision, RuntimeConfiguration
from devices.cost_tables.energy_objective import EnergyObjective
from devices.measurement import Measurement
from dnas.losses import Coefficients
from moo.analysis.networks import grouped, shown_points
from moo.limits import CostLimits
from moo.storage.archive import Archive, Entry
from moo.storage.trained_network import DeployedFile, TrainedNetwork
from scripts.interface.front_table import adaptive_table, baselines_table, front_table
from search_space.architectures import Architecture
from tests.moo.adaptive_points import adaptive_point
from tests.moo.conftest import DATASET, archive_in_configurations

COEFFICIENTS = Coefficients(1, 1, 1, 1)
ENTRY = Entry(
    architecture=Architecture("tiny", ("k3_e1", "skip"), "08"),
    error=0.0833,
    predicted_latency_ms=1.234,
    predicted_energy_mj=9.0,
    trial_id=0,
    position=0,
    coefficients=COEFFICIENTS,
)
MEASURED = Measurement(
    latency_ms=1.234,
    median_ms=1.234,
    iqr_ms=0.0,
    runs=50,
    energy_mj=9.0,
    latency_source="measured",
    energy_source="modelled",
    board="setup",
    os="Linux",
    runtime="none",
    threads=1,
    date="2000-01-01T00:00:00+00:00",
    reliable=True,
)


def trained(name: Any, error: Any, *, baseline: bool = False, measurement: Any = MEASURED) -> Any:
    """Its int8 file errs a point more, and takes half the time."""
    int8 = replace(measurement, latency_ms=measurement.latency_ms / 2, precision="int8")
    return TrainedNetwork(
        name=name,
        baseline=baseline,
        error=error,
        top1=0.98 - error,
        top3=0.99,
        epochs=2.0,
        seconds=60.0,
        fine_tuned=False,
        macs=1000,
        params=100,
        files=(
            DeployedFile(
                precision="fp32",
                path="model.onnx",
                logits_difference=1e-6,
                top1=0.98 - error,
                error=error,
                measurement=measurement,
            ),
            DeployedFile(
                precision="int8",
                path="model_int8.onnx",
                logits_difference=0.1,
                top1=0.97 - error,
                error=error + 0.01,
                measurement=int8,
            ),
        ),
    )


def archive_of(*entries: Entry, precision: Precision = "fp32") -> Archive:
    archive = Archive((1.0, 10.0, 10.0), configurations=[RuntimeConfiguration(precision=precision)])
    for entry in entries:
        archive.add(replace(entry, quantized_error=entry.error))
    return archive


def printed(table: Any, *, width: int = 120) -> Any:
    console = Console(width=width, no_color=True)
    with console.capture() as capture:
        console.print(table)
    return capture.get()


def test_each_cost_is_shown_with_its_source() -> None:
    text = printed(front_table(archive_of(replace(ENTRY, measurements=(MEASURED,)))))
    assert "08" in text
    assert "8.3 %" in text
    assert "1.23 ms measured" in text
    assert "9.00 mJ modelled" in text
    assert "test error" not in text
    assert "1.23 ms modelled" in printed(front_table(archive_of(ENTRY)))


def test_test_errors_have_a_column_where_they_were_read() -> None:
    text = printed(front_table(archive_of(replace(ENTRY, test_error=0.1))))
    assert "test error" in text
    assert "10.0 %" in text


@pytest.mark.parametrize("width", [72, 80])
def test_in_a_narrow_terminal_names_and_figures_stay_whole(width: int) -> None:
    name = "76473707"
    entry = replace(
        ENTRY, architecture=replace(ENTRY.architecture, id=name), test_error=0.1, trained=trained(name, 0.0625),
        measurements=(MEASURED,),
    )  # fmt: skip
    text = printed(front_table(archive_of(entry)), width=width)
    for figure in (name, "8.3 %", "6.2 %", "inherited", "trained", "1.23 ms", "measured", "modelled"):
        assert figure in text
    assert "…" not in text


def test_trained_points_in_configurations_fit_80_columns() -> None:
    """What a table is too wide for is cut where the terminal ends, its captions too."""
    archive = Archive((1.0, 10.0, 10.0), configurations=[BASE, RuntimeConfiguration(precision="int8")], data=DATASET)
    for number, error in enumerate((0.1, 0.11, 0.5)):
        name, measured = f"7647370{number}", replace(MEASURED, latency_ms=0.0123 / (number + 1))
        own = trained(name, error, measurement=measured)
        entry = replace(ENTRY, architecture=replace(ENTRY.architecture, id=name), trained=own, position=number)
        archive.add(replace(entry, error=error, quantized_error=error, test_error=error))
    lines = printed(front_table(archive), width=80).splitlines()
    assert any("+2 others" in line and line.endswith(("modelled", "modelled ")) for line in lines)
    assert "which was read once and chose nothing, says what to expect." in " ".join(" ".join(lines).split())


def test_an_empty_front_is_an_empty_table() -> None:
    assert front_table(archive_of()).row_count == 0


@pytest.mark.parametrize(
    ("precision", "cells"),
    [("fp32", ("5.0 %", "7.0 %", "1.23 ms")), ("int8", ("6.0 %", "8.0 %", "0.617 ms"))],
)
def test_errors_after_training_are_those_of_the_file_that_counts(precision: Precision, cells: Any) -> None:
    text = printed(front_table(archive_of(replace(ENTRY, trained=trained("08", 0.05)), precision=precision)))
    assert all(cell in text for cell in cells)
    assert "of the very file" in text
    assert "alike" not in text


def test_recipes_that_differ_are_told() -> None:
    other = Entry(
        architecture=Architecture("tiny", ("skip", "skip"), "88"),
        error=0.5,
        predicted_latency_ms=0.5,
        predicted_energy_mj=1.0,
        trial_id=0,
        position=1,
        coefficients=COEFFICIENTS,
    )
    fast = replace(MEASURED, latency_ms=0.5)
    entries = (
        replace(ENTRY, trained=trained("08", 0.05)),
        replace(other, trained=replace(trained("88", 0.2, measurement=fast), fine_tuned=True)),
    )
    text = " ".join(printed(front_table(archive_of(*entries))).split())
    assert "Not all were trained alike (1 for 2 epochs from random weights, 1 for 2 epochs from inherited" in text


@pytest.mark.parametrize(("precision", "latency"), [("fp32", "2.00 ms measured"), ("int8", "1.00 ms measured")])
def test_a_baseline_is_compared_in_the_precision_of_the_run_by_top_1(precision: Precision, latency: str) -> None:
    archive = archive_of(replace(ENTRY, trained=trained("08", 0.05)), precision=precision)
    baseline = trained("mobilenet-v2-0.35", 0.25, baseline=True, measurement=replace(MEASURED, latency_ms=2.0))
    table = baselines_table([baseline], archive)
    text = printed(table)
    assert latency in text
    assert "9.00 mJ modelled" in text
    assert "+20.0" in text
    assert "08" in text
    narrow = printed(table, width=80)
    assert "…" not in narrow
    for figure in ("mobilenet-v2-0.35", latency.removesuffix(" measured"), "9.00 mJ", "+20.0", "measured", "modelled"):
        assert figure in narrow, "it fits a narrow terminal"


def test_a_modelled_rival_is_not_compared_with_a_measured_baseline() -> None:
    modelled = replace(MEASURED, latency_source="modelled")
    archive = archive_of(replace(ENTRY, trained=trained("08", 0.05, measurement=modelled)))
    text = printed(baselines_table([trained("mobile", 0.25, baseline=True)], archive))
    assert "mobile" in text
    assert "1.23 ms measured" in text
    assert "08" not in text
    assert "+" not in text


def test_nothing_is_compared_with_inherited_errors() -> None:
    text = printed(baselines_table([trained("mobile", 0.25, baseline=True)], archive_of(ENTRY)))
    assert "when all of its networks are trained too" in " ".join(text.split())


@pytest.mark.parametrize("size", [5, 24])
def test_the_points_of_a_network_stand_together_and_omitted_ones_are_counted(size: int) -> None:
    archive = archive_in_configurations()
    shown = grouped(shown_points(archive.front(), size))
    drawn = front_table(archive, front_size=size)
    assert drawn.row_count == len(shown) <= size
    names, configurations = (list(column.cells) for column in drawn.columns[:2])
    assert configurations == [point.configuration.short_label for point in shown]
    named = [point.id if n == 0 or shown[n - 1].id != point.id else "" for n, point in enumerate(shown)]
    assert names == named, "a name stands beside the first of its points"
    title = " ".join(printed(drawn).split())
    networks = len({point.id for point in archive.front()})
    expected = f"{networks} networks in {len(archive.front())} operating points, of which {len(shown)} are shown"
    assert expected in title


def test_the_energy_that_is_minimised_is_named() -> None:
    gross = archive_in_configurations(energy=EnergyObjective("gross"))
    assert front_table(gross).columns[-1].header == "energy with idle power"
    assert front_table(archive_in_configurations()).columns[-1].header == "energy"


def test_limits_that_nothing_keeps_are_told() -> None:
    archive = archive_in_configurations(limits=CostLimits(max_latency_ms=1e-6))
    text = printed(front_table(archive))
    assert "Pareto front: 1 network in 1 operating point " in text
    assert "No network keeps the limits that were given; this is the nearest." in " ".join(text.split())
    assert "none on the front" not in text


def test_how_far_modelled_energies_may_be_off_stands_below() -> None:
    entry = replace(ENTRY, measurements=(replace(MEASURED, energy_error=0.25),))
    assert "right within about 25 %" in " ".join(printed(front_table(archive_of(entry))).split())


def test_points_with_exits_take_a_line_each_where_it_is_wide_enough() -> None:
    front = [adaptive_point(0.1 + i / 100, 9.0 - i / 4, 8.0 - i / 5, test_error=0.2, exits=i % 3) for i in range(30)]
    lines = printed(adaptive_table(front, "energy"), width=110).splitlines()
    head = next(i for i, line in enumerate(lines) if "───" in line)
    rows = lines[head + 1 : next(i for i in range(head + 1, len(lines)) if not lines[i].strip())]
    assert 4 <= len(rows) <= 12
    assert all(" % (" in row and "20.0 %" in row for row in rows)
    assert rows[0].split()[:6] == ["000", "1t", "fp32", "–", "10.0", "%"]
    assert f"{len(rows)} of 30 operating points" in lines[0]


@pytest.mark.parametrize("energy", ["energy", "energy with idle power"])
def test_points_with_exits_fit_80_columns(energy: str) -> None:
    name = "76473707"
    point = adaptive_point(0.2, 0.0234, 0.234, exits=2, test_error=0.2, worst_latency_ms=0.0341)
    front = [replace(point, architecture=replace(point.architecture, id=name))]
    text = printed(adaptive_table(front, energy), width=80)
    for figure in (name, "30 30 40", "20.0 %", "(18.0–22.0)", "0.0234", "0.0341", "0.234", "modelled", "mJ"):
        assert figure in text
    assert "…" not in text


def test_each_point_has_its_source_where_these_differ() -> None:
    front = [adaptive_point(0.1, 5.0), adaptive_point(0.2, 4.0, latency_source="measured")]
    text = printed(adaptive_table(front, "energy"))
    assert "5.00 modelled" in text
    assert "4.00 measured" in text
