"""What tests of devices share: a peer in this process, and a board behind a private sshd on this machine's loopback."""

from __future__ import annotations

import contextlib
import getpass
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import tty
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import onnxruntime
import pytest

from devices.agent.ssh_address import BoardAddress, SshOptions
from devices.channel import Channel, Peer
from devices.errors import MeasurementError
from devices.streaming import Images
from evaluation.early_exits.outcomes import outcomes_of
from search_space.exits import Exit
from search_space.onnx_files import INPUT_NAME, random_weights, to_onnx
from search_space.segments import PREVIOUS_NAME, segments_of
from search_space.spaces import space_named
from tests.processes import descendants

SSHD = shutil.which("sshd", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")
PATIENCE = 20
"""Seconds after which a wait is taken to hang."""


Request = dict[str, Any]


@pytest.fixture
def reference() -> Path:
    """The folder of published measurements."""
    folder = os.environ.get("PI_PARETO_NAS_REFERENCE")
    if not folder:
        pytest.skip("needs published measurements: set PI_PARETO_NAS_REFERENCE to their folder")
    return Path(folder)


class FakeChannel(Channel):
    """A peer in this process: a function gives the lines that it writes after each request, None at their end."""

    def __init__(self, answer: Callable[[Request], Iterable[bytes | None]]) -> None:
        super().__init__(Peer("the peer", remedy="wait longer"))
        self.times_ended = 0
        self._answer = answer

    @property
    def alive(self) -> bool:
        return True

    def end(self) -> None:
        self.times_ended += 1

    def _write(self, line: bytes) -> None:
        for reply in self._answer(json.loads(line)):
            self._lines.put(None if reply is None else reply.rstrip(b"\n"))

    def _crashed(self) -> MeasurementError:
        return MeasurementError("the peer crashed")

    def _last_words(self) -> str:
        return "a warning"


def reply_to(request: Request, **fields: object) -> bytes:
    """The line of a reply, which says that all is well unless the fields say otherwise."""
    return json.dumps({"id": request["id"], "ok": True, **fields}).encode() + b"\n"


@cache
def micro_model(operator: str) -> bytes:
    """A small network of one operator, as a serialised ONNX model."""
    graph = space_named("fbnet-micro").graph((operator,) * 8)
    return to_onnx(graph, random_weights(graph, np.random.default_rng(0)))


EXITS = (Exit(2, "linear"), Exit(5, "conv"))


@cache
def micro_segments() -> tuple[bytes, ...]:
    """A small network with two early exits, as serialised ONNX models that run one after another."""
    space, rng = space_named("fbnet-micro"), np.random.default_rng(0)
    return tuple(
        to_onnx(
            segment.graph,
            random_weights(segment.graph, rng),
            outputs=segment.outputs,
            input_name=PREVIOUS_NAME if number else INPUT_NAME,
        )
        for number, segment in enumerate(segments_of(space, ("k3_e3",) * 8, EXITS))
    )


def micro_images(count: int) -> Images:
    """Images for it, of several strengths, so that confidences differ."""
    rng = np.random.default_rng(1)
    images_NCHW = rng.standard_normal((count, *space_named("fbnet-micro").input_shape), np.float32)
    return images_NCHW * np.geomspace(0.05, 3, count, dtype=np.float32)[:, None, None, None]


@cache
def micro_scores(count: int) -> Images:
    """Scores of each exit and of the network for `micro_images`, shape (X, N, K), computed one by one."""
    sessions = [onnxruntime.InferenceSession(file) for file in micro_segments()]
    scores_XNK = np.empty((len(sessions), count, space_named("fbnet-micro").classes), np.float32)
    for number, image_CHW in enumerate(micro_images(count)):
        maps = image_CHW[None]
        for way, session in enumerate(sessions):
            maps, *_, scores_XNK[way, number] = 2 * session.run(None, {session.get_inputs()[0].name: maps})
    return scores_XNK


def middle_thresholds(count: int) -> list[float]:
    """Thresholds that let a third of `micro_images` leave at each exit, or near to it."""
    exits = outcomes_of(EXITS, micro_scores(count), np.zeros(count, np.int64))
    first = float(np.quantile(exits.confidence_XN[0], 2 / 3))
    return [first, float(np.median(exits.confidence_XN[1][exits.confidence_XN[0] <= first]))]


class EmulatedUm25c:
    """A UM25C on a pseudo terminal, at `path`."""

    def __init__(self, master: int, slave: int) -> None:
        self.path = os.ttyname(slave)
        self.power_w = 0.0
        self.silent = False
        self.broken = False
        self._master = master

    def answer(self) -> None:
        """Answer requests until something else comes."""
        while os.read(self._master, 1) == b"\xf0":
            if not self.silent:
                os.write(self._master, bytes(130) if self.broken else self._frame())

    def _frame(self) -> bytes:
        """At 5 V."""
        frame = bytearray(130)
        frame[0:2] = b"\x09\xc9"
        frame[2:4] = (5000).to_bytes(2, "big")
        frame[4:6] = round(self.power_w / 5 * 10_000).to_bytes(2, "big")
        frame[128:130] = b"\xff\xf1"
        return bytes(frame)


@pytest.fixture
def um25c() -> Iterator[EmulatedUm25c]:
    master, slave = os.openpty()
    tty.setraw(slave)
    meter = EmulatedUm25c(master, slave)
    thread = threading.Thread(target=meter.answer)
    thread.start()
    yield meter
    os.write(slave, b"\x00")
    thread.join()
    os.close(master)
    os.close(slave)


def make_key(path: Path) -> Path:
    """A new private key, with its public half beside it."""
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(path)], check=True)
    return path


class LoopbackBoard:
    """An sshd that can be stopped and started; it lets one key in, for the user of the tests."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.key = make_key(folder / "key")
        self.host_key = make_key(folder / "host_key")
        shutil.copy(folder / "key.pub", folder / "authorized_keys")
        self.authorized_keys = folder / "authorized_keys"
        self.known_hosts = folder / "known_hosts"
        self.user = getpass.getuser()
        self.python = sys.executable
        self.board_folder = folder / "board"
        with contextlib.closing(socket.socket()) as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self._process: subprocess.Popen[bytes] | None = None
        self.start()
        self.trust(self.port)

    @property
    def address(self) -> BoardAddress:
        return BoardAddress(self.user, "127.0.0.1", self.port)

    @property
    def options(self) -> SshOptions:
        empty = self.folder / "ssh_config"
        empty.touch()
        return SshOptions(
            identity_file=self.key,
            known_hosts=self.known_hosts,
            config=empty,
            folder=PurePosixPath(self.board_folder),
            python=self.python,
        )

    @property
    def environment(self) -> dict[str, str]:
        """The same options, as scripts take them."""
        options = self.options
        return {
            "BOARD_IDENTITY_FILE": str(options.identity_file),
            "BOARD_KNOWN_HOSTS": str(options.known_hosts),
            "BOARD_SSH_CONFIG": str(options.config),
            "BOARD_FOLDER": str(options.folder),
            "BOARD_PYTHON": str(options.python),
        }

    @property
    def pid(self) -> int | None:
        """Of sshd, while it runs."""
        return None if self._process is None else self._process.pid

    def trust(self, *ports: int) -> None:
        """Write the host key into `known_hosts`, for these ports."""
        public = " ".join((self.folder / "host_key.pub").read_text().split()[:2])
        self.known_hosts.write_text("".join(f"[127.0.0.1]:{port} {public}\n" for port in ports))

    def start(self, *more: str) -> None:
        """Start sshd, perhaps with more options, and wait until it answers."""
        assert SSHD is not None
        if os.geteuid() == 0:
            Path("/run/sshd").mkdir(exist_ok=True)
        options = {
            "ListenAddress": "127.0.0.1",
            "AuthorizedKeysFile": str(self.authorized_keys),
            "StrictModes": "no",
            "UsePAM": "no",
            "PidFile": "none",
            "Subsystem": "sftp internal-sftp",
        }
        command = [SSHD, "-D", "-e", "-f", "/dev/null", "-h", str(self.host_key), "-p", str(self.port)]
        for name, value in options.items():
            command += ["-o", f"{name}={value}"]
        for option in more:
            command += ["-o", option]
        with (self.folder / "sshd.log").open("ab") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)
        deadline = time.monotonic() + PATIENCE
        while True:
            with contextlib.closing(socket.socket()) as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            assert self._process.poll() is None, (self.folder / "sshd.log").read_text()
            assert time.monotonic() < deadline
            time.sleep(0.02)

    def stop(self) -> None:
        """Kill sshd and all its connections at once, as a power cut does."""
        if self._process is not None:
            for pid in descendants(self._process.pid):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            self._process.kill()
            self._process.wait()
            self._process = None
            self._wait_until_refused()

    def _wait_until_refused(self) -> None:
        """The kernel may reset connections for an instant before it refuses them."""
        for _ in range(100):
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=1.0).close()
            except ConnectionRefusedError:
                return
            except OSError:
                pass
            time.sleep(0.02)

    def agents(self) -> list[int]:
        """The agents that run now out of this board's folder."""
        return [pid for pid in processes() if str(self.board_folder / "agent.py") in command_of(pid)]

    def meter_servers(self) -> list[int]:
        """The servers of meters that run now in this board's folder."""
        servers = [pid for pid in processes() if "devices.meters.server" in command_of(pid)]
        return [pid for pid in servers if Path(f"/proc/{pid}/cwd").resolve() == self.board_folder / "meters"]

    def wait_for_end_of_agents(self, seconds: float) -> None:
        """Fail unless all agents end in this time."""
        deadline = time.monotonic() + seconds
        while self.agents():
            assert time.monotonic() < deadline, f"agents {self.agents()} live on"
            time.sleep(0.05)


class Proxy:
    """A port in front of a board, whose network can be cut without a word to either side."""

    def __init__(self, port: int) -> None:
        self._target = port
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port = self._server.getsockname()[1]
        self._open = threading.Event()
        self._open.set()
        self._sockets: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self) -> None:
        """From now on nothing arrives."""
        self._open.clear()

    def mend(self) -> None:
        """New connections work again; the old ones stay dead."""
        for end in self._sockets:
            end.close()
        self._open.set()

    def close(self) -> None:
        for end in (self._server, *self._sockets):
            end.close()
        self._open.set()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                near, _ = self._server.accept()
                far = socket.create_connection(("127.0.0.1", self._target))
                self._sockets += [near, far]
                for source, sink in ((near, far), (far, near)):
                    threading.Thread(target=self._pump, args=(source, sink), daemon=True).start()

    def _pump(self, source: socket.socket, sink: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while chunk := source.recv(65536):
                self._open.wait()
                sink.sendall(chunk)
            sink.shutdown(socket.SHUT_WR)


def processes() -> list[int]:
    return [int(path.name) for path in Path("/proc").glob("[0-9]*")]


def command_of(pid: int) -> list[str]:
    """The command line of a process; nothing of one that has ended."""
    try:
        return (Path("/proc") / str(pid) / "cmdline").read_text().split("\0")
    except OSError:
        return []


@pytest.fixture
def board(tmp_path: Path) -> Iterator[LoopbackBoard]:
    """A board at 127.0.0.1 that runs this interpreter."""
    if SSHD is None or shutil.which("ssh-keygen") is None:
        pytest.skip("needs sshd: `apt-get install openssh-server`")
    board = LoopbackBoard(tmp_path)
    try:
        yield board
    finally:
        board.stop()


@pytest.fixture
def proxy(board: LoopbackBoard) -> Iterator[Proxy]:
    """A port in front of the board, which trusts the same host key there."""
    proxy = Proxy(board.port)
    board.trust(board.port, proxy.port)
    try:
        yield proxy
    finally:
        proxy.close()
