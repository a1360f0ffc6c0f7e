import sys
import threading
from collections.abc import Iterator

import pytest

from devices.channel import DeclinedError, Peer, ProcessChannel, Reply
from devices.errors import MeasurementError
from tests.devices.conftest import FakeChannel, Request, reply_to

SERVER = """
import json, os, sys, time

for line in sys.stdin:
    request = json.loads(line)
    if request["command"] == "crash":
        sys.exit("the driver fell over")
    if request["command"] == "hang":
        print("a warning", file=sys.stderr, flush=True)
        time.sleep(600)
    print("noise", flush=True)
    print(json.dumps({"id": -1, "ok": True, "pid": 0}), flush=True)
    print(json.dumps({"id": request["id"], "ok": True, "pid": os.getpid()}), flush=True)
"""
PEER = Peer("the server", remedy="wait longer")


class Script:
    """Gives the same lines after each request; `{id}` stands for the number of that request."""

    def __init__(self, *lines: bytes | None) -> None:
        self.requests: list[Request] = []
        self._lines = lines

    def __call__(self, request: Request) -> Iterator[bytes | None]:
        self.requests.append(request)
        for line in self._lines:
            yield line and line.replace(b"{id}", b"%d" % request["id"])


def test_the_reply_is_found_among_all_else() -> None:
    rubbish = [
        b"",
        b"\n",
        b"\xff\x00",
        b"noise\n",
        b"[1]\n",
        b"7\n",
        b'{"id": 0}\n',
        b'{"id": "{id}"}\n',
        b'{"ok": true}\n',
    ]
    script = Script(*rubbish, b'{"id": {id}, "ok": true, "answer": 42}\n')
    channel = FakeChannel(script)
    for _ in range(2):
        assert channel.request("ask", 5.0, topic="life").number("answer") == 42
    assert [{**request, "id": 0} for request in script.requests] == 2 * [{"id": 0, "command": "ask", "topic": "life"}]
    assert script.requests[0]["id"] != script.requests[1]["id"]


def test_a_late_reply_does_not_answer_the_next_request() -> None:
    script = Script()
    channel = FakeChannel(script)
    message = r"the peer must answer within 0\.05 s, but did not: wait longer\. Its last words: a warning"
    with pytest.raises(MeasurementError, match=message):
        channel.request("ask", 0.05)
    channel._lines.put(reply_to(script.requests[0], answer="late"))

    def answer() -> None:
        channel._lines.put(reply_to(script.requests[1], answer="in time"))

    threading.Timer(0.05, answer).start()
    assert channel.request("ask", 5.0).text("answer") == "in time"


def test_noise_without_end_does_not_extend_the_time(monkeypatch: pytest.MonkeyPatch) -> None:
    class Noise:
        def get(self, timeout: float) -> bytes:
            return b"noise\n"

    channel = FakeChannel(Script())
    monkeypatch.setattr(channel, "_lines", Noise())
    with pytest.raises(MeasurementError, match=r"must answer within|it writes without end what is no reply\.$"):
        channel.request("ask", 0.05)


def test_the_end_of_the_lines_is_a_crash() -> None:
    with pytest.raises(MeasurementError, match="crashed"):
        FakeChannel(Script(b"noise\n", None)).request("ask", 5.0)


def test_a_channel_that_takes_nothing_is_a_crash() -> None:
    def refuse(request: Request) -> Iterator[bytes]:
        raise BrokenPipeError

    with pytest.raises(MeasurementError, match="crashed"):
        FakeChannel(refuse).request("ask", 5.0)


@pytest.mark.parametrize("reason", ["no such bus", "no such bus."])
def test_a_declined_request_is_told_from_a_crash(reason: str) -> None:
    channel = FakeChannel(lambda request: [reply_to(request, ok=False, error=reason)])
    with pytest.raises(DeclinedError, match=r"^the peer could not describe: no such bus\.$"):
        channel.request("describe", 5.0)


def test_fields_are_read_as_what_they_must_be() -> None:
    reply = Reply(
        "the peer", {"name": "x", "power_w": 2, "times_s": [1, 2.5], "before": {"power_w": 3.5}, "none": None}
    )
    assert reply.text("name") == "x"
    assert (reply.number("power_w"), reply.part("before").number("power_w")) == (2.0, 3.5)
    assert reply.numbers("times_s") == [1.0, 2.5]
    assert (reply.optional_number("power_w"), reply.optional_number("none")) == (2.0, None)
    assert reply.part("after").optional_number("power_w") is None


@pytest.mark.parametrize("value", [None, "2", True, float("nan"), float("inf"), [1.0]])
def test_fields_of_another_kind_are_refused(value: object) -> None:
    reply = Reply("the peer", {"field": value, "list": [1.0, value]})
    with pytest.raises(MeasurementError, match="a reply of the peer must have a finite number `field`, but got"):
        reply.number("field")
    with pytest.raises(MeasurementError, match="must have a finite number `list`"):
        reply.numbers("list")
    with pytest.raises(MeasurementError, match="must have a list `missing`, but got None"):
        reply.numbers("missing")
    with pytest.raises(MeasurementError, match="must have a text `missing`, but got None"):
        reply.text("missing")


@pytest.fixture
def process() -> Iterator[ProcessChannel]:
    started = ProcessChannel.start([sys.executable, "-c", SERVER], PEER)
    yield started
    started.end()


def test_a_process_answers_among_other_lines(process: ProcessChannel) -> None:
    for _ in range(2):
        assert process.request("describe", 60).number("pid") == process._process.pid


def test_a_crash_is_told_with_its_last_words(process: ProcessChannel) -> None:
    message = "the server ended with code 1. Its last words: the driver fell over"
    for command in ("crash", "describe"):
        with pytest.raises(MeasurementError, match=message):
            process.request(command, 60)


def test_a_hanging_process_is_told_and_killed(process: ProcessChannel) -> None:
    process.request("describe", 60)
    with pytest.raises(MeasurementError, match="must answer within 0.2 s, but did not: .* Its last words: a warning"):
        process.request("hang", 0.2)
    for _ in range(2):
        process.end()
        assert not process.alive


def test_a_process_that_ignores_signals_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("devices.channel.END_SECONDS", 0.1)
    deaf = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN)\n" + SERVER
    process = ProcessChannel.start([sys.executable, "-c", deaf], PEER)
    process.request("describe", 60)
    process.end()
    assert process._process.returncode == -9


def test_a_process_ends_with_its_stdin(process: ProcessChannel) -> None:
    process.request("describe", 60)
    process._stdin.close()
    assert process._process.wait(timeout=20) == 0


def test_a_process_that_cannot_be_started() -> None:
    with pytest.raises(MeasurementError, match="the server could not be started with '/no/python'"):
        ProcessChannel.start(["/no/python"], PEER)
