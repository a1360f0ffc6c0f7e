"""What happens in a run, for whoever looks on: the live view, TensorBoard, tests."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from devices.measurement import Measurement
from dnas.pretraining import PretrainRecord
from moo.storage.archive import Costs, Entry
from moo.trials import SearchJob, SearchResult


@dataclass(frozen=True)
class RunStarted:
    """All inputs were checked and the run folder is there."""

    folder: str
    resumed: bool
    dashboard_url: str | None
    """Address of the Ray dashboard, if there is one."""
    description: tuple[tuple[str, str], ...]
    """What is searched on what: pairs of a word and its value."""
    jobs: int | None
    """Tuples, or architectures, that will be tried; None if a time decides."""
    pretrain_epochs: int
    minutes: float | None = None
    """Time for the search after pre-training, where that decides."""


@dataclass(frozen=True)
class StageProgress:
    """A stage other than the search itself moves on: `loading`, `profiling`, `measuring`, `delivering`."""

    stage: str
    done: int
    total: int
    detail: str = ""


@dataclass(frozen=True)
class PretrainEpoch:
    """An epoch of pre-training ended."""

    record: PretrainRecord
    total: int


@dataclass(frozen=True)
class GenerationStarted:
    """A generation was asked for."""

    number: int
    """From 1."""
    jobs: int
    already_done: int
    """Jobs whose results a resumed run took from the store."""


@dataclass(frozen=True)
class JobStarted:
    """A worker took a tuple, or an architecture that was proposed as it is."""

    job: SearchJob


@dataclass(frozen=True)
class JobDone:
    """An inner search and its evaluations ended, or the evaluation of a proposed architecture."""

    result: SearchResult
    new_architectures: int


@dataclass(frozen=True)
class JobFailed:
    """A tuple or an architecture failed; the search goes on without it."""

    job: SearchJob
    traceback: str


@dataclass(frozen=True)
class NetworkMeasured:
    """A board measured a network."""

    architecture_id: str
    measurement: Measurement
    waiting: int
    """Networks that still wait for the board."""


@dataclass(frozen=True)
class MeasuringFailed:
    """A board could not measure a network; its costs stay predictions."""

    architecture_id: str
    reason: str


@dataclass(frozen=True)
class BoardChanged:
    """A board went away, or came back; the search goes on with predicted costs meanwhile."""

    device: str
    unreachable: str
    """Why it does not answer; empty if it is back."""


@dataclass(frozen=True)
class FrontChanged:
    """State of the archive after new results."""

    front: tuple[Entry, ...]
    costs: tuple[Costs, ...]
    """Of each entry of the front."""
    hypervolume: float
    evaluations: int
    """Architectures in the archive."""
    tuples: int
    """Tuples that have ended, failed ones too."""


@dataclass(frozen=True)
class RunFinished:
    """Everything is written."""

    folder: str
    seconds: float


Event = (
    RunStarted
    | StageProgress
    | PretrainEpoch
    | GenerationStarted
    | JobStarted
    | JobDone
    | JobFailed
    | NetworkMeasured
    | MeasuringFailed
    | BoardChanged
    | FrontChanged
    | RunFinished
)
Listener = Callable[[Event], None]
