"""Which network a tuple of coefficients gives, by what a run has evaluated so far: no supernet, no image, no waiting.

The same inner search as a run's own on its surrogate (`moo.search.surrogates.task`). Start with `open_answers`, which
reads a run that goes on as well, and writes nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from devices.configuration import RuntimeConfiguration
from devices.cost_tables.family import CostTables
from devices.measurement import Source
from dnas.losses import Coefficients
from dnas.surrogate_search import search_thetas
from moo.config import SearchConfig
from moo.measurement.boards import read_run_tables
from moo.measurement.front import corrected_tables
from moo.search.preparation import archive_for
from moo.search.surrogates.task import RunSurrogate, surrogate_of
from moo.storage.archive import Archive, Entry
from moo.storage.run_folder import RunFolder
from moo.storage.store import read_store
from search_space.architectures import Architecture, architecture_from_indices
from search_space.boundary.text import shown
from search_space.spaces import FBNetSpace

ErrorSource = Literal["evaluated", "predicted"]
"""Whether the run has evaluated the network itself, or its surrogate tells."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SurrogateAnswer:
    """The network that coefficients give, and what is known of it."""

    coefficients: Coefficients
    configuration: RuntimeConfiguration
    architecture: Architecture
    """The most probable one under the theta that was found."""
    error: float
    """With inherited weights in fp32 on the selection split, in [0, 1]."""
    error_source: ErrorSource
    error_deviation: float
    """Standard deviation of a prediction; 0 where it was evaluated."""
    latency_ms: float
    latency_source: Source
    energy_mj: float
    """The energy that the run minimises."""
    energy_source: Source


class SurrogateAnswers:
    """Answers of one surrogate: made once, asked often."""

    def __init__(
        self,
        surrogate: RunSurrogate,
        config: SearchConfig,
        space: FBNetSpace,
        archive: Archive,
        known: Sequence[Entry],
    ) -> None:
        """Ask nothing yet.

        Args:
            surrogate: of the run.
            config: of the run; its seed gives the theta that every search begins with.
            space: that was searched.
            archive: of the run, whose costs are corrected by what was measured.
            known: what the surrogate has seen, which is answered as it was evaluated.
        """
        self._surrogate = surrogate
        self._seed = config.seed
        self._space = space
        self._archive = archive
        self._known = {entry.architecture.id: entry for entry in known}

    @property
    def configurations(self) -> tuple[RuntimeConfiguration, ...]:
        """Those that were searched, the base first."""
        return tuple(self._archive.configurations)

    @property
    def architectures(self) -> int:
        """That the surrogate has seen."""
        return len(self._surrogate.error_N)

    def answer(self, coefficients: Coefficients, configuration: RuntimeConfiguration | None = None) -> SurrogateAnswer:
        """The network that a tuple gives; the same tuple gives the same, and neighbours begin alike.

        Args:
            coefficients: of the loss.
            configuration: that the network is to run in; None for the base.

        Raises:
            ValueError: if the run has not searched that configuration.
        """
        configuration = configuration or self.configurations[0]
        if configuration not in self.configurations:
            labels = ", ".join(one.label for one in self.configurations)
            raise ValueError(
                f"`configuration` must be one that the run has searched ({labels}), but got "
                f"{shown(configuration.label)}."
            )
        found, place = self._surrogate, self.configurations.index(configuration)
        shape = (self._space.num_layers, len(self._space.operators))
        rng = np.random.default_rng(np.random.SeedSequence(self._seed, spawn_key=(6,)))
        costs = [found.latencies[place], found.energies[place]]
        (theta_LO,) = search_thetas(found.model, found.scale, costs, [coefficients], shape, found.settings, rng)
        indices: tuple[int, ...] = tuple(theta_LO.argmax(-1).tolist())
        architecture = architecture_from_indices(self._space, indices)
        known = self._known.get(architecture.id)
        (error,), (deviation,) = found.process.predict(found.search.describe(np.array([indices]))).errors()
        looked_up = self._archive.searched_costs(known or _unseen(architecture), configuration)
        return SurrogateAnswer(
            coefficients=coefficients,
            configuration=configuration,
            architecture=architecture,
            error=float(error) if known is None else known.error,
            error_source="predicted" if known is None else "evaluated",
            error_deviation=float(deviation) if known is None else 0.0,
            latency_ms=float(looked_up.latency_ms),
            latency_source=looked_up.latency_source,
            energy_mj=float(looked_up.energy_mj),
            energy_source=looked_up.energy_source,
        )


def answers_by(
    config: SearchConfig, space: FBNetSpace, archive: Archive, tables: CostTables, entries: Sequence[Entry]
) -> SurrogateAnswers:
    """Answers of the surrogate that is fitted to some entries of an archive, at least two."""
    surrogate = surrogate_of(config, space, entries, tables, reference_M=np.array(archive.reference_point))
    return SurrogateAnswers(surrogate, config, space, archive, entries)


def open_answers(path: Path, *, before: int | None = None) -> SurrogateAnswers:
    """Read what a run has evaluated, and fit its surrogate; other programs may write to the run meanwhile.

    Args:
        path: of the run folder.
        before: only results of trials with lower numbers are looked at, as the run did when it proposed that trial.

    Raises:
        ValueError: if there is no run, it cannot be read, or it has evaluated fewer than two networks.
    """
    folder = RunFolder(path)
    config, origin = folder.read_config(option="RUN")
    if not folder.cost_table.exists():
        raise ValueError(
            f"a run must have costs to answer by, but {shown(str(path))} has none yet: wait for its trials."
        )
    tables = read_run_tables(folder.cost_table, config.given_configurations)
    with closing(read_store(folder.store, as_of_now=True)) as store:
        archive = store.fill(archive_for(config, tables, origin.dataset), origin.space)
    entries = [entry for entry in archive.entries if before is None or entry.trial_id < before]
    if len(entries) < 2:
        raise ValueError(
            f"a run must have evaluated 2 networks to answer by, but {shown(str(path))} has {len(entries)}: wait for "
            "its first trials."
        )
    corrected = corrected_tables(tables, entries, origin.space)
    archive.use_tables(corrected)
    answers = answers_by(config, origin.space, archive, corrected, entries)
    # The first search loads what later ones find loaded, which takes seconds.
    answers.answer(entries[0].coefficients or Coefficients(1.0, 1.0, 1.0, 1.0))
    return answers


def _unseen(architecture: Architecture) -> Entry:
    """An entry by which the archive tells what a network costs that it does not have."""
    return Entry(
        architecture=architecture,
        error=1.0,
        predicted_latency_ms=0.0,
        predicted_energy_mj=0.0,
        trial_id=0,
        position=0,
        coefficients=None,
    )
