"""Chains of kills: a command is begun, killed, resumed, killed again, and compared with its uninterrupted twin."""

from __future__ import annotations

import json
import re
import shutil
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

import numpy as np

from benchmarks.resuming.commands import COMMANDS, EVALUATION, SPACE, SPACE_FILE, STAGES, Command
from benchmarks.resuming.comparison import differences
from benchmarks.resuming.processes import WORDS, Kind, Running, started

LONGEST_SECONDS = 900.0
"""After which a command is taken to hang."""
ENDS_WITHIN = 120.0
"""Seconds in which a script must have ended that was told to, or whose Ray was killed."""
OUTLIVES = 20.0
"""Seconds after which what a killed script has left running counts as an orphan."""
GOES_ON = re.compile(r"[Gg]o on with|same command|give the command again")
"""What a script says that was stopped."""
SURVIVED = ("worker", "raylet", "agent")
"""Kinds of kill after which the script itself goes on."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Whole:
    """An uninterrupted command."""

    folder: Path
    seconds: float
    stages: tuple[tuple[str, float], ...]
    """With the seconds that each took, in order."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Kill:
    """A kill that took place."""

    stage: str
    kind: str
    seconds: float
    """From the start of the process."""
    code: int | None
    """Exit status of the script; None if it went on."""
    says_how: bool
    """Whether it said how to go on."""


@dataclass(kw_only=True, slots=True)
class Chain:
    """What became of a command that was killed."""

    command: str
    kills: list[Kill] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)
    """What had ended, and was done again."""
    different: list[str] = field(default_factory=list)
    """From the uninterrupted one."""
    orphans: list[str] = field(default_factory=list)
    failed: str = ""
    """Why it did not come to an end, if it did not."""

    @property
    def is_equal(self) -> bool:
        """Whether it ended as the uninterrupted one."""
        return not self.different and not self.failed


class Workshop:
    """A folder in which commands are run, killed and compared."""

    def __init__(self, path: Path) -> None:
        """Make it, if it is not there.

        Args:
            path: of the folder; uninterrupted commands in it are used again.
        """
        self._path = path.expanduser().absolute()
        self._path.mkdir(parents=True, exist_ok=True)
        (self._path / SPACE_FILE).write_text(SPACE)

    def whole(self, command: Command) -> Whole:
        """The uninterrupted command.

        Raises:
            RuntimeError: if it fails.
        """
        folder, note = self._path / "whole" / command.name, self._path / "whole" / f"{command.name}.json"
        if not note.exists():
            if command.base is not None:
                self.whole(next(other for other in COMMANDS if other.name == command.base))
            _forget(folder)
            start = time.monotonic()
            running = self._started(command, folder, resumed=False, attempt=1)
            stages = _stages_until_end(running, start)
            if running.wait(0.0) != 0:
                raise RuntimeError(f"{command.name} must end before it can be killed, but failed; see {running.log}.")
            note.write_text(json.dumps({"seconds": time.monotonic() - start, "stages": stages}))
        content = json.loads(note.read_text())
        taken = tuple((str(stage), float(seconds)) for stage, seconds in content["stages"])
        return Whole(folder=folder, seconds=content["seconds"], stages=taken)

    def chain(self, command: Command, kinds: Sequence[Kind], rng: np.random.Generator, *, number: int) -> Chain:
        """Kill a command again and again, each time in the same stage or a later one, then let it end.

        Args:
            command: that is killed.
            kinds: of the kills, in order.
            rng: chooses stages and instants.
            number: of the chain.
        """
        whole, chain, left = self.whole(command), Chain(command=command.name), list(kinds)
        folder = self._path / "killed" / f"{number:03d} {command.name}"
        _forget(folder)
        attempts: list[Running] = []
        while not chain.failed:
            # Without a config.json there is nothing to go on with yet: the same command begins anew.
            begun = (folder / "config.json").exists()
            running = self._started(command, folder, resumed=begun, attempt=len(attempts) + 1)
            attempts.append(running)
            before = len(chain.kills)
            _killed(running, whole, left, rng, chain)
            code = running.wait(LONGEST_SECONDS)
            if code is None:
                chain.failed = f"attempt {len(attempts)} hangs"
            elif code == 0:
                break
            elif len(chain.kills) == before:
                chain.failed = f"attempt {len(attempts)} ended with {code}"
        done = Counter(name for running in attempts for name in set(EVALUATION.findall(running.text())))
        chain.lost = sorted(name for name, times in done.items() if times > 1)
        for running in attempts:
            chain.orphans += running.left_over(OUTLIVES).values()
        if not chain.failed:
            chain.different = differences(whole.folder, folder)
        return chain

    def _started(self, command: Command, folder: Path, *, resumed: bool, attempt: int) -> Running:
        base = None if command.base is None else self._path / "whole" / command.base
        if base is not None and not command.out and not folder.exists():
            shutil.copytree(base, folder)
        folder.parent.mkdir(parents=True, exist_ok=True)
        return started(
            command.argv(folder, base, resumed=resumed),
            folder=self._path,
            log=folder.with_name(f"{folder.name} {attempt}.log"),
            environment={"PI_PARETO_NAS_CACHE": str(folder.with_name(f"{folder.name} cache")), "OMP_NUM_THREADS": "1"},
        )


def _stages_until_end(running: Running, start: float) -> list[tuple[str, float]]:
    """Stages of a command with the seconds that each took, when it has ended."""
    begins = [("loading", start)]
    while not running.has_ended() and time.monotonic() - start < LONGEST_SECONDS:
        stage = stage_of(running)
        if stage != begins[-1][0]:
            begins.append((stage, time.monotonic()))
        time.sleep(0.05)
    return [(name, after - at) for (name, at), (_, after) in pairwise([*begins, ("end", time.monotonic())])]


def stage_of(running: Running) -> str:
    """The stage that a command is in, by what it has printed."""
    text = running.text()
    found = [(match.start(), name) for pattern, name in STAGES for match in list(pattern.finditer(text))[-1:]]
    return max(found)[1] if found else "loading"


def _killed(running: Running, whole: Whole, left: list[Kind], rng: np.random.Generator, chain: Chain) -> None:
    """Kill a command at random instants until it is dead or has ended, or no kill is left; notes the kills."""
    start, place = time.monotonic(), 0
    while left:
        place = int(rng.integers(place, len(whole.stages)))
        if not _comes(running, whole, place, float(rng.random())):
            return
        stage, kind = stage_of(running), left.pop(0)
        if not running.kill(kind):
            left.insert(0, "group")
            continue
        survives = kind in SURVIVED
        at, code = time.monotonic() - start, None if survives else running.wait(ENDS_WITHIN)
        says_how = bool(GOES_ON.search(running.text()))
        chain.kills.append(Kill(stage=stage, kind=WORDS[kind], seconds=at, code=code, says_how=says_how))
        if not survives:
            return


def _comes(running: Running, whole: Whole, place: int, share: float) -> bool:
    """Wait until so much of a stage, or of a later one, is over; returns whether the command is still at work then."""
    later = {name for name, _ in whole.stages[place:]}
    while not running.has_ended() and stage_of(running) not in later:
        time.sleep(0.05)
    end = time.monotonic() + share * whole.stages[place][1]
    while not running.has_ended() and time.monotonic() < end:
        time.sleep(0.02)
    return not running.has_ended()


def _forget(folder: Path) -> None:
    """Remove what an earlier chain of this number has left."""
    shutil.rmtree(folder, ignore_errors=True)
    for path in folder.parent.glob(f"{folder.name} *"):
        shutil.rmtree(path, ignore_errors=True)
        path.unlink(missing_ok=True)
