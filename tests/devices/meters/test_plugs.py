import json
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from devices.meters.plugs import Shelly, Tasmota
from devices.meters.power_meter import MeterError

Replies = Mapping[str, object]
StartPlug = Callable[[Replies], str]

GEN1 = {"/shelly": {"type": "SHPLG-S", "mac": "00"}, "/meter/0": {"power": 4.21, "is_valid": True, "total": 439237}}
GEN2 = {
    "/shelly": {"id": "plug", "gen": 2},
    "/rpc/Switch.GetStatus?id=0": {"id": 0, "output": True, "apower": 3.9, "aenergy": {"total": 12.005}},
}
TASMOTA = {"/cm?cmnd=Status%2010": {"StatusSNS": {"ENERGY": {"Total": 0.52, "Power": 4, "Voltage": 234}}}}
TASMOTA_OLD = {
    "/cm?cmnd=Status%2010": {"Command": "Unknown"},
    "/cm?cmnd=Status%208": {"StatusPWR": {"Total": 0.52, "Power": 27}},
}


@pytest.fixture
def plug() -> Iterator[StartPlug]:
    """Starts a server that gives some replies by path."""
    servers = []

    def start(replies: Replies) -> str:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                content = replies.get(self.path)
                self.send_response(404 if content is None else 200)
                self.end_headers()
                self.wfile.write(content if isinstance(content, bytes) else json.dumps(content).encode())

            def log_message(self, *arguments: object) -> None:
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        servers.append(server)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        return f"http://127.0.0.1:{server.server_port}"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.mark.parametrize(
    ("kind", "replies", "power_w"),
    [(Shelly, GEN1, 4.21), (Shelly, GEN2, 3.9), (Tasmota, TASMOTA, 4.0), (Tasmota, TASMOTA_OLD, 27.0)],
)
def test_power_now(plug: StartPlug, kind: type[Shelly | Tasmota], replies: Replies, power_w: float) -> None:
    assert kind(plug(replies)).read().power_w == power_w


def test_proxies_are_passed_by(plug: StartPlug, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    monkeypatch.delenv("no_proxy", raising=False)
    assert Shelly(plug(GEN1)).read().power_w == 4.21


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
def test_a_shelly_that_does_not_meter(plug: StartPlug, replies: Replies) -> None:
    meter = Shelly(plug(replies))
    with pytest.raises(MeterError, match="shelly plug must tell a power.*only plugs that meter"):
        meter.read()


@pytest.mark.parametrize("status", [{"StatusSNS": {"Time": "now"}}, {"StatusSNS": {"ENERGY": {"Power": "on"}}}, []])
def test_a_tasmota_that_does_not_meter(status: object) -> None:
    with pytest.raises(MeterError, match="tasmota plug must tell a power.*only plugs that meter"):
        Tasmota("plug", fetch=lambda url: status).read()


@pytest.mark.parametrize("content", [None, b"<html>log in</html>"])
def test_something_else_at_that_address(plug: StartPlug, content: bytes | None) -> None:
    with pytest.raises(MeterError, match="shelly plug must answer within 3 s.*plugged in"):
        Shelly(plug({"/shelly": content}))


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
