"""The whole job of `adapt_front`: trained networks of a run get exits, and the run the front of what they can do.

Start with `adapt_in_run`. Each stage keeps its results in `adaptations/<id>/` before the next one begins: an
interrupted job goes on where it was, and ends with the same front.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from devices.configuration import RuntimeConfiguration
from devices.cost_tables.exit_costs import PathCosts
from devices.cost_tables.table_names import is_table
from devices.measurement import MeasureSettings
from evaluation.early_exits.policy import judged
from evaluation.work_folder import lock_folder
from moo import events
from moo.adaptation.config import AdaptFrontConfig
from moo.adaptation.inputs import AdaptationInputs, adaptation_inputs
from moo.adaptation.measuring import WayMeasurements, measure_ways, read_measurements
from moo.adaptation.nested import deployed_points, finalists_of, network_costs, reference_point, search_networks
from moo.adaptation.networks import candidate_networks, chosen_networks
from moo.adaptation.outputs import write_adapted
from moo.adaptation.points import joint_front, static_points, with_measured_costs
from moo.adaptation.training.backbones import prepared_backbones
from moo.adaptation.training.deployed import Deployment, check_deployment, outcomes_on_test
from moo.adaptation.training.exits import train_exits
from moo.adaptation.training.finalists import deploy_finalists
from moo.analysis.adaptation import gains, gains_text
from moo.deployment.finished_run import open_run, record_of
from moo.execution.backend import Trainer
from moo.execution.ray_trainer import start_ray_trainer
from moo.measurement.boards import Boards, open_boards
from moo.storage.adaptive_front import AdaptivePoint
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
        record = record_of(run)
        try:
            inputs = adaptation_inputs(config, run, record, tell)
            job = _Job(inputs)
            try:
                return job.run()
            finally:
                job.close()
        finally:
            record.close()


class _Job:
    """Opens boards and trainers when they are needed, and closes them."""

    def __init__(self, inputs: AdaptationInputs) -> None:
        self._inputs = inputs
        self._trainer: Trainer | None = None
        self._boards = Boards()
        self._networks = 0

    def run(self) -> AdaptedRun:
        inputs, config = self._inputs, self._inputs.config
        archive, tell = inputs.record.archive, inputs.tell
        candidates = candidate_networks(archive)
        entries = chosen_networks(candidates, archive, config.only)
        backbones, passed_over = prepared_backbones(inputs.run, archive, entries, config)
        if not config.fresh:
            for backbone in backbones:
                check_deployment(backbone, joint_epochs=config.joint_epochs)
        self._boards = _boards_of(inputs)
        self._networks = len(backbones)
        tell(
            events.AdaptationStarted(
                networks=len(backbones),
                description=f"{inputs.images:,} images of {inputs.run.config.dataset}",
                passed_over=tuple((one.id, one.reason) for one in passed_over),
                untrained=len(candidates.untrained),
            )
        )
        if config.fresh:
            for backbone in backbones:
                backbone.folder.forget()
        static = static_points(archive, inputs.configurations, energy=inputs.energy, images=inputs.images)
        trained, failures = train_exits(inputs, backbones, self._start_trainer)
        backbones = [one for one in backbones if one.id in trained]
        policies = search_networks(inputs, backbones, trained, static)
        finalists = finalists_of(inputs, backbones, trained, policies, static)
        deployments, later = deploy_finalists(inputs, finalists.networks, self._start_trainer)
        measured = [read_measurements(one) for one in deployments]
        wanted = [(one, finalists.configurations[one.deployment.backbone.id]) for one in measured]
        unmeasured = measure_ways(inputs, wanted, self._boards.devices)
        static = measured_static(inputs, static, measured)
        points = [
            point for one in measured for point in deployed_points(inputs, one.deployment, self._costs(one, static))
        ]
        front = joint_front([*static, *points], inputs.run.config.limits)
        by_id = {one.backbone.id: one for one in deployments}
        front = tested(inputs, front, by_id)
        write_adapted(inputs, front, by_id)
        return AdaptedRun(
            front=front,
            gains=gains_text(gains(points, static, reference_point(inputs))),
            energy_label="energy" if inputs.energy.kind == "net" else inputs.energy.label,
            missing=_missing({**failures, **later}, unmeasured),
        )

    def _costs(
        self, measured: WayMeasurements, static: Sequence[AdaptivePoint]
    ) -> dict[RuntimeConfiguration, PathCosts]:
        """Costs of each way through a network: as measured where there is a board, else predicted."""
        inputs, deployment = self._inputs, measured.deployment
        found = {one: costs for one in inputs.configurations if (costs := measured.costs(one)) is not None}
        if found:
            return found
        backbone = deployment.backbone
        plan = [backbone.exits.index(one) for one in deployment.exits]
        return {one: costs.of(plan) for one, costs in network_costs(inputs, backbone, static).items()}

    def _start_trainer(self) -> Trainer:
        if self._trainer is None:
            config = self._inputs.config
            trainer = start_ray_trainer(
                self._inputs.run.splits,
                networks=self._networks,
                workers=config.workers,
                threads=config.threads_per_worker,
                address=config.address,
                dashboard=config.dashboard,
            )
            self._inputs.tell(events.TrainersStarted(trainer.workers, trainer.threads, trainer.dashboard_url))
            self._trainer = trainer
        return self._trainer

    def close(self) -> None:
        if self._trainer is not None:
            self._trainer.close()
        self._boards.close()


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
