from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from evaluation.early_exits.files import ExportedSegments
from evaluation.early_exits.outcomes import ExitOutcomes
from moo.report.adaptive_card import adaptive_card
from moo.storage.adaptive_front import AdaptivePoint
from search_space.counts import count
from search_space.exits import head_graph
from tests.moo.adaptive_points import STREAMED, adaptive_point
from tests.moo.conftest import DATASET, TINY

POINT = adaptive_point(0.25, 2.5, exits=2)


def exported_of(point: AdaptivePoint) -> ExportedSegments:
    ways = len(point.exits) + 1
    outcomes = ExitOutcomes(
        exits=point.exits,
        confidence_XN=np.full((ways, 4), 0.5, np.float32),
        correct_XN=np.array([[True, True, True, False]] * ways),
        cross_entropy_XN=np.ones((ways, 4), np.float32),
    )
    return ExportedSegments(
        precision="fp32",
        exits=point.exits,
        models=(b"x" * 1000,) * ways,
        logits_difference=2e-6,
        one_file_difference=1e-7,
        outcomes=outcomes,
        params=(100,) * ways,
    )


def text_of(*points: AdaptivePoint, **options: Any) -> str:
    return adaptive_card(points, [exported_of(points[0])], options.pop("data", DATASET), TINY, **options)


def row(text: str, start: str) -> list[str]:
    (line,) = [line for line in text.splitlines() if line.startswith(f"| {start} |")]
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_each_point_has_its_row() -> None:
    other = replace(POINT, thresholds=(0.5, 0.123456), error=0.5, latency_ms=1.0, test_error=0.5)
    rows = [line for line in text_of(POINT, other).splitlines() if "ort 1t fp32 |" in line]
    assert rows == [
        "| 0 | ort 1t fp32 | 0.9, 0.9 | 30.0 %, 30.0 %, 40.0 % | 25.0 % (13.0–42.7) | not read | 2.50 ms (modelled) "
        "| 6.00 ms (modelled) | 8.00 mJ (modelled ± 25 %) |",
        "| 1 | ort 1t fp32 | 0.5, 0.1235 | 30.0 %, 30.0 %, 40.0 % | 50.0 % (33.2–66.8) | 50.0 % (35.2–64.8) "
        "| 1.00 ms (modelled) | 6.00 ms (modelled) | 8.00 mJ (modelled ± 25 %) |",
    ]


def test_accuracy_is_that_of_the_test_split_where_it_was_read() -> None:
    assert (
        "**Accuracy 75.0 % (57.3–87.0) on 30 images of the selection split; expected latency 2.50 ms (modelled)"
        in text_of(POINT).replace("\n", " ")
    )
    text = text_of(replace(POINT, test_error=0.5)).replace("\n", " ")
    assert "**Accuracy 50.0 % (35.2–64.8) on 40 images of the test split;" in text


def test_ways_have_places_heads_and_costs() -> None:
    text = text_of(POINT)
    macs = f"{count(head_graph(TINY, POINT.exits[1])).macs:,}"
    assert row(text, "2") == ["2", "after layer 2 of 3", "linear", macs, "100", "4.00 ms (modelled)"]
    assert row(text, "3") == ["3", "the whole network", "its own", "", "100", "6.00 ms (modelled)"]


def test_what_is_modelled_and_what_was_measured_is_said() -> None:
    assert "Modelled energies are those of a power model, right within about 25 %." in text_of(POINT)
    assert "was run on the board" not in text_of(POINT)
    measured = replace(
        POINT,
        latency_source="measured",
        energy_source="measured",
        energy_error=None,
        streamed=replace(STREAMED, exit_shares=(0.3, 0.3, 0.4)),
    )
    text = text_of(measured)
    assert "Modelled" not in text
    assert "2.50 ms (measured)" in text
    assert "Point 0 was run on the board with 500 images, one after the other: 4.10 ms each (measured, " in text


@pytest.mark.parametrize(
    ("jointly", "words"),
    [(True, "trained on together with its exits"), (False, "whose exits were trained for it as it was")],
)
def test_how_it_was_trained_is_said(jointly: bool, words: str) -> None:
    assert words in text_of(replace(POINT, jointly_trained=jointly)).replace("\n", " ")


def test_input_files_and_layers_are_described() -> None:
    text = text_of(POINT, dataset="uoft-cs/cifar10")
    assert (
        "An image classifier for 4 classes of [`uoft-cs/cifar10`](https://huggingface.co/datasets/uoft-cs/cifar10)"
        in text
    )
    assert "minus (0.5000, 0.2500, 0.1250) and divided by (0.1000, 0.2000, 0.3000)" in text
    assert "in this order: cat, dog, fox, owl." in text
    assert row(text, "fp32") == ["fp32", "3", "0.003 MB", "2.00e-06", "25.0 % (13.0–42.7)"]
    assert text.endswith("1. `k3_e1`\n2. `k3_e1`\n3. `k3_e1`\n")


def test_outside_text_stays_text() -> None:
    data = replace(DATASET, classes=("<b>cat</b>", "a|b", "x\n# y", "`"))
    text = text_of(POINT, data=data, dataset="`|\n# images`")
    assert "<b>" not in re.sub(r"`[^`]*`", "", text.replace("\\<", ""))
    assert "\n# y" not in text
    assert "\n# images" not in text
