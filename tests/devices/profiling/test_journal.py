import json
from dataclasses import replace
from pathlib import Path

import pytest

from devices.configuration import Precision, RuntimeConfiguration
from devices.errors import MeasurementError
from devices.measurement import MeasureSettings
from devices.profiling.journal import JournaledDevice, profile_path
from devices.replay import ReplayDevice
from search_space.spaces import space_named

ASKED: tuple[tuple[int, Precision], ...] = ((1, "fp32"), (2, "fp32"), (1, "int8"), (1, "fp32"))


class Counting:
    """Latency 1, 2, 3, ... whatever the model."""

    def __init__(self, fails_after: int = 99) -> None:
        self.calls = 0
        self.fails_after = fails_after

    def __call__(self, model: bytes) -> float:
        if self.calls == self.fails_after:
            raise KeyError("unplugged")
        self.calls += 1
        return float(self.calls)


def latencies(path: Path, models: list[bytes], board: Counting) -> list[float]:
    device = JournaledDevice.open(ReplayDevice(board), path)
    return [device.measure(model).latency_ms for model in models]


def test_nothing_is_measured_twice(tmp_path: Path) -> None:
    path, models = tmp_path / "journals" / "board.jsonl", [b"a", b"b", b"a"]
    first, second = Counting(), Counting()
    assert latencies(path, models, first) == [1.0, 2.0, 3.0]
    assert latencies(path, models, second) == [1.0, 2.0, 3.0]
    assert (first.calls, second.calls) == (3, 0)


def test_it_goes_on_where_it_was_interrupted(tmp_path: Path) -> None:
    path = tmp_path / "board.jsonl"
    with pytest.raises(MeasurementError, match="unplugged"):
        latencies(path, [b"a", b"b", b"c"], Counting(fails_after=2))
    board = Counting()
    assert latencies(path, [b"a", b"b", b"c"], board) == [1.0, 2.0, 1.0]
    assert board.calls == 1


def test_a_line_cut_by_a_crash_is_measured_again(tmp_path: Path) -> None:
    path = tmp_path / "board.jsonl"
    latencies(path, [b"a", b"b"], Counting())
    path.write_text(path.read_text()[:-40])
    board = Counting()
    assert latencies(path, [b"a", b"b", b"c"], board) == [1.0, 1.0, 2.0]
    assert latencies(path, [b"a", b"b", b"c"], Counting(fails_after=0)) == [1.0, 1.0, 2.0]


def test_lines_that_are_no_measurements_are_left_out(tmp_path: Path) -> None:
    path = tmp_path / "board.jsonl"
    path.write_text("[]\nnull\n" + json.dumps({"model": "x", "measurement": {"colour": "red"}}))
    assert latencies(path, [b"a"], Counting()) == [1.0]


def test_each_board_setting_and_space_has_a_file_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PI_PARETO_NAS_CACHE", str(tmp_path))
    board, micro = ReplayDevice(Counting()).describe(), space_named("fbnet-micro")
    paths = {
        profile_path(board, micro, MeasureSettings()),
        profile_path(replace(board, runtime="another"), micro, MeasureSettings()),
        profile_path(replace(board, name="another"), micro, MeasureSettings()),
        profile_path(board, micro, MeasureSettings(min_runs=60)),
        profile_path(replace(board, cores=2), micro, MeasureSettings()),
        profile_path(board, micro.with_classes(5), MeasureSettings()),
    }
    assert len(paths) == 6
    assert all(path.parent == tmp_path / "profiles" for path in paths)
    assert profile_path(replace(board, clock_mhz=1.0), micro, MeasureSettings()) in paths


def test_configurations_share_a_file_and_no_measurement(tmp_path: Path) -> None:
    path, first, second = tmp_path / "board.jsonl", Counting(), Counting()
    asked = [RuntimeConfiguration(threads=threads, precision=precision) for threads, precision in ASKED]

    def measured(board: Counting) -> list[tuple[float, RuntimeConfiguration]]:
        device = JournaledDevice.open(ReplayDevice(board), path)
        found = [device.measure(b"a", configuration) for configuration in asked]
        return [(measurement.latency_ms, measurement.configuration) for measurement in found]

    expected = list(zip([1.0, 2.0, 3.0, 4.0], asked, strict=True))
    assert measured(first) == expected
    assert measured(second) == expected
    assert (first.calls, second.calls) == (4, 0)


def test_the_usual_places_of_caches_are_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PI_PARETO_NAS_CACHE", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    board, micro = ReplayDevice(Counting()).describe(), space_named("fbnet-micro")
    assert profile_path(board, micro, MeasureSettings()).parent == tmp_path / "pi-pareto-nas" / "profiles"
