"""Ways through segments at configurations that were never measured, on boards whose laws are known."""

from dataclasses import replace

import numpy as np
import onnx
import pytest

from benchmarks.drawn_board import CLOCKS_MHZ, DrawnBoard
from devices.configuration import BASE, RuntimeConfiguration, configurations_of
from devices.cost_tables.exit_costs import PathCosts, exit_costs
from devices.energy.power_model import RASPBERRY_PI_4
from devices.measurement import Measurement
from devices.models import Model, files_of
from devices.profiling.family import FamilyProfile, profile_family
from devices.replay import ReplayDevice
from search_space.exits import Exit
from search_space.onnx_files import random_weights, to_onnx
from search_space.segments import PREVIOUS_NAME, segments_of
from search_space.spaces import space_named

SPACE = space_named("fbnet-micro")
ASKED = configurations_of((1, 2, 4), CLOCKS_MHZ)
WATTS = replace(RASPBERRY_PI_4, volts=((600, 0.7), (1000, 0.8), (1500, 0.95)))
EXITS = (Exit(2, "linear"), Exit(5, "linear"))
SHARE = 0.7
"""a of the board with one law."""


def one_law(model: Model, configuration: RuntimeConfiguration = BASE) -> float:
    """Each node's numbers take time, and the clock acts alike on all of it."""
    numbers = sum(
        float(np.prod(entry.dims))
        for file in files_of(model)
        for entry in onnx.load_from_string(file).graph.initializer
        if len(entry.dims) > 1
    )
    slower = SHARE * CLOCKS_MHZ[0] / (configuration.frequency_mhz or CLOCKS_MHZ[0]) + 1 - SHARE
    return (0.05 + 1e-4 * numbers) * slower / float(configuration.threads**0.6)


def segments(operators: tuple[str, ...]) -> tuple[bytes, ...]:
    rng = np.random.default_rng(0)
    return tuple(
        to_onnx(
            part.graph,
            random_weights(part.graph, rng),
            outputs=part.outputs,
            input_name=PREVIOUS_NAME if number else "images",
        )
        for number, part in enumerate(segments_of(SPACE, operators, EXITS))
    )


def ways_of(family: FamilyProfile, operators: tuple[str, ...], configuration: RuntimeConfiguration) -> PathCosts:
    return exit_costs(family.tables[configuration], SPACE, operators, EXITS).of((0, 1))


def networks() -> list[tuple[str, ...]]:
    names = [name for name in SPACE.operators if name != "skip"]
    drawn = np.random.default_rng(7).integers(len(names), size=(8, SPACE.num_layers))
    return [tuple(names[index] for index in indices) for indices in drawn]


class MeteredReplay(ReplayDevice):
    """Whose meter tells its energies."""

    def measure(self, model: Model, configuration: RuntimeConfiguration = BASE) -> Measurement:
        return replace(super().measure(model, configuration), energy_source="measured", meter="a meter")


@pytest.fixture(scope="module")
def family() -> FamilyProfile:
    """Of a metered board that takes other watts than its model says."""
    board = MeteredReplay(one_law, cores=4, power_model=WATTS)
    told = replace(WATTS, idle_w=2.0, shared_w=0.9, thread_w=0.3)
    return profile_family(board, SPACE, ASKED, power_model=told, passes=1)


def test_known_share_watts_and_volts_come_back(family: FamilyProfile) -> None:
    indices = [SPACE.operators.index(name) for name in networks()[0]]
    laws = [member.law for member in family.members if member.law is not None]
    assert [law.share for law in laws] == pytest.approx([SHARE] * 6, rel=0.01)
    power_w = {table.configuration: table.energy_of(indices) / table.latency_of(indices) for table in family.tables}
    for item in ASKED:
        assert item.frequency_mhz is not None
        assert power_w[item] == pytest.approx(WATTS.net_w(item), rel=0.01)
        top_w = power_w[replace(item, frequency_mhz=CLOCKS_MHZ[0])]
        volts = WATTS.volts_at(CLOCKS_MHZ[0]) * np.sqrt(power_w[item] / top_w * CLOCKS_MHZ[0] / item.frequency_mhz)
        assert volts == pytest.approx(WATTS.volts_at(item.frequency_mhz), rel=0.01)
    assert {table.idle_w for table in family.tables} == {WATTS.idle_w}


def test_ways_scale_by_one_factor_where_the_clock_acts_alike_on_all(family: FamilyProfile) -> None:
    """So the clock between the measured ones costs what the laws say, for each way, in latency and energy."""
    for operators in networks():
        for threads in (1, 2, 4):
            base, middle = (RuntimeConfiguration(threads=threads, frequency_mhz=mhz) for mhz in (1500, 1000))
            known, predicted = (
                exit_costs(family.tables[item], SPACE, operators, EXITS).of((0, 1)) for item in (base, middle)
            )
            files = segments(operators)
            for way in range(3):
                board = ReplayDevice(one_law, cores=4, power_model=WATTS)
                slow, quick = board.measure(files[: way + 1], middle), board.measure(files[: way + 1], base)
                latency = predicted.latency_ms_X[way] / known.latency_ms_X[way]
                assert latency == pytest.approx(slow.latency_ms / quick.latency_ms, rel=0.05)
                energy = predicted.energy_mj_X[way] / known.energy_mj_X[way]
                assert energy == pytest.approx(slow.energy_mj / quick.energy_mj, rel=0.05)


@pytest.mark.slow
@pytest.mark.thorough
def test_ways_at_an_unmeasured_clock_follow_from_those_at_the_top_within_5_percent() -> None:
    """On drawn boards, whose operators each scale in their own way: measured at the top, predicted at 1000 MHz."""
    errors = []
    for number in range(4):
        drawn = DrawnBoard(np.random.SeedSequence(number), noise=0.0)

        def latency_ms(model: Model, configuration: RuntimeConfiguration, board: DrawnBoard = drawn) -> float:
            return sum(board.latency_ms(file, configuration) for file in files_of(model))

        device = ReplayDevice(latency_ms, cores=4, frequencies_mhz=tuple(reversed(CLOCKS_MHZ)), power_model=WATTS)
        found = profile_family(device, SPACE, ASKED, power_model=WATTS, passes=1)
        for operators in networks()[:4]:
            files = segments(operators)
            for threads in (1, 2, 4):
                top, middle = (RuntimeConfiguration(threads=threads, frequency_mhz=mhz) for mhz in (1500, 1000))
                known, predicted = (
                    exit_costs(found.tables[item], SPACE, operators, EXITS).of((0, 1)) for item in (top, middle)
                )
                for way in range(3):
                    measured, truth = (device.measure(files[: way + 1], item) for item in (top, middle))
                    ratio = predicted.latency_ms_X[way] / known.latency_ms_X[way]
                    errors.append(abs(measured.latency_ms * ratio / truth.latency_ms - 1))
                    ratio = predicted.energy_mj_X[way] / known.energy_mj_X[way]
                    errors.append(abs(measured.energy_mj * ratio / truth.energy_mj - 1))
    assert max(errors) < 0.05
    assert np.mean(errors) < 0.02
