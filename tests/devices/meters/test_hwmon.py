"""Sensors of the kernel, as its documentation of hwmon describes their files."""

from __future__ import annotations

import errno
from pathlib import Path
from typing import NoReturn

import pytest

from devices.meters import hwmon
from devices.meters.hwmon import Hwmon, chosen_channels
from devices.meters.polarity import UNCORRECTED, Correction
from devices.meters.power_meter import MeterError, NotTheBoardError
from tests.devices.meters.conftest import make_sensor


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A Pi 5: sensors without power, as every one has them."""
    make_sensor(tmp_path, 0, "cpu_thermal", temp1_input=48_000)
    make_sensor(tmp_path, 1, "rpi_volt", in0_lcrit_alarm=0)
    make_sensor(tmp_path, 2, "pwmfan", fan1_input=3000, pwm1=75)
    make_sensor(tmp_path, 3, "rp1_adc", in1_input=1400, in2_input=1400, temp1_input=51_000)
    return tmp_path


def power_of(tree: Path, name: str = "", *numbers: int, correction: Correction = UNCORRECTED) -> float:
    return Hwmon(chosen_channels(name, numbers, root=tree), correction=correction).read().power_w


def test_a_board_without_a_power_sensor(tree: Path) -> None:
    with pytest.raises(MeterError, match="tell no power: cpu_thermal, pwmfan, rp1_adc, rpi_volt: use another meter"):
        power_of(tree)


def test_the_only_sensor_needs_no_name(tree: Path) -> None:
    make_sensor(
        tree, 4, "ina226", device="1-0040", in0_input=8, in1_input=5100, curr1_input=800, power1_input=4_075_000
    )
    for name in ("", "ina226", "1-0040", "hwmon4"):
        assert power_of(tree, name) == pytest.approx(4.075)
    with pytest.raises(MeterError, match="must be called ina219, but there are `--meter hwmon:1-0040,channel=1`"):
        power_of(tree, "ina219")


def test_several_sensors_are_named_and_one_is_asked_for(tree: Path) -> None:
    make_sensor(tree, 4, "ina219", device="1-0040", power1_input=1_000_000)
    make_sensor(tree, 10, "ina219", device="1-0041", power1_input=2_000_000, power1_label="SUPPLY")
    message = (
        r"one power sensor of the kernel must be meant, but there are `--meter hwmon:1-0040,channel=1` \(ina219\), "
        r"`--meter hwmon:1-0041,channel=1` \(ina219 SUPPLY\): give one\."
    )
    for name in ("", "ina219"):
        with pytest.raises(MeterError, match=message):
            power_of(tree, name)
    assert power_of(tree, "1-0041") == 2.0


def test_channels_of_a_driver_that_tells_no_power(tree: Path) -> None:
    channels = {f"in{number}_input": 5000 for number in (1, 2, 3)} | {"in4_input": 10, "curr4_input": 600}
    currents = {f"curr{number}_input": 100 * number for number in (1, 2, 3)}
    del channels["in4_input"]
    make_sensor(tree, 4, "ina3221", device="1-0040", in1_label="VDD_IN", **channels, **currents)
    assert power_of(tree, "ina3221", 2) == pytest.approx(1.0)
    assert power_of(tree, "ina3221", 1, 2, 3) == pytest.approx(3.0)
    with pytest.raises(MeterError, match=r"one channel of ina3221 .*channel=1` \(ina3221 VDD_IN\).*channel=3"):
        power_of(tree, "ina3221")
    with pytest.raises(MeterError, match="ina3221 has no channel 4: there are"):
        power_of(tree, "ina3221", 4)


def test_the_sign_is_that_of_the_current(tree: Path) -> None:
    make_sensor(tree, 4, "ina219", device="1-0043", power1_input=4_700_000, curr1_input=-950)
    with pytest.raises(NotTheBoardError, match=r"got -4.700 W: .*`--meter hwmon:1-0043,channel=1,sign=-1`"):
        power_of(tree)
    assert power_of(tree, correction=Correction(-1, 1.1)) == pytest.approx(5.17)


@pytest.mark.parametrize(
    ("name", "files", "interval_s"),
    [
        ("ina226", {"power1_input": 1, "update_interval": 140}, 0.14),
        ("ina219", {"power1_input": 1}, 0.0011),
        ("ltc4151", {"power1_input": 1}, 1.0),
        ("power_meter", {"power1_average": 1, "power1_average_interval": 1000}, 1.0),
    ],
)
def test_a_sensor_is_read_as_often_as_it_is_renewed(
    tree: Path, name: str, files: dict[str, int], interval_s: float
) -> None:
    make_sensor(tree, 4, name, device="", **files)
    times_s = iter([50.0, 52.0])
    meter = Hwmon(chosen_channels("", (), root=tree), clock=lambda: next(times_s))
    assert meter.period_s == max(0.01, interval_s)
    assert meter.window_s >= 1.5 * interval_s
    assert meter.read().time_s == 51.0 - interval_s / 2


def test_a_sensor_that_is_renewed_too_rarely(tree: Path) -> None:
    make_sensor(tree, 4, "fam15h_power", power1_average=1, power1_average_interval=10_000)
    with pytest.raises(MeterError, match="renew its figures every 2 s, but does so every 10 s"):
        power_of(tree)


def test_a_file_that_cannot_be_read(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_sensor(tree, 4, "ina226", power1_input=1)
    meter = Hwmon(chosen_channels("", (), root=tree))
    for number, said in {
        errno.EACCES: "power1_input must be readable.*sudo chmod a.r",
        errno.ENODATA: "the channel is switched off",
        errno.EREMOTEIO: "check its wires and supply",
    }.items():

        def fail(path: Path, number: int = number) -> NoReturn:
            raise OSError(number, "as the kernel says")

        monkeypatch.setattr(Path, "read_text", fail)
        with pytest.raises(MeterError, match=said):
            meter.read()


def test_names_of_others_are_one_line(tree: Path) -> None:
    make_sensor(tree, 4, "evil\x1b[31m\nname", power1_input=1)
    make_sensor(tree, 5, "other", power1_input=1)
    with pytest.raises(MeterError) as error:
        power_of(tree)
    assert str(error.value).isprintable()


def test_where_the_kernel_has_an_address(tree: Path) -> None:
    make_sensor(tree, 4, "ina226", device="1-0040", power1_input=1)
    make_sensor(tree, 5, "ina3221", device="3-0041", in1_input=1, curr1_input=1, in2_input=1, curr2_input=1)
    assert hwmon.option_for(1, 0x40, root=tree) == "hwmon:1-0040"
    assert hwmon.option_for(3, 0x41, root=tree) == "hwmon:3-0041,channel=1"
    assert hwmon.option_for(1, 0x41, root=tree) is None
