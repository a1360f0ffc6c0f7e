import pytest

from benchmarks.meters import MetersConfig, worst_of
from devices.energy.simulated_meters import SIMULATED_METERS, simulated_energy


def test_the_row_is_the_run_that_is_furthest_off() -> None:
    (meter,) = (meter for meter in SIMULATED_METERS if meter.name == "nvml")
    row = worst_of(meter, MetersConfig(phases=4))
    energies = [simulated_energy(meter, idle_w=2.7, load_w=2.69, phase=phase) for phase in (0, 0.25, 0.5, 0.75)]
    assert row.error == max((energy.relative_error for energy in energies), key=abs)
    assert row.read_mj == pytest.approx(row.true_mj * (1 + row.error))
    assert row.meter == "nvml"


def test_a_quick_check_has_two_runs_and_loads_are_bounded() -> None:
    assert MetersConfig().quickened().phases == 2
    with pytest.raises(ValueError, match="load-w|load_w"):
        MetersConfig(load_w=0.0)
