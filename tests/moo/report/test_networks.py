from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from devices.configuration import RuntimeConfiguration
from devices.cost_tables.energy_objective import EnergyObjective
from moo.analysis.networks import grouped, shown_points
from moo.formatting import short
from moo.report.networks import baselines_section, files_table, front_table, models_table, trust_section
from moo.storage.archive import Archive
from search_space.spaces import FBNetSpace
from tests.moo.conftest import EntryOf, MeasurementOf, TrainedOf, archive_in_configurations


@pytest.fixture
def archive(entry_of: EntryOf, measurement_of: MeasurementOf) -> Any:
    archive = Archive((1.0, 10.0, 10.0))
    for place in range(3):
        archive.add(entry_of((place, 0, 0), 0.4 - place / 10, 1.0 + place, 1.0 + place, position=place))
    for place, entry in enumerate(archive.entries):
        archive.set_measurement(entry.architecture.id, measurement_of(1.0 + place))
    return archive


@pytest.fixture
def retrained(archive: Any, trained_of: TrainedOf) -> Any:
    for place, entry in enumerate(archive.entries):
        archive.set_trained(entry.architecture.id, trained_of(entry.architecture.id, error=0.3 - place / 10))
    return archive


def rows_of(text: Any) -> Any:
    """Of the first table, by what their first cells hold."""
    first = text.partition("\n\n")[0]
    lines = [line for line in first.splitlines() if line.startswith("| `")]
    return {cells[0].strip("`"): cells for cells in ([c.strip() for c in line.strip("|").split("|")] for line in lines)}


def test_a_trained_front_has_both_errors_and_both_accuracies(retrained: Any, space: FBNetSpace) -> None:
    text = front_table(retrained, space)
    rows = rows_of(text)
    best = retrained.front()[0].id
    assert next(iter(rows)) == best
    assert rows[best][1:6] == ["20.0 %", "10.0 %", "90.0 %", "95.0 %", "3.00 ms (measured)"]
    assert "3 networks trained for 3 epochs, from random weights." in text
    assert "The front is that of the trained errors" in text


def test_a_front_trained_in_part_says_that_its_errors_are_inherited(
    archive: Any, space: FBNetSpace, trained_of: TrainedOf
) -> None:
    identifier = archive.front()[0].id
    archive.set_trained(identifier, replace(trained_of(identifier), fine_tuned=True, epochs=7.5))
    text = front_table(archive, space)
    assert "The front is that of the inherited errors" in text
    assert "1 network trained for 7.5 epochs, from inherited weights." in text
    others = [cells for name, cells in rows_of(text).items() if name != identifier]
    assert all(cells[2:5] == ["–", "–", "–"] for cells in others)


def test_one_table_has_accuracy_latency_and_energy_of_the_front_and_of_baselines(
    retrained: Any, trained_of: TrainedOf, measurement_of: MeasurementOf
) -> None:
    modelled = replace(measurement_of(7.0), latency_source="modelled", energy_source="measured")
    baselines = [
        trained_of("poor", baseline=True, error=0.6),
        trained_of("good", baseline=True, error=0.05, measurement=modelled),
    ]
    text = models_table(retrained, baselines)
    assert text.splitlines()[0] == "| model | top-1 accuracy | latency | energy above idle, per image |"
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines()[2:7]]
    front = [f"`{point.id}`" for point in retrained.front()]
    assert rows == [
        [front[0], "90.0 %", "3.00 ms (measured)", "6.00 mJ (modelled)"],
        [front[1], "80.0 %", "2.00 ms (measured)", "4.00 mJ (modelled)"],
        [front[2], "70.0 %", "1.00 ms (measured)", "2.00 mJ (modelled)"],
        ["`good` (baseline)", "95.0 %", "7.00 ms (modelled)", "14.0 mJ (measured)"],
        ["`poor` (baseline)", "40.0 %", "not measured", "not measured"],
    ]
    assert "that of the very file in the precision of its row" in text
    assert "inherited" not in text
    assert models_table(Archive((1.0, 1.0, 1.0)), baselines) == ""


def test_accuracies_with_inherited_weights_are_told_from_those_after_training(
    archive: Any, trained_of: TrainedOf
) -> None:
    best, middle, _ = (point.id for point in archive.front())
    archive.set_test_error(middle, 0.25)
    archive.set_trained(best, trained_of(best, error=0.1))
    text = models_table(archive, [trained_of("mobile", baseline=True, error=0.3)])
    assert [cells[1] for cells in rows_of(text).values()] == ["90.0 %", "75.0 %, inherited weights", "–", "70.0 %"]
    assert "Networks with inherited weights are not trained yet" in text


def test_files_have_their_own_accuracy_and_latency(trained_of: TrainedOf, measurement_of: MeasurementOf) -> None:
    networks = [trained_of("a", measurement=measurement_of(0.5)), trained_of("b", error=0.4)]
    rows = rows_of(text := files_table(networks))
    assert rows["a"][1:] == [
        "1.00e-06", "0.100", "80.0 %", "79.0 %", "1.0", "0.500 ms (measured)", "1.00 mJ (modelled)",
        "not measured", "not measured",
    ]  # fmt: skip
    assert rows["b"][6:] == ["not measured"] * 4
    assert "Costs are those of bench board under none, threads: 1" in text
    assert "Costs are" not in files_table(networks[1:])
    assert files_table([replace(networks[0], files=())]) == ""


def test_a_file_that_is_missing_is_a_dash(trained_of: TrainedOf) -> None:
    network = trained_of("a")
    assert rows_of(files_table([replace(network, files=network.files[:1])]))["a"][2:6] == ["–", "80.0 %", "–", "–"]


def test_each_baseline_meets_the_best_network_that_is_no_slower(
    retrained: Any, trained_of: TrainedOf, measurement_of: MeasurementOf
) -> None:
    baselines = [
        trained_of("fast", baseline=True, error=0.6, measurement=measurement_of(0.5)),
        trained_of("good", baseline=True, error=0.05, measurement=measurement_of(2.5)),
        trained_of("poor", baseline=True, error=0.6, measurement=measurement_of(1.0)),
        trained_of("unknown", baseline=True),
    ]
    text = baselines_section(retrained, baselines)
    rows = rows_of(text)
    slow, middle, fast = (point.id for point in retrained.front())
    assert rows["fast"][6:] == ["0.500 ms (measured)", "1.00 mJ (modelled)", "none is as fast", "–"]
    assert rows["good"][8:] == [f"`{middle}`, 2.00 ms (measured), 4.00 mJ (modelled)", "-15.0 points"]
    assert rows["poor"][8:] == [f"`{fast}`, 1.00 ms (measured), 2.00 mJ (modelled)", "+30.0 points"]
    assert rows["unknown"][6:] == ["not measured", "not measured", "–", "–"]
    assert slow not in text
    assert "it is more accurate than 1 and less accurate than 1 of them" in text


def test_baselines_are_not_compared_with_inherited_errors(archive: Any, trained_of: TrainedOf) -> None:
    text = baselines_section(archive, [trained_of("mobile", baseline=True)])
    assert len(rows_of(text)["mobile"]) == 8
    assert "They are not compared with the front before all of its networks are trained" in text
    assert baselines_section(archive, []) == ""


def test_a_modelled_latency_is_not_compared_with_a_measured_one(
    retrained: Any,
    entry_of: EntryOf,
    trained_of: TrainedOf,
    measurement_of: MeasurementOf,
) -> None:
    for entry in retrained.entries:
        retrained.set_measurement(entry.architecture.id, replace(measurement_of(1.0), latency_source="modelled"))
    baseline = trained_of("mobile", baseline=True, measurement=measurement_of(9.0))
    assert rows_of(baselines_section(retrained, [baseline]))["mobile"][8] == "none is as fast"


def test_trust_is_told_with_interval_and_number_of_networks(retrained: Any, entry_of: EntryOf) -> None:
    text = trust_section(retrained)
    assert "is 1.00 (95 % interval -1.00 to 1.00) over 3 trained networks" in text
    assert "At least 12 networks are wanted" in text
    assert trust_section(Archive((1.0, 1.0, 1.0))) == ""


def test_a_run_in_int8_tells_of_int8_files(
    entry_of: EntryOf,
    trained_of: TrainedOf,
    measurement_of: MeasurementOf,
    space: FBNetSpace,
) -> None:
    archive = Archive((1.0, 10.0, 10.0), configurations=[RuntimeConfiguration(precision="int8")])
    archive.add(replace(entry_of((0, 0, 0)), quantized_error=0.4))
    fp32, int8 = measurement_of(4.0), replace(measurement_of(2.0), precision="int8")
    archive.set_trained("000", trained_of("000", error=0.1, measurement=fp32, int8_measurement=int8))
    text = front_table(archive, space)
    assert rows_of(text)["000"][1:5] == ["40.0 %", "11.0 %", "89.0 %", "2.00 ms (measured)"]
    assert "those of the very int8 files" in text
    assert "top-3" not in text
    mobile = trained_of("mobile", baseline=True, error=0.3, measurement=fp32, int8_measurement=int8)
    text = baselines_section(archive, [mobile])
    assert rows_of(text)["mobile"][3:] == [
        "31.0 %", "69.0 %", "2.00 ms (measured)", "4.00 mJ (modelled)",
        "`000`, 2.00 ms (measured), 4.00 mJ (modelled)", "+20.0 points",
    ]  # fmt: skip
    assert "top-3" not in text


def test_recipes_that_differ_are_told(retrained: Any, space: FBNetSpace) -> None:
    assert "trained alike" not in front_table(retrained, space) + trust_section(retrained)
    slow = retrained.front()[0]
    retrained.set_trained(slow.id, replace(slow.entry.trained, epochs=30.0))
    said = "Not all were trained alike (2 for 3 epochs from random weights, 1 for 30 epochs from random weights)"
    assert said in front_table(retrained, space)
    assert trust_section(retrained) == "", "two networks have no ranking worth a number"


def test_tau_says_which_networks_it_is_of(retrained: Any, entry_of: EntryOf, trained_of: TrainedOf) -> None:
    retrained.add(entry_of((2, 2, 2), 0.9, 9.0, 9.0, position=3))
    retrained.set_trained("888", replace(trained_of("888"), fine_tuned=True))
    text = trust_section(retrained)
    assert "over 3 trained networks" in text
    assert "1 for 3 epochs from inherited weights" in text
    assert "Tau is that of the 3 trained alike, of 4 in all." in text


def cells_of(text: str) -> list[list[str]]:
    """Of the first table, with its head."""
    lines = text.partition("\n\n")[0].splitlines()
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in (lines[0], *lines[2:])]


@pytest.mark.parametrize("size", [6, 24])
def test_a_front_of_points_has_their_configurations_and_says_how_many_are_omitted(space: FBNetSpace, size: int) -> None:
    archive = archive_in_configurations()
    text = front_table(archive, space, front_size=size)
    head, *rows = cells_of(text)
    shown = grouped(shown_points(archive.front(), size))
    assert head[:2] == ["network", "configuration"]
    assert [row[:2] for row in rows] == [[f"`{point.id}`", point.configuration.label] for point in shown]
    assert len(rows) <= size
    assert f"Of {len(archive.front())} operating points these {len(rows)} stand for the front" in text
    assert "errors in int8 are those of the quantised network" in text
    names = [row[0] for row in cells_of(models_table(archive, [], front_size=size))[1:]]
    assert names == [f"`{point.id}`, {point.configuration.label}" for point in shown]


def test_a_front_that_is_shown_whole_says_nothing_of_omitted_points(archive: Any, space: FBNetSpace) -> None:
    text = front_table(archive, space)
    assert "stand for the front" not in text
    assert "configuration" not in text.partition("\n")[0]


@pytest.mark.parametrize(
    ("energy", "minimised", "other"),
    [
        (EnergyObjective(), "energy above idle, per image", "energy with idle power"),
        (EnergyObjective("gross"), "energy with idle power, per image", "energy above idle"),
        (EnergyObjective("period", 50.0), "energy in 50 ms, per image", "energy above idle"),
    ],
)
def test_the_energy_that_is_minimised_stands_beside_the_other(
    space: FBNetSpace, energy: EnergyObjective, minimised: str, other: str
) -> None:
    archive = archive_in_configurations(energy=energy)
    head, *rows = cells_of(front_table(archive, space))
    best = grouped(shown_points(archive.front(), 24))[0].costs
    net, gross = best.net_mj, best.net_mj + 0.5 * best.latency_ms
    first, second = {
        "net": (net, gross), "gross": (gross, net), "period": (net + 0.5 * 50, net),
    }[energy.kind]  # fmt: skip
    assert rows[0][head.index(minimised)] == f"{short(first)} mJ (modelled)"
    assert rows[0][head.index(other)] == f"{short(second)} mJ (modelled)"
    assert minimised in cells_of(models_table(archive, []))[0]
