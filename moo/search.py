"""The whole job: cost table, pre-training, NSGA-II over coefficients, measuring, the front. Start with `run_search`.

The order of things, and what is in the store when, is such that a run killed at any instant can be resumed.
"""

from __future__ import annotations

import itertools
import json
import time
from functools import partial

import numpy as np

from devices.cost_model import analytic_cost_table
from devices.cost_table import CostTable, read_cost_table
from devices.onnx_graphs import random_weights, to_onnx
from devices.profiling import profile
from moo import events
from moo.archive import Archive, Entry
from moo.coefficients import bounds_of
from moo.config import SearchConfig
from moo.evolution import Evolution
from moo.jobs import (
    Backend,
    DeliveryJob,
    DeliveryResult,
    Job,
    JobFailure,
    TupleJob,
    TupleResult,
    pretrained_weights,
    untrained_weights,
)
from moo.measuring import Measured, Measurer, Request
from moo.outputs import onnx_model, write_front
from moo.preparation import Preparation
from moo.run_folder import write_atomically
from moo.store import Store, entries_of
from search_space.architectures import operator_indices


class SearchFailedError(RuntimeError):
    """A run cannot go on: every evaluation of a generation failed."""


def run_search(preparation: Preparation, backend: Backend, listener: events.Listener) -> Archive:
    """Run or resume a search to its end, and write everything but pictures and report.

    Args:
        preparation: checked inputs.
        backend: where inner searches run.
        listener: is told of everything that happens.

    Returns:
        The archive; its front is measured, if anything is.

    Raises:
        SearchFailedError: if every tuple of a generation failed.
    """
    search = _Search(preparation, backend, listener)
    try:
        return search.run()
    finally:
        search.close()


class _Search:
    def __init__(self, preparation: Preparation, backend: Backend, listener: events.Listener) -> None:
        self._preparation = preparation
        self._config: SearchConfig = preparation.config
        self._space = preparation.space
        self._folder = preparation.folder
        self._backend = backend
        self._tell = listener
        self._start = time.monotonic()
        self._folder.path.mkdir(parents=True, exist_ok=True)
        if not preparation.resumed:
            self._folder.write_config(self._config, preparation.origin)
        self._store = Store(self._folder.store)
        self._measurer = None if preparation.device is None else Measurer(preparation.device)
        self._requested: set[str] = set()
        self._measured_at = self._store.networks_to_measure()
        self._delivered: dict[str, DeliveryResult] = {}

    def run(self) -> Archive:
        self._store.add_event("resumed" if self._preparation.resumed else "started")
        self._tell(self._started())
        self._costs = self._cost_table()
        reference_point = reference_point_of(self._costs, len(self._preparation.splits.class_names))
        self._archive = Archive(reference_point)
        self._store.fill(self._archive, self._space)
        self._supernet = self._pretrained()
        self._evolve()
        self._measure_final_front()
        origin = self._preparation.origin
        write_front(self._folder, self._archive, self._space, self._delivered, origin)
        seconds = time.monotonic() - self._start
        self._store.add_event("finished", seconds=seconds)
        self._tell(events.RunFinished(str(self._folder.path), seconds))
        return self._archive

    def close(self) -> None:
        if self._measurer is not None:
            self._measurer.close()
        self._store.close()

    def _started(self) -> events.RunStarted:
        preparation, config = self._preparation, self._config
        board = preparation.board
        description = (
            ("data set", f"{config.dataset} ({len(preparation.splits.class_names)} classes)"),
            ("space", f"{self._space.name} ({self._space.num_architectures:,} architectures)"),
            ("board", "none, all costs are modelled" if board is None else f"{board.label}, {board.runtime}"),
        )
        return events.RunStarted(
            str(self._folder.path),
            preparation.resumed,
            self._backend.dashboard_url,
            description,
            config.generations,
            config.population,
            preparation.pretraining.epochs,
        )

    def _cost_table(self) -> CostTable:
        """The run's own table, else the user's, else a profile of the board, else a model."""
        path = self._folder.cost_table
        if path.exists():
            return read_cost_table(path)
        table = self._preparation.cost_table
        if table is None and self._preparation.device is not None:
            table = profile(
                self._preparation.device,
                self._space,
                on_progress=lambda done, total, name: self._tell(events.StageProgress("profiling", done, total, name)),
            ).table
        if table is None:
            table = analytic_cost_table(self._space)
        write_atomically(path, (json.dumps(table.to_json(), indent=1) + "\n").encode())
        return table

    def _pretrained(self) -> bytes:
        """Weights of the pre-trained supernet, as safetensors."""
        folder, settings = self._folder, self._preparation.pretraining
        if folder.supernet.exists():
            return folder.supernet.read_bytes()
        state = folder.pretraining.read_bytes() if folder.pretraining.exists() else None
        for record, later_state in self._backend.pretrain(settings, state):
            state = later_state
            write_atomically(folder.pretraining, state)
            self._tell(events.PretrainEpoch(record, settings.epochs))
        weights = untrained_weights(self._preparation.bench) if state is None else pretrained_weights(state)
        write_atomically(folder.supernet, weights)
        folder.pretraining.unlink(missing_ok=True)
        return weights

    def _evolve(self) -> None:
        """All generations; tuples that are in the store already are not searched again."""
        config = self._config
        seed = int(np.random.SeedSequence(config.seed, spawn_key=(2,)).generate_state(1)[0])
        evolution = Evolution(bounds_of(config), population=config.population, seed=seed)
        for generation in range(config.generations):
            coefficients = evolution.ask()
            if not coefficients:
                self._store.add_event("converged", generation=generation)
                return
            first = generation * config.population
            jobs = [TupleJob(first + place, generation, values) for place, values in enumerate(coefficients)]
            stored = self._store.tuples()
            if any(job.id in stored and stored[job.id].job != job for job in jobs):
                raise SearchFailedError(
                    f"generation {generation + 1} in {self._folder.store} is not the one that these settings give; "
                    "was it made with another version of pymoo?"
                )
            waiting: list[Job] = [job for job in jobs if job.id not in stored]
            self._tell(events.GenerationStarted(generation + 1, len(jobs), len(jobs) - len(waiting)))
            self._front_changed()
            self._run(waiting)
            stored = self._store.tuples()
            objectives = [stored[job.id].objectives for job in jobs]
            if all(values is None for values in objectives):
                reason = (stored[jobs[-1].id].traceback or "").strip().splitlines()[-1:]
                self._store.forget_failures(generation)
                raise SearchFailedError(
                    f"every tuple of generation {generation + 1} failed; the last one with: {''.join(reason)}"
                )
            evolution.tell(objectives)
            self._measure_front(f"generation {generation + 1}")

    def _run(self, jobs: list[Job]) -> None:
        def on_start(job: Job) -> None:
            if isinstance(job, TupleJob):
                self._tell(events.TupleStarted(job))

        for outcome in self._backend.run(jobs, self._costs, self._supernet, on_start):
            if isinstance(outcome, TupleResult):
                self._keep(outcome)
            elif isinstance(outcome, DeliveryResult):
                self._keep_delivery(outcome)
            else:
                self._keep_failure(outcome)
            self._collect_measured()

    def _keep(self, result: TupleResult) -> None:
        self._store.add_result(result, self._space)
        new = sum(self._archive.add(entry) for entry in entries_of(result, self._space))
        self._tell(events.TupleDone(result, new))
        self._front_changed()
        if self._preparation.device is not None and not self._preparation.device.shares_host:
            self._request_front()

    def _keep_failure(self, failure: JobFailure) -> None:
        if isinstance(failure.job, TupleJob):
            self._store.add_failure(failure.job, failure.traceback)
            self._tell(events.TupleFailed(failure.job, failure.traceback))
        else:
            raise SearchFailedError(f"a network of the front could not be handed out.\n{failure.traceback}")

    def _keep_delivery(self, result: DeliveryResult) -> None:
        entry = next(
            entry
            for entry in self._archive.entries
            if operator_indices(self._space, entry.architecture) == result.job.indices
        )
        identifier = entry.architecture.id
        self._delivered[identifier] = result
        self._store.set_test_error(identifier, result.test_error)
        self._archive.set_test_error(identifier, result.test_error)

    def _request_front(self) -> None:
        """Queue the networks of the front that were not measured yet, with random weights of the right shapes."""
        self._request(self._unmeasured_front())

    def _request_front_at(self, stage: str) -> bool:
        """The same, noted in the store: a run that is killed while it measures goes on with the very same networks.

        Returns:
            Whether there were any.
        """
        if self._measurer is None:
            return False
        if stage not in self._measured_at:
            self._measured_at[stage] = self._unmeasured_front()
            self._store.add_networks_to_measure(stage, self._measured_at[stage])
        self._request(self._measured_at[stage])
        return len(self._measured_at[stage]) > 0

    def _unmeasured_front(self) -> list[str]:
        """Networks of the front that were neither measured nor requested."""
        front = (entry for entry in self._archive.front() if entry.measurement is None)
        return [entry.architecture.id for entry in front if entry.architecture.id not in self._requested]

    def _request(self, identifiers: list[str]) -> None:
        if self._measurer is None:
            return
        for identifier in identifiers:
            entry = self._archive[identifier]
            if entry.measurement is None and identifier not in self._requested:
                self._requested.add(identifier)
                self._measurer.request(Request(identifier, partial(self._unweighted_model, entry)))

    def _unweighted_model(self, entry: Entry) -> bytes:
        graph = self._space.graph(entry.architecture.operators)
        return to_onnx(graph, random_weights(graph, np.random.default_rng(0)))

    def _measure_front(self, stage: str) -> None:
        """Between generations: this machine measures now; a board of its own goes on beside the search."""
        if self._preparation.device is None:
            return
        if self._preparation.device.shares_host:
            self._request_front_at(stage)
            self._drain()
        else:
            self._request_front()
            self._collect_measured()

    def _drain(self) -> bool:
        """Measure all that is queued; returns whether there was anything."""
        if self._measurer is None:
            return False
        total, done = self._measurer.waiting, 0
        for measured in self._measurer.drain():
            done += 1
            self._keep_measured(measured)
            self._tell(events.StageProgress("measuring", done, max(total, done), measured.architecture_id))
        if done:
            self._front_changed()
        return done > 0

    def _collect_measured(self) -> None:
        if self._measurer is not None:
            for measured in self._measurer.collect():
                self._keep_measured(measured)
                self._front_changed()

    def _keep_measured(self, measured: Measured) -> None:
        identifier = measured.architecture_id
        if measured.measurement is None:
            self._store.add_event("measuring failed", architecture=identifier, reason=measured.reason)
            self._tell(events.MeasuringFailed(identifier, measured.reason))
            return
        self._store.add_measurement(identifier, measured.measurement)
        self._archive.set_measurement(identifier, measured.measurement)
        waiting = 0 if self._measurer is None else self._measurer.waiting
        self._tell(events.NetworkMeasured(identifier, measured.measurement, waiting))

    def _measure_final_front(self) -> None:
        """Until nothing changes: measure the front, hand out its networks, and measure the very files handed out."""
        for number in itertools.count(1):
            requested = self._request_front_at(f"end {number}")
            if self._drain() or requested:
                continue
            entries = [entry for entry in self._archive.front() if entry.architecture.id not in self._delivered]
            if not entries:
                return
            self._tell(events.StageProgress("delivering", 0, len(entries)))
            self._run([DeliveryJob(operator_indices(self._space, entry.architecture)) for entry in entries])
            self._tell(events.StageProgress("delivering", len(entries), len(entries)))
            if self._measurer is not None:
                for entry in entries:
                    weights = self._delivered[entry.architecture.id].weights
                    model = partial(onnx_model, self._space, entry, weights)
                    self._measurer.request(Request(entry.architecture.id, model))
                self._drain()

    def _front_changed(self) -> None:
        front = self._archive.front()
        costs = [self._archive.costs(entry) for entry in front]
        self._tell(
            events.FrontChanged(
                front,
                tuple((cost.latency_ms, cost.energy_mj) for cost in costs),
                self._archive.hypervolume(),
                len(self._archive),
                len(self._store.tuples()),
            )
        )


def reference_point_of(costs: CostTable, classes: int) -> tuple[float, float, float]:
    """The reference point of hypervolume: the error of guessing, and the slowest and most costly architecture's costs.

    Args:
        costs: the run's cost table; its largest sums give latency in ms and energy in mJ.
        classes: number of classes, K; guessing errs in 1 - 1 / K.
    """
    return (1 - 1 / classes, costs.slowest_ms(), costs.highest_mj())
