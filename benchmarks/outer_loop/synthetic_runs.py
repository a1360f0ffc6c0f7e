"""Run folders of any number of evaluated architectures, made up: errors that follow size, costs of the pi4 table.

Everything is written by `RunRecord`, as a search does it. Start with `write_run`.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from devices.configuration import ConfigurationSet
from devices.cost_tables.family import CostTables
from devices.cost_tables.raspberry_pi import built_in_tables
from devices.measurement import Measurement
from dnas.inner_search import StepRecord, ThetaResult
from dnas.losses import Coefficients
from dnas.pretraining import PretrainRecord, PretrainSettings
from moo.config import SearchConfig
from moo.execution.news import Watch, unwatched
from moo.measurement.front import corrected_tables
from moo.search.generational import IN_INT8_EACH
from moo.search.outputs import write_front_json
from moo.search.preparation import archive_for
from moo.search.proposals import algorithm_of, generation_size, surrogate_generation_size, trial_of
from moo.storage.archive import OperatingPoint, objectives_of
from moo.storage.origin import RunOrigin, SearchDataset, SplitSizes
from moo.storage.pareto import epsilon_front
from moo.storage.record import RunRecord, begin_record
from moo.storage.run_folder import RunFolder
from moo.storage.search_state import SearchState, write_state
from moo.storage.store import ESTIMATE, IN_INT8
from moo.trials import (
    ArchitectureTrial,
    DeliveryJob,
    EvaluatedArchitecture,
    Job,
    Outcome,
    QuantizationJob,
    QuantizationResult,
    TrialResult,
)
from search_space.boundary.writing import write_json
from search_space.spaces import FBNetSpace, space_named

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.intp]

BOARD = "pi4"
IMAGES = SplitSizes(weights=30_000, theta=10_000, selection=5_000, test=10_000)
MEASURED = 100
"""Operating points of the front that are measured."""
LOST_IN_INT8 = 0.006
"""Mean of the error that int8 adds."""


def write_run(folder: Path, architectures: int, *, space: str, configurations: ConfigurationSet, seed: int) -> None:
    """Write the folder of a search that has not ended, with pictures and report still to be made.

    Its first generation searched coefficients on a supernet; the others evaluated what a surrogate proposed.

    Args:
        folder: to make.
        architectures: different ones that it has evaluated, at least as many as a first generation gives.
        space: name of a preset.
        configurations: `default` for all of the built-in Pi 4, `base` for one.
        seed: of everything random.
    """
    config = SearchConfig(
        dataset="synthetic",
        space=space,
        device=(BOARD,),
        configurations=configurations,
        seed=seed,
    )
    searched, run = space_named(space), RunFolder(folder)
    tables = built_in_tables(BOARD, searched, config.given_configurations)
    origin = RunOrigin(space=searched, dataset=_dataset(searched))
    folder.mkdir(parents=True)
    with closing(begin_record(run)) as record:
        run.write_config(config, origin)
        write_json(run.cost_table, tables.to_json())
        archive = record.load_archive(archive_for(config, tables, origin.dataset), searched)
        record.add_event("started")
        record.add_event("searching")
        generation = 0
        for result in results(config, searched, tables, architectures, np.random.default_rng(seed)):
            if result.trial.generation > generation:
                generation += 1
                _quantize_some(record, generation)
            record.add_result(result, searched)
            if result.trial.id % 5 == 0:
                record.add_event(ESTIMATE, stage="searching", seconds_left=60.0, elapsed_seconds=5.0 * result.trial.id)
        _quantize_some(record, generation + 1)
        front = archive.inherited_front()
        chosen = [front[place] for place in epsilon_front(objectives_of(front), MEASURED)]
        _measure(record, chosen, np.random.default_rng(seed + 1))
        record.use_tables(corrected_tables(tables, archive.entries, searched))
        write_front_json(run, archive, front_size=config.front_size)
        generations = 1 + max(stored.trial.generation for stored in record.store.trials().values())
    _keep_tables(run, generations)
    write_state(run, SearchState(ended=False, reached=f"after generation {generations}"))


def results(
    config: SearchConfig, space: FBNetSpace, tables: CostTables, count: int, rng: np.random.Generator
) -> Iterator[TrialResult]:
    """Results of trials, as a search with these settings orders them, until so many architectures were evaluated.

    Args:
        config: of the search.
        space: that is searched.
        tables: with energy above idle.
        count: different architectures.
        rng: of everything random.
    """
    made = _Maker(space, config.energy_objective, tables, rng)
    proposals = algorithm_of(config, space, tables.configurations).ask(generation_size(config))
    for number in itertools.count():
        if made.count >= count:
            return
        generation, theta = 0, None
        if number < len(proposals):
            trial = trial_of(proposals[number], number=number, generation=0)
            architectures = tuple(made.one(trial.configuration) for _ in range(config.samples + 1))
            theta = _course(space, config.theta_steps, rng)
        else:
            generation = 1 + (number - len(proposals)) // surrogate_generation_size(config)
            configuration = tables.configurations[int(rng.integers(len(tables)))] if len(tables) > 1 else None
            architectures = (made.one(configuration),)
            trial = ArchitectureTrial(
                id=number,
                generation=generation,
                indices=architectures[0].indices,
                coefficients=_coefficients(config, rng),
                configuration=configuration,
            )
        yield TrialResult(trial=trial, architectures=architectures, chosen=0, theta=theta, seconds=5.0)


def _coefficients(config: SearchConfig, rng: np.random.Generator) -> Coefficients:
    bounds = np.log([config.alpha, config.beta, config.gamma, config.delta])
    return Coefficients(*np.exp(rng.uniform(bounds[:, 0], bounds[:, 1])).tolist())


def _course(space: FBNetSpace, steps: int, rng: np.random.Generator) -> ThetaResult:
    shape = (space.num_layers, len(space.operators))
    records = tuple(StepRecord.of(rng.random(7).tolist()) for _ in range(steps))
    return ThetaResult(rng.random(shape, np.float32), records, rng.random((steps, *shape), np.float32))


class ReadyBackend:
    """Gives results that are there already; implements `moo.execution.backend.Backend`."""

    def __init__(self, known: Sequence[TrialResult]) -> None:
        self.dashboard_url: str | None = None
        self.workers = 1
        self.gpus = 0
        self.watch: Watch = unwatched
        self._known = {result.trial.id: result for result in known}

    def pretrain(self, settings: PretrainSettings, state: bytes | None) -> Iterator[tuple[PretrainRecord, bytes]]:
        """Nothing is trained."""
        yield from ()

    def run(
        self, jobs: Iterable[Job], costs: CostTables, supernet: bytes, on_start: Callable[[Job], None]
    ) -> Iterator[Outcome]:
        """See `moo.execution.backend.Backend.run`."""
        for job in jobs:
            on_start(job)
            if isinstance(job, QuantizationJob):
                yield QuantizationResult(job, 0.5)
            elif not isinstance(job, DeliveryJob):
                yield self._known[job.id]

    def close(self) -> None:
        """Nothing is left to stop."""


class _Maker:
    """Draws architectures that were not drawn before, from quick ones to accurate ones."""

    def __init__(self, space: FBNetSpace, energy: Any, tables: CostTables, rng: np.random.Generator) -> None:
        self._tables = {table.configuration: energy.table(table) for table in tables}
        self._base = energy.table(tables.base)
        self._rng = rng
        latency_LO = self._base.latency_ms
        self._rank_LO = (latency_LO - latency_LO.min(1, keepdims=True)) / np.ptp(latency_LO, axis=1, keepdims=True)
        # What each operator at each layer is worth: slower ones more, by and large.
        self._worth_LO = self._rank_LO**0.5 + rng.normal(0.0, 0.25, latency_LO.shape)
        self._worth_LO *= rng.gamma(2.0, 0.5, (len(latency_LO), 1))
        self._highest = float(self._worth_LO.max(1).sum())
        self._easy_N = rng.random(IMAGES.selection)
        self._params_O = np.linspace(1_000, 40_000, latency_LO.shape[1])
        self._known: set[tuple[int, ...]] = set()

    @property
    def count(self) -> int:
        """How many were drawn."""
        return len(self._known)

    def one(self, configuration: Any) -> EvaluatedArchitecture:
        """One more, evaluated."""
        while (indices := self._drawn()) in self._known:
            pass
        self._known.add(indices)
        table = self._base if configuration is None else self._tables[configuration]
        worth = float(self._worth_LO[np.arange(len(indices)), list(indices)].sum()) / self._highest
        share = 0.06 + 0.7 * float(np.exp(-3.5 * worth)) + self._rng.normal(0.0, 0.004)
        wrong_N = self._easy_N + self._rng.normal(0.0, 0.05, IMAGES.selection) < share
        error = float(wrong_N.mean())
        quantized = None
        if configuration is not None and configuration.precision == "int8":
            quantized = min(1.0, error + round(abs(self._rng.normal(LOST_IN_INT8, 0.004)) * 5_000) / 5_000)
        return EvaluatedArchitecture(
            indices=indices,
            error=error,
            cross_entropy=3 * error,
            latency_ms=table.latency_of(indices),
            energy_mj=table.energy_of(indices),
            quantized_error=quantized,
            params=int(self._params_O[list(indices)].sum()),
            correct=np.packbits(~wrong_N).tobytes(),
        )

    def _drawn(self) -> tuple[int, ...]:
        """Operators that are quick or slow by a preference for the whole network."""
        preference, noise_LO = self._rng.normal(0.0, 4.0), self._rng.gumbel(size=self._rank_LO.shape)
        favour_LO = preference * self._rank_LO + 1.5 * self._worth_LO
        return tuple(int(index) for index in (favour_LO + noise_LO).argmax(1))


def _quantize_some(record: RunRecord, generation: int) -> None:
    """What a search does after a generation, from 1: some networks are evaluated in int8, and which ones is kept."""
    chosen = record.archive.unquantized()[:IN_INT8_EACH]
    record.add_event(IN_INT8, stage=f"generation {generation}", networks=[entry.architecture.id for entry in chosen])
    for entry in chosen:
        record.set_quantized_error(entry.architecture.id, min(1.0, entry.error + LOST_IN_INT8))


def _measure(record: RunRecord, points: Sequence[OperatingPoint], rng: np.random.Generator) -> None:
    for point in points:
        latency_ms = point.costs.latency_ms * float(np.exp(rng.normal(0.05, 0.03)))
        configuration = point.configuration
        record.add_measurement(
            point.id,
            Measurement(
                latency_ms=latency_ms,
                median_ms=1.02 * latency_ms,
                iqr_ms=0.01 * latency_ms,
                runs=200,
                energy_mj=point.costs.net_mj * latency_ms / point.costs.latency_ms,
                latency_source="measured",
                energy_source="modelled",
                board="simulated (made up)",
                os="none",
                runtime="none",
                threads=configuration.threads,
                frequency_mhz=configuration.frequency_mhz,
                precision=configuration.precision,
                idle_w=point.costs.idle_w,
                date="2000-01-01T00:00:00+00:00",
                reliable=True,
            ),
        )


def _keep_tables(folder: RunFolder, generations: int) -> None:
    """The tables that each later generation was searched with: links to one file, to save space."""
    folder.checkpoints.mkdir(exist_ok=True)
    for generation in range(1, generations):
        os.link(folder.cost_table, folder.generation_cost_table(generation))


def _dataset(space: FBNetSpace) -> SearchDataset:
    return SearchDataset(
        fingerprint="synthetic",
        classes=tuple(f"class {number}" for number in range(space.classes)),
        mean=(0.5,) * 3,
        std=(0.25,) * 3,
        images=IMAGES,
        guessing_error=0.9,
        test_guessing_error=0.9,
    )
