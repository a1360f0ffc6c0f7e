"""The whole job: cost table, pre-training, NSGA-II over coefficients, measuring, the front. Start with `run_search`.

The order of things, and what is in the store when, is such that a run killed at any instant can be resumed.
"""

from __future__ import annotations

import itertools
import time
from functools import partial

import numpy as np

from devices.cost_model import analytic_cost_table
from devices.cost_table import CostTable, read_cost_table
from devices.device import MeasurementError
from devices.profiling import remembered_profile
from evaluation.work_folder import lock_folder, write_atomically, write_json
from moo import events
from moo.archive import Archive, reference_point_of
from moo.coefficients import bounds_of
from moo.config import SearchConfig
from moo.evolution import Evolution
from moo.front_measuring import FrontMeasuring
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
from moo.measuring import Measurer
from moo.outputs import onnx_model, write_front
from moo.preparation import Preparation
from moo.store import Store, entries_of
from search_space.architectures import operator_indices


class SearchFailedError(RuntimeError):
    """A run cannot go on: the board failed while it was profiled, or every evaluation of a generation failed."""


def run_search(preparation: Preparation, backend: Backend, listener: events.Listener) -> Archive:
    """Run or resume a search to its end, and write everything but pictures and report.

    Args:
        preparation: checked inputs.
        backend: where inner searches run.
        listener: is told of everything that happens.

    Returns:
        The archive; its front is measured, if anything is.

    Raises:
        SearchFailedError: if the board failed while it was profiled, or every tuple of a generation failed.
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
        self._lock = lock_folder(self._folder.path)
        if not preparation.resumed:
            self._folder.write_config(self._config, preparation.origin)
        self._store = Store(self._folder.store)
        boards = preparation.boards
        self._measurer = Measurer(boards.devices, names=self._config.boards) if boards.devices else None
        self._delivered: dict[str, DeliveryResult] = {}

    def run(self) -> Archive:
        self._store.add_event("resumed" if self._preparation.resumed else "started")
        self._tell(self._started())
        self._costs = self._cost_table()
        reference_point = reference_point_of(self._costs, len(self._preparation.splits.class_names))
        self._archive = Archive(reference_point, precision=self._config.precision)
        self._store.fill(self._archive, self._space)
        self._measuring = FrontMeasuring(
            self._measurer,
            self._archive,
            self._store,
            self._space,
            self._costs,
            self._tell,
            patience_seconds=self._config.board_patience,
        )
        self._supernet = self._pretrained()
        self._evolve()
        self._measure_final_front()
        origin = self._preparation.origin
        write_front(self._folder, self._archive, self._space, self._delivered, origin, dataset=self._config.dataset)
        seconds = time.monotonic() - self._start
        self._store.add_event("finished", seconds=seconds)
        self._tell(events.RunFinished(str(self._folder.path), seconds))
        return self._archive

    def close(self) -> None:
        if self._measurer is not None:
            self._measurer.close()
        self._store.close()
        self._lock.close()

    def _started(self) -> events.RunStarted:
        preparation, config = self._preparation, self._config
        description = (
            ("data set", f"{config.dataset} ({len(preparation.splits.class_names)} classes)"),
            ("space", f"{self._space.name} ({self._space.num_architectures:,} architectures)"),
            ("board", self._board_text()),
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

    def _board_text(self) -> str:
        boards, table = self._preparation.boards, self._preparation.cost_table
        if boards.board is not None:
            several = f"{len(boards.devices)} boards: " if len(boards.devices) > 1 else ""
            return f"{several}{boards.board.label}, {boards.board.runtime}"
        return f"none, all costs are modelled{'' if table is None else f' by a table of {table.board}'}"

    def _cost_table(self) -> CostTable:
        """The run's own table, else the user's, else a profile of the board, else a model."""
        path = self._folder.cost_table
        if path.exists():
            return read_cost_table(path)
        table = self._preparation.cost_table
        if table is None and self._preparation.boards.devices:
            table = self._profiled()
        if table is None:
            table = analytic_cost_table(self._space)
        write_json(path, table.to_json())
        return table

    def _profiled(self) -> CostTable:
        try:
            return remembered_profile(
                self._preparation.boards.devices[0],
                self._space,
                self._config.measure_settings,
                on_progress=lambda done, total, name: self._tell(events.StageProgress("profiling", done, total, name)),
            ).table
        except MeasurementError as error:
            raise SearchFailedError(
                f"the board could not be profiled: {error} What was measured is kept: go on with --resume "
                f"{self._folder.path}."
            ) from None

    def _table_of(self, generation: int) -> CostTable:
        """What a generation is searched with: the run's table, corrected by the networks measured before it.

        It is kept, so that a resumed run goes on with the same.
        """
        if generation == 0:
            return self._costs
        path = self._folder.generation_cost_table(generation)
        if path.exists():
            return read_cost_table(path)
        table = self._measuring.table
        write_json(path, table.to_json())
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
            self._costs = self._table_of(generation)
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
            self._measuring.between_generations(f"generation {generation + 1}")
            self._front_changed()

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
            if self._measuring.collect():
                self._front_changed()

    def _keep(self, result: TupleResult) -> None:
        self._store.add_result(result, self._space)
        new = sum(self._archive.add(entry) for entry in entries_of(result, self._space))
        self._tell(events.TupleDone(result, new))
        self._front_changed()
        self._measuring.front_changed()

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

    def _measure_final_front(self) -> None:
        """Until nothing changes: measure the front, hand out its networks, and measure the very files handed out."""
        for number in itertools.count(1):
            requested = self._measuring.request_front_at(f"end {number}")
            if self._measuring.drain() or requested:
                continue
            entries = [
                entry for entry in self._archive.inherited_front() if entry.architecture.id not in self._delivered
            ]
            if not entries:
                return
            self._tell(events.StageProgress("delivering", 0, len(entries)))
            self._run([DeliveryJob(operator_indices(self._space, entry.architecture)) for entry in entries])
            self._tell(events.StageProgress("delivering", len(entries), len(entries)))
            self._measuring.measure_files(
                (
                    entry.architecture.id,
                    partial(onnx_model, self._space, entry, self._delivered[entry.architecture.id].weights),
                )
                for entry in entries
            )
            self._front_changed()

    def _front_changed(self) -> None:
        front = self._archive.inherited_front()
        self._tell(
            events.FrontChanged(
                front,
                tuple(self._archive.costs(entry) for entry in front),
                self._archive.hypervolume(),
                len(self._archive),
                len(self._store.tuples()),
            )
        )
