"""Paths of a run folder; creating one, and checking one that is to be resumed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from devices.configuration import LITERT_FILES, ONNX_FILES, Precision, Runtime, RuntimeConfiguration
from evaluation.training.folder import TrainFolder
from evaluation.work_folder import check_same_values, new_work_folder, read_part
from moo.config import EXECUTION_SETTINGS, LENGTH_SETTINGS, SearchConfig, config_from_json, option_of
from moo.storage.origin import RunOrigin, origin_from_json
from search_space.boundary.sealing import read_tensors, write_sealed_json
from search_space.spaces import split_size

Part = TypeVar("Part")
BESIDE_STORE = ("", "-wal", "-shm", "-journal")
"""What SQLite adds to the name of a store for its other files."""
RESTORE = "Restore it from a copy, or begin a new run."
"""What is left where a file of a run is lost that nothing makes anew."""


@dataclass(frozen=True)
class RunFolder:
    """Where everything of a run lies."""

    path: Path

    @property
    def config(self) -> Path:
        """Settings, and what the run was made from."""
        return self.path / "config.json"

    @property
    def store(self) -> Path:
        """The SQLite database."""
        return self.path / "search.sqlite"

    @property
    def cost_table(self) -> Path:
        """The cost table that the search uses."""
        return self.path / "cost_table.json"

    def generation_cost_table(self, generation: int) -> Path:
        """The cost table that a generation (from 0) is searched with."""
        return self.checkpoints / f"cost_table_{generation + 1:04d}.json"

    @property
    def checkpoints(self) -> Path:
        """Folder of the supernet's checkpoints."""
        return self.path / "checkpoints"

    @property
    def pretraining(self) -> Path:
        """State of pre-training after its last finished epoch."""
        return self.checkpoints / "pretraining.pt"

    @property
    def supernet(self) -> Path:
        """Weights of the pre-trained supernet."""
        return self.checkpoints / "supernet.safetensors"

    def read_supernet(self, trial_id: int | None = None) -> bytes:
        """Weights of the supernet, as safetensors.

        Args:
            trial_id: of the trial whose own it is; None for the run's.

        Raises:
            ValueError: if they are missing or damaged.
        """
        path = self.supernet if trial_id is None else self.supernet_of(trial_id)
        return read_tensors(path, what="the supernet of a run", remedy=RESTORE)

    @property
    def warm_start(self) -> Path:
        """Weights of another run's supernet, from which pre-training starts."""
        return self.checkpoints / "warm_start.safetensors"

    @property
    def tensorboard(self) -> Path:
        """Folder of TensorBoard events."""
        return self.path / "tensorboard"

    @property
    def events(self) -> Path:
        """What happened, a JSON object a line (`moo.storage.event_file`)."""
        return self.path / "events.jsonl"

    def surrogate_proposals(self, first: int) -> Path:
        """What a search on a surrogate proposed, from that trial's number on."""
        return self.path / "checkpoints" / f"surrogate_{first:05d}.json"

    def supernet_of(self, trial_id: int) -> Path:
        """Weights of a trial's own supernet, where each trial trains one."""
        return self.path / "checkpoints" / f"supernet_{trial_id:04d}.safetensors"

    @property
    def source_cost_table(self) -> Path:
        """The cost tables of the run that this one started from."""
        return self.path / "checkpoints" / "source_cost_table.json"

    @property
    def plots(self) -> Path:
        """Folder of pictures."""
        return self.path / "plots"

    @property
    def report(self) -> Path:
        """The report."""
        return self.path / "report.md"

    @property
    def explore(self) -> Path:
        """The front to be explored in a browser, as one file."""
        return self.path / "explore.html"

    @property
    def front(self) -> Path:
        """The front as JSON."""
        return self.path / "front.json"

    @property
    def state(self) -> Path:
        """How far the search has come."""
        return self.path / "state.json"

    @property
    def networks(self) -> Path:
        """Folder with one folder for each network of the front."""
        return self.path / "front"

    @property
    def adaptive_front(self) -> Path:
        """The front of networks with early exits as JSON."""
        return self.path / "front_adaptive.json"

    @property
    def adaptive_points(self) -> Path:
        """What the front of networks with early exits was chosen from, and the networks as they are, in its form."""
        return self.path / "adaptations" / "points.json"

    @property
    def passing(self) -> Path:
        """What the run's board measured to tell what passing an early exit takes."""
        return self.path / "adaptations" / "passing.json"

    def adaptation(self, architecture_id: str) -> Path:
        """Folder of what was learnt of a network's early exits."""
        return self.path / "adaptations" / architecture_id

    def training(self, architecture_id: str) -> TrainFolder:
        """Folder of the training of a network of the front."""
        return TrainFolder(self.path / "trained" / architecture_id)

    def baseline(self, name: str) -> TrainFolder:
        """Folder of the training of a baseline."""
        return TrainFolder(self.path / "baselines" / name)

    def write_config(self, config: SearchConfig, origin: RunOrigin) -> None:
        """Write the settings and what the run was made from."""
        write_sealed_json(self.config, {"settings": config.to_json(), "origin": origin.to_json()})

    def read_config(self, *, option: str = "--resume") -> tuple[SearchConfig, RunOrigin]:
        """Settings and origin of the run.

        Args:
            option: that named the folder, for messages.

        Raises:
            ValueError: if the folder is no run, or its settings or origin cannot be read.
        """
        return self.read_settings(option=option), self._read("origin", origin_from_json, option)

    def read_settings(self, *, option: str = "--resume") -> SearchConfig:
        """Settings of the run.

        Args:
            option: that named the folder, for messages.

        Raises:
            ValueError: if the folder is no run, or its settings cannot be read.
        """
        return self._read("settings", config_from_json, option)

    def _read(self, part: str, parse: Callable[[Any], Part], option: str) -> Part:
        rule = f"`{option}` must name the folder of a run"
        if not self.path.is_dir():
            raise ValueError(f"{rule}, but {str(self.path)!r} is no folder.")
        return read_part(self.config, part, parse, rule=rule)


def check_not_lost(path: Path, *, what: str, begun: bool) -> None:
    """Check that a file of a run is there where what was made with it is: another one in its place may differ.

    Args:
        path: of the file.
        what: what it is, for messages.
        begun: whether the run has results that were made with it.

    Raises:
        ValueError: if it is lost.
    """
    if begun and not path.exists():
        raise ValueError(
            f"{what} must be there as long as there are results that were made with it, but {str(path)!r} is missing. "
            f"{RESTORE}"
        )


def new_folder(config: SearchConfig) -> RunFolder:
    """The folder that a new run is to have; it is not made yet.

    Raises:
        ValueError: if it is there already and not empty, or cannot be made.
    """
    parts = [Path(config.dataset).stem]
    if config.space is not None:
        space, size = split_size(config.space)
        parts += [Path(space).stem, *(str(pixels) for pixels in (config.size or size,) if pixels is not None)]
    store = RunFolder(Path()).store.name
    leftovers = [store + suffix for suffix in BESIDE_STORE]
    return RunFolder(new_work_folder(config.out, name="-".join(parts), what="a run", leftovers=leftovers))


def check_same_settings(given: SearchConfig, saved: SearchConfig) -> None:
    """Check that a run is resumed with the settings that it was made with; how long it goes on may change.

    A grid is laid out by the number of its generations, which cannot change; a time may end it sooner.

    Raises:
        ValueError: naming the first setting that differs.
    """
    free = EXECUTION_SETTINGS | (LENGTH_SETTINGS - {"generations"} if given.method == "grid" else LENGTH_SETTINGS)
    now, before = (
        {option_of(name).replace("-", "_"): value for name, value in config.to_json().items()}
        for config in (given, saved)
    )
    check_same_values(
        now,
        before,
        free=free,
        rule="a run must be resumed with its own settings, but it was made with",
        remedy="start a new run",
    )


def model_file_name(precision: Precision, runtime: Runtime = "ort") -> str:
    """The file of a network in its folder, in a precision, for a runtime."""
    return (ONNX_FILES if runtime == "ort" else LITERT_FILES)[precision]


def file_name_for(configuration: RuntimeConfiguration) -> str:
    """The file of a network in its folder that is run in a configuration."""
    return model_file_name(configuration.precision, configuration.runtime)
