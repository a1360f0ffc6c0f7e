import subprocess
import sys

import pytest

from devices.energy.meter_process import ROOT, MeterProcess, server_arguments, server_files
from devices.errors import MeasurementError
from devices.meters.spec import MeterSpec

SPEC = MeterSpec.parse("ina219:0x41,shunt=0.05")

SERVER = """
import json, os, sys, time

for line in sys.stdin:
    request = json.loads(line)
    if request["command"] == "crash":
        sys.exit("the driver fell over")
    if request["command"] == "hang":
        time.sleep(600)
    print("noise", flush=True)
    print(json.dumps({"id": -1, "pid": 0}), flush=True)
    print(json.dumps({"id": request["id"], "pid": os.getpid()}), flush=True)
"""


@pytest.fixture
def process():
    started = MeterProcess(SPEC, command=[sys.executable, "-c", SERVER])
    yield started
    started.end()


def test_replies_are_told_from_other_lines(process):
    assert process.request({"command": "describe"}, 60)["pid"] == process._process.pid
    assert process.request({"command": "describe"}, 60)["id"] == 2


def test_a_crash_is_told_with_its_last_words(process):
    message = "the meter ina219:0x41,shunt=0.05 ended with code 1. Its last words: the driver fell over"
    with pytest.raises(MeasurementError, match=message):
        process.request({"command": "crash"}, 60)
    with pytest.raises(MeasurementError, match=message):
        process.request({"command": "describe"}, 60)


def test_a_hanging_server_is_told_and_killed(process, monkeypatch):
    monkeypatch.setattr("devices.energy.meter_process.END_SECONDS", 0.1)
    with pytest.raises(MeasurementError, match="must answer within 0.2 s, but did not"):
        process.request({"command": "hang"}, 0.2)
    process.end()
    assert process._process.returncode is not None
    process.end()


def test_the_server_ends_with_its_stdin(process):
    process.request({"command": "describe"}, 60)
    process.end()
    assert process._process.returncode == 0


def test_a_server_that_cannot_be_started():
    with pytest.raises(MeasurementError, match="could not be started with '/no/python'"):
        MeterProcess(SPEC, command=["/no/python"])


def test_a_real_meter_that_is_not_there():
    started = MeterProcess(MeterSpec.parse("um25c:/dev/no-such-port"))
    try:
        reply = started.request({"command": "describe"}, 60)
        assert reply["ok"] is False
        assert "/dev/no-such-port" in str(reply["error"])
    finally:
        started.end()


def test_what_a_board_is_given():
    assert server_arguments(SPEC) == ["-m", "devices.meters.server", "ina219:0x41,shunt=0.05"]
    files = [file.as_posix() for file in server_files()]
    assert {"devices/__init__.py", "devices/meters/__init__.py", "devices/meters/server.py"} <= set(files)
    tracked = subprocess.run(["git", "ls-files", "devices/meters"], cwd=ROOT, capture_output=True, text=True).stdout
    assert set(tracked.split()) <= set(files)
