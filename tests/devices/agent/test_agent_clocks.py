import json
import os
import timeit
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from devices.agent import agent
from tests.devices.agent.conftest import FREE, Firmware, agent_of, limits_of


@pytest.fixture
def board(fake_system: Path) -> Path:
    """Root of a fake board."""
    return fake_system


def keep_clocks(monkeypatch: pytest.MonkeyPatch, board: Path, runs_mhz: Callable[[float], float]) -> None:
    """Cores that run at a clock of their own for each one that is set; the time of a loop shows it."""

    def seconds() -> float:
        return 1.0 / runs_mhz(agent._limit(board / "sys/devices/system/cpu/cpufreq/policy0", "max") / 1000)

    monkeypatch.setattr(agent, "_loop_seconds", seconds)


@pytest.fixture
def true_clocks(monkeypatch: pytest.MonkeyPatch, board: Path) -> None:
    keep_clocks(monkeypatch, board, lambda asked_mhz: asked_mhz)


@pytest.mark.usefixtures("true_clocks")
def test_a_clock_is_set_on_all_cores_and_put_back(board: Path) -> None:
    clocks = agent.Clocks(board)
    assert clocks.fix(1000) == {"frequency_mhz": 1000, "clock_mhz": pytest.approx(1000)}
    assert limits_of(board) == [1000000] * 4
    clocks.fix(1500)
    assert limits_of(board) == [1500000] * 4
    clocks.restore()
    assert limits_of(board) == FREE
    clocks.restore()


@pytest.mark.usefixtures("true_clocks")
def test_a_request_without_a_clock_leaves_it_to_the_governor(board: Path) -> None:
    asked = agent_of(board)
    for mhz, limits in ((1000, [1000000] * 4), (None, FREE), (600, [600000] * 4), (None, FREE)):
        reply = asked.answer(json.dumps({"id": 1, "command": "set_frequency", "frequency_mhz": mhz}))
        assert reply is not None
        assert (reply["ok"], reply["frequency_mhz"], limits_of(board)) == (True, mhz, limits)


def test_the_firmware_is_believed_about_the_clock(board: Path, firmware: Firmware) -> None:
    clocks = agent.Clocks(board)
    firmware.says(measure_clock__arm="frequency(0)=1028000000")
    assert clocks.fix(1000) == {"frequency_mhz": 1000, "clock_mhz": 1028.0}
    assert clocks.measured_mhz() == 1028.0
    for hertz, remedy in (
        ("1500018816", "load: ask for another clock, or omit"),
        ("600000000", "load: cool the board"),
    ):
        firmware.says(measure_clock__arm=f"frequency(0)={hertz}")
        with pytest.raises(
            ValueError, match=f"1000 MHz was asked for and {hertz[:-6]} MHz runs under {remedy}"
        ) as error:
            clocks.fix(1000)
        assert "\n" not in str(error.value)
        assert limits_of(board) == FREE


PI_5 = range(1000, 2500, 100)


@pytest.mark.parametrize("denied", [False, True])
def test_a_pi_5_that_does_not_go_below_1500_mhz_is_found_out(
    monkeypatch: pytest.MonkeyPatch, board: Path, firmware: Firmware, *, denied: bool
) -> None:
    """As in raspberrypi/linux#5876, by the firmware's word, or by a loop where that is denied."""
    for policy in board.glob("sys/devices/system/cpu/cpufreq/policy*"):
        (policy / "scaling_available_frequencies").write_text(" ".join(str(mhz * 1000) for mhz in PI_5))
        (policy / "cpuinfo_max_freq").write_text("2400000\n")
        (policy / "scaling_max_freq").write_text("2400000\n")
        (policy / "scaling_cur_freq").write_text("1000000\n")
    keep_clocks(monkeypatch, board, lambda asked_mhz: max(asked_mhz, 1500))
    limit = board / "sys/devices/system/cpu/cpufreq/policy0/scaling_max_freq"
    firmware.runs(f'mhz=$(($(cat {limit}) / 1000)); echo "frequency(0)=$((mhz < 1500 ? 1500 : mhz))018816"')
    if denied:
        firmware.denied()
    for mhz in PI_5:
        clocks = agent.Clocks(board)
        if mhz < 1460:
            with pytest.raises(ValueError, match=f"{mhz} MHz was asked for and 1500 MHz runs under load"):
                clocks.fix(mhz)
        else:
            assert clocks.fix(mhz)["clock_mhz"] == pytest.approx(mhz, rel=1e-3)
            assert clocks.measured_mhz() == pytest.approx(mhz, rel=1e-3)
            assert limits_of(board) == [mhz * 1000] * 4
        clocks.restore()


def test_a_board_that_holds_its_clock_down_is_found_out_and_what_runs_later_is_measured(
    monkeypatch: pytest.MonkeyPatch, board: Path
) -> None:
    clocks = agent.Clocks(board)
    keep_clocks(monkeypatch, board, lambda asked_mhz: min(asked_mhz, 1200))
    with pytest.raises(ValueError, match="1500 MHz was asked for and 1200 MHz runs under load: cool the board"):
        clocks.fix(1500)
    assert clocks.fix(1000)["clock_mhz"] == pytest.approx(1000)
    keep_clocks(monkeypatch, board, lambda asked_mhz: 600)
    assert agent.conditions(board, clocks)["clock_mhz"] == pytest.approx(600)


def test_a_single_clock_that_nothing_can_measure_is_refused(board: Path) -> None:
    for policy in board.glob("sys/devices/system/cpu/cpufreq/policy*"):
        (policy / "scaling_available_frequencies").write_text("1500000\n")
    with pytest.raises(ValueError, match="no second clock to compare with: join .* `video` .* or omit `frequency_mhz`"):
        agent.Clocks(board).fix(1500)
    assert limits_of(board) == FREE


def test_the_time_of_the_loop_is_that_of_its_quickest_run(monkeypatch: pytest.MonkeyPatch) -> None:
    cores = os.sched_getaffinity(0)
    seen = []

    def repeat(loop: Callable[[], object], *, number: int, repeat: int) -> list[float]:
        loop()
        seen.append(os.sched_getaffinity(0))
        return [2.0 - 0.1 * run for run in range(number * repeat)]

    monkeypatch.setattr(timeit, "repeat", repeat)
    assert agent._loop_seconds() == pytest.approx(2.0 - 0.1 * (agent.LOOP_TIMES - 1))
    assert seen == [{min(cores)}]
    assert os.sched_getaffinity(0) == cores


def test_clocks_that_the_system_lists_in_another_form_are_passed_over(board: Path) -> None:
    for policy in board.glob("sys/devices/system/cpu/cpufreq/policy*"):
        (policy / "scaling_available_frequencies").write_text("<unknown> 600000 -1 1.5e6 1500000\n")
    assert agent.Clocks(board).available_mhz == [600, 1500]
    assert agent_of(board).describe({})["frequencies_mhz"] == [600, 1500]


def test_nothing_is_set_any_more_once_the_agent_ends(board: Path) -> None:
    clocks = agent.Clocks(board)
    clocks.restore(over=True)
    with pytest.raises(ValueError, match="the agent ends"):
        clocks.fix(1000)
    assert limits_of(board) == FREE


def test_limits_never_cross(monkeypatch: pytest.MonkeyPatch, board: Path) -> None:
    policy = board / "sys/devices/system/cpu/cpufreq/policy0"
    crossed = []
    real = Path.write_text

    def write_text(path: Path, text: str, *rest: Any) -> int:
        written = real(path, text, *rest)
        crossed.append(agent._limit(policy, "min") > agent._limit(policy, "max"))
        return written

    monkeypatch.setattr(Path, "write_text", write_text)
    for low, high in ((1500, 1500), (600, 600), (600, 1500), (1000, 1000), (600, 600), (1500, 1500), (600, 1000)):
        agent._write_limits(policy, low * 1000, high * 1000)
        assert (agent._limit(policy, "min"), agent._limit(policy, "max")) == (low * 1000, high * 1000)
    assert not any(crossed)


@pytest.mark.usefixtures("true_clocks")
def test_a_clock_that_the_board_does_not_have_is_refused_with_those_it_has(board: Path) -> None:
    with pytest.raises(ValueError, match="must be one of 600, 1000, 1500 on this board, but got 1200"):
        agent.Clocks(board).fix(1200)
    for policy in board.glob("sys/devices/system/cpu/cpufreq/policy*"):
        (policy / "scaling_available_frequencies").unlink()
    with pytest.raises(ValueError, match="must be from 600 to 1500 on this board, but got 1600"):
        agent.Clocks(board).fix(1600)
    assert limits_of(board) == FREE
    agent.Clocks(board).fix(1200)
    assert limits_of(board) == [1200000] * 4


def test_a_system_without_clocks_is_told(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="needs cpufreq, but this system has none"):
        agent.Clocks(tmp_path).fix(1500)


def test_without_the_right_to_set_the_clock_it_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch, board: Path) -> None:
    real = Path.write_text

    def write_text(path: Path, *rest: Any) -> int:
        if path.name == "scaling_min_freq" and path.parent.name == "policy4" and rest[0] == "1000000":
            raise PermissionError(13, "Permission denied", str(path))
        return real(path, *rest)

    monkeypatch.setattr(Path, "write_text", write_text)
    with pytest.raises(
        ValueError, match=r"needs the right to set the clock: .*sudo chmod a\+w .* or omit `frequency_mhz`"
    ):
        agent.Clocks(board).fix(1000)
    assert limits_of(board) == FREE


def test_a_system_that_keeps_to_another_clock_is_found_out(monkeypatch: pytest.MonkeyPatch, board: Path) -> None:
    real = agent._write_limits
    monkeypatch.setattr(
        agent, "_write_limits", lambda policy, low, high: real(policy, max(low, 600000), min(high, 900000))
    )
    with pytest.raises(ValueError, match="keeps another clock"):
        agent.Clocks(board).fix(1000)


@pytest.mark.usefixtures("true_clocks")
def test_the_next_agent_puts_back_what_a_killed_one_left(board: Path, tmp_path: Path) -> None:
    state = tmp_path / "clock.json"
    agent.Clocks(board, state).fix(1000)
    assert limits_of(board) == [1000000] * 4
    agent.Clocks(board, state).restore()
    assert limits_of(board) == FREE
    assert not state.exists()


@pytest.mark.usefixtures("true_clocks")
@pytest.mark.parametrize("damage", ["", "{", "[1]", '{"POLICY": [1]}', '{"POLICY": ["a", 2]}', "[" * 100_000])
def test_a_damaged_file_of_the_former_clocks_does_no_harm(board: Path, tmp_path: Path, damage: str) -> None:
    state = tmp_path / "clock.json"
    state.write_text(damage.replace("POLICY", str(board / "sys/devices/system/cpu/cpufreq/policy0")))
    clocks = agent.Clocks(board, state)
    clocks.restore()
    clocks.fix(1000)
    clocks.restore()
    assert limits_of(board) == FREE


DAMAGES = [
    b"",
    b"\x00" * 100,
    b"\xff\xfe{",
    b"7",
    b"null",
    b'"POLICY"',
    b"{}",
    b"[" * 100_000,
    b'{"POLICY": 7}',
    b'{"POLICY": [1]}',
    b'{"POLICY": [1, 2, 3]}',
    b'{"POLICY": [-1, 5]}',
    b'{"POLICY": [1500000, 600000]}',
    b'{"POLICY": [1e999, 1e999]}',
    b'{"POLICY": [true, true]}',
    b'{"POLICY": [1, ' + b"9" * 5000 + b"]}",
    b'{"POLICY": [600000, 15',
    b'{"POLICY": [600000, 1500000]}' + b" " * 10**6,
]


@pytest.mark.usefixtures("true_clocks")
@pytest.mark.parametrize("damage", DAMAGES)
def test_cores_whose_former_clocks_are_lost_get_all_they_can(board: Path, tmp_path: Path, damage: bytes) -> None:
    state = tmp_path / "clock.json"
    agent.Clocks(board, state).fix(1000)
    state.write_bytes(damage.replace(b"POLICY", str(board / "sys/devices/system/cpu/cpufreq/policy0").encode()))
    clocks = agent.Clocks(board, state)
    clocks.restore()
    assert limits_of(board) == FREE
    assert not state.exists()
    clocks.fix(600)
    clocks.restore()
    assert limits_of(board) == FREE


@pytest.mark.usefixtures("true_clocks")
@pytest.mark.parametrize("place", ["clock.json", "clock.json.part"])
@pytest.mark.parametrize("kind", ["link", "dangling link", "device", "pipe", "folder"])
def test_what_is_no_file_in_its_place_does_no_harm(board: Path, tmp_path: Path, kind: str, place: str) -> None:
    precious, path = tmp_path / "precious", tmp_path / place
    precious.write_text("content")
    targets = {"link": precious, "dangling link": tmp_path / "nothing", "device": Path("/dev/zero")}
    if kind in targets:
        path.symlink_to(targets[kind])
    elif kind == "pipe":
        os.mkfifo(path)
    else:
        path.mkdir()
    clocks = agent.Clocks(board, tmp_path / "clock.json")
    clocks.restore()
    if kind == "folder":
        with pytest.raises(OSError, match="clock.json"):
            clocks.fix(1000)
    else:
        clocks.fix(1000)
        assert (tmp_path / "clock.json").is_file()
    clocks.restore()
    assert limits_of(board) == FREE
    assert precious.read_text() == "content"
    assert not (tmp_path / "nothing").exists()
