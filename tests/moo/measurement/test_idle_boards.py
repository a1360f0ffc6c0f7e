"""Boards without work: asked whether they are there, also where the connection dies without a word."""

from __future__ import annotations

import dataclasses
import os
import shutil
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from devices.agent import ssh_login
from devices.agent.ssh import SshDevice
from devices.errors import BoardUnreachableError, MeasurementError
from devices.measurement import Conditions, MeasureSettings
from devices.replay import ReplayDevice
from moo.events import BoardBack, BoardConditions, BoardEvent, BoardUnreachable
from moo.measurement.queue import LOOK_SECONDS, Measured, Measurer, Request
from tests.devices.conftest import PATIENCE, SSHD, LoopbackBoard, Proxy
from tests.processes import descendants


class IdleDevice(ReplayDevice):
    """A board of its own that tells its state, and is unplugged and plugged in again."""

    def __init__(self) -> None:
        super().__init__(lambda model: 1.0)
        self.states: list[Conditions | Exception] = []
        self.asked = threading.Semaphore(0)

    def conditions(self) -> Conditions:
        state = self.states.pop(0) if self.states else Conditions()
        self.asked.release()
        if isinstance(state, Exception):
            raise state
        return state


def test_a_board_without_work_is_asked_for_its_state_and_whether_it_is_there() -> None:
    device = IdleDevice()
    gone = BoardUnreachableError("no route to host")
    hot = Conditions(clock_mhz=1500.0, temperature_c=81.0, throttled=0xA)
    device.states = [hot, MeasurementError("broken reply"), gone, gone, Conditions(temperature_c=50.0), Conditions()]
    measurer = Measurer([device], names=["pi"], look_seconds=0.001, looks_told=1)
    measurer.start()
    for _ in range(7):
        assert device.asked.acquire(timeout=PATIENCE)
    first, *rest = measurer.board_events()
    assert isinstance(first, BoardConditions)
    assert (first.device, first.temperature_c, first.clock_mhz, first.throttled) == ("pi", 81.0, 1500.0, True)
    assert rest[:2] == [BoardUnreachable("pi", "no route to host"), BoardBack("pi")]
    assert [event.temperature_c for event in rest[2:] if isinstance(event, BoardConditions)] == [50.0]
    assert len(rest) == 3
    measurer.request(Request("a", lambda: b"a"))
    assert [report.network for report in measurer.drain(5) if isinstance(report, Measured)] == ["a"]
    assert list(measurer.collect()) == measurer.board_events() == []
    measurer.close()


def test_a_board_is_looked_at_more_often_than_is_told_but_that_it_is_gone_is_told_at_once() -> None:
    device, gone = IdleDevice(), BoardUnreachableError("unplugged")
    device.states = [*(Conditions(temperature_c=float(number)) for number in range(40, 47)), gone]
    measurer = Measurer([device], names=["pi"], look_seconds=0.001)
    measurer.start()
    for _ in range(10):
        assert device.asked.acquire(timeout=PATIENCE)
    events = measurer.board_events()
    measurer.close()
    told = [event.temperature_c for event in events if isinstance(event, BoardConditions)]
    assert told == [42.0, 45.0]
    assert events[2:] == [BoardUnreachable("pi", "unplugged"), BoardBack("pi")]


def test_an_unplugged_board_is_known_to_be_gone_in_time() -> None:
    # A question is on its way when SSH gives the connection up, and from then on two seconds are left for the page.
    given_up = ssh_login.KEEPALIVE_SECONDS * (ssh_login.KEEPALIVES + 1)
    assert LOOK_SECONDS < given_up <= 10.0 - 2.0


@pytest.fixture
def board(tmp_path: Path) -> Iterator[LoopbackBoard]:
    if SSHD is None or shutil.which("ssh-keygen") is None:
        pytest.skip("needs sshd: `apt-get install openssh-server`")
    board = LoopbackBoard(tmp_path)
    try:
        yield board
    finally:
        board.stop()


def next_event(measurer: Measurer, wanted: Callable[[BoardEvent], bool]) -> BoardEvent:
    """The next one that is wanted; a wait that is too long fails."""
    deadline = time.monotonic() + PATIENCE
    while True:
        for event in measurer.board_events():
            if wanted(event):
                return event
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.mark.slow
@pytest.mark.parametrize("way", ["the network is cut", "sshd is stopped"])
def test_a_question_on_its_way_tells_that_the_board_is_gone(
    board: LoopbackBoard, way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("devices.agent.ssh_login.KEEPALIVE_SECONDS", 0.2)
    proxy = Proxy(board.port)
    board.trust(board.port, proxy.port)
    address = dataclasses.replace(board.address, port=proxy.port)
    stopped: list[int] = []
    with closing(proxy), SshDevice(address, MeasureSettings(), board.options) as device:
        device.describe()
        measurer = Measurer([device], names=["pi"], look_seconds=0.1, looks_told=1)
        measurer.start()
        try:
            next_event(measurer, lambda event: isinstance(event, BoardConditions))
            if way == "the network is cut":
                proxy.cut()
            else:
                assert board.pid is not None
                stopped += [board.pid, *descendants(board.pid)]
                for pid in stopped:
                    os.kill(pid, signal.SIGSTOP)
            gone = next_event(measurer, lambda event: not isinstance(event, BoardConditions))
            # The connection that stood was lost: no new one was tried, which takes ten seconds to fail.
            assert gone == BoardUnreachable("pi", f"the connection to {address} was lost.")
            proxy.mend()
            while stopped:
                os.kill(stopped.pop(), signal.SIGCONT)
            assert next_event(measurer, lambda event: not isinstance(event, BoardConditions)) == BoardBack("pi")
        finally:
            for pid in stopped:
                os.kill(pid, signal.SIGCONT)
            measurer.close()
