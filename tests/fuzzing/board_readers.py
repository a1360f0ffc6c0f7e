"""Readers of what boards and their files say."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from devices.agent.replies import (
    board_from_reply,
    measurement_from_reply,
    span_from_reply,
    streamed_from_reply,
    time_from_reply,
)
from devices.agent.ssh_address import BoardAddress, SshOptions
from devices.agent.ssh_config import ConfigFile, read_host
from devices.agent.ssh_host_keys import HostKeys
from devices.agent.ssh_route import route_to
from devices.channel import Reply
from devices.configuration import BASE
from devices.energy import idle_baseline
from devices.energy.power_model import HOST_POWER_MODEL
from devices.energy.sampled_meter import SampledMeter
from devices.profiling import journal
from search_space.boundary.reading import parse_json
from tests.fuzzing.reader import MEASUREMENT, Reader, of_file, of_json


def board_readers() -> Iterator[Reader]:
    """All of them."""
    conditions = {"clock_mhz": 1500.0, "temperature_c": 50.0, "governor": "ondemand", "throttled": 0, "volts": 0.9}
    described = {
        "ok": True,
        "model": "Raspberry Pi 4",
        "os": "Linux",
        "runtime": "onnxruntime",
        "machine": "aarch64",
        "cores": 4,
        "clock_mhz": 1500.0,
        "frequencies_mhz": [600, 1500],
        "throttling_visible": True,
    }
    measured = {
        "ok": True,
        "p5_ms": 1.0,
        "median_ms": 1.1,
        "iqr_ms": 0.1,
        "runs": 50,
        "start_s": 1.0,
        "end_s": 2.0,
        "time_s": 3.0,
        "before": conditions,
        "after": conditions,
    }
    board = board_from_reply(Reply("the agent", described), name="pi4")

    def fields(content: bytes) -> Reply:
        value = parse_json(content)
        return Reply("the agent", value if isinstance(value, dict) else {}, 10.0)

    yield Reader(
        "agent, describe", of_json(described), lambda _, content: board_from_reply(fields(content), name="pi4").notes
    )
    yield Reader(
        "agent, measure",
        of_json(measured),
        lambda _, content: measurement_from_reply(fields(content), board, BASE, HOST_POWER_MODEL).to_json(),
    )
    streamed = {
        "ok": True,
        "latencies_ms": [1.0, 2.0],
        "ways": [0, 2],
        "classes": [9, 3],
        "before": conditions,
        "after": conditions,
    }
    yield Reader(
        "agent, stream",
        of_json(streamed),
        lambda _, content: streamed_from_reply(fields(content), board, BASE, images=2, segments=3).shares,
    )
    yield Reader("agent, span", of_json(measured), lambda _, content: span_from_reply(fields(content)))
    yield Reader("agent, clock", of_json(measured), lambda _, content: time_from_reply(fields(content)))

    def meter(content: bytes) -> SampledMeter:
        class Server:
            def request(self, command: str, *_: object, **__: object) -> Reply:
                return Reply("the meter", {"time_s": 1.0}) if command == "clock" else fields(content)

            def end(self) -> None:
                pass

        opened = SampledMeter.__new__(SampledMeter)
        opened._closed, opened._server = False, Server()  # type: ignore[assignment]
        return opened

    yield Reader(
        "meter, describe",
        of_json({"name": "ina219", "period_s": 0.01, "window_s": 0.001}),
        lambda _, content: meter(content)._describe(),
    )
    yield Reader(
        "meter, samples",
        of_json({"name": "ina219", "times_s": [0.1, 0.2, 0.3], "powers_w": [1.0, 2.0, 1.5], "more": False}),
        lambda _, content: meter(content)._samples(0.0, 1.0),
    )
    line = json.dumps({"model": "0" * 64, "measurement": MEASUREMENT.to_json()}).encode()
    yield Reader(
        "journal",
        [line, line + b"\n" + line],
        of_file("profile.jsonl", lambda path: journal._lines_after(journal._Place(), path)),
    )
    idle = {"board": "a", "meter": "b", "mean_w": 2.0, "standard_error_w": 0.1, "degrees_of_freedom": 9, "samples": 10}
    yield Reader("idle power", of_json(idle), of_file("idle.json", idle_baseline._read))
    key = b"board ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGx1c2VyQGhvc3QAAAAAAAAAAAAAAAAAAAAA\n"
    yield Reader(
        "known_hosts",
        [key, b"[board]:2222 " + key[6:], b"|1|abc=|def= " + key[6:]],
        of_file("known_hosts", lambda path: _host_keys(path).algorithms),
    )
    yield Reader(
        "ssh configuration",
        [
            b"Host board\n  HostName %h.lan\n  Port 2222 # there\n",
            b"Match host *.lan,!x user pi\n IdentityFile=~/.ssh/%r\n",
        ],
        of_file("config", lambda path: read_host("board", user="pi", port=None, files=[ConfigFile(path, path.parent)])),
    )


def _host_keys(known_hosts: Path) -> HostKeys:
    options = SshOptions(known_hosts=known_hosts, config=Path("none"))
    return HostKeys.of(route_to(BoardAddress.parse("ssh://pi@board"), options)[-1])
