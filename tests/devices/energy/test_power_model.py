import csv
import itertools
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from devices.configuration import BASE, RuntimeConfiguration
from devices.energy.power_model import (
    HOST_POWER_MODEL,
    RASPBERRY_PI_3B_PLUS,
    RASPBERRY_PI_4,
    RASPBERRY_PI_5,
    UNKNOWN_BOARD,
    PowerModel,
    power_model_of,
)

MODEL = PowerModel(
    idle_w=3.0,
    shared_w=0.5,
    thread_w=0.75,
    top_mhz=2000,
    volts=((1000, 0.8), (1500, 0.9), (2000, 1.0)),
    description="a test",
)
PIS = (RASPBERRY_PI_3B_PLUS, RASPBERRY_PI_4, RASPBERRY_PI_5)


def at(mhz: int | None = None, threads: int = 1) -> RuntimeConfiguration:
    return RuntimeConfiguration(frequency_mhz=mhz, threads=threads)


@pytest.mark.parametrize(
    ("mhz", "threads", "power_w"),
    [
        (2000, 1, 1.25),
        (2000, 4, 3.5),
        (None, 4, 3.5),
        (1000, 1, 1.25 * 0.5 * 0.64),
        (1500, 2, 2.0 * 0.75 * 0.81),
        (1250, 1, 1.25 * 0.625 * 0.85**2),
    ],
)
def test_power_by_hand(mhz: int | None, threads: int, power_w: float) -> None:
    assert MODEL.net_w(at(mhz, threads)) == pytest.approx(power_w)


def test_energy_is_power_times_time() -> None:
    assert MODEL.energy_mj(4.0, at(threads=3)) == pytest.approx(2.75 * 4.0)


def test_idle_power_is_no_part_of_the_energy() -> None:
    quiet, loud = (replace(MODEL, idle_w=idle_w) for idle_w in (0.0, 50.0))
    assert quiet.energy_mj(7.0, BASE) == loud.energy_mj(7.0, BASE)


@pytest.mark.parametrize(
    ("mhz", "volts"), [(600, 0.8), (1000, 0.8), (1250, 0.85), (1500, 0.9), (1800, 0.96), (2400, 1)]
)
def test_volts_are_interpolated_and_held_outside_of_the_known_clocks(mhz: int, volts: float) -> None:
    assert MODEL.volts_at(mhz) == pytest.approx(volts)


def test_volts_read_from_the_board_replace_those_of_the_model() -> None:
    assert MODEL.net_w(at(1000), volts=0.9) == pytest.approx(1.25 * 0.5 * 0.81)
    assert MODEL.energy_mj(2.0, at(1000), volts=0.8) == MODEL.energy_mj(2.0, at(1000))


def test_without_volts_power_is_proportional_to_the_clock() -> None:
    constant = replace(MODEL, volts=())
    assert constant.net_w(at(500), volts=0.7) == pytest.approx(1.25 / 4)


def test_without_a_known_clock_power_does_not_depend_on_it() -> None:
    assert replace(MODEL, top_mhz=None).net_w(at(1000, 2)) == pytest.approx(2.0)


@pytest.mark.parametrize(
    ("model", "coefficients", "volts"),
    [
        (RASPBERRY_PI_3B_PLUS, (2.0, 0.35, 0.62, 1400), {600: 1.20, 1000: 1.285, 1400: 1.37}),
        (RASPBERRY_PI_4, (2.7, 0.45, 0.56, 1500), {600: 0.844, 1500: 0.844, 1800: 0.9241, 2000: 0.9775}),
        (RASPBERRY_PI_5, (3.0, 0.55, 0.87, 2400), {1500: 0.722, 1800: 0.788, 2000: 0.813, 2400: 0.869}),
    ],
)
def test_coefficients_of_boards(model: PowerModel, coefficients: tuple[float, ...], volts: dict[int, float]) -> None:
    assert (model.idle_w, model.shared_w, model.thread_w, model.top_mhz) == coefficients
    for mhz, level in volts.items():
        assert model.volts_at(mhz) == pytest.approx(level)


def test_four_threads_of_a_pi_5_take_nearly_three_times_the_power_of_one() -> None:
    assert RASPBERRY_PI_5.net_w(at(threads=4)) / RASPBERRY_PI_5.net_w(BASE) == pytest.approx(2.84, abs=0.01)


@pytest.mark.parametrize("model", PIS)
def test_a_lower_clock_saves_net_energy_and_costs_gross_energy_where_idle_power_is_high(model: PowerModel) -> None:
    assert model.top_mhz is not None
    low, top = at(model.volts[0][0]), at(model.top_mhz)
    stretch = 0.7 * model.top_mhz / model.volts[0][0] + 0.3
    assert model.energy_mj(stretch, low) < model.energy_mj(1.0, top)
    gross_low, gross_top = (model.idle_w * time + model.energy_mj(time, c) for time, c in ((stretch, low), (1, top)))
    assert gross_low > gross_top


def test_a_pi_5_at_1500_mhz_against_2400_as_was_worked_out_for_the_design() -> None:
    low, top = RASPBERRY_PI_5.energy_mj(0.76 * 2400 / 1500 + 0.24, at(1500)), RASPBERRY_PI_5.energy_mj(1.0, at(2400))
    assert low / top - 1 == pytest.approx(-0.38, abs=0.02)


@pytest.mark.parametrize("model", PIS)
def test_more_threads_are_quicker_for_more_energy(model: PowerModel) -> None:
    energies_mj = [model.energy_mj(10.0 * factor, at(threads=n)) for n, factor in ((1, 1.0), (2, 0.75), (4, 0.62))]
    assert energies_mj == sorted(energies_mj)


@pytest.mark.parametrize("model", PIS)
def test_within_one_network_what_is_quicker_costs_more(model: PowerModel) -> None:
    """Spearman of latency and energy over clocks and threads; -0.82 to -0.94 in measurements of single networks."""
    assert model.top_mhz is not None
    points = []
    for mhz, (threads, factor) in itertools.product(
        (*(m for m, _ in model.volts if m <= model.top_mhz),), THREAD_TIMES
    ):
        latency_ms = 10.0 * factor * (0.76 * model.top_mhz / mhz + 0.24)
        points.append((latency_ms, model.energy_mj(latency_ms, at(mhz, threads))))
    latency_ranks, energy_ranks = np.argsort(np.argsort(np.array(points), axis=0), axis=0).T
    assert -1 <= np.corrcoef(latency_ranks, energy_ranks)[0, 1] < -0.6


THREAD_TIMES = ((1, 1.0), (2, 0.75), (4, 0.62))


@pytest.mark.parametrize(
    ("name", "model"),
    [
        ("Raspberry Pi 5 Model B Rev 1.0", RASPBERRY_PI_5),
        ("Raspberry Pi Compute Module 5 Rev 1.0", RASPBERRY_PI_5),
        ("Raspberry Pi 500 Rev 1.0", RASPBERRY_PI_5),
        ("Raspberry Pi 4 Model B Rev 1.4", RASPBERRY_PI_4),
        ("Raspberry Pi 400 Rev 1.0", RASPBERRY_PI_4),
        ("Raspberry Pi Compute Module 4 Rev 1.1", RASPBERRY_PI_4),
        ("Raspberry Pi 3 Model B Plus Rev 1.3", RASPBERRY_PI_3B_PLUS),
        ("Raspberry Pi Zero 2 W Rev 1.0", RASPBERRY_PI_3B_PLUS),
        ("", UNKNOWN_BOARD),
        ("Rockchip RK3588", UNKNOWN_BOARD),
    ],
)
def test_boards_by_the_name_that_their_system_gives(name: str, model: PowerModel) -> None:
    assert power_model_of(name) is model


def test_this_machine_is_no_raspberry_pi_unless_it_says_so() -> None:
    assert power_model_of("AMD EPYC", shares_host=True) is HOST_POWER_MODEL
    assert power_model_of("Raspberry Pi 5 Model B", shares_host=True) is RASPBERRY_PI_5


def test_the_host_model_says_that_it_is_nominal() -> None:
    assert "nominal" in HOST_POWER_MODEL.description
    assert HOST_POWER_MODEL.net_w(at(3000, 2)) == 15.0


@pytest.mark.parametrize(
    ("idle_w", "shared_w", "thread_w", "rule"),
    [(-1, 1, 1, "idle_w >= 0"), (1, -1, 1, "shared_w >= 0"), (1, 1, 0, "thread_w > 0")],
)
def test_impossible_powers_are_refused(idle_w: float, shared_w: float, thread_w: float, rule: str) -> None:
    with pytest.raises(ValueError, match=rule):
        PowerModel(idle_w=idle_w, shared_w=shared_w, thread_w=thread_w, description="a test")


@pytest.mark.parametrize("volts", [((2, 1.0), (1, 1.1)), ((1, 1.0), (1, 1.1))])
def test_clocks_of_volts_ascend(volts: tuple[tuple[int, float], ...]) -> None:
    with pytest.raises(ValueError, match="must ascend"):
        replace(MODEL, volts=volts)


def test_the_pi_4_model_is_within_its_error_of_published_runs(reference: Path) -> None:
    """MLPerf Inference v1.0, whole board with its fan, four threads at 1500 MHz."""
    with (reference / "mlperf_pi4.csv").open() as file:
        runs = [
            row
            for row in csv.DictReader(file)
            if row["system"] == "rpi4coral-fan.on-tflite-v2.4.1-ruy" and row["valid"] == "True" and row["precision"]
        ]
    idle_w = np.median([float(row[name]) for row in runs for name in ("pre_window_min_w", "post_window_min_w")])
    modelled_w = RASPBERRY_PI_4.net_w(at(1500, 4))
    for precision, error in (("fp32", -0.09), ("int8", -0.21)):
        load_w = np.median([float(row["avg_power_w"]) for row in runs if row["precision"] == precision])
        assert modelled_w / (load_w - idle_w) - 1 == pytest.approx(error, abs=0.005)
        assert abs(error) < RASPBERRY_PI_4.relative_error


def test_a_board_that_is_not_known_is_in_doubt() -> None:
    assert UNKNOWN_BOARD.relative_error == 1.0
    assert "not known" in UNKNOWN_BOARD.description
    assert UNKNOWN_BOARD.net_w(RuntimeConfiguration()) == RASPBERRY_PI_4.net_w(RuntimeConfiguration())


def test_the_governors_clock_is_on_the_scale_of_clocks_that_are_set() -> None:
    """A later Raspberry Pi 4 runs at 1800 MHz, above the clock that its model's coefficients are given for."""
    power = power_model_of("Raspberry Pi 4 Model B Rev 1.5", clocks_mhz=(600, 1500, 1800))
    at_1800 = RuntimeConfiguration(threads=2, frequency_mhz=1800)
    assert power.net_w(RuntimeConfiguration(threads=2)) == RASPBERRY_PI_4.net_w(at_1800)
    assert power.net_w(at_1800) == RASPBERRY_PI_4.net_w(at_1800)
    host = power_model_of("a processor", shares_host=True, clocks_mhz=(800, 3000))
    assert host.net_w(RuntimeConfiguration()) == HOST_POWER_MODEL.net_w(RuntimeConfiguration())
