import os
from pathlib import Path

import pytest

from devices.meters.pmic import Pmic, powers_of_rails, query_command
from devices.meters.power_meter import MeterError
from tests.devices.meters.conftest import make_command

OUTPUT = """
 3V7_WL_SW_A current(0)=0.10000000A
   3V3_SYS_A current(1)=0.05000000A
  VDD_CORE_A current(7)=2.00000000A
 3V7_WL_SW_V volt(8)=3.70000000V
   3V3_SYS_V volt(9)=3.30000000V
  VDD_CORE_V volt(15)=0.90000000V
     EXT5V_V volt(24)=5.10000000V
      BATT_V volt(25)=0.00000000V
"""


def test_rails_are_added() -> None:
    # EXT5V and BATT have no current of their own.
    assert sum(powers_of_rails(OUTPUT).values()) == pytest.approx(0.1 * 3.7 + 0.05 * 3.3 + 2.0 * 0.9)
    assert powers_of_rails("VDD_CORE_A=2.0A\nVDD_CORE_V=0.9V\n") == {"VDD_CORE": pytest.approx(1.8)}


@pytest.mark.parametrize("output", ["", 'error=1 error_msg="Command not registered"', "EXT5V_V volt(24)=5.1V"])
def test_boards_without_the_sensor(output: str) -> None:
    with pytest.raises(MeterError, match="must report voltage and current of rails.*only a Raspberry Pi 5"):
        powers_of_rails(output)


def test_time_is_the_middle_of_the_query() -> None:
    times = iter([1.0, 1.5])
    assert Pmic(lambda: OUTPUT, clock=lambda: next(times)).read().time_s == 1.25


def test_the_command_is_asked(tmp_path: Path) -> None:
    path = make_command(tmp_path, f'test "$1" = pmic_read_adc && echo "{OUTPUT.strip()}"')
    assert Pmic(query_command(path)).read().power_w == pytest.approx(2.335)


def test_a_user_who_may_not_ask_the_firmware(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOGNAME", "ada")
    for output in ("Can't open device file: /dev/vcio", "* failed to open vchiq instance: Permission denied"):
        with pytest.raises(MeterError, match="but got .*: run `sudo usermod -aG video ada`, then log in anew"):
            powers_of_rails(output)


def test_rails_that_come_and_go_do_not_change_the_sum() -> None:
    outputs = [
        OUTPUT,
        f"{OUTPUT} NEW_A current(9)=9.0A\n NEW_V volt(9)=9.0V\n",
        OUTPUT.replace("3V3_SYS_A", "-"),
        OUTPUT,
    ]
    meter = Pmic(lambda: outputs.pop(0))
    assert meter.read().power_w == meter.read().power_w == pytest.approx(2.335)
    with pytest.raises(MeterError, match="must report the same rails each time, but 3V3_SYS are missing now"):
        meter.read()
    assert meter.read().power_w == pytest.approx(2.335)


def test_a_command_that_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOGNAME", "ada")
    with pytest.raises(
        MeterError, match="must end with code 0, but ended with 3: 'no rights'; run `sudo usermod -aG video ada`"
    ):
        query_command(make_command(tmp_path, "echo no rights; exit 3"))()


def test_a_command_that_hangs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("devices.meters.pmic.TIMEOUT_S", 0.2)
    with pytest.raises(MeterError, match="must answer within 0.2 s"):
        query_command(make_command(tmp_path, "exec sleep 30"))()


def test_no_command(tmp_path: Path) -> None:
    with pytest.raises(MeterError, match="must run, but got .*only a Raspberry Pi has it"):
        query_command(os.fspath(tmp_path / "vcgencmd"))()
