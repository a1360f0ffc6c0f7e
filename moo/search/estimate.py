"""How long a run takes from now to its end: all stages, each by what is known of it. Start with `TimeLeft`.

Before a stage has begun, its seconds are expected from quick facts: numbers of images, epochs and measurements, and a
few steps that were timed. Once it goes on, its own pace counts, and afterwards nothing of it is left.
"""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import chain

import numpy as np
import torch
import torch.nn.functional as F

from devices.measurement import MeasureSettings
from devices.profiling.family import measurements_left, seconds_each
from evaluation.accelerators import own_device
from evaluation.accuracy import RECALIBRATION_IMAGES
from evaluation.early_exits.quick import FITTED_IMAGES
from moo import events
from moo.config import WITHOUT_COEFFICIENTS
from moo.execution.pretraining import new_pretraining
from moo.search.forecast import EXITS_SECONDS
from moo.search.preparation import Preparation
from moo.search.proposals import expected_trials, generation_size, supernet_generations
from moo.trials import ArchitectureTrial, Trial

PROBE_SECONDS = 2.0
"""How long training steps are timed at most, once one has warmed up."""
STEP_OF_THETA = 3.0
"""What a step on theta takes, in steps of pre-training with as many images: it runs all candidates at their largest."""
EVALUATION = 1 / 3
"""What evaluating an image takes, as a share of training with it."""
PROPOSING_SECONDS = 2.0
"""What a search on the surrogate takes before any was seen."""
DELIVERING_SECONDS = 0.5
"""What handing out a network takes before any was handed out."""
DRAWING_SECONDS = 6.0
"""What pictures, report and stopping the workers take at the end."""
FRONT_POINTS = 16
"""Points of the front before any is known."""
PROBED_STEPS = 5
SLOWER = (0.5, 8.0)
"""Between which pre-training may correct what is expected of trials, as a factor."""
LAST_EPOCHS = 10
"""Epochs whose mean is the pace of those that follow."""


@dataclass(frozen=True, kw_only=True, slots=True)
class RunPlan:
    """What a run is to do, and about how long each piece takes, before anything of it was seen."""

    measurements: int
    """Of the profile that is to be made; 0 if none is."""
    measure_seconds: float
    """Of one measurement; 0 if nothing is measured."""
    epochs: int
    """Of shared pre-training that are left."""
    epoch_seconds: float
    search_seconds: float | None
    """Time that is left for the search, where that decides."""
    trials: tuple[int, int]
    """Of the search: on the supernet or as they were proposed, and on the surrogate."""
    trial_seconds: tuple[float, float]
    """From one to the next, with all workers, and all that is done between generations."""
    workers: int
    """Trials at the same time."""


def plan_of(preparation: Preparation, *, workers: int, searched_seconds: float) -> RunPlan:
    """The plan of a run, for which a few steps of training are timed.

    Args:
        preparation: checked inputs.
        workers: trials at the same time.
        searched_seconds: time that its search took before an interruption.
    """
    config, folder, devices = preparation.config, preparation.folder, preparation.boards.devices
    settings, setup = preparation.pretraining, preparation.setup
    profiled = bool(devices) and preparation.cost_tables is None and not folder.cost_table.exists()
    pretrained = config.independent or config.from_run is not None or folder.supernet.exists()
    step_seconds = timed_step(preparation)
    image_seconds = step_seconds / settings.batch_size
    epoch_seconds = step_seconds * settings.batches_an_epoch(len(preparation.splits.weights))
    evaluating = EVALUATION * image_seconds * (RECALIBRATION_IMAGES + len(preparation.splits.selection))
    if config.adaptive:
        with_exits = RECALIBRATION_IMAGES + FITTED_IMAGES + len(preparation.splits.selection)
        evaluating += EVALUATION * image_seconds * with_exits + EXITS_SECONDS
    theta_images = setup.theta.steps * setup.theta.batch_size
    trial = theta_images * STEP_OF_THETA * image_seconds + (config.samples + 1) * evaluating
    if config.independent:
        trial += settings.epochs * epoch_seconds * torch.get_num_threads() / setup.threads
    if config.method in WITHOUT_COEFFICIENTS:
        trial = evaluating
    total, size = expected_trials(config), generation_size(config)
    on_supernet = int(min(total, size * min(config.generations, supernet_generations(config))))
    board, measurements_to_make = preparation.boards.board, 0
    if profiled and board is not None:
        measurements_to_make = measurements_left(
            board, preparation.space, preparation.configurations, MeasureSettings()
        )
    measuring = seconds_each(MeasureSettings(), metered=devices[0].metered) if devices else 0.0
    between = FRONT_POINTS / 2 * measuring / size
    proposing = 0.0 if config.propose_beside else PROPOSING_SECONDS
    return RunPlan(
        measurements=measurements_to_make,
        measure_seconds=measuring,
        epochs=0 if pretrained else settings.epochs,
        # CPU workers that share a step have together what one has alone.
        epoch_seconds=epoch_seconds / (settings.ranks(workers) if torch.cuda.is_available() else 1),
        search_seconds=max(0.0, 60 * config.minutes - searched_seconds) if config.minutes else None,
        trials=(on_supernet, total - on_supernet),
        trial_seconds=(
            trial / min(workers, size) + between,
            evaluating / workers + (proposing / size + between) / 2,
        ),
        workers=workers,
    )


def timed_step(preparation: Preparation) -> float:
    """Seconds of a step of pre-training, on this machine's cores or GPU; nothing of the run is touched by it."""
    device = own_device()
    pretraining, rng = new_pretraining(preparation.setup, preparation.pretraining, device), np.random.default_rng(0)
    taken: list[float] = []
    begin = last = time.monotonic()
    for x_BCHW, labels_B, forward in chain.from_iterable(step.batches for step in pretraining.steps(rng)):
        logits_BK = forward(x_BCHW)
        torch.autograd.backward(F.cross_entropy(logits_BK, labels_B))
        pretraining.optimizer.step()
        float(logits_BK[0, 0].detach())
        now = time.monotonic()
        taken.append(now - last)
        last = now
        if len(taken) > 1 and (now - begin > PROBE_SECONDS or len(taken) > PROBED_STEPS):
            break
    # The first step allocates memory.
    return statistics.mean(taken[1:] or taken)


class Pace:
    """Seconds from one piece of work to the next."""

    def __init__(self, expected: float, *, last: int) -> None:
        """A pace that is expected.

        Args:
            expected: seconds of a piece before any was seen.
            last: pieces whose mean is the pace, once some were seen.
        """
        self.expected = expected
        self._last = last
        self.seen: list[float] = []

    @property
    def seconds(self) -> float:
        """Of a piece."""
        seen = self.seen[-self._last :]
        return sum(seen) / len(seen) if seen else self.expected

    def saw(self, seconds: float) -> None:
        """Note how long a piece took."""
        self.seen.append(seconds)


@dataclass
class _Stage:
    """A part of a run, piece by piece."""

    pace: Pace
    left: int

    @property
    def seconds(self) -> float:
        """That are left of it."""
        return self.left * self.pace.seconds


class _Search:
    """The trials of a search, those on the surrogate apart from the others."""

    def __init__(self, plan: RunPlan) -> None:
        self._plan = plan
        self._paces = tuple(Pace(seconds, last=4 * plan.workers + 16) for seconds in plan.trial_seconds)
        self._left = list(plan.trials)
        self.slower = 1.0
        """How much slower than expected pre-training was: what is expected of trials comes of the same steps."""
        self._place = 0
        self._proposing = 0.0
        self._start: float | None = None
        self.has_ended = False

    def start(self, now: float) -> None:
        if self._start is None:
            self._start = now

    def skip(self, trials: int) -> None:
        """Trials that a resumed run takes from its store."""
        for _ in range(trials):
            self._left[0 if self._left[0] else 1] -= 1

    def proposed(self, trials: int, seconds: float) -> None:
        """What it took to propose trials is shared among them."""
        self._proposing = seconds / max(1, trials)

    def trial_ended(self, trial: Trial, seconds: float) -> None:
        self._place = int(isinstance(trial, ArchitectureTrial) and self._left[0] <= 0)
        self._left[self._place] = max(0, self._left[self._place] - 1)
        self._paces[self._place].saw(seconds + self._proposing)

    def between(self, seconds: float) -> None:
        """What is done between generations belongs to the trials before it."""
        seen = self._paces[self._place].seen
        if seen:
            seen[-1] += seconds

    def generation_ended(self) -> None:
        """The last one has, where no trials are left."""
        self.has_ended = self._plan.search_seconds is None and max(self._left) <= 0

    def seconds(self, now: float) -> float:
        if self.has_ended:
            return 0.0
        if self._plan.search_seconds is not None:
            return max(0.0, self._plan.search_seconds - (0.0 if self._start is None else now - self._start))
        first, later = (self._pace(pace) * (1.0 if pace.seen else self.slower) for pace in self._paces)
        if self._paces[0].seen and not self._paces[1].seen:
            # What was expected of both came of the same steps that were timed.
            later *= math.sqrt(first / (self._paces[0].expected * self.slower))
        return max(0, self._left[0]) * first + max(0, self._left[1]) * later

    def _pace(self, pace: Pace) -> float:
        """While the first trials run beside each other, each that has ended stands for half of those that have not."""
        count = len(pace.seen)
        return pace.seconds * count / (count + (self._plan.workers - 1) / 2) if 0 < count < 8 else pace.seconds


class TimeLeft:
    """Follows the events of a run, and tells of the time that is left: a listener that has a listener.

    Estimates follow events alone, so that a run tells of as many of them as its twin.
    """

    def __init__(
        self,
        plan: RunPlan,
        tell: events.Listener,
        keep: Callable[[events.TimeEstimated], None],
        *,
        start: float,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        """Follow a run from now on.

        Args:
            plan: what it is to do.
            tell: is told of all events, estimates included.
            keep: is given each estimate.
            start: when the run began, by `now`.
            now: seconds.
        """
        self._tell_others = tell
        self._keep = keep
        self._now = now
        self._start = start
        self._last = now()
        self._name = "starting"
        measured = Pace(plan.measure_seconds, last=20)
        self._profile = _Stage(measured, plan.measurements)
        self._all_measurements = plan.measurements
        self._measuring = _Stage(measured, FRONT_POINTS if plan.measure_seconds else 0)
        self._measures = plan.measure_seconds > 0
        self._epoch_seconds = max(plan.epoch_seconds, 1e-9)
        self._pretraining = _Stage(Pace(plan.epoch_seconds, last=LAST_EPOCHS), plan.epochs)
        self._search = _Search(plan)
        self._in_int8 = _Stage(Pace(0.0, last=20), 0)
        self._delivering = _Stage(Pace(DELIVERING_SECONDS, last=20), FRONT_POINTS)

    def __call__(self, event: events.Event) -> None:
        """Pass an event on, and tell how much time is left where it says something about that."""
        self._tell_others(event)
        if self._learn(event):
            estimate = events.TimeEstimated(self._name, self.seconds, self._now() - self._start)
            self._keep(estimate)
            self._tell_others(estimate)

    @property
    def seconds(self) -> float:
        """From now to the end of the run."""
        stages = (self._profile, self._pretraining, self._in_int8, self._delivering, self._measuring)
        return sum(stage.seconds for stage in stages) + self._search.seconds(self._now()) + DRAWING_SECONDS

    def _learn(self, event: events.Event) -> bool:
        """Take in an event; whether it says something new."""
        now = self._now()
        took, before = now - self._last, self._name
        match event:
            case events.RunStarted():
                pass
            case events.StageProgress(stage, done, total):
                self._name, self._last = stage, now
                self._learn_stage(stage, done, total, took)
                return stage != before or done == total or 10 * done // max(1, total) > 10 * (done - 1) // max(1, total)
            case events.PretrainEpoch(record, total):
                self._name, self._profile.left, self._pretraining.left = "pre-training", 0, total - record.epoch
                self._learn_epoch(took)
            case events.GenerationStarted(_, trials, already_done):
                self._name, self._profile.left, self._pretraining.left = "search", 0, 0
                self._search.start(now)
                self._search.skip(already_done)
                self._search.proposed(trials - already_done, took if before == "search" else 0.0)
            case events.TrialFinished(result):
                self._search.trial_ended(result.trial, took)
            case events.TrialFailed(trial):
                self._search.trial_ended(trial, took)
            case events.FrontWritten():
                self._name = "search"
                self._search.between(took)
                self._search.generation_ended()
            case events.FrontChanged(front=front):
                if not self._search.has_ended:
                    self._measuring.left = len(front) if self._measures else 0
                    self._delivering.left = len({point.id for point in front})
                return False
            case _:
                return False
        self._last = now
        return True

    def _learn_epoch(self, took: float) -> None:
        pace = self._pretraining.pace
        if not pace.seen:
            # The first one has a start of its own.
            pace.expected = min(took, pace.expected)
            pace.seen = [pace.expected]
        elif len(pace.seen) == 1:
            pace.seen = [took, took]
        else:
            pace.saw(took)
            least, most = SLOWER
            self._search.slower = min(max(pace.seconds / self._epoch_seconds, least), most)

    def _learn_stage(self, stage: str, done: int, total: int, took: float) -> None:
        match stage:
            case "profiling":
                self._profile.left = max(total, self._all_measurements) - done
                self._profile.pace.saw(took)
            case "measuring":
                if done:
                    self._measuring.pace.saw(took)
                if self._search.has_ended:
                    self._measuring.left = total - done
                else:
                    self._search.between(took)
            case "evaluating in int8":
                self._in_int8.left = total - done
                self._in_int8.pace.saw(took)
                if not self._search.has_ended:
                    self._search.between(took)
            case "delivering":
                self._search.has_ended = True
                self._delivering.left = total - done
                if done:
                    self._delivering.pace.saw(took / done)
