import subprocess

import pytest

from devices.channel import DeclinedError
from devices.energy.meter_process import ROOT, server_arguments, server_files, start_meter_process
from devices.errors import MeasurementError
from devices.meters.spec import MeterSpec

SPEC = MeterSpec.parse("ina219:0x41,shunt=0.05")


def test_errors_name_the_meter() -> None:
    with pytest.raises(MeasurementError, match="the meter ina219:0x41,shunt=0.05 could not be started"):
        start_meter_process(SPEC, command=["/no/python"])


def test_a_real_meter_that_is_not_there() -> None:
    started = start_meter_process(MeterSpec.parse("um25c:/dev/no-such-port"))
    try:
        with pytest.raises(DeclinedError, match="/dev/no-such-port could not describe: the serial port /dev/no-such"):
            started.request("describe", 60)
        assert started.alive
    finally:
        started.end()


def test_what_a_board_is_given() -> None:
    assert server_arguments(SPEC) == ["-m", "devices.meters.server", "ina219:0x41,shunt=0.05"]
    files = [file.as_posix() for file in server_files()]
    assert {"devices/__init__.py", "devices/meters/__init__.py", "devices/meters/server.py"} <= set(files)
    tracked = subprocess.run(["git", "ls-files", "devices/meters"], cwd=ROOT, capture_output=True, text=True).stdout
    assert set(tracked.split()) <= set(files)
