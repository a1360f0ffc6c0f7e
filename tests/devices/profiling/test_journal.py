import json
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from devices.configuration import Precision, RuntimeConfiguration
from devices.errors import MeasurementError
from devices.measurement import MeasureSettings, model_key
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


class Steady:
    """A latency of each model's own, at any time."""

    calls = 0

    def __call__(self, model: bytes) -> float:
        self.calls += 1
        return float(sum(model) % 97 + 1)


MODELS = [b"a", b"b", b"a"]


@pytest.mark.slow
def test_it_was_killed_at_any_instant(tmp_path: Path) -> None:
    """Whatever was written by then, to the byte: the same measurements come out, and at most one is made again."""
    path = tmp_path / "board.jsonl"
    whole = JournaledDevice.open(ReplayDevice(Steady()), path)
    expected = [whole.measure(model) for model in MODELS]
    content = path.read_bytes()
    for length in {*range(0, len(content), 11), len(content) - 1, len(content)}:
        path.write_bytes(content[:length])
        board = Steady()
        again = JournaledDevice.open(ReplayDevice(board), path)
        assert [again.measure(model) for model in MODELS] == expected
        assert board.calls <= len(MODELS) - content[:length].count(b"\n") + 1
        kept = JournaledDevice.open(ReplayDevice(Counting(fails_after=0)), path)
        assert [kept.measure(model) for model in MODELS] == expected


@pytest.mark.slow
def test_a_flipped_bit_is_not_believed(tmp_path: Path) -> None:
    path = tmp_path / "board.jsonl"
    expected = JournaledDevice.open(ReplayDevice(Steady()), path).measure(b"a")
    content = path.read_bytes()
    for place in range(len(content)):
        flipped = content[place] ^ (1 << place % 7)
        path.write_bytes(content[:place] + bytes([flipped]) + content[place + 1 :])
        assert JournaledDevice.open(ReplayDevice(Steady()), path).measure(b"a") == expected


def unsealed_line(model: bytes, **changes: object) -> str:
    """A line as earlier versions wrote it."""
    measurement = ReplayDevice(Steady()).measure(model).to_json()
    return "\n" + json.dumps({"model": model_key(model), "measurement": {**measurement, **changes}})


def test_lines_of_earlier_versions_are_read(tmp_path: Path) -> None:
    path = tmp_path / "board.jsonl"
    path.write_text(unsealed_line(b"a", latency_ms=7.5))
    assert latencies(path, [b"a"], Counting(fails_after=0)) == [7.5]


IMPOSSIBLE: list[tuple[str, object]] = [
    ("latency_ms", 0),
    ("latency_ms", "7"),
    ("latency_ms", True),
    ("latency_ms", None),
    ("latency_ms", float("nan")),
    ("latency_ms", 10**400),
    ("median_ms", float("inf")),
    ("iqr_ms", -1),
    ("energy_mj", []),
    ("runs", 0),
    ("runs", 1.5),
    ("threads", -1),
    ("frequency_mhz", 0),
    ("precision", "fp64"),
    ("reliable", "no"),
    ("board", 7),
    ("after", 7),
    ("after", {"colour": "red"}),
    ("after", {"throttled": "yes"}),
    ("after", {"clock_mhz": {}}),
    ("latency_source", []),
]


@pytest.mark.parametrize(("name", "value"), IMPOSSIBLE)
def test_what_no_board_measures_is_measured_again(tmp_path: Path, name: str, value: object) -> None:
    path = tmp_path / "board.jsonl"
    path.write_text(unsealed_line(b"a", **{name: value}))
    assert latencies(path, [b"a"], Counting()) == [1.0]


OTHER = """
import sys, time
from pathlib import Path
from devices.profiling.journal import JournaledDevice
from devices.replay import ReplayDevice

calls, path, ready = Path(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3])

def latency(model):
    with calls.open("a") as file:
        file.write(model.decode() + "\\n")
    time.sleep(0.02)
    return float(len(calls.read_text()))

device = JournaledDevice.open(ReplayDevice(latency), path)
print("ready", flush=True)
while not ready.exists():
    time.sleep(0.001)
print([device.measure(f"model {number % 10}".encode()).latency_ms for number in range(20)])
"""


def test_two_profiles_at_once_share_the_work(tmp_path: Path) -> None:
    """Each of twenty measurements is made once, and both have the same."""
    calls, journal, ready = tmp_path / "calls", tmp_path / "board.jsonl", tmp_path / "ready"
    command = [sys.executable, "-c", OTHER, str(calls), str(journal), str(ready)]
    programs = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    for program in programs:
        assert program.stdout is not None
        assert program.stdout.readline() == "ready\n"
    ready.touch()
    (first, _), (second, _) = (program.communicate(timeout=60) for program in programs)
    assert first == second != ""
    assert sorted(calls.read_text().split("\n")[:-1]) == sorted(2 * [f"model {number}" for number in range(10)])


def test_a_profile_that_was_killed_in_its_turn_is_not_waited_for(tmp_path: Path) -> None:
    path, slow = tmp_path / "board.jsonl", OTHER.replace("time.sleep(0.02)", "time.sleep(600)")
    command = [sys.executable, "-c", slow, str(tmp_path / "calls"), str(path), str(tmp_path)]
    program = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    while not (tmp_path / "calls").exists():
        time.sleep(0.01)
    program.kill()
    program.communicate()
    assert latencies(path, [b"model 0"], Counting()) == [1.0]


def test_a_file_that_was_put_in_its_place_meanwhile_is_read(tmp_path: Path) -> None:
    path, other = tmp_path / "board.jsonl", tmp_path / "other.jsonl"
    latencies(other, [b"b"], Counting())
    device = JournaledDevice.open(ReplayDevice(board := Counting()), path)
    assert device.measure(b"a").latency_ms == 1.0
    other.replace(path)
    assert device.measure(b"b").latency_ms == 1.0
    path.unlink()
    assert device.measure(b"c").latency_ms == 2.0
    assert board.calls == 2


def test_no_link_is_followed(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "precious").write_text("content")
    path = tmp_path / "folder" / "board.jsonl"
    device = JournaledDevice.open(ReplayDevice(Counting()), path)
    path.symlink_to(tmp_path / "precious")
    with pytest.raises(ValueError, match="board.jsonl"):
        device.measure(b"a")
    with pytest.raises(ValueError, match="must hold no links"):
        JournaledDevice.open(ReplayDevice(Counting()), path)
    assert (tmp_path / "precious").read_text() == "content"


def test_what_is_no_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "board.jsonl"
    path.mkdir()
    with pytest.raises(ValueError, match="must be readable, but .*board.jsonl' is not: it is no file. Remove it"):
        JournaledDevice.open(ReplayDevice(Counting()), path)


def test_a_full_disk_is_told_once_and_the_profile_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full(path: Path, line: bytes) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("devices.profiling.journal.append_line", full)
    path = tmp_path / "board.jsonl"
    assert latencies(path, [b"a", b"b", b"a"], Counting()) == [1.0, 2.0, 3.0]
    (record,) = caplog.records
    assert record.getMessage() == (
        "the profile goes on, but its measurements are no longer kept: [Errno 28] No space left on device."
    )
