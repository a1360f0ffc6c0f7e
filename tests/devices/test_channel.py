import json
import threading

import pytest

from devices.channel import Channel
from devices.errors import MeasurementError


class ScriptedChannel(Channel):
    """Gives lines, whatever it is asked; `{id}` stands for the number of the latest request."""

    alive = True

    def __init__(self, *lines):
        super().__init__()
        self._script = lines
        self.written = []

    def end(self): ...

    def _write(self, line):
        self.written.append(json.loads(line))
        for text in self._script:
            self._lines.put(text if text is None else text.replace(b"{id}", b"%d" % self.written[-1]["id"]))

    def _crashed(self):
        return MeasurementError("crashed")

    def _last_words(self):
        return "a warning"


def test_the_reply_is_found_among_all_else():
    rubbish = [
        b"",
        b"\n",
        b"\xff\x00",
        b"noise\n",
        b"[1]\n",
        b"7\n",
        b'{"id": 0}\n',
        b'{"id": "{id}"}\n',
        b'{"ok": 1}\n',
    ]
    channel = ScriptedChannel(*rubbish, b'{"id": {id}, "answer": 42}\n')
    for _ in range(2):
        assert channel.request({"command": "ask"}, 5.0)["answer"] == 42
    assert [request["id"] for request in channel.written] == [1, 2]


def test_a_late_reply_does_not_answer_the_next_request():
    channel = ScriptedChannel()
    with pytest.raises(MeasurementError, match=r"within 0\.05 s, but did not.* Its last words: a warning"):
        channel.request({"command": "ask"}, 0.05)
    channel._lines.put(b'{"id": 1, "answer": "late"}\n')
    threading.Timer(0.05, channel._lines.put, [b'{"id": 2, "answer": "in time"}\n']).start()
    assert channel.request({"command": "ask"}, 5.0)["answer"] == "in time"


class Noise:
    """Lines without end."""

    def put(self, line): ...

    def get(self, timeout):
        return b"noise\n"


def test_noise_without_end_does_not_extend_the_time():
    channel = ScriptedChannel()
    channel._lines = Noise()
    with pytest.raises(MeasurementError, match="must answer within"):
        channel.request({"command": "ask"}, 0.05)


def test_the_end_of_the_lines_is_a_crash():
    with pytest.raises(MeasurementError, match="crashed"):
        ScriptedChannel(b"noise\n", None).request({"command": "ask"}, 5.0)


def test_a_channel_that_takes_nothing_is_a_crash():
    channel = ScriptedChannel()
    channel._write = lambda line: (_ for _ in ()).throw(BrokenPipeError())
    with pytest.raises(MeasurementError, match="crashed"):
        channel.request({"command": "ask"}, 5.0)
