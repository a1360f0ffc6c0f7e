import sys

import pytest

from devices.meters.nvml import Nvml, open_library
from devices.meters.power_meter import MeterError
from tests.devices.meters.conftest import FakeDriver


def test_mean_power_by_the_counter() -> None:
    driver = FakeDriver()
    ticks = iter([0.0, 0.0, 2.0, 2.0])
    meter = Nvml(driver.library, clock=lambda: next(ticks))
    driver.energy_mj += 120_000
    assert meter.read() == (1.0, 60.0)


def test_power_now_without_a_counter() -> None:
    assert Nvml(FakeDriver().library, index=1, clock=lambda: 3.0).read() == (3.0, 61.5)


def test_no_such_gpu() -> None:
    with pytest.raises(MeterError, match="GPU 2 must be there, but got Invalid Argument.*nvidia-smi"):
        Nvml(FakeDriver().library, index=2)


def test_without_its_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", None)
    with pytest.raises(MeterError, match="pip install nvidia-ml-py"):
        open_library()


@pytest.mark.gpu
def test_a_real_gpu() -> None:
    try:
        meter = Nvml(open_library())
    except MeterError as error:
        pytest.skip(str(error))
    assert 1 < meter.read().power_w < 2000
