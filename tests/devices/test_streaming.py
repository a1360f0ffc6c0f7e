"""What every `StreamingDevice` keeps. A new implementation needs one line in `IMPLEMENTATIONS`."""

import io
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from devices.agent.host import HostDevice
from devices.agent.ssh import SshDevice
from devices.configuration import BASE, RuntimeConfiguration
from devices.errors import BoardRefusedError, MeasurementError
from devices.measurement import Conditions, MeasureSettings
from devices.replay import ReplayDevice
from devices.streaming import MOST_IMAGES, Streamed, StreamingDevice, as_file
from evaluation.early_exits.outcomes import outcomes_of
from evaluation.early_exits.policy import judged, ways_taken
from tests.devices.conftest import EXITS, LoopbackBoard, micro_images, micro_scores, micro_segments, middle_thresholds

QUICK = MeasureSettings(warmup_runs=1, min_runs=5, max_runs=20, min_seconds=0.0)
COUNT = 24


def on_board(request: pytest.FixtureRequest) -> SshDevice:
    board: LoopbackBoard = request.getfixturevalue("board")
    return SshDevice(board.address, QUICK, board.options)


IMPLEMENTATIONS: dict[str, Callable[[pytest.FixtureRequest], Any]] = {
    "host": lambda request: HostDevice(QUICK),
    "ssh": on_board,
    "replay": lambda request: ReplayDevice(lambda files: float(len(files)), cores=4),
}


@pytest.fixture(params=list(IMPLEMENTATIONS.values()), ids=list(IMPLEMENTATIONS))
def device(request: pytest.FixtureRequest) -> Iterator[Any]:
    opened = request.param(request)
    yield opened
    opened.close()


def streamed(device: StreamingDevice, thresholds: list[float], **options: Any) -> Streamed:
    return device.stream(micro_segments(), thresholds, micro_images(COUNT), **options)


def test_images_leave_where_the_policy_says(device: StreamingDevice) -> None:
    outcomes = outcomes_of(EXITS, micro_scores(COUNT), np.zeros(COUNT, np.int64))
    thresholds = middle_thresholds(COUNT)
    ways = ways_taken(outcomes.confidence_XN, thresholds)
    assert set(ways.tolist()) == {0, 1, 2}
    found = streamed(device, thresholds, passes=2)
    assert found.ways == tuple(ways.tolist())
    assert found.classes == tuple(micro_scores(COUNT).argmax(-1)[ways, np.arange(COUNT)].tolist())
    assert found.shares == pytest.approx(judged(outcomes, thresholds).shares_X)
    assert len(found.latencies_ms) == COUNT
    assert min(found.latencies_ms) > 0
    assert found.configuration == BASE
    assert not found.throttled


@pytest.mark.parametrize(("thresholds", "way"), [([0.0, 0.0], 0), ([1.0, 0.0], 1), ([1.0, 1.0], 2)])
def test_0_is_always_exceeded_and_1_never(device: StreamingDevice, thresholds: list[float], way: int) -> None:
    found = streamed(device, thresholds, passes=1)
    assert found.ways == (way,) * COUNT
    assert found.classes == tuple(micro_scores(COUNT)[way].argmax(-1).tolist())


def test_a_threshold_that_is_the_confidence_is_not_exceeded(device: StreamingDevice) -> None:
    confidence = outcomes_of(EXITS, micro_scores(COUNT), np.zeros(COUNT, np.int64)).confidence_XN[0, 3]
    below = np.nextafter(confidence, np.float32(0))
    assert streamed(device, [float(confidence), 1.0], passes=1).ways[3] == 2
    assert streamed(device, [float(below), 1.0], passes=1).ways[3] == 0


def test_segments_are_measured_one_after_another(device: Any) -> None:
    measurement = device.measure(micro_segments())
    assert 0 < measurement.latency_ms <= measurement.median_ms
    assert measurement.energy_mj > 0
    assert measurement.configuration == BASE
    assert device.measure(list(micro_segments()[:1])).latency_ms > 0


def test_a_segment_that_is_none_fails_and_the_next_stream_starts_afresh(device: Any) -> None:
    broken = (micro_segments()[0], b"no model", micro_segments()[2])
    with pytest.raises(Exception, match=r"could not measure|INVALID_PROTOBUF"):
        device.stream(broken, [1.0, 1.0], micro_images(2))
    assert len(device.stream(micro_segments(), [0.0, 0.0], micro_images(2)).ways) == 2


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"thresholds": [0.5]}, "one threshold less than segments, but got 1 for 3"),
        ({"thresholds": [0.5, 1.5]}, r"from 0 .* to 1 .*, but got 1\.5"),
        ({"thresholds": [0.5, float("nan")]}, "but got nan"),
        ({"images_NCHW": micro_images(2).astype(np.float64)}, "but got float64 of shape"),
        ({"images_NCHW": micro_images(2)[0]}, r"of shape \(3, 32, 32\)"),
        ({"images_NCHW": micro_images(2)[:0]}, r"of shape \(0, 3, 32, 32\)"),
        ({"images_NCHW": np.zeros((MOST_IMAGES + 1, 1, 1, 1), np.float32)}, "pass fewer"),
        ({"passes": 0}, "`passes >= 1` must hold, but got 0"),
        ({"segments": []}, "one threshold less than segments"),
    ],
)
def test_what_does_not_fit_is_refused(changes: dict[str, Any], message: str) -> None:
    stream = {"segments": micro_segments(), "thresholds": [0.5, 0.5], "images_NCHW": micro_images(2)}
    for device in (ReplayDevice(lambda files: 1.0), HostDevice(QUICK)):
        with pytest.raises(ValueError, match=message):
            device.stream(**stream | changes)
        device.close()


def test_a_board_that_lacks_the_cores_refuses_the_stream() -> None:
    with HostDevice(QUICK) as device, pytest.raises(BoardRefusedError, match="`threads` must be at most"):
        device.stream(micro_segments(), [0.5, 0.5], micro_images(2), RuntimeConfiguration(threads=1000))


def test_a_replay_has_the_latency_of_each_way() -> None:
    files = micro_segments()
    latencies_ms = {files[:1]: 1.0, files[:2]: 2.5, files: 4.0}
    found = streamed(ReplayDevice(lambda model: latencies_ms[model]), middle_thresholds(COUNT))
    assert found.latencies_ms == tuple((1.0, 2.5, 4.0)[way] for way in found.ways)
    assert found.mean_latency_ms == pytest.approx(np.dot(found.shares, [1.0, 2.5, 4.0]))
    assert found.latency_source == "modelled"
    with pytest.raises(MeasurementError, match="no latency is recorded"):
        streamed(ReplayDevice(lambda model: {files: 1.0}[model]), [0.0, 0.0])


def test_a_replay_can_take_functions_for_what_files_do() -> None:
    def runs(file: bytes) -> Callable[[Any], list[Any]]:
        scores = np.array([[0.0, float(file)]], np.float32)
        return lambda maps: [maps, scores]

    device = ReplayDevice(lambda files: float(len(files)), runs=runs)
    found = device.stream((b"1", b"3", b"-1"), [0.75, 0.9], micro_images(2))
    # The softmax of (0, 1) is 0.73, that of (0, 3) is 0.95.
    assert (found.ways, found.classes) == ((1, 1), (1, 1))
    assert device.stream((b"1", b"3", b"-1"), [0.75, 0.96], micro_images(1)).classes == (0,)


def test_a_clock_below_the_one_that_was_set_is_throttling() -> None:
    found = streamed(ReplayDevice(lambda files: 1.0), [0.0, 0.0])
    fixed = replace(found, configuration=RuntimeConfiguration(frequency_mhz=1500))
    assert not replace(fixed, after=Conditions(clock_mhz=1490)).throttled
    assert replace(fixed, after=Conditions(clock_mhz=1000)).throttled
    assert replace(found, after=Conditions(throttled=0x50005), before=Conditions(throttled=0)).throttled


def test_images_survive_a_file() -> None:
    images_NCHW = micro_images(3)
    np.testing.assert_array_equal(np.load(io.BytesIO(as_file(images_NCHW[::2])), allow_pickle=False), images_NCHW[::2])
