from pathlib import Path
from typing import NoReturn

import pytest

from devices.meters.power_meter import MeterError
from devices.meters.rapl import Rapl, counted_zones
from tests.devices.meters.conftest import RANGE_UJ, make_zone


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Two packages with cores and memory, the same again as mmio, and psys."""
    for zone, name in {
        "intel-rapl": None,
        "intel-rapl:0": "package-0",
        "intel-rapl:0:0": "core",
        "intel-rapl:0:2": "dram",
        "intel-rapl:1": "package-1",
        "intel-rapl:2": "psys",
        "intel-rapl-mmio:0": "package-0",
    }.items():
        if name is None:
            (tmp_path / zone).mkdir()
        else:
            make_zone(tmp_path, zone, name)
    return tmp_path


def set_energy(tree: Path, zone: str, energy_uj: int | str) -> None:
    (tree / zone / "energy_uj").write_text(f"{energy_uj}\n")


def opened(tree: Path, *times: float) -> Rapl:
    """A meter whose clock shows these times, one a reading."""
    ticks = iter([time for time in times for _ in range(2)])
    return Rapl(tree, clock=lambda: next(ticks))


def test_packages_and_memory_are_counted_once(tree: Path) -> None:
    assert [path.name for path in counted_zones(tree)] == ["intel-rapl:0", "intel-rapl:0:2", "intel-rapl:1"]


def test_mean_power_between_readings(tree: Path) -> None:
    meter = opened(tree, 10.0, 12.0, 13.0)
    for zone, energy_uj in (("intel-rapl:0", 7_000_000), ("intel-rapl:0:2", 2_000_000), ("intel-rapl:1", 4_000_000)):
        set_energy(tree, zone, energy_uj)
    for zone in ("intel-rapl:0:0", "intel-rapl:2", "intel-rapl-mmio:0"):
        set_energy(tree, zone, 90_000_000)
    reading = meter.read()
    assert reading.time_s == 11.0
    assert reading.power_w == pytest.approx((6 + 1 + 3) / 2)
    assert meter.read() == (12.5, 0.0)


def test_a_counter_that_wraps(tree: Path) -> None:
    set_energy(tree, "intel-rapl:0", RANGE_UJ - 500_000)
    meter = opened(tree, 0.0, 1.0)
    set_energy(tree, "intel-rapl:0", 1_500_000)
    set_energy(tree, "intel-rapl:1", 4_000_000)
    assert meter.read().power_w == pytest.approx(2.0 + 3.0)


def test_no_rapl(tmp_path: Path) -> None:
    with pytest.raises(MeterError, match="needs processor packages under .*but there are none"):
        Rapl(tmp_path / "powercap")


def test_counters_that_may_not_be_read(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Path) -> NoReturn:
        raise PermissionError(13, "Permission denied", str(path))

    meter = opened(tree, 0.0, 1.0)
    # Not by the file's mode, which does not stop root.
    monkeypatch.setattr(Path, "read_text", refuse)
    with pytest.raises(MeterError, match="must be readable.*sudo chmod a\\+r"):
        meter.read()


def test_time_must_pass(tree: Path) -> None:
    with pytest.raises(MeterError, match="time must pass between two readings"):
        opened(tree, 1.0, 1.0).read()
