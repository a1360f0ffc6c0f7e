"""What happens in a run, searching and training alike, for whoever watches: terminal, TensorBoard, tests."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from devices.measurement import Conditions, Measurement
from dnas.divergence import Divergence
from dnas.pretraining import PretrainRecord
from evaluation.errors import ErrorKind
from evaluation.training.job import EpochDone
from evaluation.training.loop import TrainRecord
from moo.execution.news import InnerSearchProgress as InnerSearchProgress
from moo.execution.news import WorkerBusy as WorkerBusy
from moo.execution.news import WorkerGone as WorkerGone
from moo.execution.news import WorkerIdle as WorkerIdle
from moo.storage.archive import OperatingPoint
from moo.storage.trained_network import TrainedNetwork
from moo.trials import Trial, TrialResult

Ending = Literal["finished", "stopped", "failed"]
"""How a command ended."""


@dataclass(frozen=True, kw_only=True, slots=True)
class CommandStarted:
    """A command works in the run folder from now on: a search, or the training or adaptation of its networks."""

    command: str
    """Its command line."""
    pid: int
    """Of its process on `machine`."""
    process_start: int | None
    """What the kernel counts of the process's start (field 22 of /proc/PID/stat): a pid can be another's later."""
    machine: str
    """Name of the machine that it runs on."""


@dataclass(frozen=True, kw_only=True, slots=True)
class CommandEnded:
    """A command has done its work, was stopped, or failed."""

    ending: Ending
    seconds: float
    """Since its start."""
    reason: str | None = None
    """The signal or the error; None where it has done its work."""
    traceback: str | None = None
    """Of a mistake of ours."""


@dataclass(frozen=True, kw_only=True, slots=True)
class RunStarted:
    """All inputs were checked and the run folder is there."""

    folder: str
    resumed: bool
    dashboard_url: str | None
    """Address of the Ray dashboard, if there is one."""
    description: tuple[tuple[str, str], ...]
    """What is searched on what: pairs of a word and its value."""
    trials: int | None
    """Trials that are expected; None if a time decides."""
    pretrain_epochs: int
    minutes: float | None = None
    """Time for the search after pre-training, where that decides."""
    measures: bool = True
    """Whether there is a board that measures."""


@dataclass(frozen=True)
class StageProgress:
    """A stage other than the search itself advances: `loading`, `profiling`, `measuring`, `delivering`.

    Of an adaptation `evaluating exits`, `searching`, `exporting`, `streaming` and `testing`, too.
    """

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
class TrainingDiverged:
    """Training went back to where it was good, and goes on with a lower learning rate."""

    name: str
    """`pre-training`, or the network that is trained."""
    divergence: Divergence


@dataclass(frozen=True)
class GenerationStarted:
    """A generation was asked for."""

    number: int
    """From 1."""
    trials: int
    already_done: int
    """Trials whose results a resumed run took from the store."""


@dataclass(frozen=True)
class TrialStarted:
    """A trial is to be done next."""

    trial: Trial
    architecture: str | None = None
    """Id of the architecture, where the trial is to evaluate one."""


@dataclass(frozen=True)
class TrialFinished:
    """A trial ended with a result."""

    result: TrialResult
    new_architectures: int
    architecture: str | None = None
    """Id of the one that stands for the trial."""


@dataclass(frozen=True)
class TrialFailed:
    """A trial failed; the search goes on without it."""

    trial: Trial
    traceback: str


@dataclass(frozen=True)
class NetworksQueued:
    """Networks wait for a board."""

    waiting: int
    """In all, those that are being measured included."""


@dataclass(frozen=True)
class NetworkMeasured:
    """A board measured a network."""

    network: str
    """Architecture id; of a trained network's file, `<id>/<precision>`."""
    measurement: Measurement
    waiting: int
    """Networks that still wait for a board."""


@dataclass(frozen=True)
class MeasuringFailed:
    """A board could not measure a network; its costs stay predictions."""

    network: str
    """As in `NetworkMeasured`."""
    reason: str
    waiting: int | None = None
    """As in `NetworkMeasured`; None where that is not known."""


@dataclass(frozen=True)
class BoardUnreachable:
    """A board stopped answering; predicted costs are used meanwhile."""

    device: str
    reason: str


@dataclass(frozen=True)
class BoardBack:
    """A board answers again."""

    device: str


@dataclass(frozen=True, kw_only=True, slots=True)
class FrontChanged:
    """State of the archive after new results."""

    front: tuple[OperatingPoint, ...]
    hypervolume: float
    evaluations: int
    """Architectures in the archive."""
    trials: int
    """Trials that have ended, failed ones too."""
    error: ErrorKind = "plain"
    """What is called an error."""


@dataclass(frozen=True)
class FrontWritten:
    """The front so far is in front.json; the search goes on."""

    reached: str
    """How far it came: `after generation 3 of 8`."""


@dataclass(frozen=True)
class TimeEstimated:
    """How long the run takes from now on, with everything that it does until it ends."""

    stage: str
    """That goes on."""
    seconds_left: float
    elapsed_seconds: float
    """Since the run was started, or resumed."""


@dataclass(frozen=True)
class RunFinished:
    """Everything is written."""

    folder: str
    seconds: float


@dataclass(frozen=True)
class TrainingsStarted:
    """All inputs are checked; networks are trained now."""

    networks: int
    description: str
    """On what."""


@dataclass(frozen=True)
class TrainersStarted:
    """There is something to train, and this is where."""

    workers: int
    """Networks at the same time."""
    threads: int
    """CPU threads of each."""
    dashboard_url: str | None
    """Address of the Ray dashboard, if there is one."""


@dataclass(frozen=True)
class TrainingProgress:
    """The training of a network began, or advanced."""

    name: str
    step: int
    total_steps: int
    epoch: EpochDone | None = None
    """The epoch that has just ended, if one has."""


@dataclass(frozen=True)
class TrainingFinished:
    """A network is trained; its files are there."""

    network: TrainedNetwork
    records: tuple[TrainRecord, ...]


@dataclass(frozen=True)
class TrainingFailed:
    """A network could not be trained; the others go on."""

    name: str
    reason: str


@dataclass(frozen=True)
class PretrainedMissing:
    """A pre-trained network is not to be had; the comparison goes on without it."""

    name: str
    reason: str
    """Why, and what to do about it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class AdaptationStarted:
    """All inputs are checked; networks get exits now."""

    networks: int
    description: str
    """On what."""
    passed_over: tuple[tuple[str, str], ...]
    """Networks that cannot get any: id and reason."""
    untrained: int
    """Networks as near the front that are not trained."""


@dataclass(frozen=True)
class ExitsTrained:
    """The candidate exits of a network are trained."""

    name: str
    exits: tuple[str, ...]
    """Their labels, in order."""
    accuracies: tuple[float, ...]
    """Of each, and last of the network, on the selection split in fp32, in [0, 1]."""


@dataclass(frozen=True)
class PassingMeasured:
    """What passing an exit takes is known, before exits are chosen."""

    passing_us: tuple[tuple[str, float], ...]
    """In microseconds, by the label of the configuration that was measured in."""
    samples: int
    """Networks in segments that were measured for it, in each of these."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SlowdownExceeded:
    """The way past all exits of a network takes longer than is allowed: it does without them there."""

    name: str
    slowdowns: tuple[tuple[str, float], ...]
    """By the label of the configuration: what that way takes more, as a share of the network as it is."""
    limit: float
    everywhere: bool
    """Whether it is so in all configurations, so that no point of the network has exits."""


@dataclass(frozen=True)
class NetworkDeployed:
    """A network of the joint front was cut at its exits, and its files are checked."""

    name: str
    exits: tuple[str, ...]
    jointly_trained: bool
    lost: float | None
    """Accuracy that its last exit lost by joint training, dropped or not; None where there was none."""


@dataclass(frozen=True, kw_only=True, slots=True)
class BoardConditions:
    """State of a board: after a measurement, and now and then while it has none to do."""

    device: str
    """As in `BoardUnreachable`."""
    temperature_c: float | None
    """None where it is not told; so are the next two."""
    clock_mhz: float | None
    """That runs under load."""
    throttled: bool | None
    """Whether its firmware says that it is slowed down now, or its supply too weak."""
    at: float
    """When, in seconds since 1970."""

    @classmethod
    def of(cls, device: str, conditions: Conditions) -> BoardConditions | None:
        """The event of a state now; None where nothing is told."""
        flags = conditions.throttled
        if (conditions.temperature_c, conditions.clock_mhz, flags) == (None, None, None):
            return None
        return cls(
            device=device,
            temperature_c=conditions.temperature_c,
            clock_mhz=conditions.clock_mhz,
            throttled=None if flags is None else bool(flags & 0xF),
            at=time.time(),
        )


BoardEvent = BoardUnreachable | BoardBack | BoardConditions
Event = (
    CommandStarted
    | CommandEnded
    | RunStarted
    | StageProgress
    | PretrainEpoch
    | TrainingDiverged
    | GenerationStarted
    | TrialStarted
    | TrialFinished
    | TrialFailed
    | WorkerBusy
    | WorkerIdle
    | WorkerGone
    | InnerSearchProgress
    | NetworksQueued
    | NetworkMeasured
    | MeasuringFailed
    | BoardEvent
    | FrontChanged
    | FrontWritten
    | TimeEstimated
    | RunFinished
    | TrainingsStarted
    | TrainersStarted
    | TrainingProgress
    | TrainingFinished
    | TrainingFailed
    | PretrainedMissing
    | AdaptationStarted
    | ExitsTrained
    | PassingMeasured
    | SlowdownExceeded
    | NetworkDeployed
)
Listener = Callable[[Event], None]


def told_to(*listeners: Listener) -> Listener:
    """One listener that tells all of these, in order."""

    def tell(event: Event) -> None:
        for listener in listeners:
            listener(event)

    return tell
