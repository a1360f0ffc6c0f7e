"""A run that has ended, opened again: its settings, images and archive. Start with `open_run`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from devices.configuration import RuntimeConfiguration
from devices.quantization import Activations, activations_for
from evaluation.splits import Splits
from evaluation.work_folder import check_work_folder
from moo.config import SearchConfig
from moo.measurement.boards import read_run_tables
from moo.measurement.front import corrected_tables
from moo.search.preparation import archive_for, check_same_inputs, run_source, run_splits
from moo.storage.origin import RunOrigin
from moo.storage.record import RunRecord, open_record
from moo.storage.run_folder import RunFolder
from moo.storage.search_state import command_that_goes_on, read_state
from search_space.spaces import FBNetSpace


@dataclass(frozen=True, kw_only=True, slots=True)
class FinishedRun:
    """What a run was made from."""

    folder: RunFolder
    config: SearchConfig
    origin: RunOrigin
    space: FBNetSpace
    splits: Splits

    @property
    def activations(self) -> Activations:
        """Type of activations of networks in int8, for its board."""
        board = self.origin.board
        return activations_for(None if board is None else board.machine)

    @property
    def file_configuration(self) -> RuntimeConfiguration:
        """How its board measures files as they are, fp32 and int8 alike: in the base of the search."""
        base = read_run_tables(self.folder.cost_table, self.config.given_configurations).base.configuration
        return replace(base, precision="fp32")


def open_run(path: Path, *, dataset: str | None, on_loading: Callable[[int, int], None]) -> FinishedRun:
    """Open a run that has a front.

    Args:
        path: of the run folder.
        dataset: where its images lie now; by default where they lay in the search.
        on_loading: called with images decoded and in all.

    Raises:
        ValueError: if there is no run or no front, or the images are not those of the run.
    """
    folder = RunFolder(path)
    if not folder.config.is_file():
        raise ValueError(f"the folder of a run must be given, but {str(path)!r} holds no config.json.")
    config, origin = folder.read_config()
    check_work_folder(path, what="a run")
    if not folder.front.exists() or not read_state(folder).ended:
        raise ValueError(
            f"a run must have ended with a front, but {str(path)!r} has no final {folder.front.name} yet; go on with: "
            f"{command_that_goes_on(folder)}"
        )
    config = replace(config, dataset=dataset or config.dataset)
    # A user's own space file may have changed since.
    space = origin.space
    splits = run_splits(config, run_source(config), space.input_size, on_loading, as_before=origin.dataset)
    check_same_inputs(origin, space, splits, config.dataset)
    return FinishedRun(folder=folder, config=config, origin=origin, space=space, splits=splits)


def record_of(run: FinishedRun) -> RunRecord:
    """The record of a run, its archive as the search left it, with what training made of its networks.

    Raises:
        ValueError: as `moo.storage.record.open_record`, or if its cost tables are those of another run.
    """
    tables = read_run_tables(run.folder.cost_table, run.config.given_configurations)
    record = open_record(run.folder)
    try:
        record.check_used(run.folder.cost_table)
        archive = record.load_archive(archive_for(run.config, tables, run.origin.dataset), run.space)
        record.use_tables(corrected_tables(tables, archive.entries, run.space))
    except BaseException:
        record.close()
        raise
    return record
