import errno
import functools
import operator
import os
import sys
import threading
import tty
from collections.abc import Iterator
from pathlib import Path

import pytest

from devices.meters.power_meter import MeterError
from devices.meters.um25c import CHECKED_BYTES, FRAME_BYTES, Um25c, open_port, power_of_frame, serial_ports

Terminal = tuple[int, str]


def frame(model: int = 0x09C9, voltage: int = 5123, current: int = 6543) -> bytes:
    """A frame by the documented layout; power, temperature and a counter are filled in, as any meter would."""
    content = bytearray(FRAME_BYTES)
    content[0:2] = model.to_bytes(2, "big")
    content[2:4] = voltage.to_bytes(2, "big")
    content[4:6] = current.to_bytes(2, "big")
    content[6:10] = (3352).to_bytes(4, "big")
    content[10:12] = (27).to_bytes(2, "big")
    content[16:20] = (1234).to_bytes(4, "big")
    content[128:130] = b"\xff\xf1"
    if model == 0x0D4C:
        content[129] = functools.reduce(operator.xor, (content[position] for position in CHECKED_BYTES))
    return bytes(content)


class FakePort:
    """Answers each request with the next of some replies."""

    def __init__(self, *replies: bytes | OSError) -> None:
        self.replies = list(replies)
        self.rest = b""
        self.requests = 0

    def write(self, data: bytes, /) -> None:
        assert data == b"\xf0"
        self.requests += 1
        reply = self.replies.pop(0)
        if isinstance(reply, OSError):
            raise reply
        self.rest = reply

    def read(self, size: int, /) -> bytes:
        taken, self.rest = self.rest[:size], self.rest[size:]
        return taken

    def reset_input_buffer(self) -> None:
        self.rest = b""


@pytest.mark.parametrize(
    ("model", "voltage", "current", "power_w"),
    [(0x09C9, 5123, 6543, 5.123 * 0.6543), (0x0963, 512, 654, 5.12 * 0.654), (0x0D4C, 484, 25, 4.84 * 0.025)],
)
def test_scales_of_the_models(model: int, voltage: int, current: int, power_w: float) -> None:
    assert power_of_frame(frame(model, voltage, current)) == pytest.approx(power_w)


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        (frame()[:77], "must have 130 bytes, but got 77"),
        (frame(model=0x1234), "must begin with one of 0x0963, 0x09c9, 0x0d4c, but got 0x1234"),
        (frame()[:-1] + b"\x00", "end of a UM25C's frame must agree with it, but got 0xff00"),
        (frame(model=0x0D4C)[:-1] + b"\x01", "end of a UM34C's frame"),
    ],
)
def test_broken_frames(broken: bytes, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        power_of_frame(broken)


def test_a_flipped_bit_shows_in_a_um34c() -> None:
    content = bytearray(frame(model=0x0D4C))
    content[3] ^= 0x10
    with pytest.raises(ValueError, match="end of a UM34C's frame"):
        power_of_frame(bytes(content))


def test_broken_frames_are_asked_for_again() -> None:
    port = FakePort(frame()[:50], frame()[1:] + b"\x00", frame())
    assert Um25c(port).read().power_w == pytest.approx(5.123 * 0.6543)
    assert port.requests == 3


def test_only_broken_frames() -> None:
    with pytest.raises(MeterError, match="um25c at COM must send whole frames, but 3 were broken.*got 50.*nearer"):
        Um25c(FakePort(*[frame()[:50]] * 3), label="COM").read()


def test_unplugged() -> None:
    with pytest.raises(MeterError, match="must stay connected.*Input/output error.*plug it in again"):
        Um25c(FakePort(OSError(5, "Input/output error"))).read()


def test_time_is_that_of_asking() -> None:
    assert Um25c(FakePort(frame()), clock=lambda: 7.0).read().time_s == 7.0


@pytest.fixture
def terminal() -> Iterator[Terminal]:
    """Both ends of a pseudo terminal: ours, and the path of the meter's."""
    master, slave = os.openpty()
    tty.setraw(slave)
    yield master, os.ttyname(slave)
    for descriptor in (master, slave):
        os.close(descriptor)


def test_over_a_serial_port(terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("devices.meters.um25c.TIMEOUT_S", 0.2)
    master, path = terminal

    def answer() -> None:
        for reply in (frame()[:100], frame()):
            assert os.read(master, 1) == b"\xf0"
            # In two parts, as over Bluetooth.
            os.write(master, reply[:33])
            os.write(master, reply[33:])

    thread = threading.Thread(target=answer)
    thread.start()
    assert Um25c(open_port(path)).read().power_w == pytest.approx(5.123 * 0.6543)
    thread.join()


def test_without_pyserial(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "serial", None)
    with pytest.raises(MeterError, match="pip install pyserial"):
        open_port("/dev/rfcomm0")


def test_a_port_that_is_not_there() -> None:
    with pytest.raises(MeterError, match="serial port /dev/no-such-port must be there.*rfcomm bind"):
        open_port("/dev/no-such-port")


def test_a_port_that_another_program_has(terminal: Terminal) -> None:
    _, path = terminal
    first = open_port(path)
    with pytest.raises(MeterError, match=f"another program has it .*`sudo fuser -v {path}`"):
        open_port(path)
    first.close()  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("number", "said"),
    [(errno.EACCES, "run `sudo usermod -aG dialout ada`"), (errno.EHOSTDOWN, ".*disconnect it from the app")],
)
def test_errors_of_a_port_have_their_own_reasons(number: int, said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: object, **settings: object) -> None:
        raise OSError(number, "as the kernel says")

    monkeypatch.setattr("serial.Serial", refuse)
    monkeypatch.setenv("LOGNAME", "ada")
    with pytest.raises(MeterError, match=f"as the kernel says: {said}"):
        open_port("/dev/no-such-port")


def test_several_meters_on_usb_go_by_names_that_stay(tmp_path: Path) -> None:
    for name in ("ttyUSB0", "ttyUSB1", "rfcomm0"):
        (tmp_path / name).touch()
    stable = tmp_path / "serial" / "by-id"
    stable.mkdir(parents=True)
    (stable / "usb-RD_UM34C-if00").symlink_to(tmp_path / "ttyUSB1")
    assert [port[len(str(tmp_path)) :] for port in serial_ports(tmp_path)] == [
        "/serial/by-id/usb-RD_UM34C-if00",
        "/rfcomm0",
        "/ttyUSB0",
    ]
