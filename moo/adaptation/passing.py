"""What passing an exit takes on the run's boards, measured before exits are chosen. Start with `measure_passing`.

A cost table does not know the decision at an exit and the next call of the runtime. Where boards measure, a few of the
networks that get exits run as one file and in segments through which nothing leaves, with random weights: these change
no time. Clocks are not measured each: passing takes longer at a lower one as the network does.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np

from devices.configuration import Precision, RuntimeConfiguration
from devices.cost_tables.exit_costs import Passing, WholeWays, exit_costs, passing_of
from devices.cost_tables.family import CostTables
from devices.measurement import Measurement
from devices.models import Model
from devices.quantization import quantized
from evaluation.early_exits.files import segment_files
from evaluation.early_exits.plans import plans_of
from moo import events
from moo.adaptation.costs import clock_reference
from moo.adaptation.inputs import AdaptationInputs
from moo.adaptation.measuring import measured_one_by_one
from moo.adaptation.training.backbones import Backbone
from moo.measurement.queue import Measurer, Request
from moo.storage.archive import Archive
from search_space.boundary.sealing import read_sealed_json, write_sealed_json
from search_space.exits import Exit, keeps_head_limit
from search_space.onnx_files import random_weights, to_onnx
from search_space.segments import branched_graph
from search_space.spaces import FBNetSpace

MOST_EXITS = 2
"""Of a sample: each network is measured with one exit, and with two."""
REMEDY = "Restore it from a copy, or delete it: what passing an exit takes is then measured anew."


@dataclass(frozen=True, slots=True)
class MeasuredCut:
    """A network that is measured in segments, or as it is."""

    network: str
    """Id of its architecture."""
    exits: tuple[Exit, ...]
    """None for the network as it is."""

    @property
    def label(self) -> str:
        """What it is called in reports."""
        return f"{self.network} past {len(self.exits)} exit{'s' * (len(self.exits) != 1)}"

    def to_json(self) -> dict[str, object]:
        """The form used in files."""
        return {"network": self.network, "exits": [one.to_json() for one in self.exits]}

    @classmethod
    def from_json(cls, content: Any) -> MeasuredCut:
        """The sample that `to_json` gave."""
        return cls(str(content["network"]), tuple(Exit.from_json(one) for one in content["exits"]))


@dataclass
class PassingMeasurements:
    """What boards measured of networks in segments; kept in the run, so that a job that goes on takes the same."""

    path: Path
    samples: tuple[MeasuredCut, ...]
    """Networks with exits, and each as it is."""
    found: dict[tuple[RuntimeConfiguration, MeasuredCut], Measurement] = field(default_factory=dict)

    def missing(self, configuration: RuntimeConfiguration) -> list[MeasuredCut]:
        """Samples that are not measured in a configuration."""
        return [sample for sample in self.samples if (configuration, sample) not in self.found]

    def keep(self, configuration: RuntimeConfiguration, sample: MeasuredCut, measurement: Measurement) -> None:
        """Keep a measurement."""
        self.found[configuration, sample] = measurement
        content = {
            "samples": [one.to_json() for one in self.samples],
            "measured": [
                {"configuration": one.label, "sample": self.samples.index(of), "measurement": own.to_json()}
                for (one, of), own in self.found.items()
            ],
        }
        write_sealed_json(self.path, content)

    def passing(
        self,
        configuration: RuntimeConfiguration,
        tables: CostTables,
        space: FBNetSpace,
        operators_of: Callable[[str], tuple[str, ...]],
    ) -> Passing | None:
        """What passing an exit takes in a configuration; None where not all samples are measured in it.

        Args:
            configuration: of the run.
            tables: say in what proportion to the network heads are.
            space: of the networks.
            operators_of: a network, by its id.
        """
        if self.missing(configuration):
            return None
        pairs = []
        for sample in self.samples:
            if sample.exits:
                as_it_is = self.found[configuration, MeasuredCut(sample.network, ())]
                ways = WholeWays(
                    plan=tuple(range(len(sample.exits))),
                    static_ms=as_it_is.latency_ms,
                    last_ms=self.found[configuration, sample].latency_ms,
                )
                costs = exit_costs(tables[configuration], space, operators_of(sample.network), sample.exits)
                pairs.append((costs, ways))
        return passing_of(pairs)


def read_passing(path: Path, archive: Archive) -> PassingMeasurements | None:
    """What was measured so far; None if nothing was.

    Args:
        path: of the run.
        archive: of the run, whose networks it must be of.

    Raises:
        ValueError: if the file is damaged, or another run's.
    """
    if not path.exists():
        return None
    content = read_sealed_json(path, what="measurements of what passing an exit takes", remedy=REMEDY)
    try:
        found = PassingMeasurements(path, tuple(MeasuredCut.from_json(one) for one in content["samples"]))
        for item in content["measured"]:
            key = RuntimeConfiguration.parse(item["configuration"]), found.samples[item["sample"]]
            found.found[key] = Measurement.from_json(item["measurement"])
        if any(MeasuredCut(one.network, ()) not in found.samples for one in found.samples):
            raise ValueError("a network is not measured as it is")
        known = {entry.architecture.id for entry in archive.entries}
        if not any(one.exits for one in found.samples) or any(one.network not in known for one in found.samples):
            raise ValueError("it is of other networks than the run's")
    except (KeyError, IndexError, TypeError, ValueError) as error:
        raise ValueError(
            f"{str(path)!r} must hold what passing an exit takes, but does not: {error}. {REMEDY}"
        ) from None
    return found


def samples_of(
    backbones: Sequence[Backbone], latency_ms: Callable[[Backbone], float], space: FBNetSpace
) -> tuple[MeasuredCut, ...]:
    """The quickest network and a middle one, each as it is, with one exit and with two: middle ones of their plans.

    Args:
        backbones: networks that get exits.
        latency_ms: of each.
        space: that they are of.
    """
    ordered = sorted(backbones, key=lambda one: (latency_ms(one), one.id))
    samples = []
    for backbone in dict.fromkeys(ordered[place] for place in (0, len(ordered) // 2)):
        samples.append(MeasuredCut(backbone.id, ()))
        plans = plans_of(backbone.exits, MOST_EXITS, partial(keeps_head_limit, space, backbone.architecture.operators))
        for size in range(1, MOST_EXITS + 1):
            own = [plan for plan in plans if len(plan) == size]
            if own:
                exits = tuple(backbone.exits[place] for place in own[len(own) // 2])
                samples.append(MeasuredCut(backbone.id, exits))
    return tuple(samples)


def measure_passing(
    inputs: AdaptationInputs,
    backbones: Sequence[Backbone],
    latency_ms: Callable[[Backbone], float],
    measurer: Measurer | None,
) -> tuple[dict[RuntimeConfiguration, float], list[str]]:
    """What passing an exit takes in ms, measured where it was not before.

    Args:
        inputs: what networks are adapted with.
        backbones: networks that get exits.
        latency_ms: of each, as it is.
        measurer: the boards; None where there is none, and only what was measured before counts.

    Returns:
        It by configuration, one for all that differ in their clock alone; and what could not be measured, as
        `passing exits in <configuration>`.

    Raises:
        ValueError: if what was kept is damaged.
    """
    path = inputs.run.folder.passing
    kept = read_passing(path, inputs.record.archive)
    if kept is None:
        if measurer is None or not backbones:
            return {}, []
        kept = PassingMeasurements(path, samples_of(backbones, latency_ms, inputs.run.space))
    wanted = tuple(dict.fromkeys(clock_reference(one, inputs.configurations) for one in inputs.configurations))
    if measurer is not None:
        _measure(inputs, kept, wanted, measurer)

    def operators_of(network: str) -> tuple[str, ...]:
        return inputs.record.archive[network].architecture.operators

    found = {one: kept.passing(one, inputs.tables, inputs.run.space, operators_of) for one in wanted}
    known = {one: passing.latency_ms for one, passing in found.items() if passing is not None}
    if known:
        labelled = tuple((one.label, 1000 * latency_ms) for one, latency_ms in known.items())
        inputs.tell(events.PassingMeasured(labelled, sum(bool(sample.exits) for sample in kept.samples)))
    missing = [one for one in wanted if one not in known] if measurer is not None else []
    return known, [f"passing exits in {one.label}" for one in missing]


def _measure(
    inputs: AdaptationInputs,
    kept: PassingMeasurements,
    configurations: Sequence[RuntimeConfiguration],
    measurer: Measurer,
) -> None:
    files = cache(partial(sample_files, inputs))
    asked = {}
    for configuration in configurations:
        for sample in kept.missing(configuration):
            asked[sample.label, configuration] = sample
            model = partial(files, sample, configuration.precision)
            measurer.request(Request(sample.label, model, configuration))
    for report in measured_one_by_one(inputs, measurer, len(asked)):
        key = report.network, report.measurement.configuration
        if key in asked:
            kept.keep(key[1], asked[key], report.measurement)


def sample_files(inputs: AdaptationInputs, sample: MeasuredCut, precision: Precision) -> Model:
    """A sample with random weights: one file, or its segments."""
    space = inputs.run.space
    operators = inputs.record.archive[sample.network].architecture.operators
    weights = random_weights(branched_graph(space, operators, sample.exits).graph, np.random.default_rng(0))
    if not sample.exits:
        files: tuple[bytes, ...] = (to_onnx(space.graph(operators), weights),)
    else:
        files = segment_files(space, operators, sample.exits, weights)
    if precision == "int8":
        files = tuple(quantized(file, activations=inputs.run.activations) for file in files)
    return files if sample.exits else files[0]
