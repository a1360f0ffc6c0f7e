"""Real images streamed through deployed networks on the run's board, as they run there. Start with `stream_front`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import cast

import numpy as np

from devices.device import Device
from devices.errors import BoardUnreachableError, MeasurementError
from devices.streaming import MOST_IMAGES, Images, Streamed, StreamingDevice
from evaluation.export import prepared_images
from moo import events
from moo.adaptation.inputs import AdaptationInputs
from moo.adaptation.measuring import WayMeasurements
from moo.storage.adaptive_front import AdaptivePoint, StreamedImages
from moo.storage.pareto import epsilon_front

MOST_STREAMS = 3
"""Points of one network that images are streamed through: they stand for its others."""
ATTEMPTS = 3
"""Streams of a point, where the board slows down."""


def stream_front(
    inputs: AdaptationInputs,
    front: Sequence[AdaptivePoint],
    measured: Mapping[str, WayMeasurements],
    devices: Sequence[Device],
) -> tuple[tuple[AdaptivePoint, ...], list[str]]:
    """Stream images of the selection split through a few points of each network of a front.

    Args:
        inputs: what networks are adapted with.
        front: best accuracy first.
        measured: networks with exits, and what was streamed through them before, by id.
        devices: boards, of which the first streams; none to stream nothing.

    Returns:
        The front, with what was streamed; and what could not be, as `<id> in <configuration>`.
    """
    count = min(inputs.config.images, inputs.images, MOST_IMAGES)
    if not devices or not count:
        return tuple(front), []
    chosen = _chosen(front)
    images_NCHW = prepared_images(inputs.run.splits.selection, inputs.run.splits, count)
    missing, points = [], list(front)
    for done, place in enumerate(chosen):
        point, own = points[place], measured[points[place].id]
        key = (point.configuration, point.thresholds, count)
        inputs.tell(events.StageProgress("streaming", done, len(chosen), point.id))
        if key not in own.streams:
            models = own.deployment.segments[point.configuration.precision].models
            found = _streamed(inputs, cast(StreamingDevice, devices[0]), models, point, images_NCHW)
            if found is None:
                missing.append(f"stream of {point.id} in {point.configuration.label}")
                continue
            own.keep_stream(key, found)
        points[place] = replace(point, streamed=_told(own.streams[key], point))
    return tuple(points), missing


def _chosen(front: Sequence[AdaptivePoint]) -> list[int]:
    """Places of the points that images are streamed through."""
    by_network: dict[str, list[int]] = {}
    for place, point in enumerate(front):
        if point.exits:
            by_network.setdefault(point.id, []).append(place)
    return [
        places[chosen]
        for places in by_network.values()
        for chosen in epsilon_front(np.array([front[place].objectives for place in places]), MOST_STREAMS)
    ]


def _streamed(
    inputs: AdaptationInputs,
    device: StreamingDevice,
    models: Sequence[bytes],
    point: AdaptivePoint,
    images_NCHW: Images,
) -> StreamedImages | None:
    reason = ""
    for _ in range(ATTEMPTS):
        try:
            streamed = device.stream(models, point.thresholds, images_NCHW, point.configuration)
        except BoardUnreachableError as error:
            reason = str(error)
            break
        except MeasurementError as error:
            reason = str(error)
            continue
        if not streamed.throttled:
            return _result(inputs, streamed, point)
        reason = "the board throttled during every attempt: cool it, or give it a stronger supply."
    inputs.record.add_event("streaming failed", architecture=point.id, reason=reason)
    inputs.tell(events.MeasuringFailed(f"{point.id} (stream)", reason))
    return None


def _result(inputs: AdaptationInputs, streamed: Streamed, point: AdaptivePoint) -> StreamedImages:
    labels_N = inputs.run.splits.selection.labels_N[: len(streamed.classes)]
    shares = (*streamed.shares, *[0.0] * (len(point.exits) + 1 - len(streamed.shares)))
    return StreamedImages(
        images=len(streamed.classes),
        mean_latency_ms=streamed.mean_latency_ms,
        exit_shares=shares,
        error=float(np.mean(np.array(streamed.classes) != labels_N)),
        expected_latency_ms=float(np.dot(shares, point.path_latency_ms)),
    )


def _told(streamed: StreamedImages, point: AdaptivePoint) -> StreamedImages:
    """What was streamed, beside the costs of ways as they are known now."""
    return replace(streamed, expected_latency_ms=float(np.dot(streamed.exit_shares, point.path_latency_ms)))
