from dataclasses import replace
from typing import Any

import pytest

from devices.agent.replies import (
    board_from_reply,
    measurement_from_reply,
    span_from_reply,
    streamed_from_reply,
    time_from_reply,
)
from devices.channel import Reply
from devices.configuration import RuntimeConfiguration
from devices.energy.meter import MeteredEnergy
from devices.energy.power_model import PowerModel
from devices.errors import MeasurementError
from devices.measurement import Board, Conditions, Measurement
from devices.streaming import Streamed

BOARD = Board(name="host", model="a processor", os="Linux", runtime="onnxruntime 1.20.0", clock_mhz=None)
METERED = MeteredEnergy(net_mj=3.5, gross_mj=9.5, interval_mj=0.1, idle_w=3.0, meter="ina219", samples=60)
POWER = PowerModel(idle_w=1.5, shared_w=1.0, thread_w=3.5, description="a test")
TWO_THREADS = RuntimeConfiguration(threads=2)
REPLY = {"p5_ms": 2.0, "median_ms": 2.1, "iqr_ms": 0.1, "runs": 60, "after": {"clock_mhz": 1500.0}}


def reply(fields: dict[str, object]) -> Reply:
    return Reply("the agent", fields)


def measurement(metered: MeteredEnergy | None = None, **changes: object) -> Measurement:
    return measurement_from_reply(reply(REPLY | changes), BOARD, TWO_THREADS, POWER, metered)


def test_the_latency_is_the_low_quantile() -> None:
    assert (measurement().latency_ms, measurement().median_ms) == (2.0, 2.1)
    assert measurement().latency_source == "measured"


def test_without_a_meter_the_energy_is_modelled() -> None:
    assert (measurement().energy_mj, measurement().energy_source) == ((1.0 + 3.5 * 2) * 2.0, "modelled")
    assert (measurement().gross_energy_mj, measurement().idle_w) == ((1.0 + 3.5 * 2 + 1.5) * 2.0, 1.5)


def test_with_a_meter_the_energy_is_measured() -> None:
    metered = measurement(METERED)
    assert (metered.energy_mj, metered.gross_energy_mj, metered.energy_interval_mj) == (3.5, 9.5, 0.1)
    assert (metered.energy_source, metered.idle_w, metered.meter) == ("measured", 3.0, "ina219")


def test_the_measurement_says_how_the_network_was_run() -> None:
    ran = RuntimeConfiguration(threads=4, frequency_mhz=1500, precision="int8")
    assert measurement_from_reply(reply(REPLY), BOARD, ran, POWER).configuration == ran


def test_an_energy_in_doubt_is_modelled_above_the_measured_idle_power() -> None:
    doubtful = measurement(replace(METERED, interval_mj=0.8))
    assert (doubtful.energy_mj, doubtful.energy_source, doubtful.meter) == (measurement().energy_mj, "modelled", None)
    assert (doubtful.energy_interval_mj, doubtful.idle_w) == (None, 3.0)
    assert doubtful.gross_energy_mj == doubtful.energy_mj + 3.0 * doubtful.latency_ms
    assert doubtful.energy_note == (
        "the 95 % interval of ina219 was 23 % of the energy either way, where 20 % are allowed"
    )
    assert measurement(METERED).energy_note is None


def test_conditions_are_kept_as_far_as_they_are_told() -> None:
    told = measurement(before={"governor": "ondemand", "temperature_c": 51.5, "throttled": 4})
    assert told.before == Conditions(clock_mhz=None, temperature_c=51.5, governor="ondemand", throttled=4)
    assert told.after == Conditions(clock_mhz=1500.0)


@pytest.mark.parametrize(("iqr_ms", "reliable"), [(0.5, True), (0.6, False)])
def test_a_wide_spread_is_flagged(iqr_ms: float, *, reliable: bool) -> None:
    assert measurement(iqr_ms=iqr_ms).reliable is reliable


def test_a_board_that_throttled_was_not_measured_reliably() -> None:
    assert not measurement(after={"throttled": 0x4}).reliable


def test_span_and_time_are_checked() -> None:
    assert span_from_reply(reply(REPLY | {"start_s": 1.5, "end_s": 3})) == (1.5, 3.0, 60)
    assert time_from_reply(reply({"time_s": 2.5})) == 2.5
    with pytest.raises(MeasurementError, match="finite number `end_s`"):
        span_from_reply(reply(REPLY | {"start_s": 1.5}))


def test_the_board_is_described() -> None:
    described = reply({"model": "a processor", "os": "Linux", "runtime": "onnxruntime 1.20.0", "clock_mhz": None})
    assert board_from_reply(described, name="host") == BOARD
    assert BOARD.label == "host (a processor)"


def test_cores_and_clocks_are_told_where_the_board_knows_them() -> None:
    texts = {"model": "a processor", "os": "Linux", "runtime": "onnxruntime 1.20.0", "clock_mhz": None}
    described = board_from_reply(reply({**texts, "cores": 4, "frequencies_mhz": [600, 1500]}), name="host")
    assert (described.cores, described.frequencies_mhz) == (4, (600, 1500))


@pytest.mark.parametrize("changes", [{"p5_ms": None}, {"p5_ms": "2"}, {"runs": True}, {"iqr_ms": float("nan")}])
def test_a_reply_without_a_number_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(MeasurementError, match=f"finite number `{next(iter(changes))}`"):
        measurement(**changes)


STREAMED = {"latencies_ms": [1.0, 2.0], "ways": [0, 2], "classes": [9, 3], "before": {}, "after": {"clock_mhz": 1500.0}}


def streamed(*, seconds: float = 1.0, **changes: object) -> Streamed:
    told = replace(reply(STREAMED | changes), seconds=seconds)
    return streamed_from_reply(told, BOARD, TWO_THREADS, images=2, segments=3)


def test_a_stream_is_told_image_by_image() -> None:
    found = streamed()
    assert (found.latencies_ms, found.ways, found.classes) == ((1.0, 2.0), (0, 2), (9, 3))
    assert (found.shares, found.mean_latency_ms) == ((0.5, 0.0, 0.5), 1.5)
    assert (found.latency_source, found.board, found.configuration) == ("measured", BOARD.label, TWO_THREADS)
    assert found.after == Conditions(clock_mhz=1500.0)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"latencies_ms": [1.0]}, "2 `latencies_ms` from 0.001 to"),
        ({"latencies_ms": [1.0, 2.0, 3.0]}, "2 `latencies_ms`"),
        ({"latencies_ms": [1.0, 0.0]}, "2 `latencies_ms`"),
        ({"latencies_ms": [1.0, 1e7]}, "2 `latencies_ms`"),
        ({"latencies_ms": [1.0, True]}, "finite number `latencies_ms`"),
        ({"latencies_ms": None}, "a list `latencies_ms`"),
        ({"latencies_ms": [1.0, 2000.0]}, "times that fit into the 1 s that it took, but got '2 s of images'"),
        ({"ways": [0]}, "2 whole numbers `ways` from 0 to 2"),
        ({"ways": [0, 3]}, "2 whole numbers `ways` from 0 to 2"),
        ({"ways": [-1, 0]}, "2 whole numbers `ways`"),
        ({"ways": [0.5, 0]}, "2 whole numbers `ways`"),
        ({"classes": [0, 1e9]}, "2 whole numbers `classes`"),
        ({"classes": ["0", 1]}, "finite number `classes`"),
    ],
)
def test_a_stream_that_cannot_have_been_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(MeasurementError, match=message):
        streamed(**changes)


def test_a_latency_of_zero_is_refused() -> None:
    with pytest.raises(MeasurementError, match=r"a `p5_ms` from 0\.001 to 3\.6e\+06 ms, but got 0"):
        measurement(p5_ms=0)


def test_a_description_without_a_text_is_refused() -> None:
    with pytest.raises(MeasurementError, match="text `model`"):
        board_from_reply(reply({}), name="host")
