"""A board without work whose connection dies without a word, behind a real sshd."""

from __future__ import annotations

import dataclasses
import os
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from devices.agent.ssh import SshDevice
from devices.measurement import MeasureSettings
from moo.events import BoardBack, BoardConditions, BoardEvent, BoardUnreachable
from moo.measurement.queue import Measurer
from tests.devices.conftest import PATIENCE, SSHD, LoopbackBoard, Proxy
from tests.processes import descendants


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
