"""What passing an exit takes: measured on boards, kept, and known where exits are chosen."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from devices.configuration import RuntimeConfiguration, configurations_of
from devices.cost_tables.exit_costs import exit_costs
from devices.models import Model
from devices.replay import ReplayDevice, recorded
from moo import events
from moo.adaptation import passing
from moo.adaptation.config import AdaptFrontConfig
from moo.adaptation.costs import clock_reference, slowdown_of
from moo.adaptation.inputs import AdaptationInputs
from moo.adaptation.job import PreparedAdaptation, prepare_adaptation
from moo.adaptation.passing import measure_passing, sample_files, samples_of
from moo.adaptation.training.backbones import Backbone
from moo.deployment.finished_run import FinishedRun, record_of
from moo.measurement.queue import start_measurer
from moo.storage.adaptive_front import AdaptivePoint
from tests.moo.adaptation.conftest import Adapt, at

CONSTANT_MS = 0.7
QUICK: dict[str, Any] = {"joint_epochs": 0.0, "precision": ("fp32",)}
"""Options of jobs whose networks need not be good."""


@pytest.fixture
def prepared(trained_run: FinishedRun) -> Iterator[PreparedAdaptation]:
    """An adaptation of the tiny run, about to begin."""
    with closing(record_of(trained_run)) as record:
        config = AdaptFrontConfig(run=str(trained_run.folder.path))
        yield prepare_adaptation(config, trained_run, record, lambda event: None)


def static_ms(inputs: AdaptationInputs) -> Callable[[Backbone], float]:
    """Of networks, by the table of the base configuration."""
    table = inputs.tables.base
    return lambda one: table.latency_of([table.operators.index(name) for name in one.architecture.operators])


def constant_board(prepared: PreparedAdaptation) -> ReplayDevice:
    """A board on which tables and heads are exact, and each exit takes a constant, twice that on two threads."""
    inputs = prepared.inputs
    known: dict[tuple[Model, RuntimeConfiguration], float] = {}
    for configuration in inputs.configurations:
        for sample in samples_of(prepared.backbones, static_ms(inputs), inputs.run.space):
            operators = inputs.record.archive[sample.network].architecture.operators
            costs = exit_costs(inputs.tables[configuration], inputs.run.space, operators, sample.exits)
            exits_ms = CONSTANT_MS * configuration.threads * len(sample.exits)
            model = sample_files(inputs, sample, configuration.precision)
            known[model, configuration] = float(costs.whole_ms + costs.head_ms_E.sum() + exits_ms)
    return ReplayDevice(lambda model, configuration: known[model, configuration], shares_host=True)


def test_the_constant_of_a_board_comes_back(prepared: PreparedAdaptation) -> None:
    inputs = prepared.inputs
    with closing(start_measurer([constant_board(prepared)])) as measurer:
        found, missing = measure_passing(inputs, prepared.backbones, static_ms(inputs), measurer)
    assert missing == []
    assert set(found) == set(inputs.configurations)
    for configuration, latency_ms in found.items():
        assert latency_ms == pytest.approx(CONSTANT_MS * configuration.threads)


def test_what_was_measured_is_kept_and_told(prepared: PreparedAdaptation) -> None:
    inputs = prepared.inputs
    with closing(start_measurer([constant_board(prepared)])) as measurer:
        before = measure_passing(inputs, prepared.backbones, static_ms(inputs), measurer)
    with closing(start_measurer([ReplayDevice(recorded({}), shares_host=True)])) as measurer:
        assert measure_passing(inputs, prepared.backbones[:1], static_ms(inputs), measurer) == before
    assert measure_passing(inputs, prepared.backbones, static_ms(inputs), None) == before


def test_without_a_board_nothing_is_known(prepared: PreparedAdaptation) -> None:
    assert measure_passing(prepared.inputs, prepared.backbones, static_ms(prepared.inputs), None) == ({}, [])
    assert not prepared.inputs.run.folder.passing.exists()


def test_what_cannot_be_measured_is_missing_and_tried_again(prepared: PreparedAdaptation) -> None:
    inputs, good = prepared.inputs, constant_board(prepared)

    def in_fp32(model: Model, configuration: RuntimeConfiguration) -> float:
        if configuration.precision == "int8":
            raise KeyError("no kernel")
        return good.measure(model, configuration).latency_ms

    with closing(start_measurer([ReplayDevice(in_fp32, shares_host=True)])) as measurer:
        found, missing = measure_passing(inputs, prepared.backbones, static_ms(inputs), measurer)
    assert {one.precision for one in found} == {"fp32"}
    assert missing == ["passing exits in ort 1t int8", "passing exits in ort 2t int8"]
    with closing(start_measurer([good])) as measurer:
        again, missing = measure_passing(inputs, prepared.backbones, static_ms(inputs), measurer)
    assert missing == []
    assert set(again) == set(inputs.configurations)


def test_clocks_share_what_is_measured() -> None:
    configurations = tuple(sorted(configurations_of((1, 2), (1500, 600), ("fp32", "int8"))))
    references = {one: clock_reference(one, configurations) for one in configurations}
    assert {one.label for one in references.values()} == {
        "ort 1t 1500MHz fp32", "ort 1t 1500MHz int8", "ort 2t 1500MHz fp32", "ort 2t 1500MHz int8",
    }  # fmt: skip
    assert all(one.threads == of.threads and one.precision == of.precision for one, of in references.items())


def test_damaged_and_foreign_figures_are_refused_before_anything_is_done(
    prepared: PreparedAdaptation, adapted: Adapt
) -> None:
    inputs, path = prepared.inputs, prepared.inputs.run.folder.passing
    with closing(start_measurer([constant_board(prepared)])) as measurer:
        measure_passing(inputs, prepared.backbones, static_ms(inputs), measurer)
    content = path.read_bytes()
    path.write_bytes(content.replace(b"0.", b"1.", 1))
    with pytest.raises(ValueError, match=r"passing\.json.*or delete it: what passing an exit takes is then measured"):
        adapted(inputs.run)
    network = samples_of(prepared.backbones, static_ms(inputs), inputs.run.space)[0].network
    kept = passing.PassingMeasurements(path, (passing.MeasuredCut("999", ()), passing.MeasuredCut("999", ())))
    assert network != "999"
    kept.keep(inputs.configurations[0], kept.samples[0], constant_measurement())
    with pytest.raises(ValueError, match=r"but does not: it is of other networks than the run's\. Restore it"):
        adapted(inputs.run)


def constant_measurement() -> Any:
    """Of anything."""
    return ReplayDevice(lambda model: 1.0).measure(b"")


@dataclass
class Deploying:
    """A board that is as quick at segments as it says before networks are deployed, and other than that from then on.

    A network as it is takes 20 ms.
    """

    before: Callable[[int], float]
    """Latency of so many segments that are measured to tell what an exit takes."""
    after: Callable[[int], float]
    """Of so many segments of a network that was deployed."""
    told: list[events.Event]

    def latency_ms(self, model: Model) -> float:
        """Of a file, or of segments."""
        if isinstance(model, bytes):
            return 20.0
        deployed = any(isinstance(event, events.NetworkDeployed) for event in self.told)
        return (self.after if deployed else self.before)(len(model))

    def run(self, adapted: Adapt, run: FinishedRun, **options: Any) -> tuple[AdaptivePoint, ...]:
        """The front of a run with this board."""
        board = ReplayDevice(self.latency_ms, shares_host=True)
        return adapted(run, devices=(board,), told=self.told, **QUICK | options).front


def labels(told: list[events.Event], kind: type[events.Event]) -> list[Any]:
    """The events of a kind."""
    return [event for event in told if isinstance(event, kind)]


def test_plans_that_do_not_pay_where_exits_are_dear_are_not_chosen(trained_run: FinishedRun, adapted: Adapt) -> None:
    dear = Deploying(lambda segments: 40.0 * segments, lambda segments: 0.1, [])
    front = dear.run(adapted, trained_run)
    assert all(not point.exits for point in front)
    assert labels(dear.told, events.NetworkDeployed) == []
    (event,) = labels(dear.told, events.PassingMeasured)
    assert len(event.passing_us) == 2
    assert all(passing_us > 20_000 for _, passing_us in event.passing_us)
    free = Deploying(lambda segments: 20.0, lambda segments: 5.0 * segments, [])
    front = free.run(adapted, trained_run, fresh=True)
    assert any(point.exits for point in front)
    assert all(passing_us == 0 for _, passing_us in labels(free.told, events.PassingMeasured)[0].passing_us)


def test_a_network_whose_exits_do_not_pay_once_measured_stays_as_it_is(
    trained_run: FinishedRun, adapted: Adapt
) -> None:
    board = Deploying(lambda segments: 20.0, lambda segments: 25.0 + segments, [])
    front = board.run(adapted, trained_run)
    assert labels(board.told, events.NetworkDeployed)
    static = [point.error for point in front if not point.exits]
    assert static
    assert all(point.error < min(static) for point in front if point.exits), "they take longer, so must be better"
    handed_over = {path.parent.name for path in (trained_run.folder.path / "front").glob("*/adaptive")}
    assert handed_over == {point.id for point in front if point.exits}


@pytest.mark.parametrize("measurements", [0, 2, 9])
def test_killed_while_it_measures_it_ends_with_the_same_front(
    trained_run: FinishedRun, adapted: Adapt, tmp_path: Path, measurements: int
) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(trained_run.folder.path, copy)
    Deploying(lambda segments: 20.0 + 0.1 * segments, lambda segments: 5.0 * segments, []).run(adapted, trained_run)
    left = measurements

    def until_killed(segments: int) -> float:
        nonlocal left
        left -= 1
        if left < 0:
            raise KeyboardInterrupt
        return 20.0 + 0.1 * segments

    with pytest.raises(KeyboardInterrupt):
        Deploying(until_killed, until_killed, []).run(adapted, at(trained_run, copy))
    Deploying(lambda segments: 20.0 + 0.1 * segments, lambda segments: 5.0 * segments, []).run(
        adapted, at(trained_run, copy)
    )
    assert (copy / "front_adaptive.json").read_bytes() == trained_run.folder.adaptive_front.read_bytes()
    assert (copy / "adaptations/passing.json").read_bytes() == trained_run.folder.passing.read_bytes()


def slowdowns(front: tuple[AdaptivePoint, ...], static: dict[tuple[str, RuntimeConfiguration], float]) -> list[float]:
    """Of the way past all exits of each point that has some."""
    return [point.path_latency_ms[-1] / static[point.id, point.configuration] - 1 for point in front if point.exits]


def test_the_way_past_all_exits_takes_no_longer_than_is_allowed(trained_run: FinishedRun, adapted: Adapt) -> None:
    with closing(record_of(trained_run)) as record:
        static = {(point.id, point.configuration): point.costs.latency_ms for point in record.archive.trained_points()}
    found = slowdowns(adapted(trained_run, **QUICK).front, static)
    most = sorted(found)[len(found) // 2]
    assert max(found) > most > 0
    limited = slowdowns(adapted(trained_run, max_slowdown=100 * most, **QUICK).front, static)
    assert limited
    assert max(limited) <= most * (1 + 1e-9)
    assert slowdowns(adapted(trained_run, max_slowdown=0.0, **QUICK).front, static) == []


def test_what_exceeds_the_limit_once_measured_has_no_exits(trained_run: FinishedRun, adapted: Adapt) -> None:
    board = Deploying(lambda segments: 20.0, lambda segments: {1: 3.0}.get(segments, 23.0), [])
    assert any(point.exits for point in board.run(adapted, trained_run))
    assert labels(board.told, events.SlowdownExceeded) == []
    board = Deploying(board.before, board.after, [])
    front = board.run(adapted, trained_run, max_slowdown=10.0)
    exceeded = labels(board.told, events.SlowdownExceeded)
    assert {event.name for event in exceeded} == {event.name for event in labels(board.told, events.NetworkDeployed)}
    assert exceeded
    assert all(event.everywhere and event.limit == pytest.approx(0.1) for event in exceeded)
    assert all(slowdown == pytest.approx(0.15) for event in exceeded for _, slowdown in event.slowdowns)
    assert all(not point.exits for point in front)
    board = Deploying(board.before, board.after, [])
    assert any(point.exits for point in board.run(adapted, trained_run, max_slowdown=15.01))


def test_a_slowdown_is_that_of_the_way_past_all_exits(prepared: PreparedAdaptation) -> None:
    inputs, backbone = prepared.inputs, prepared.backbones[0]
    costs = exit_costs(inputs.tables.base, inputs.run.space, backbone.architecture.operators, backbone.exits)
    assert slowdown_of(costs.of(()), costs.whole_ms) == pytest.approx(0)
    assert slowdown_of(costs.of((0,)), costs.whole_ms) == pytest.approx(costs.head_ms_E[0] / costs.whole_ms)
