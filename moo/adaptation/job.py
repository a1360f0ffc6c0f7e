"""The whole job of `adapt_front`: trained networks of a run get exits, and the run the front of what they can do.

Start with `adapt_in_run`. Each stage keeps its results in `adaptations/<id>/` before the next one begins: an
interrupted job goes on where it was, and ends with the same front.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import cache, partial

from devices.configuration import RuntimeConfiguration
from devices.cost_tables.exit_costs import PathCosts
from devices.cost_tables.table_names import is_table
from devices.device import Device
from devices.measurement import MeasureSettings
from evaluation.early_exits.policy import judged
from evaluation.work_folder import lock_folder
from moo import events
from moo.adaptation.config import AdaptFrontConfig
from moo.adaptation.costs import slowdown_of
from moo.adaptation.inputs import AdaptationInputs, adaptation_inputs
from moo.adaptation.measuring import WayMeasurements, measure_ways, read_measurements
from moo.adaptation.nested import deployed_points, finalists_of, network_costs, search_networks
from moo.adaptation.outputs import write_adapted
from moo.adaptation.passing import measure_passing, read_passing
from moo.adaptation.points import joint_front, static_points, with_measured_costs
from moo.adaptation.streams import stream_front
from moo.adaptation.training.backbones import Backbone, PassedOver, chosen_networks, prepared_backbones
from moo.adaptation.training.deployed import Deployment, check_deployment, outcomes_on_test
from moo.adaptation.training.exits import train_exits
from moo.adaptation.training.finalists import deploy_finalists
from moo.analysis.adaptation import AdaptiveResults, gains_text
from moo.analysis.chance import wilson
from moo.analysis.near_front import candidate_networks
from moo.deployment.finished_run import FinishedRun, open_run, record_of
from moo.execution.backend import Trainer
from moo.execution.ray_trainer import start_ray_trainer
from moo.measurement.boards import Boards, open_boards
from moo.measurement.queue import Measurer, start_measurer
from moo.search.outputs import write_pictures_and_report
from moo.storage.adaptive_front import AdaptivePoint
from moo.storage.record import RunRecord
from search_space.boundary.reading import local_path


@dataclass(frozen=True, kw_only=True, slots=True)
class AdaptedRun:
    """What came of adapting the networks of a run."""

    front: tuple[AdaptivePoint, ...]
    """Of networks with exits and as they are, best accuracy first."""
    gains: str
    """What exits and configurations gain over the networks as they are, in a line."""
    energy_label: str
    """What the energy is called."""
    missing: str | None
    """What could not be trained or measured, in one line; None if nothing is missing."""


def adapt_in_run(config: AdaptFrontConfig, tell: events.Listener) -> AdaptedRun:
    """Give the trained networks of a run exits, and write the front of what they can do.

    Args:
        config: how.
        tell: is told of all that happens.

    Raises:
        ValueError: for every kind of bad input.
        MachineryError: if what trains died.
    """
    path = local_path(config.run)

    def loading(done: int, total: int) -> None:
        tell(events.StageProgress("loading", done, total))

    run = open_run(path, dataset=config.dataset, on_loading=loading)
    with lock_folder(path):
        record, boards, trainers = record_of(run), Boards(), ExitStack()
        try:
            prepared = prepare_adaptation(config, run, record, tell)
            boards = _boards_of(prepared.inputs)
            start = cache(partial(_start_trainer, prepared, trainers))
            if config.fresh:
                # Before anything is forgotten, all that can go wrong has.
                start()
            adapted = adapt(prepared, start, boards.devices)
        finally:
            trainers.close()
            boards.close()
            record.close()
        write_pictures_and_report(run, record.archive)
    return adapted


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class PreparedAdaptation:
    """All that an adaptation is made of, checked."""

    inputs: AdaptationInputs
    backbones: tuple[Backbone, ...]
    """Networks that get exits."""
    passed_over: tuple[PassedOver, ...]
    untrained: int
    """Networks as near the front that are not trained."""


def prepare_adaptation(
    config: AdaptFrontConfig, run: FinishedRun, record: RunRecord, tell: events.Listener
) -> PreparedAdaptation:
    """Check all that an adaptation is made of, and choose its networks; nothing is written.

    Args:
        config: how networks are adapted.
        run: that they are of.
        record: of the run.
        tell: is told of all that happens.

    Raises:
        ValueError: for every kind of bad input.
    """
    if run.config.error != "plain":
        raise ValueError(
            "a run whose networks get early exits must have been searched by the plain error, but got one of "
            f"`--error {run.config.error}`, by which exits are not judged: search without that option."
        )
    inputs = adaptation_inputs(config, run, record, tell)
    candidates = candidate_networks(record.archive)
    entries = chosen_networks(candidates, record.archive, config.only)
    backbones, passed_over = prepared_backbones(run, record.archive, entries, config)
    if not config.fresh:
        read_passing(run.folder.passing, record.archive)
        for backbone in backbones:
            check_deployment(backbone, joint_epochs=config.joint_epochs)
    return PreparedAdaptation(
        inputs=inputs,
        backbones=tuple(backbones),
        passed_over=tuple(passed_over),
        untrained=len(candidates.untrained),
    )


def adapt(prepared: PreparedAdaptation, trainer: Callable[[], Trainer], devices: Sequence[Device]) -> AdaptedRun:
    """Train, search, deploy, measure and test, and write the front; what had been done before is not done again.

    Args:
        prepared: what is adapted, and how.
        trainer: gives what trains; called if there is anything to train.
        devices: boards that measure; none where costs are predicted.

    Raises:
        ValueError: if what was kept is damaged.
        MachineryError: if what trains died.
    """
    inputs, backbones = prepared.inputs, prepared.backbones
    archive = inputs.record.archive
    inputs.tell(
        events.AdaptationStarted(
            networks=len(backbones),
            description=f"{inputs.images:,} images of {inputs.run.config.dataset}",
            passed_over=tuple((one.id, one.reason) for one in prepared.passed_over),
            untrained=prepared.untrained,
        )
    )
    if inputs.config.fresh:
        for backbone in backbones:
            backbone.folder.forget()
        inputs.run.folder.passing.unlink(missing_ok=True)
    static = static_points(archive, inputs.configurations, energy=inputs.energy, images=inputs.images)
    trained, failures = train_exits(inputs, backbones, trainer)
    backbones = tuple(one for one in backbones if one.id in trained)
    with ExitStack() as boards:
        measurer = _measurer(inputs, devices, boards)
        inputs, unknown = with_passing_known(inputs, backbones, static, measurer)
        policies = search_networks(inputs, backbones, trained, static)
        finalists = finalists_of(inputs, backbones, trained, policies, static)
        deployed, later = deploy_finalists(inputs, finalists.networks, trainer)
        found = _measured_front(inputs, deployed, finalists.configurations, static, devices, measurer)
    deployments = {one.backbone.id: one for one in deployed}
    front = tested(inputs, found.front, deployments)
    compared = (*found.static, *trained_on(found.static, deployments))
    write_adapted(inputs, front, deployments, compared=[*compared, *found.points])
    results = AdaptiveResults(front=front, points=found.points, static=compared, is_whole=True)
    gained = results.gains(archive)
    return AdaptedRun(
        front=front,
        gains="" if gained is None else gains_text(gained),
        energy_label="energy" if inputs.energy.kind == "net" else inputs.energy.label,
        missing=_missing({**failures, **later}, (*unknown, *found.missing)),
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class _FoundFront:
    front: tuple[AdaptivePoint, ...]
    points: tuple[AdaptivePoint, ...]
    """Of all deployed networks with exits."""
    static: tuple[AdaptivePoint, ...]
    """Networks as they are."""
    missing: tuple[str, ...]
    """What could not be measured or streamed."""


def _measured_front(
    inputs: AdaptationInputs,
    deployed: Sequence[Deployment],
    configurations: Mapping[str, Sequence[RuntimeConfiguration]],
    static: Sequence[AdaptivePoint],
    devices: Sequence[Device],
    measurer: Measurer | None,
) -> _FoundFront:
    """The joint front with the costs of deployed networks' ways as boards measure them, thresholds searched anew."""
    measured = [read_measurements(one) for one in deployed]
    missing = []
    if measurer is not None:
        wanted = [(one, configurations[one.deployment.backbone.id]) for one in measured]
        missing += measure_ways(inputs, wanted, measurer)
    static = measured_static(inputs, static, measured)
    points: list[AdaptivePoint] = []
    for one in measured:
        costs = within_slowdown(inputs, one.deployment, ways_costs(inputs, one, static), static)
        if costs:
            points += deployed_points(inputs, one.deployment, costs)
    front = joint_front([*static, *points], inputs.run.config.limits)
    by_id = {one.deployment.backbone.id: one for one in measured}
    front, not_streamed = stream_front(inputs, front, by_id, devices)
    return _FoundFront(front=front, points=tuple(points), static=static, missing=(*missing, *not_streamed))


def ways_costs(
    inputs: AdaptationInputs, measured: WayMeasurements, static: Sequence[AdaptivePoint]
) -> dict[RuntimeConfiguration, PathCosts]:
    """Costs of each way through a network: as measured, in the configurations where all are; else predicted.

    Args:
        inputs: what it is adapted with.
        measured: what boards measured of it.
        static: networks as they are.
    """
    deployment = measured.deployment
    found = {one: costs for one in inputs.configurations if (costs := measured.costs(one)) is not None}
    if found:
        return found
    plan = [deployment.backbone.exits.index(one) for one in deployment.exits]
    return {one: costs.of(plan) for one, costs in network_costs(inputs, deployment.backbone, static).items()}


def within_slowdown(
    inputs: AdaptationInputs,
    deployment: Deployment,
    costs: Mapping[RuntimeConfiguration, PathCosts],
    static: Sequence[AdaptivePoint],
) -> dict[RuntimeConfiguration, PathCosts]:
    """Costs of ways in the configurations in which the one past all exits takes no longer than is allowed.

    Args:
        inputs: what the network is adapted with.
        deployment: the network with its exits.
        costs: of each way, in configurations.
        static: networks as they are.
    """
    most, name = inputs.most_slowdown, deployment.backbone.id
    if most is None:
        return dict(costs)
    static_ms = {point.configuration: point.latency_ms for point in static if point.id == name}
    slowdowns = {one: slowdown_of(paths, static_ms[one]) for one, paths in costs.items()}
    found = {one: paths for one, paths in costs.items() if slowdowns[one] <= most}
    if len(found) < len(costs):
        exceeding = tuple((one.label, slowdown) for one, slowdown in slowdowns.items() if one not in found)
        inputs.tell(events.SlowdownExceeded(name=name, slowdowns=exceeding, limit=most, everywhere=not found))
    return found


def with_passing_known(
    inputs: AdaptationInputs,
    backbones: Sequence[Backbone],
    static: Sequence[AdaptivePoint],
    measurer: Measurer | None,
) -> tuple[AdaptationInputs, list[str]]:
    """The same with what passing an exit takes, as boards measure it; and what could not be measured.

    Args:
        inputs: what networks are adapted with.
        backbones: networks that get exits.
        static: networks as they are.
        measurer: the boards; None where costs are predicted.

    Raises:
        ValueError: if what was kept of it is damaged.
    """
    base_ms = {point.id: point.latency_ms for point in static if point.configuration == inputs.configurations[0]}
    passing_ms, missing = measure_passing(inputs, backbones, lambda one: base_ms[one.id], measurer)
    return replace(inputs, passing_ms=passing_ms), missing


def _measurer(inputs: AdaptationInputs, devices: Sequence[Device], boards: ExitStack) -> Measurer | None:
    if not devices:
        return None
    measurer = start_measurer(devices, names=inputs.run.config.boards)
    boards.callback(measurer.close)
    return measurer


def _start_trainer(prepared: PreparedAdaptation, trainers: ExitStack) -> Trainer:
    config = prepared.inputs.config
    trainer = start_ray_trainer(
        prepared.inputs.run.splits,
        networks=len(prepared.backbones),
        workers=config.workers,
        gpus_per_worker=config.gpus_per_worker,
        deterministic=prepared.inputs.run.config.deterministic,
        threads=config.threads_per_worker,
        address=config.address,
        dashboard=config.dashboard,
        run=prepared.inputs.run.folder.path,
    )
    trainers.callback(trainer.close)
    prepared.inputs.tell(events.TrainersStarted(trainer.workers, trainer.threads, trainer.dashboard_url))
    return trainer


def measured_static(
    inputs: AdaptationInputs, static: Sequence[AdaptivePoint], measured: Sequence[WayMeasurements]
) -> tuple[AdaptivePoint, ...]:
    """Networks as they are, those with exits with what the board has measured of them."""
    by_id = {one.deployment.backbone.id: one for one in measured}
    points = []
    for point in static:
        own = by_id.get(point.id)
        measurement = None if own is None else own.static(point.configuration)
        points.append(point if measurement is None else with_measured_costs(point, measurement, inputs.energy))
    return tuple(points)


def trained_on(static: Sequence[AdaptivePoint], deployments: Mapping[str, Deployment]) -> tuple[AdaptivePoint, ...]:
    """Networks that were trained on together with their exits, without these: what they gained so is no gain of exits.

    Args:
        static: networks as they are.
        deployments: with exits, by id.
    """
    points = []
    for point in static:
        own = deployments.get(point.id)
        if own is not None and own.jointly_trained:
            error = own.segments[point.configuration.precision].outcomes.static_error
            interval = wilson(error, point.images)
            points.append(
                replace(
                    point,
                    error=error,
                    error_low=interval.low,
                    error_high=interval.high,
                    static_error=error,
                    oracle_error=error,
                    test_error=None,
                    jointly_trained=True,
                )
            )
    return tuple(points)


def tested(
    inputs: AdaptationInputs, front: Sequence[AdaptivePoint], deployments: Mapping[str, Deployment]
) -> tuple[AdaptivePoint, ...]:
    """A front with errors on the test split, which is read for its networks alone, once for each file."""
    points = []
    for done, point in enumerate(front):
        if point.exits:
            inputs.tell(events.StageProgress("testing", done, len(front), point.id))
            outcomes = outcomes_on_test(inputs.run, deployments[point.id], point.configuration.precision)
            point = replace(point, test_error=judged(outcomes, point.thresholds).error)
        points.append(point)
    return tuple(points)


def _boards_of(inputs: AdaptationInputs) -> Boards:
    search, config = inputs.run.config, inputs.config
    if not (config.measure and search.measure) or any(is_table(name) for name in search.boards):
        return Boards()
    try:
        return open_boards(search.boards, inputs.run.space, MeasureSettings(), meter=search.meter, measure=True)
    except ValueError as error:
        raise ValueError(
            f"{error} Or adapt without measuring: `--no-measure`; the same command measures later."
        ) from None


def _missing(failures: Mapping[str, str], unmeasured: Sequence[str]) -> str | None:
    parts = [f"not trained: {', '.join(failures)}"] * bool(failures)
    parts += [f"not measured: {', '.join(unmeasured)}"] * bool(unmeasured)
    return f"{'; '.join(parts)}. The same command, without `--fresh`, tries again." if parts else None
