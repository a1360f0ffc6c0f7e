"""How long a search would take, by how long one like it took on this machine. Start with `estimate`.

Nothing is timed and nothing is assumed: where no such search has ended, there is no estimate. Once a search has begun,
`moo.search.estimate` knows better.
"""

from __future__ import annotations

import platform
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from moo.config import EXECUTION_SETTINGS, LENGTH_SETTINGS, SearchConfig
from moo.formatting import duration, many
from moo.page.folders import Runs
from moo.page.searches.states import Stamp, stamp_of
from moo.search.proposals import expected_trials, generation_size, supernet_generations
from moo.storage.run_folder import RunFolder
from search_space.boundary.reading import parse_json
from search_space.boundary.text import shown

FREE = (EXECUTION_SETTINGS - {"workers", "gpus_per_worker", "address"}) | LENGTH_SETTINGS | {
    "population", "pretrain_epochs", "seed", "space", "size", "max_latency_ms", "max_energy_mj", "max_params",
    "alpha", "beta", "gamma", "delta",
}  # fmt: skip
"""Settings that a like search need not share: what follows from some of them is calculated, others take no time."""
MOST_EVENT_BYTES = 2**26
"""Of a file of events that is read."""
MOST_KEPT = 4096
_KINDS = (
    "command_started", "run_started", "pretrain_epoch", "generation_started", "trial_finished", "trial_failed",
    "run_finished", "command_ended",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True, slots=True)
class Course:
    """How long the parts of a search took that went through without an interruption, in s."""

    seconds: float
    """In all."""
    epochs: int
    """Of shared pre-training."""
    pretraining: float
    """Of all of them."""
    generations: tuple[tuple[int, float], ...]
    """Trials of each, and seconds to the next one or the end of the search."""

    @property
    def rest(self) -> float:
        """What is neither pre-training nor searching: starting, profiling, writing files."""
        return self.seconds - self.pretraining - sum(seconds for _, seconds in self.generations)


def estimate(config: SearchConfig, runs: Runs) -> str:
    """About how long a search would take, and by what; empty where that cannot be told.

    Args:
        config: checked, as the command line has it.
        runs: among which there may be one like it.
    """
    if config.minutes is not None and config.space is None:
        return f"About {duration(60 * config.minutes)} in all, as --minutes asks."
    like = max(_like(config, runs), key=lambda found: found[0], default=None)
    if like is None:
        return ""
    _, name, earlier, course = like
    seconds = _seconds(config, earlier, course)
    if seconds is None:
        return ""
    trials = sum(trials for trials, _ in course.generations)
    space = "" if config.space and _size(config) else f" if its space is {earlier.space}@{earlier.size}"
    return (
        f"Roughly {_about(seconds)}{space}: a guess from the run {shown(name)}, which took {duration(course.seconds)} "
        f"on this machine for {many(course.epochs, 'epoch', 'epochs')} and {many(trials, 'trial', 'trials')}."
    )


def _about(seconds: float) -> str:
    if seconds < 3600:
        return "a minute" if seconds < 90 else f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"


def _like(config: SearchConfig, runs: Runs) -> Iterator[tuple[float, str, SearchConfig, Course]]:
    """Runs whose search went through on this machine with the same settings, by when they were written last."""
    for name in runs.names():
        folder = RunFolder(runs.root / name)
        config_stamp, events_stamp = stamp_of(folder.config), stamp_of(folder.events)
        earlier = _settings(folder, config_stamp)
        if earlier is None or events_stamp is None or not _is_like(config, earlier):
            continue
        course = _course(folder.events, events_stamp)
        if course is not None:
            yield events_stamp[0], name, earlier, course


def _is_like(config: SearchConfig, earlier: SearchConfig) -> bool:
    wanted, had = config.to_json(), earlier.to_json()
    if config.space is not None and config.space.partition("@")[0] != earlier.space:
        return False
    if _size(config) not in (None, earlier.size):
        return False
    # A number of epochs that is left to the images is known where it was left to the same ones.
    epochs_known = config.pretrain_epochs is not None or earlier.pretrain_epochs is None
    return epochs_known and all(wanted[name] == had[name] for name in wanted if name not in FREE)


def _size(config: SearchConfig) -> int | None:
    """Of images, where it is given."""
    at = (config.space or "").partition("@")[2]
    return int(at) if at.isdecimal() else config.size


def _seconds(config: SearchConfig, earlier: SearchConfig, course: Course) -> float | None:
    """Of a search like an earlier one; None where that had no generation of a kind that this one has."""
    epochs = course.epochs if config.pretrain_epochs is None else config.pretrain_epochs
    if epochs and not course.epochs:
        return None
    pretraining = course.pretraining / course.epochs * epochs if epochs else 0.0
    if config.minutes is not None:
        return course.rest + pretraining + 60 * config.minutes
    first = int(min(config.generations, supernet_generations(config)))
    trials = first * generation_size(config), expected_trials(config) - first * generation_size(config)
    split = int(min(len(course.generations), supernet_generations(earlier)))
    searching = 0.0
    for count, seen in zip(trials, (course.generations[:split], course.generations[split:]), strict=True):
        before = sum(trials for trials, _ in seen)
        if count and not before:
            return None
        searching += count / before * sum(seconds for _, seconds in seen) if count else 0.0
    return course.rest + pretraining + searching


@lru_cache(maxsize=MOST_KEPT)
def _settings(folder: RunFolder, _stamp: Stamp) -> SearchConfig | None:
    try:
        return folder.read_settings()
    except (ValueError, OSError):
        return None


@lru_cache(maxsize=MOST_KEPT)
def _course(path: Path, _stamp: Stamp) -> Course | None:
    """The course of a search as its first command tells it."""
    events = list(_events(path))
    if not events or events[0].get("machine") != platform.node():
        return None
    try:
        return _course_of(events)
    except (LookupError, TypeError, ValueError):
        # Not ours, or damaged: nothing follows from it.
        return None


def _course_of(events: list[dict[str, Any]]) -> Course | None:
    start, epochs = float(events[0]["at"]), 0
    begin = pretrained = 0.0
    last: float | None = None
    generations: list[list[float]] = []
    for event in events[1:]:
        at = float(event["at"])
        match event["kind"]:
            case "run_started":
                if event["resumed"]:
                    return None
                begin = at
            case "pretrain_epoch":
                # The first one has a start of its own, which the others have not.
                begin = pretrained if epochs == 1 else begin
                epochs, pretrained = int(event["epoch"]), at
            case "generation_started":
                generations.append([0, at, at])
            case "trial_finished" | "trial_failed":
                generations[-1][0] += 1
                last = at
            case "run_finished":
                if last is None:
                    return None
                ends = [*(one[1] for one in generations[1:]), last]
                whole = (pretrained - begin) / max(1, epochs - 1) * epochs
                took = tuple((int(one[0]), end - one[1]) for one, end in zip(generations, ends, strict=True))
                return Course(seconds=at - start, epochs=epochs, pretraining=whole, generations=took)
            case _:
                return None
    return None


def _events(path: Path) -> Iterator[dict[str, Any]]:
    """Those of a file that say how long parts of a search took."""
    wanted = tuple(f'"kind": "{kind}"'.encode() for kind in _KINDS)
    try:
        with path.open("rb") as file:
            for line in file.read(MOST_EVENT_BYTES).splitlines():
                if any(kind in line[:80] for kind in wanted):
                    content = parse_json(line)
                    if isinstance(content, dict):
                        yield content
    except (ValueError, OSError):
        return
