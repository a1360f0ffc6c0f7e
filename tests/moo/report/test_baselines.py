"""The report's first table: the run's networks beside what one would use otherwise."""

from __future__ import annotations

from dataclasses import replace

from evaluation.pretrained.provenance import Pretrained
from moo.analysis.alternatives import alternatives, verdict
from moo.report.baselines import comparison_section
from moo.storage.archive import Archive
from tests.moo.conftest import DATASET, TINY, EntryOf, MeasurementOf, TrainedOf


def test_each_network_has_accuracy_costs_size_and_how_it_was_trained(
    entry_of: EntryOf, trained_of: TrainedOf, measurement_of: MeasurementOf
) -> None:
    archive = Archive((1.0, 9.0, 9.0), data=DATASET)
    archive.add(entry_of((0, 0, 0), error=0.9, latency_ms=3.0))
    about = Pretrained(source="ImageNet", input_size=224, mean=(0.5,) * 3, std=(0.25,) * 3)
    network = trained_of("lite0", baseline=True, error=0.1, measurement=measurement_of(20.0))
    baselines = [replace(network, pretrained=about, head_only=True)]
    text = comparison_section(archive, baselines, TINY)
    assert text.startswith(f"**{verdict(alternatives(archive, baselines, TINY))}**")
    own, lite0, int8 = ([cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines()[4:7])
    assert own[0] == "`000`"
    assert own[2].endswith("(selection split)")
    assert own[3] == "3.00 ms (modelled)"
    assert own[-1] == "inherited weights, not trained"
    assert lite0[0] == int8[0] == "`lite0`"
    assert lite0[1] == "pre-trained"
    assert lite0[3:7] == ["20.0 ms (measured)", "40.0 mJ (modelled)", f"{network.params:,}", "224 x 224"]
    assert "pre-trained (ImageNet), its last layer fitted" in lite0[-1]


def test_without_baselines_or_without_a_front_it_is_empty(entry_of: EntryOf, trained_of: TrainedOf) -> None:
    archive = Archive((1.0, 9.0, 9.0))
    assert comparison_section(archive, [trained_of("mobilenet", baseline=True)], TINY) == ""
    archive.add(entry_of((0, 0, 0)))
    assert comparison_section(archive, [], TINY) == ""
