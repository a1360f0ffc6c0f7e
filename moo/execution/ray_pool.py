"""A pool of actors that outlives those that die, and jobs that outlive both."""

from __future__ import annotations

import faulthandler
import logging
import traceback
import uuid
from collections import Counter, deque
from collections.abc import Callable, Generator, Iterable
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

import ray

from moo.execution.groups import Group, groups_of
from moo.execution.machinery import Patience
from moo.execution.news import Watch, WorkerBusy, WorkerGone, WorkerIdle, unwatched
from moo.execution.ray_session import POLL_SECONDS, RayDiedError, RaySession, is_loss
from moo.execution.running_searches import RunningSearches
from moo.execution.titles import CHECK_OF_WORKER, title_of
from moo.trials import Failure, Job, Outcome, failure_of
from search_space.boundary.text import last_line

TRIES = 3
"""A job is put off when so many workers have died of it; the last one had all the machine's memory for itself."""
CRASHES = ("Segmentation fault", "Illegal instruction", "Floating-point exception")
"""Deaths, as `faulthandler` calls them, that come from what a worker computes, and not from its machine."""

_LOG = logging.getLogger(__name__)


class ActorPool:
    """Actors, kept from one run of jobs to the next."""

    def __init__(
        self,
        new_actor: Callable[[Path], Any],
        size: Callable[[], int],
        logs: Path,
        look: Callable[[], None] = lambda: None,
        searches: RunningSearches | None = None,
    ) -> None:
        """Start no actor yet.

        Args:
            new_actor: starts one; it is given the file for its last words (`note_crashes`).
            size: how many at the same time, which may change as nodes come and go.
            logs: folder for these files.
            look: sees which nodes there are, which changes `size`.
            searches: hears how far inner searches are; by default nobody does.
        """
        self.look = look
        self.size = size
        self.searches = RunningSearches() if searches is None else searches
        self.places: dict[Any, str] = {}
        """Node of each actor that is up."""
        self.names: dict[Any, str] = {}
        """What each is called."""
        self.watch: Watch = unwatched
        """Is told what actors do."""
        self.ended: Counter[str] = Counter()
        """Jobs that have ended on each node."""
        self.idle: deque[Any] = deque()
        self.starting: dict[Any, tuple[Any, bool]] = {}
        """Actors that have not answered yet, and whether they are new, by what is there when they do."""
        self.is_in_use = False
        """Whether a run of jobs has begun and not ended."""
        self._new_actor = new_actor
        self._actors: dict[Any, Path] = {}
        self._logs = logs

    def start(self) -> None:
        """Start one more actor."""
        words = self._logs / f"last-words-{uuid.uuid4().hex}"
        actor = self._new_actor(words)
        self._actors[actor] = words
        self.starting[actor.where.options(name=CHECK_OF_WORKER).remote()] = (actor, True)

    def check_idle(self) -> None:
        """Give idle actors no job before they answer: where one died, its machine may be gone, and they with it."""
        while self.idle:
            actor = self.idle.popleft()
            self.starting[actor.where.options(name=CHECK_OF_WORKER).remote()] = (actor, False)

    def dismiss(self, actor: Any) -> None:
        """Stop it, even if it cannot be reached: it must not go on with a job that another one does."""
        self._actors.pop(actor, None)
        self.places.pop(actor, None)
        self.names.pop(actor, None)
        ray.kill(actor)

    def called(self, actor: Any) -> tuple[str, str]:
        """Name and node of an actor; empty where they are not known."""
        return self.names.get(actor, ""), self.places.get(actor, "")

    def note_end(self, actor: Any, job: Job) -> None:
        """Count a job that has ended, and keep where, if workers are on several nodes."""
        place = self.places.get(actor, "")
        self.ended[place] += 1
        if len({*self.places.values(), *self.ended}) > 1:
            _LOG.info("%s was done by %s", title_of(job), place or "a node that has gone")

    def last_words(self, actor: Any) -> str:
        """What an actor of this machine that crashed has left; empty for one that was killed."""
        with suppress(OSError, KeyError):
            return self._actors[actor].read_text(errors="replace").strip()
        return ""

    def close(self) -> None:
        """Stop all actors."""
        for actor in list(self._actors):
            self.dismiss(actor)
        self.searches.close()
        self.forget()

    def forget(self) -> None:
        """Know of no actor any more: they died with Ray."""
        self._actors.clear()
        self.places.clear()
        self.names.clear()
        self.idle.clear()
        self.starting.clear()
        self.searches.forget()


class Work:
    """Jobs of one run: those that were taken and have no outcome yet, and how many workers died of each."""

    def __init__(self, jobs: Iterable[Job], on_start: Callable[[Job], None], *, most: int = 1) -> None:
        """Take no job yet.

        Args:
            jobs: of the run.
            on_start: is told of each when it is taken.
            most: trials that are searched together, at most.
        """
        self.waiting: deque[Group] = deque()
        self.suspects: deque[Group] = deque()
        """Those that are to be tried with nothing beside them."""
        self._groups = groups_of(jobs, most)
        self._on_start = on_start
        self._deaths: Counter[Job] = Counter()
        self._crashes: Counter[Job] = Counter()

    def take(self) -> bool:
        """Have one more job wait, if there is one, or as many as are done together."""
        group = next(self._groups, None)
        if group is None:
            return False
        for job in group:
            self._on_start(job)
        self.waiting.append(group)
        return True

    def death(self, group: Group, reason: str, last_words: str = "") -> list[Failure]:
        """A worker died at jobs that it did together: each waits again by itself, or is given up."""
        failures = [self._death(job, reason, last_words) for job in reversed(group)]
        return [failure for failure in failures if failure is not None]

    def _death(self, job: Job, reason: str, last_words: str) -> Failure | None:
        """The same of one job; that it is given up says nothing of it unless it crashed."""
        self._deaths[job] += 1
        self._crashes[job] += any(name in last_words for name in CRASHES)
        if self._deaths[job] < TRIES - 1:
            self.waiting.appendleft((job,))
            return None
        if self._deaths[job] < TRIES:
            self.suspects.append((job,))
            return None
        if self._crashes[job] == TRIES:
            return failure_of(job, f"The worker crashed, as {TRIES - 1} others did.\n{last_words}")
        return failure_of(job, f"The worker died.\n{reason}", died=True)


class PoolRun:
    """Work that is done by a pool."""

    def __init__(self, pool: ActorPool, work: Work, session: RaySession, inputs: tuple[Any, Any]) -> None:
        self._pool = pool
        self._work = work
        self._session = session
        self._inputs = inputs
        self._running: dict[Any, tuple[Any, Group]] = {}
        self._patience = Patience()

    def outcomes(self) -> Generator[Outcome, None, None]:
        """All of them, as they come; actors that are still at work when nobody wants more are stopped.

        Raises:
            RayDiedError: if Ray died; what has no outcome is still to be done, and waits.
            MachineryError: if no worker had a place for a quarter of an hour.
        """
        pool, work = self._pool, self._work
        pool.is_in_use = True
        try:
            with self._session.checked():
                self._employ()
            while self._running or work.waiting or work.suspects:
                outcomes: list[Outcome] = []
                died: RayDiedError | None = None
                pool.watch(None)
                try:
                    self._step(outcomes)
                except RayDiedError as error:
                    died = error
                yield from outcomes
                if died is not None:
                    raise died
        finally:
            work.waiting.extendleft(group for _, group in reversed(self._running.values()))
            for _, group in self._running.values():
                pool.searches.end(*group)
            if self._session.dead_part is None:
                for actor, _ in self._running.values():
                    pool.dismiss(actor)
            pool.is_in_use = False

    def _step(self, outcomes: list[Outcome]) -> None:
        """Wait a little, add the outcomes that are there, and give their workers the next jobs."""
        references = [*self._running, *self._pool.starting]
        with self._session.checked():
            self._pool.look()
            ray.wait(references, num_returns=1, timeout=POLL_SECONDS)
            self._session.check()
            for progress in self._pool.searches.news():
                self._pool.watch(progress)
            ready, _ = ray.wait(references, num_returns=len(references), timeout=0)
            if ready or self._running:
                self._patience.reset()
            else:
                self._patience.check()
            for reference in ready:
                outcomes += self._collect(reference)
            self._employ()

    def _employ(self) -> None:
        """Give jobs to idle actors, and start as many more as there are jobs for."""
        pool, work = self._pool, self._work
        if work.suspects:
            if not self._running and pool.idle:
                self._give(work.suspects)
            elif not self._running and not pool.starting:
                pool.start()
            return
        while pool.idle and (work.waiting or work.take()):
            self._give(work.waiting)
        while len(self._running) + len(pool.starting) < pool.size():
            if len(pool.starting) >= len(work.waiting) and not work.take():
                return
            pool.start()

    def _give(self, groups: deque[Group]) -> None:
        actor, group = self._pool.idle[0], groups[0]
        tell = self._pool.searches.begin(*group)
        self._running[actor.run.options(name=title_of(*group)).remote(group, *self._inputs, tell)] = (actor, group)
        self._pool.idle.popleft()
        groups.popleft()
        self._pool.watch(WorkerBusy.with_jobs(*self._pool.called(actor), group))

    def _collect(self, reference: Any) -> list[Outcome]:
        """Let an actor be idle; returns outcomes, unless it only came up, or died and its jobs wait again."""
        group: Group = ()
        if reference in self._running:
            (actor, group), is_new = self._running[reference], False
        else:
            actor, is_new = self._pool.starting[reference]
        try:
            answer = ray.get(reference)
        except ray.exceptions.RayError as error:
            self._session.check()
            if is_loss(error):
                # What all jobs need; it is put there anew.
                raise
            reason, last_words = _reason(error), self._pool.last_words(actor)
            self._forget(reference)
            self._pool.watch(WorkerGone(*self._pool.called(actor), last_line(reason)))
            self._pool.dismiss(actor)
            self._pool.check_idle()
            if is_new and not group:
                group = next((groups.popleft() for groups in (self._work.suspects, self._work.waiting) if groups), ())
            return [*self._work.death(group, reason, last_words)]
        self._forget(reference)
        if group:
            for job in group:
                self._pool.note_end(actor, job)
        else:
            self._pool.places[actor] = answer
        self._pool.idle.append(actor)
        self._pool.watch(WorkerIdle(*self._pool.called(actor)))
        outcomes: list[Outcome] = []
        for job, outcome in zip(group, answer if group else (), strict=True):
            is_death = isinstance(outcome, Failure) and outcome.died
            outcomes += self._work.death((job,), outcome.traceback) if is_death else [outcome]
        return outcomes

    def _forget(self, reference: Any) -> None:
        _, group = self._running.pop(reference, (None, ()))
        self._pool.searches.end(*group)
        self._pool.starting.pop(reference, None)


def note_crashes(file: Path) -> IO[str] | None:
    """Have this process leave its last words in a file where it crashes, as long as what is returned is kept.

    On another machine than that of the pool it leaves none.
    """
    try:
        words = file.open("w")
    except OSError:
        return None
    faulthandler.enable(words, all_threads=False)
    return words


def _reason(error: Any) -> str:
    """Why a worker died: what its set-up raised, else Ray's words, and their meaning as the last line."""
    text = "".join(traceback.format_exception(error)).strip()
    if "creation task" in text:
        return text
    if isinstance(error, ray.exceptions.OutOfMemoryError):
        return f"{text}\nRay killed it, as memory ran out"
    if isinstance(error, ray.exceptions.RayTaskError):
        return f"{text}\n{last_line(text)}"
    return f"{text}\nit was killed, as when memory runs out, or crashed"
