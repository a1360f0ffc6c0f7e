"""A run's archive and store kept equal. Start with `open_record`; nothing else writes to either."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path

from devices.cost_tables.family import CostTables
from devices.measurement import Measurement
from moo.storage.archive import Archive
from moo.storage.choices import MADE_WITH, MEASURING, USED, PointToMeasure, check_seal, made_with, seals_of_used_files
from moo.storage.migrations import rename_files
from moo.storage.run_folder import RESTORE, RunFolder
from moo.storage.search_state import read_state, write_state
from moo.storage.store import IN_INT8, Store, StoreReader, entries_of, new_store, open_store
from moo.storage.trained_network import TrainedNetwork
from moo.trials import Trial, TrialResult
from search_space.boundary.sealing import is_sealed, seal_of
from search_space.spaces import FBNetSpace


class RunRecord:
    """What a run has found, written to disk before it is used."""

    def __init__(self, store: Store, folder: RunFolder) -> None:
        self.folder = folder
        self._store = store
        self._archive: Archive | None = None
        self._seals = seals_of_used_files(store)

    @property
    def archive(self) -> Archive:
        """Every evaluated architecture; `load_archive` comes first."""
        assert self._archive is not None, "`load_archive` must be called before the archive is used"
        return self._archive

    @property
    def has_archive(self) -> bool:
        """Whether `load_archive` was called."""
        return self._archive is not None

    @property
    def store(self) -> StoreReader:
        """What the store holds."""
        return self._store

    def load_archive(self, archive: Archive, space: FBNetSpace) -> Archive:
        """Fill an empty archive from the store, which is the run's from now on.

        Args:
            archive: with what the run is compared by.
            space: that is searched.
        """
        self._archive = self._store.fill(archive, space)
        return self._archive

    def add_result(self, result: TrialResult, space: FBNetSpace) -> int:
        """Keep the result of a trial; returns how many of its architectures are new."""
        self._store.add_result(result, space)
        return sum(self.archive.add(entry) for entry in entries_of(result, space))

    def add_failure(self, trial: Trial, traceback: str) -> None:
        """Keep that a trial failed, and why."""
        self._store.add_failure(trial, traceback)

    def forget_failures(self, generation: int) -> None:
        """Have a resumed run try the failed trials of a generation again."""
        self._store.forget_failures(generation)

    def add_measurement(self, architecture_id: str, measurement: Measurement, *, file: str | None = None) -> None:
        """Keep what a board measured; a later measurement takes the place of an earlier one.

        Args:
            architecture_id: of what was measured.
            measurement: of it.
            file: `model_key` of the file that is handed out, where that was measured.
        """
        # As the store gives it back: a resumed run has nothing else.
        measurement = Measurement.from_json(json.loads(json.dumps(measurement.to_json())))
        self._store.add_measurement(architecture_id, measurement, file=file)
        self.archive.set_measurement(architecture_id, measurement)

    def set_quantized_error(self, architecture_id: str, error: float) -> None:
        """Keep a network's error in int8 on the selection split."""
        self._store.set_quantized_error(architecture_id, error)
        self.archive.set_quantized_error(architecture_id, error)

    def set_test_error(self, architecture_id: str, test_error: float, *, quantized: float | None = None) -> None:
        """Keep a network's error on the test split, and that of its int8 file where it was read."""
        self._store.set_test_error(architecture_id, test_error, quantized=quantized)
        self.archive.set_test_error(architecture_id, test_error, quantized=quantized)

    def set_trained(self, network: TrainedNetwork) -> None:
        """Keep what training made of a network; a later training takes the place of an earlier one."""
        self._store.set_trained(network)
        if not network.baseline and network.name in self.archive:
            self.archive.set_trained(network.name, network)

    def use_tables(self, tables: CostTables) -> None:
        """Predict the costs of points that are not measured with these tables from now on."""
        self.archive.use_tables(tables)

    def check_used(self, path: Path) -> None:
        """Check that a file is the one that results were made with, and no other run's, which may be whole, too.

        The first is noted. One without a seal was changed on purpose, or is an earlier version's, and is used as it is.

        Args:
            path: of a file in the run's folder, known to be whole.

        Raises:
            ValueError: if it is another one.
        """
        name, seal = str(path.relative_to(self.folder.path)), seal_of(path, what="a file of a run")
        if seal is None:
            return
        # What no trial has used yet may be made anew, on another machine say.
        if name not in self._seals or (self._seals[name] != seal and not self._store.num_trials()):
            self.add_event(USED, file=name, seal=seal)
            self._seals[name] = seal
        check_seal(self._seals, path, name, seal)

    def check_made_with(self, values: Mapping[str, object]) -> None:
        """Check that the results are those of the run's settings and images; these are noted first.

        Settings without a seal were changed on purpose.

        Args:
            values: plain ones, by name; names that an earlier version did not know are not compared.

        Raises:
            ValueError: naming the first that differs.
        """
        noted = made_with(self._store)
        if noted is None:
            self.add_event(MADE_WITH, **values)
            return
        if not is_sealed(self.folder.config, what="the settings of a run"):
            return
        for name, value in json.loads(json.dumps(values)).items():
            if name in noted and noted[name] != value:
                raise ValueError(
                    f"the files of a run must belong together, but {str(self.folder.store)!r} has results of "
                    f"{name}={noted[name]} and {self.folder.config.name} beside it has {name}={value}: one of the two "
                    f"is another run's. {RESTORE}"
                )

    def add_points_to_measure(self, stage: str, points: Sequence[PointToMeasure]) -> None:
        """Keep which points were chosen to be measured at a stage of the run, before the first of them is."""
        self.add_event(
            MEASURING,
            stage=stage,
            networks=[identifier for identifier, _ in points],
            configurations=[configuration.label for _, configuration in points],
        )

    def add_networks_in_int8(self, stage: str, networks: Sequence[str]) -> None:
        """Keep which networks were chosen to be evaluated in int8 at a stage of the run, before the first of them is.

        Args:
            stage: of the run.
            networks: their ids.
        """
        self.add_event(IN_INT8, stage=stage, networks=list(networks))

    def together(self) -> AbstractContextManager[None]:
        """What is added within this is kept all or not at all."""
        return self._store.together()

    def add_event(self, kind: str, **content: object) -> None:
        """Keep something that happened, with its time."""
        self._store.add_event(kind, **content)

    def close(self) -> None:
        """Close the store."""
        self._store.close()


def begin_record(folder: RunFolder) -> RunRecord:
    """Begin the record of a run; its config.json, which says that it has begun, is written after it.

    Args:
        folder: of the run, locked.

    Raises:
        ValueError: if a run has begun there meanwhile, whose store must not be replaced.
        OSError: if its store cannot be made.
    """
    if folder.config.exists():
        raise ValueError(
            f"a new run must have a new folder, but {str(folder.path)!r} holds a run; choose another, or go on with it "
            "by --resume."
        )
    return RunRecord(new_store(folder.store), folder)


def open_record(folder: RunFolder) -> RunRecord:
    """Open the record of a run that has begun; that of an earlier version is brought to the present one.

    Raises:
        ValueError: if its store is missing, damaged, cannot be written to, or is of a version that cannot be read.
    """
    store = open_store(folder.store)
    rename_files(folder)
    if folder.front.exists() and not folder.state.exists() and not is_sealed(folder.config, what="a run's settings"):
        write_state(folder, read_state(folder))
    return RunRecord(store, folder)
