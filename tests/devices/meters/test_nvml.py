import sys

import pytest

from devices.meters.nvml import Nvml, open_library
from devices.meters.power_meter import MeterError


class FakeLibrary:
    """Two GPUs; the first has an energy counter."""

    class NVMLError(Exception):
        pass

    def __init__(self):
        self.energy_mj = 5_000
        self.fallen = False

    def nvmlInit(self):
        pass

    def nvmlDeviceGetHandleByIndex(self, index):
        if index > 1:
            raise self.NVMLError("Invalid Argument")
        return index

    def nvmlDeviceGetTotalEnergyConsumption(self, handle):
        if handle == 1 or self.fallen:
            raise self.NVMLError("Not Supported")
        return self.energy_mj

    def nvmlDeviceGetPowerUsage(self, handle):
        if self.fallen:
            raise self.NVMLError("GPU is lost")
        return 61_500


def test_mean_power_by_the_counter():
    library = FakeLibrary()
    ticks = iter([0.0, 0.0, 2.0, 2.0])
    meter = Nvml(library, clock=lambda: next(ticks))
    library.energy_mj += 120_000
    assert meter.read() == (1.0, 60.0)


def test_power_now_without_a_counter():
    assert Nvml(FakeLibrary(), index=1, clock=lambda: 3.0).read() == (3.0, 61.5)


def test_no_such_gpu():
    with pytest.raises(MeterError, match="GPU 2 must be there, but got Invalid Argument.*nvidia-smi"):
        Nvml(FakeLibrary(), index=2)


@pytest.mark.parametrize("index", [0, 1])
def test_a_gpu_that_is_lost(index):
    library = FakeLibrary()
    meter = Nvml(library, index=index)
    library.fallen = True
    with pytest.raises(MeterError, match=f"GPU {index} must answer"):
        meter.read()


def test_without_its_package(monkeypatch):
    monkeypatch.setitem(sys.modules, "pynvml", None)
    with pytest.raises(MeterError, match="pip install nvidia-ml-py"):
        open_library()


@pytest.mark.gpu
def test_a_real_gpu():
    try:
        meter = Nvml(open_library())
    except MeterError as error:
        pytest.skip(str(error))
    assert 1 < meter.read().power_w < 2000
