"""Ways through deployed networks measured on the run's boards. Start with `measure_ways`.

Array shapes: X ways through a network.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial

from devices.configuration import RuntimeConfiguration
from devices.cost_tables.exit_costs import PathCosts
from devices.measurement import Measurement
from devices.models import Model
from evaluation.training.folder import read_model, read_result
from moo import events
from moo.adaptation.costs import measured_costs_of
from moo.adaptation.inputs import AdaptationInputs
from moo.adaptation.training.deployed import Deployment
from moo.adaptation.training.folder import FRESH
from moo.measurement.queue import Measured, Measurer, NotMeasured, Request, keep_board_event
from moo.storage.adaptive_front import StreamedImages
from search_space.boundary.records import record_from_json
from search_space.boundary.sealing import read_sealed_json, write_sealed_json

STATIC = "static"
"""Stands for the network as it is, beside the numbers of ways."""
StreamKey = tuple[RuntimeConfiguration, tuple[float, ...], int]
"""Configuration and thresholds of a point, and the number of images."""


@dataclass
class WayMeasurements:
    """What boards measured of a network's ways, in the order of its exits; kept in its folder."""

    deployment: Deployment
    found: dict[tuple[RuntimeConfiguration, str], Measurement] = field(default_factory=dict)
    """By configuration and way: its number from 0, or `STATIC`."""
    streams: dict[StreamKey, StreamedImages] = field(default_factory=dict)

    @property
    def ways(self) -> list[str]:
        """Those that are measured in each configuration: its ways, and the network as it is."""
        return [*(str(number) for number in range(len(self.deployment.exits) + 1)), STATIC]

    def costs(self, configuration: RuntimeConfiguration) -> PathCosts | None:
        """Costs of each way; None where one was not measured."""
        ways = [self.found.get((configuration, str(number))) for number in range(len(self.deployment.exits) + 1)]
        known = [way for way in ways if way is not None]
        return measured_costs_of(known) if len(known) == len(ways) else None

    def static(self, configuration: RuntimeConfiguration) -> Measurement | None:
        """Of the network as it is."""
        return self.found.get((configuration, STATIC))

    def keep(self, configuration: RuntimeConfiguration, way: str, measurement: Measurement) -> None:
        """Keep a measurement."""
        self.found[configuration, way] = measurement
        self._write()

    def keep_stream(self, key: StreamKey, streamed: StreamedImages) -> None:
        """Keep what came of a stream."""
        self.streams[key] = streamed
        self._write()

    def _write(self) -> None:
        content = {
            "segments": self.deployment.digests,
            "ways": [
                {"configuration": one.label, "way": way, "measurement": measurement.to_json()}
                for (one, way), measurement in self.found.items()
            ],
            "streams": [
                {"configuration": one.label, "thresholds": thresholds, "images": images, "streamed": asdict(streamed)}
                for (one, thresholds, images), streamed in self.streams.items()
            ],
        }
        write_sealed_json(self.deployment.backbone.folder.measurements, content)


def read_measurements(deployment: Deployment) -> WayMeasurements:
    """What was measured of a network so far.

    Raises:
        ValueError: if the file is damaged, or of other segments.
    """
    path, found = deployment.backbone.folder.measurements, WayMeasurements(deployment)
    if not path.exists():
        return found
    content = read_sealed_json(path, what="measurements of a network's exits", remedy=FRESH)
    try:
        if content["segments"] != deployment.digests:
            raise ValueError("it is of other segments")
        for item in content["ways"]:
            key = RuntimeConfiguration.parse(item["configuration"]), str(item["way"])
            found.found[key] = Measurement.from_json(item["measurement"])
        for item in content["streams"]:
            thresholds = tuple(float(value) for value in item["thresholds"])
            stream = RuntimeConfiguration.parse(item["configuration"]), thresholds, int(item["images"])
            found.streams[stream] = record_from_json(StreamedImages, item["streamed"], where="streamed")
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{str(path)!r} must be of this network's segments, but is not: {error}. {FRESH}") from None
    return found


def measure_ways(
    inputs: AdaptationInputs,
    wanted: Sequence[tuple[WayMeasurements, Sequence[RuntimeConfiguration]]],
    measurer: Measurer,
) -> list[str]:
    """Measure every way through networks that was not measured before, and the networks as they are.

    Args:
        inputs: what they are adapted with.
        wanted: networks, and the configurations to measure each in.
        measurer: the boards.

    Returns:
        What could not be measured, as `<id> in <configuration>`.
    """
    asked: dict[tuple[str, RuntimeConfiguration], tuple[WayMeasurements, str]] = {}
    for measurements, configurations in wanted:
        for configuration in configurations:
            for way in measurements.ways:
                if (configuration, way) not in measurements.found:
                    name = f"{measurements.deployment.backbone.id}/{way}"
                    asked[name, configuration] = measurements, way
                    model = partial(_model, inputs, measurements.deployment, configuration, way)
                    measurer.request(Request(name, model, configuration))
    for report in measured_one_by_one(inputs, measurer, len(asked)):
        configuration = report.measurement.configuration
        if (report.network, configuration) in asked:
            measurements, way = asked.pop((report.network, configuration))
            measurements.keep(configuration, way, report.measurement)
    missing = (f"{name.partition('/')[0]} in {configuration.label}" for name, configuration in asked)
    return list(dict.fromkeys(missing))


def measured_one_by_one(inputs: AdaptationInputs, measurer: Measurer, total: int) -> Iterator[Measured]:
    """What boards measure of all that was requested of them, as it comes; what fails is kept and told.

    What an unreachable board left of an earlier stage is measured now, too.

    Args:
        inputs: what networks are adapted with.
        measurer: the boards.
        total: what was requested.
    """
    done = 0
    for report in measurer.drain(inputs.run.config.board_patience):
        match report:
            case Measured():
                yield report
            case NotMeasured(name, reason):
                inputs.record.add_event("measuring failed", architecture=name, reason=reason)
                inputs.tell(events.MeasuringFailed(name, reason))
            case events.BoardUnreachable() | events.BoardBack() | events.BoardConditions():
                keep_board_event(inputs.record, report)
                inputs.tell(report)
                continue
        done += 1
        inputs.tell(events.StageProgress("measuring", done, total, report.network))


def _model(inputs: AdaptationInputs, deployment: Deployment, configuration: RuntimeConfiguration, way: str) -> Model:
    """The files of a way: the first segments, or the network's own."""
    if way != STATIC:
        return deployment.segments[configuration.precision].models[: int(way) + 1]
    folder = inputs.run.folder.training(deployment.backbone.id)
    result = read_result(folder)
    assert result is not None, "the network is trained"
    (check,) = (one for one in result.files if one.precision == configuration.precision)
    return read_model(folder, check)
