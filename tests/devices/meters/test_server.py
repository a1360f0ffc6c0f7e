import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

from devices.energy.meter_process import ROOT
from devices.meters import server
from devices.meters.power_meter import MeterError, Reading
from devices.meters.sampling import Sampler


class Steady:
    name = "steady"
    period_s = 0.001
    window_s = 0.002
    step_w = 0.0

    def read(self) -> Reading:
        return Reading(time.monotonic(), 3.25)


class Broken:
    name = "broken"
    period_s = 0.001
    window_s = 0.002
    step_w = 0.0

    def read(self) -> Reading:
        raise MeterError("the wire is cut: solder it.")


@pytest.fixture(scope="module")
def steady() -> Sampler:
    return Sampler(Steady)


def asked(sampler: Sampler, **request: object) -> server.Reply:
    reply = server.answer(json.dumps(request), sampler)
    assert reply is not None
    return reply


def test_describe_and_clock(steady: Sampler) -> None:
    assert asked(steady, id=4, command="describe").items() >= {"id": 4, "ok": True, "name": "steady"}.items()
    before_s = time.monotonic()
    assert before_s <= asked(steady, id=5, command="clock")["time_s"] <= time.monotonic()


def test_samples_wait_for_the_end_of_the_time(steady: Sampler) -> None:
    since_s = time.monotonic()
    reply = asked(steady, command="samples", since_s=since_s, until_s=since_s + 0.3)
    assert time.monotonic() >= since_s + 0.3
    assert reply["ok"]
    assert reply["name"] == "steady"
    assert reply["more"] is False
    assert set(reply["powers_w"]) == {3.25}
    assert len(reply["powers_w"]) == len(reply["times_s"]) > 5
    assert since_s <= reply["times_s"][0] <= reply["times_s"][-1] <= since_s + 0.3 + 1e-6
    assert reply["times_s"] == sorted(reply["times_s"])


def test_long_replies_come_in_parts(steady: Sampler, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "MAX_SAMPLES", 5)
    since_s = time.monotonic()
    reply = asked(steady, command="samples", since_s=since_s, until_s=since_s + 0.3)
    assert len(reply["times_s"]) == len(reply["powers_w"]) == 5
    assert reply["more"] is True


def test_quit(steady: Sampler) -> None:
    assert server.answer('{"command": "quit"}', steady) is None


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("no JSON", "Expecting value"),
        ("[1]", "must be a JSON object"),
        ('{"command": "dance"}', "must be describe, clock, samples or quit, but got 'dance'"),
        ('{"command": "samples", "since_s": 1}', "`until_s` must be a time in s, but got None"),
        ('{"command": "samples", "since_s": 2, "until_s": 1}', "`since_s <= until_s <= .*must hold"),
        ('{"command": "samples", "since_s": 0, "until_s": 1e12}', "`since_s <= until_s <= .*must hold"),
        ('{"command": "samples", "since_s": NaN, "until_s": 1}', "`since_s` must be a time in s"),
    ],
)
def test_bad_requests_get_an_error(steady: Sampler, line: str, message: str) -> None:
    reply = server.answer(line, steady)
    assert reply is not None
    assert reply["ok"] is False
    assert re.search(message, reply["error"])


def test_a_broken_meter_gets_an_error() -> None:
    reply = asked(Sampler(Broken), id=1, command="samples", since_s=0, until_s=1)
    assert reply == {"id": 1, "ok": False, "error": "the wire is cut: solder it."}


def run(*arguments: str, lines: str = "") -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "devices.meters.server", *arguments]
    return subprocess.run(command, input=lines, capture_output=True, text=True, cwd=ROOT, timeout=60)


def test_the_process_answers_and_ends_with_its_stdin(tmp_path: Path) -> None:
    script = tmp_path / "vcgencmd"
    script.write_text('#!/bin/sh\necho "CORE_A current(1)=2.0A"\necho "CORE_V volt(1)=1.5V"\n')
    script.chmod(0o755)
    requests = [{"id": 1, "command": "describe"}, {"id": 2, "command": "samples", "since_s": 0, "until_s": 1e-9}]
    done = run(f"pmic:{script}@board", lines="\n".join(["", *map(json.dumps, requests), ""]))
    assert (done.returncode, done.stderr) == (0, "")
    first, second = map(json.loads, done.stdout.splitlines())
    about = {"name": "pmic", "period_s": pytest.approx(0.1, rel=0.5), "window_s": 0.1, "step_w": 0.0}
    assert first == {"id": 1, "ok": True, **about}
    assert second["id"] == 2
    assert second["ok"]
    assert second["times_s"] == []


def test_a_meter_that_is_not_there_is_an_error_in_the_replies() -> None:
    done = run("um25c:/dev/no-such-port", lines='{"id": 1, "command": "describe"}\n')
    reply = json.loads(done.stdout)
    assert reply["ok"] is False
    assert "/dev/no-such-port must be there" in reply["error"]


@pytest.mark.parametrize(("arguments", "message"), [((), "one meter must be named"), (("watt",), "must be one of")])
def test_bad_command_lines(arguments: tuple[str, ...], message: str) -> None:
    done = run(*arguments)
    assert done.returncode == 1
    assert message in done.stderr


def test_list() -> None:
    listed = json.loads(run("--list").stdout)
    assert {entry["name"] for entry in listed} >= {"ina219", "rapl", "shelly"}
    assert all(isinstance(entry["available"], bool) and entry["reason"] for entry in listed)


def test_it_is_quiet_when_nobody_listens() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    command = [sys.executable, "-m", "devices.meters.server", "rapl:/nowhere"]
    done = subprocess.run(
        command, input=b'{"command": "clock"}\n', stdout=writing, stderr=subprocess.PIPE, cwd=ROOT, timeout=60
    )
    os.close(writing)
    assert b"Traceback" not in done.stderr


def test_it_ends_without_heartbeats() -> None:
    command = [sys.executable, "-m", "devices.meters.server", "rapl:/nowhere", "--heartbeat-seconds", "0.5"]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        for _ in range(4):
            process.stdin.write("\n")
            process.stdin.flush()
            time.sleep(0.15)
        assert process.poll() is None
        assert process.wait(timeout=20) == 0
