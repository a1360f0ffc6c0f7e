"""A run's choice beside what one would use otherwise: what is listed, and what is made of it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from evaluation.pretrained.provenance import Pretrained
from moo.analysis.alternatives import PRETRAINED_ROLE, SCRATCH_ROLE, Candidate, alternatives, verdict
from moo.analysis.errors import ToldError
from moo.storage.archive import Archive, Costs
from search_space.counts import count
from tests.moo.conftest import DATASET, TINY, EntryOf, MeasurementOf, TrainedOf

LITE0 = Pretrained(source="ImageNet", input_size=224, mean=(0.5,) * 3, std=(0.25,) * 3)


def candidate(
    name: str, error: float, latency_ms: float | None = None, *, images: int = 1000, **values: Any
) -> Candidate:
    """A network with an energy of twice its latency, measured, on as many test images."""
    costs = None
    if latency_ms is not None:
        costs = Costs(
            latency_ms=latency_ms,
            energy_mj=2 * latency_ms,
            latency_source="measured",
            energy_source="modelled",
            net_mj=2 * latency_ms,
        )
    settings: dict[str, Any] = {
        "role": "most accurate", "configuration": "1 thread, fp32", "params": 10, "pixels": 32, "how": "trained",
        "of_run": True, "error": ToldError(error=error, split="test", images=images, guessing=0.8), "costs": costs,
    }  # fmt: skip
    return Candidate(name=name, **settings | values)


def other(name: str, error: float, latency_ms: float | None = None, **values: Any) -> Candidate:
    settings: dict[str, Any] = {"of_run": False, "role": PRETRAINED_ROLE, "pixels": 224}
    return candidate(name, error, latency_ms, **settings | values)


def test_the_runs_choice_comes_first_then_both_files_of_pretrained_networks_then_others(
    entry_of: EntryOf, trained_of: TrainedOf, measurement_of: MeasurementOf
) -> None:
    archive = Archive((1.0, 9.0, 9.0), data=DATASET)
    archive.add(entry_of((0, 0, 0), error=0.1, latency_ms=3.0))
    archive.add(entry_of((2, 2, 2), error=0.9, latency_ms=1.0))
    scratch = trained_of("mobilenet", baseline=True, error=0.2, measurement=measurement_of(7.0))
    pretrained = replace(trained_of("lite0", baseline=True, error=0.3), pretrained=LITE0)
    found = alternatives(archive, [scratch, pretrained], TINY)
    assert [(one.name, one.of_run) for one in found] == [
        ("000", True), ("888", True), ("lite0", False), ("lite0", False), ("mobilenet", False),
    ]  # fmt: skip
    assert [one.role for one in found[2:]] == [PRETRAINED_ROLE, PRETRAINED_ROLE, SCRATCH_ROLE]
    assert "most accurate" in found[0].role
    assert not found[0].trained
    assert [one.pixels for one in found] == [8, 8, 224, 224, 8]
    assert found[0].params == count(TINY.graph(archive["000"].architecture.operators)).params
    assert "fp32" in found[2].configuration
    assert "int8" in found[3].configuration
    assert found[2].costs is None
    assert found[4].costs is not None
    assert found[4].costs.latency_ms == 7.0
    assert [one.error.split for one in found] == ["selection", "selection", "test", "test", "test"]


@pytest.mark.parametrize(
    ("candidates", "said"),
    [
        (
            [candidate("front", 0.4, 0.5), other("lite0", 0.1, 20.0)],
            "`lite0` is 30 points more accurate than `front`, the run's most accurate network, and takes 40.0 times as "
            "long (20.0 ms and 40.0 mJ an image): take it if 20.0 ms are quick enough.",
        ),
        (
            [candidate("front", 0.4, 30.0), other("lite0", 0.1, 20.0)],
            "`lite0` is 30 points more accurate than `front`, the run's most accurate network, and takes no longer: "
            "take it.",
        ),
        (
            [candidate("front", 0.1, 2.0), other("lite0", 0.2, 20.0)],
            "`front` is 10 points more accurate than `lite0`, the best of the others, and is 10.0 times as fast.",
        ),
        (
            [candidate("front", 0.11, 2.0), candidate("fast", 0.12, 1.0), other("lite0", 0.1, 20.0)],
            "`fast` cannot be told from `lite0`, the best of the others, in accuracy on 1000 test images, and is 20.0 "
            "times as fast.",
        ),
        (
            [candidate("front", 0.1, 40.0), candidate("fast", 0.5, 1.0), other("lite0", 0.1, 20.0)],
            "`front` cannot be told from `lite0`, the best of the others, in accuracy on 1000 test images, but takes "
            "2.00 times as long.",
        ),
        (
            [candidate("front", 0.4, 0.5), other("lite0", 0.1)],
            "`lite0` is 30 points more accurate than `front`, the run's most accurate network; their latencies cannot "
            "be compared.",
        ),
    ],
)
def test_the_verdict_follows_the_figures(candidates: list[Candidate], said: str) -> None:
    assert verdict(candidates) == said


def test_few_images_tell_less() -> None:
    for images, word in ((1000, "more accurate"), (20, "cannot be told from")):
        found = verdict([candidate("front", 0.4, 1.0, images=images), other("lite0", 0.3, 1.0, images=images)])
        assert word in found


def test_a_modelled_latency_is_not_set_against_a_measured_one() -> None:
    modelled = candidate("front", 0.4, 1.0)
    assert modelled.costs is not None
    modelled = replace(modelled, costs=replace(modelled.costs, latency_source="modelled"))
    assert "latencies cannot be compared" in verdict([modelled, other("lite0", 0.1, 20.0)])


def test_what_makes_a_comparison_unfair_or_hopeless_is_said() -> None:
    text = verdict([candidate("front", 0.85, 1.0, trained=False), other("net", 0.82, 1.0, role=SCRATCH_ROLE)])
    assert "not better than always answering the commonest class. Nor is `net`." in text
    assert "`front` has inherited weights" in text
    assert "No pre-trained network is among them" in text
    assert verdict([candidate("front", 0.4)]) == verdict([other("lite0", 0.4)]) == ""


def test_a_file_in_int8_that_loses_much_is_named() -> None:
    int8 = other("lite0", 0.2, 10.0, configuration="1 thread, int8")
    assert "In int8 `lite0` loses 10 points of accuracy" in verdict(
        [candidate("a", 0.5), other("lite0", 0.1, 9.0), int8]
    )
    assert "In int8" not in verdict([candidate("a", 0.5), other("lite0", 0.16, 9.0), int8])
