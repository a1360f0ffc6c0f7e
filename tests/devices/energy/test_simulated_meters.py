from contextlib import ExitStack

import pytest

from devices.energy.meter import TooFewSamplesError
from devices.energy.simulated_meters import (
    SIMULATED_METERS,
    SimulatedBoard,
    SimulatedMeter,
    simulated_energy,
    simulated_readings,
)
from devices.meters.plugs import Tasmota
from devices.meters.spec import METER_NAMES
from devices.meters.um25c import Um25c

PHASES = (0.0, 0.13, 0.29, 0.5, 0.71, 0.83)
IDLE_W, LOAD_W = 2.713, 2.69
STEPS = {"ina228": 0.05, "rapl": 0.05, "nvml": 0.4}
"""What one reading of an energy counter is uncertain by, as a share; over many it averages out."""


def named(name: str) -> SimulatedMeter:
    (meter,) = (meter for meter in SIMULATED_METERS if meter.name == name)
    return meter


def test_every_meter_is_simulated() -> None:
    assert {meter.name.split()[0] for meter in SIMULATED_METERS} == set(METER_NAMES)


@pytest.mark.parametrize("meter", SIMULATED_METERS, ids=lambda meter: meter.name)
def test_the_energy_of_a_constant_load_comes_out_within_two_per_cent(meter: SimulatedMeter) -> None:
    """Through the meter's own reader, its server's answers and `SampledMeter`, whenever the run begins."""
    for phase in PHASES:
        energy = simulated_energy(meter, idle_w=IDLE_W, load_w=LOAD_W, phase=phase)
        assert abs(energy.relative_error) <= 0.02
        assert energy.read.idle_w == pytest.approx(IDLE_W, rel=0.02)
        assert energy.read.meter == meter.name.split()[0]
        assert energy.read.doubt is None


@pytest.mark.parametrize("meter", SIMULATED_METERS, ids=lambda meter: meter.name)
def test_no_reading_looks_further_than_its_window(meter: SimulatedMeter) -> None:
    for phase in PHASES:
        with ExitStack() as stack:
            opened = meter.open(SimulatedBoard(idle_w=2.0, load_w=3.0, now_s=100.0), stack)
            window_s, unit_s = opened.window_s, max(opened.window_s, opened.period_s)
        start_s = 100.0 + (20 + phase) * unit_s
        end_s = start_s + 10 * unit_s
        board = SimulatedBoard(idle_w=2.0, load_w=3.0, now_s=100.0, run_s=(start_s, end_s))
        seen = set()
        for time_s, power_w in simulated_readings(meter, board, until_s=end_s + 5 * unit_s):
            inside = start_s + window_s <= time_s <= end_s - window_s
            outside = time_s <= start_s - window_s or time_s >= end_s + window_s
            if inside or outside:
                assert power_w == pytest.approx(5.0 if inside else 2.0, rel=STEPS.get(meter.name, 0.02))
                seen.add(inside)
        assert seen == {True, False}


def test_a_window_that_is_taken_too_short_would_be_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """As it was: a UM25C asked ten times a second, and each answer taken for a sample of that tenth."""
    monkeypatch.setattr(Um25c, "period_s", 0.1)
    monkeypatch.setattr(Um25c, "window_s", 0.1)
    with pytest.raises(TooFewSamplesError, match=r"needs 8 readings that are new, but um25c gave 3 among 26"):
        simulated_energy(named("um25c"), idle_w=IDLE_W, load_w=LOAD_W, phase=0.13)
    monkeypatch.setattr("devices.energy.sampled_meter.MIN_READINGS", 1)
    errors = [
        simulated_energy(named("um25c"), idle_w=IDLE_W, load_w=LOAD_W, phase=phase).relative_error for phase in PHASES
    ]
    assert max(errors) < -0.02


def test_what_a_coarse_meter_cannot_show_is_in_its_interval() -> None:
    """A plug that tells whole watts, as it does as a rule, repeats one figure: no noise, yet no certainty."""
    energies = {}
    for decimals in (0, 3):

        def open_plug(board: SimulatedBoard, stack: ExitStack, decimals: int = decimals) -> Tasmota:
            def fetch(url: str) -> object:
                return {"StatusSNS": {"ENERGY": {"Power": round(board.mean_w(1.0, every_s=1.0), decimals)}}}

            return Tasmota("http://plug", fetch=fetch, clock=board.clock)

        plug = SimulatedMeter(name="tasmota", open=open_plug)
        energies[decimals] = simulated_energy(plug, idle_w=IDLE_W, load_w=LOAD_W)
    coarse, fine = energies[0], energies[3]
    assert abs(coarse.relative_error) > 0.1
    assert coarse.read.interval_mj > abs(coarse.read.net_mj - coarse.true_mj)
    assert "interval of tasmota was" in (coarse.read.doubt or "")
    assert fine.read.doubt is None


def test_the_board_draws_what_it_says() -> None:
    """In closed form: 2 W, and 3 W more from 10 to 14 s."""
    board = SimulatedBoard(idle_w=2.0, load_w=3.0, run_s=(10.0, 14.0))
    assert [board.energy_j(now_s) for now_s in (0, 10, 12, 14, 20)] == [0, 20, 30, 40, 52]
    board.wait(12.25)
    assert board.mean_w(1.0) == 5.0
    assert board.mean_w(4.0, every_s=4.0) == pytest.approx(2 + 3 * 2 / 4)
