from __future__ import annotations

import re
from collections import Counter
from dataclasses import replace
from typing import Any

import pytest

from devices.configuration import Precision, RuntimeConfiguration
from devices.cost_tables.energy_objective import EnergyObjective
from moo.analysis.errors import on_selection_split
from moo.formatting import short
from moo.report.card import Card, baseline_card, card_markdown, front_card
from moo.storage.archive import Archive
from search_space.counts import count
from search_space.reference_networks import baseline_graph
from search_space.spaces import FBNetSpace, space_named
from tests.moo.conftest import DATASET, EntryOf, MeasurementOf, TrainedOf, archive_in_configurations


@pytest.fixture
def baseline() -> Any:
    return baseline_graph("mobilenet-v2-0.35", input_size=32, classes=4)


def archive_in(precision: Precision) -> Archive:
    return Archive((1.0, 10.0, 10.0), configurations=[RuntimeConfiguration(precision=precision)])


def card_of(entry: Any, space: FBNetSpace, precision: Precision = "fp32") -> Any:
    archive = archive_in(precision)
    archive.add(replace(entry, quantized_error=entry.error))
    return front_card(entry, archive, space)


def text_of(card: Any, **options: Any) -> Any:
    return card_markdown(card, DATASET, **options)


def snippet_of(text: Any) -> Any:
    snippet, _ = re.findall(r"```python\n(.*?)\n```", text, re.S)
    return snippet


@pytest.mark.parametrize(
    ("space", "operators", "clients"),
    [
        ("fbnet-cifar", ("skip",) * 18 + ("k3_e1_g2",) * 4, {"OpenCV 5.0"}),
        ("fbnet-cifar", ("skip",) * 18 + ("k3_e6",) * 4, set()),
        # A map of 16 channels that has 16 rows and columns.
        ("fbnet-micro", ("k3_e1_g2",) * 8, {"onnx2tf"}),
        ("fbnet-micro", ("skip",) * 3 + ("k3_e1_g2",) * 5, set()),
    ],
)
def test_a_card_warns_of_programs_that_compute_the_network_wrongly(
    trained_of: TrainedOf, space: str, operators: tuple[str, ...], clients: set[str]
) -> None:
    trained = trained_of("mobilenet-v2-0.35", baseline=True)
    graph = space_named(space).graph(operators)
    card = replace(baseline_card(trained, graph, archive_in("fp32")), name="network")
    assert isinstance(card, Card)
    text = text_of(card)
    assert {
        client
        for client in ("OpenCV 5.0", "onnx2tf", "pnnx")
        if f"**Not with {client}" in text or f"engine of {client}**" in text
    } == clients


def test_a_card_warns_of_a_published_network_too(trained_of: TrainedOf) -> None:
    graph = baseline_graph("condensenet-86", input_size=32, classes=10)
    card = baseline_card(trained_of("condensenet-86", baseline=True), graph, archive_in("fp32"))
    assert "**Not with pnnx" in text_of(card)
    assert "**Not with onnx2tf" in text_of(card)


def test_a_card_tells_the_data_set_and_the_coefficients(entry_of: EntryOf, space: FBNetSpace) -> None:
    card = card_of(entry_of((0, 1, 2)), space)
    named = text_of(card, dataset="cifar10")
    link = "[`cifar10`](https://huggingface.co/datasets/cifar10)"
    assert f"| data set | {link}, 4 classes, fingerprint 0123456789abcdef |" in named
    assert "| data set | 4 classes, fingerprint 0123456789abcdef |" in text_of(card)
    assert "| found with | alpha 1.00, beta 1.00, gamma 1.00, delta 1.00 |" in named
    assert "resized to 8 x 8 pixels" in named


def test_without_training_accuracy_is_that_of_inherited_weights(entry_of: EntryOf, space: FBNetSpace) -> None:
    text = text_of(card_of(replace(entry_of((0, 1, 2), 0.25), test_error=0.5), space))
    assert "inherited from the supernet (not retrained)" in text
    assert "| error, selection split | 25.0 % (13.0–42.7), 30 images |" in text
    assert "| error, test split | 50.0 % (35.2–64.8), 40 images |" in text
    assert "was not checked" in text


@pytest.mark.parametrize(
    ("fine_tuned", "start"),
    [(False, "trained from scratch"), (True, "fine-tuned from weights inherited from the supernet")],
)
def test_after_training_both_accuracies_are_there(
    entry_of: EntryOf, trained_of: TrainedOf, space: FBNetSpace, fine_tuned: bool, start: str
) -> None:
    trained = replace(trained_of("368", error=0.125), fine_tuned=fine_tuned)
    text = text_of(card_of(replace(entry_of((0, 1, 2), 0.5), trained=trained), space))
    assert f"found by a Pareto search, {start} for 3 epochs (60 s)." in text
    for line in (
        "| error of the fp32 file, selection split | 12.5 % (4.8–28.7), 30 images |",
        "| top-1 accuracy of the fp32 file, test split | 87.5 % (73.9–94.5), 40 images |",
        "| top-3 accuracy by PyTorch (fp32), test split | 93.8 % (81.8–98.0), 40 images |",
        "| error, selection split, inherited weights | 50.0 % (33.2–66.8), 30 images |",
        "| error, test split, inherited weights | not read, 40 images |",
    ):
        assert line in text


def test_in_a_run_in_int8_accuracy_and_costs_are_those_of_the_int8_file(
    entry_of: EntryOf,
    trained_of: TrainedOf,
    measurement_of: MeasurementOf,
    space: FBNetSpace,
    baseline: Any,
) -> None:
    trained = trained_of("368", error=0.125, int8_measurement=replace(measurement_of(2.0), precision="int8"))
    card = card_of(replace(entry_of((0, 1, 2), 0.5), trained=trained), space, "int8")
    for text in (text_of(card), text_of(baseline_card(trained, baseline, archive_in("int8")))):
        for line in (
            "| error of the int8 file, selection split | 13.5 % (5.4–29.9), 30 images |",
            "| top-1 accuracy of the int8 file, test split | 86.5 % (72.7–93.9), 40 images |",
            "| latency | 2.0000 ms (measured; ",
            "| precision, clock | int8, clock left to the board |",
        ):
            assert line in text


def test_files_are_listed_with_what_was_checked_and_measured(
    entry_of: EntryOf,
    trained_of: TrainedOf,
    measurement_of: MeasurementOf,
    space: FBNetSpace,
) -> None:
    measurement = replace(measurement_of(4.0, reliable=False), frequency_mhz=1500)
    trained = trained_of("368", error=0.125, measurement=measurement)
    text = text_of(card_of(replace(entry_of((0, 1, 2)), trained=trained), space))
    assert "| fp32 | `model.onnx` | 1.00e-06 | 87.5 % (73.9–94.5) | 4.00 ms (measured) | 8.00 mJ (modelled) |" in text
    assert "| int8 | `model_int8.onnx` | 0.100 | 86.5 % (72.7–93.9) | not measured | not measured |" in text
    assert "- fp32: bench board, none, 1 thread(s), 50 runs, 2000-01-01T00:00:00+00:00; times spread widely" in text
    assert "measure again, 1500 MHz" in text
    assert "- int8" not in text


def test_a_modelled_cost_is_not_shown_as_measured(
    entry_of: EntryOf, measurement_of: MeasurementOf, space: FBNetSpace
) -> None:
    text = text_of(card_of(entry_of((0, 1, 2), latency_ms=1.5), space))
    assert "| latency | 1.5000 ms (modelled; " in text
    assert "| conditions | not measured |" in text
    assert "(measured" not in text
    measured = replace(entry_of((0, 1, 2)), measurements=(measurement_of(4.0),))
    text = text_of(card_of(measured, space))
    assert "| latency | 4.0000 ms (measured; " in text
    assert "| energy above idle | 8.0000 mJ (modelled) |" in text
    assert "| precision, clock | fp32, clock left to the board |" in text


def test_a_baseline_has_a_card_without_a_search(
    trained_of: TrainedOf, measurement_of: MeasurementOf, baseline: Any
) -> None:
    name = "mobilenet-v2-0.35"
    network = trained_of(name, error=0.125, baseline=True, measurement=measurement_of(4.0))
    text = text_of(baseline_card(network, baseline, archive_in("fp32")))
    counts = count(baseline)
    for line in (
        f"# {name}",
        f"of a published architecture, `{name}`, to compare a front with, trained from scratch",
        "| error of the fp32 file, selection split | 12.5 % (4.8–28.7), 30 images |",
        "| latency | 4.0000 ms (measured; ",
        "| energy above idle | 8.0000 mJ (modelled) |",
        f"| multiply-accumulates | {counts.macs:,} |",
        f"| parameters | {counts.params:,} |",
        "| fp32 | `model.onnx` | 1.00e-06 | 87.5 % (73.9–94.5) | 4.00 ms (measured) |",
        "1. `stem`: 3x3 convolution, to 16 x 32 x 32",
        "`classifier`: linear, to 4",
    ):
        assert line in text
    assert "inherited" not in text
    assert "found with" not in text
    assert "supernet" not in text


def test_a_baseline_that_was_not_measured_says_so(trained_of: TrainedOf, baseline: Any) -> None:
    text = text_of(baseline_card(trained_of("mobilenet-v2-0.35", baseline=True), baseline, archive_in("fp32")))
    assert "| latency | not measured |" in text
    assert "| energy | not measured |" in text
    assert "(measured" not in text


def several_points(archive: Archive) -> Any:
    """The network that has most points on the front, and these, the fastest first."""
    front = archive.front()
    most = Counter(point.id for point in front).most_common(1)[0][0]
    own = sorted((p for p in front if p.id == most), key=lambda p: p.costs.latency_ms)
    assert len(own) >= 3
    assert {point.configuration.precision for point in own} == {"fp32", "int8"}
    return own[0].entry, own


@pytest.mark.parametrize("energy", [EnergyObjective(), EnergyObjective("gross"), EnergyObjective("period", 50.0)])
def test_a_network_with_several_points_has_them_in_a_table(space: FBNetSpace, energy: EnergyObjective) -> None:
    archive = archive_in_configurations(energy=energy)
    entry, own = several_points(archive)
    text = text_of(front_card(entry, archive, space))
    section = text.partition("## Operating points\n")[2].partition("\n## ")[0]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in section.splitlines() if line[:1] == "|"]
    assert rows[0][4] == energy.label
    assert rows[0][5] == ("energy with idle power" if energy.kind == "net" else "energy above idle")
    assert [row[0] for row in rows[2:]] == [point.configuration.label for point in own]
    for row, point in zip(rows[2:], own, strict=True):
        costs, int8 = point.costs, point.configuration.precision == "int8"
        other = costs.gross_mj if energy.kind == "net" else costs.net_mj
        assert row[1:] == [
            "`model_int8.onnx`" if int8 else "`model.onnx`",
            on_selection_split(point.error, DATASET).text,
            f"{short(costs.latency_ms)} ms (modelled)",
            f"{short(costs.energy_mj)} mJ (modelled)",
            f"{short(other)} mJ (modelled)",
        ]
    best = min(own, key=lambda point: point.objectives)
    assert f"the facts above are\nthose of `{best.configuration.label}`" in section
    assert f"options.intra_op_num_threads = {best.configuration.threads}\n" in snippet_of(text)
    assert f"| {energy.label} | {best.costs.energy_mj:.4f} mJ (modelled) |" in text
    assert "`model_int8.onnx` computes in int8" in text


def test_a_network_with_one_point_has_no_table_of_points(entry_of: EntryOf, space: FBNetSpace) -> None:
    text = text_of(card_of(entry_of((0, 1, 2)), space))
    assert "## Operating points" not in text
    assert "model_int8.onnx" not in text


def test_the_first_lines_say_what_it_is_how_accurate_and_how_fast(
    entry_of: EntryOf, trained_of: TrainedOf, space: FBNetSpace
) -> None:
    card = card_of(replace(entry_of((0, 1, 2), 0.25), test_error=0.5), space)
    title, _, what, _, told, *_ = text_of(card, dataset="cifar10").splitlines()
    assert title == "# 038"
    assert what.startswith(
        "An image classifier for 4 classes of `cifar10`, of the space `tiny`, found by a Pareto search"
    )
    accuracy = "**Accuracy 50.0 % (35.2–64.8) on 40 images of the test split"
    assert told.startswith(f"{accuracy}; latency 1.00 ms (modelled) with ort 1t fp32.**")
    guessable = replace(DATASET, guessing_error=0.6, test_guessing_error=0.6)
    text = card_markdown(card, guessable)
    assert f"{accuracy}, which is not better than always answering the commonest class; latency" in text
    assert "| error of always answering the commonest class, test split | 60.0 % |" in text
    unread = text_of(card_of(entry_of((0, 1, 2), 0.25), space))
    assert "**Accuracy 75.0 % (57.3–87.0) on 30 images of the selection split; " in unread
    trained = text_of(card_of(replace(entry_of((0, 1, 2), 0.5), trained=trained_of("038", error=0.125)), space))
    assert "**Accuracy 87.5 % (73.9–94.5) on 40 images of the test split; " in trained
