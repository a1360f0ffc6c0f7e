import contextlib
import socket
import threading
import time
from collections.abc import Callable, Mapping

import pytest

from devices.meters.plugs import Shelly, Tasmota
from devices.meters.power_meter import MeterError
from tests.devices.meters.conftest import StartPlug

Replies = Mapping[str, object]

GEN1 = {"/shelly": {"type": "SHPLG-S", "mac": "00"}, "/meter/0": {"power": 4.21, "is_valid": True, "total": 439237}}
GEN2 = {
    "/shelly": {"id": "plug", "gen": 2},
    "/rpc/Switch.GetStatus?id=0": {"id": 0, "output": True, "apower": 3.9, "aenergy": {"total": 12.005}},
}


def test_proxies_are_passed_by(start_plug: StartPlug, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    monkeypatch.delenv("no_proxy", raising=False)
    assert Shelly(start_plug(GEN1.get)).read().power_w == 4.21


def test_time_is_the_middle_of_the_query() -> None:
    times = iter([1.0, 2.0])
    assert Shelly("plug", fetch=lambda url: {"power": 1}, clock=lambda: next(times)).read() == (1.5, 1.0)


def test_several_outlets() -> None:
    reply = {"StatusSNS": {"ENERGY": {"Power": [3, 8]}}}
    assert Tasmota("plug", fetch=lambda url: reply).read().power_w == 3.0


@pytest.mark.parametrize(
    "replies",
    [
        GEN1 | {"/meter/0": {"power": 0.0, "is_valid": False}},
        GEN1 | {"/meter/0": [1]},
        GEN2 | {"/rpc/Switch.GetStatus?id=0": {"id": 0, "output": True}},
    ],
)
def test_a_shelly_that_does_not_meter(start_plug: StartPlug, replies: Replies) -> None:
    meter = Shelly(start_plug(replies.get))
    with pytest.raises(MeterError, match="shelly plug must report a power.*only plugs that meter"):
        meter.read()


@pytest.mark.parametrize("status", [{"StatusSNS": {"Time": "now"}}, {"StatusSNS": {"ENERGY": {"Power": "on"}}}, []])
def test_a_tasmota_that_does_not_meter(status: object) -> None:
    with pytest.raises(MeterError, match="tasmota plug must report a power.*only plugs that meter"):
        Tasmota("plug", fetch=lambda url: status).read()


@pytest.mark.parametrize("content", [None, b"<html>log in</html>"])
def test_something_else_at_that_address(start_plug: StartPlug, content: bytes | None) -> None:
    with pytest.raises(MeterError, match="shelly plug must answer within 3 s.*plugged in"):
        Shelly(start_plug({"/shelly": content}.get))


def test_something_that_does_not_speak_http() -> None:
    listener = socket.create_server(("127.0.0.1", 0))

    def answer() -> None:
        connection, _ = listener.accept()
        with connection:
            connection.recv(4096)
            connection.sendall(b"220 mail server ready\r\n\r\n")

    thread = threading.Thread(target=answer)
    thread.start()
    with pytest.raises(MeterError, match="must answer .*a broken reply"):
        Shelly(f"http://127.0.0.1:{listener.getsockname()[1]}")
    thread.join()
    listener.close()


def test_unplugged() -> None:
    with pytest.raises(MeterError, match="tasmota plug must answer within 3 s at http://127.0.0.1:9/.*refused"):
        Tasmota("http://127.0.0.1:9").read()


@pytest.mark.parametrize(
    "power", ["1e999", "NaN", "1" + 400 * "0", "-1e300", "true", "[" * 10_000 + "]" * 10_000, "1e5"]
)
def test_a_power_that_is_none(start_plug: StartPlug, power: str) -> None:
    meter = Shelly(start_plug({"/shelly": {"gen": 1}, "/meter/0": f'{{"power": {power}}}'.encode()}.get))
    with pytest.raises(MeterError, match="shelly plug must (report a power|answer)") as error:
        meter.read()
    assert len(str(error.value)) < 400


def test_a_reply_that_is_too_long(start_plug: StartPlug) -> None:
    with pytest.raises(MeterError, match="longer than 65536 bytes"):
        Shelly(start_plug({"/shelly": b" " * 10**6 + b"{}"}.get))


def plug_that(sends: Callable[[socket.socket], None]) -> str:
    """Address of a plug that sends what it likes to each request."""
    listener = socket.create_server(("127.0.0.1", 0))

    def answer() -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = listener.accept()
                with connection:
                    connection.recv(4096)
                    sends(connection)

    threading.Thread(target=answer, daemon=True).start()
    return f"http://127.0.0.1:{listener.getsockname()[1]}"


def test_a_plug_leads_nowhere_else() -> None:
    asked = []
    other = plug_that(lambda connection: asked.append(connection))
    moved = f"HTTP/1.0 302 Found\r\nLocation: {other}/admin\r\n\r\n".encode()
    with pytest.raises(MeterError, match="must answer"):
        Shelly(plug_that(lambda connection: connection.sendall(moved)))
    assert asked == []


def test_a_reply_that_drips_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("devices.meters.plugs.TIMEOUT_S", 0.5)

    def drip(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.0 200 OK\r\n\r\n")
        while True:
            connection.sendall(b" ")
            time.sleep(0.1)

    with pytest.raises(MeterError, match="takes longer than 0.5 s"):
        Shelly(plug_that(drip))
