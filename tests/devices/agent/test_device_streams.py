"""Segments and streams through a fake agent: what is placed, asked, and refused."""

from typing import Any

import pytest

from devices.configuration import RuntimeConfiguration
from devices.errors import BoardRefusedError, MeasurementError
from devices.quantization import quantized
from devices.streaming import LONGEST_IMAGE_SECONDS
from tests.devices.agent.test_device import FakeLink, device_over, told
from tests.devices.conftest import micro_images, micro_segments

FIXED = RuntimeConfiguration(frequency_mhz=1500)
ANSWER: dict[str, Any] = {"latencies_ms": [1.0, 2.0], "ways": [0, 2], "classes": [9, 3]}


def test_files_are_placed_once_each_and_removed() -> None:
    link = FakeLink(**ANSWER)
    with device_over(link, timeout_seconds=60.0) as device:
        found = device.stream(micro_segments(), [0.5, 0.5], micro_images(2), passes=4)
    assert told(link) == ["start", "describe", *["put"] * 4, "cool", "stream", *["remove"] * 4, "end", "close"]
    (request,) = link.requests("stream")
    assert (request["models"], request["images"]) == (["the path"] * 3, "the path")
    assert (request["thresholds"], request["passes"], request["threads"]) == ([0.5, 0.5], 4, 1)
    assert request["timeout_seconds"] == pytest.approx(60.0 + 4 * 2 * LONGEST_IMAGE_SECONDS)
    assert (found.ways, found.latency_source) == ((0, 2), "measured")
    link = FakeLink()
    with device_over(link) as device:
        device.measure([b"one", b"two", b"one"])
    assert told(link).count("put") == 2
    assert link.requests("measure")[0]["models"] == ["the path"] * 3


def test_a_board_that_does_not_keep_the_clock_runs_neither_segments_nor_streams() -> None:
    link = FakeLink(["set_frequency"], **ANSWER)
    with device_over(link) as device:
        with pytest.raises(BoardRefusedError):
            device.stream(micro_segments(), [0.5, 0.5], micro_images(2), FIXED)
        with pytest.raises(BoardRefusedError):
            device.measure(micro_segments(), FIXED)
    assert not link.requests("stream")
    assert not link.requests("measure")


def test_a_clock_that_fell_during_a_stream_is_told() -> None:
    with device_over(FakeLink(**ANSWER, after={"clock_mhz": 1000.0})) as device:
        assert device.stream(micro_segments(), [0.5, 0.5], micro_images(2), FIXED).throttled


def test_a_stream_that_cannot_have_been_costs_the_agent_nothing() -> None:
    link = FakeLink(**ANSWER | {"ways": [0, 3]})
    with device_over(link) as device:
        with pytest.raises(MeasurementError, match="2 whole numbers `ways` from 0 to 2"):
            device.stream(micro_segments(), [0.5, 0.5], micro_images(2))
        link.described["ways"] = [2, 2]
        assert device.stream(micro_segments(), [0.5, 0.5], micro_images(2)).ways == (2, 2)


def test_the_precision_is_that_of_the_files() -> None:
    first = quantized(micro_segments()[0])
    with device_over(FakeLink(**ANSWER)) as device:
        int8 = RuntimeConfiguration(precision="int8")
        assert device.measure((first, micro_segments()[1])).precision == "int8"
        assert device.measure(micro_segments(), int8).precision == "fp32"
        mixed = (first, *micro_segments()[1:])
        assert device.stream(mixed, [0.5, 0.5], micro_images(2)).configuration == int8
