"""A run that has ended, as its folder has it; its images are not asked for. Start with `read_finished`."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from evaluation.data.facts import DIGITS
from evaluation.dataset_origin import hub_name
from moo.config import SearchConfig
from moo.measurement.boards import read_run_tables
from moo.measurement.front import corrected_tables
from moo.search.preparation import archive_for
from moo.storage.archive import Archive, Entry, networks_of
from moo.storage.origin import RunOrigin, SearchDataset
from moo.storage.run_folder import RunFolder
from moo.storage.search_state import command_that_goes_on, read_state
from moo.storage.store import read_store
from moo.storage.trained_network import TrainedNetwork
from search_space.spaces import FBNetSpace

OWN_IMAGES = "own images"
"""How a data set is called that lies on the user's machine: its path is nobody's business."""


@dataclass(frozen=True, kw_only=True, slots=True)
class FinishedFront:
    """A front with all that is told of it."""

    folder: RunFolder
    config: SearchConfig
    origin: RunOrigin
    archive: Archive
    baselines: Sequence[TrainedNetwork]

    @property
    def space(self) -> FBNetSpace:
        """That was searched."""
        return self.origin.space

    @property
    def data(self) -> SearchDataset:
        """The images of the run."""
        return self.origin.dataset

    @property
    def networks(self) -> tuple[Entry, ...]:
        """Of the front, each once."""
        return networks_of(self.archive.front())

    @property
    def hub_dataset(self) -> str | None:
        """Name of its data set on the hub; None where it came from elsewhere."""
        return hub_name(self.config.dataset)

    @property
    def dataset(self) -> str:
        """Its data set for everybody's eyes."""
        return self.hub_dataset or (DIGITS if self.config.dataset == DIGITS else OWN_IMAGES)


def read_finished(path: Path) -> FinishedFront:
    """Read a run that has ended with a front.

    Raises:
        ValueError: if there is no run, it has not ended, or has no front.
    """
    folder = RunFolder(path)
    if not folder.config.is_file():
        raise ValueError(f"the folder of a run must be given, but {str(path)!r} holds no config.json.")
    config, origin = folder.read_config()
    if not folder.front.exists() or not read_state(folder).ended:
        raise ValueError(
            f"a run must have ended with a front, but {str(path)!r} has no final {folder.front.name} yet; go on with: "
            f"{command_that_goes_on(folder)}"
        )
    tables = read_run_tables(folder.cost_table, config.given_configurations)
    with closing(read_store(folder.store)) as store:
        archive = store.fill(archive_for(config, tables, origin.dataset), origin.space)
        baselines = store.trained(baselines=True)
    archive.use_tables(corrected_tables(tables, archive.entries, origin.space))
    if not archive.front():
        raise ValueError(
            f"a run must have a network on its front, but {str(path)!r} has none; go on with: "
            f"{command_that_goes_on(folder)}"
        )
    return FinishedFront(folder=folder, config=config, origin=origin, archive=archive, baselines=baselines)
