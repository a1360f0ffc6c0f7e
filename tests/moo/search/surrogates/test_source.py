"""Proposals beside evaluations: what is when is told by events of threads, never by times."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch

from moo import events
from moo.search.loop import find_front
from moo.search.surrogates import source
from moo.search.surrogates.task import SurrogateTask
from moo.storage.archive import Archive
from moo.trials import ArchitectureTrial
from tests.moo.conftest import Prepare
from tests.moo.search.test_resuming import FormulaBackend

PATIENCE = 60.0
"""Seconds after which a test that waits fails."""
BESIDE: dict[str, Any] = {
    "pretrain_epochs": 0, "samples": 1, "theta_steps": 1, "supernet_generations": 1, "generations": 4, "proposals": 3,
    "propose_beside": True,
}  # fmt: skip


class Course:
    """What happened in which order: proposals that begin and end, by the number of their first trial, and trials."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, begin: Callable[[int], None] = lambda first: None) -> None:
        self.began: dict[int, threading.Event] = {}
        self.ended: list[int] = []
        self.threads: dict[int, tuple[str, int]] = {}
        proposals = SurrogateTask.proposals

        def noted(task: SurrogateTask) -> Any:
            self.threads[task.first] = threading.current_thread().name, torch.get_num_threads()
            self.event(task.first).set()
            begin(task.first)
            found = proposals(task)
            self.ended.append(task.first)
            return found

        monkeypatch.setattr(SurrogateTask, "proposals", noted)

    def event(self, first: int) -> threading.Event:
        """Is set once the proposals that begin with a trial are worked on."""
        return self.began.setdefault(first, threading.Event())


class SlowBackend(FormulaBackend):
    """Ends no trial of some numbers before something happened."""

    def __init__(self, setup: Any, before: Callable[[int], None] = lambda number: None) -> None:
        super().__init__(setup)
        self._before = before

    def run(self, jobs: Any, costs: Any, supernet: Any, on_start: Any) -> Iterator[Any]:
        """See `moo.execution.backend.Backend.run`."""

        def waited() -> Iterator[Any]:
            for job in jobs:
                if isinstance(job, ArchitectureTrial):
                    self._before(job.id)
                yield job

        return super().run(waited(), costs, supernet, on_start)


def summary(archive: Archive) -> list[tuple[str, float, int]]:
    return [(entry.architecture.id, entry.error, entry.trial_id) for entry in archive.entries]


def searched(
    prepare: Prepare, name: str, before: Callable[[int], None] = lambda number: None, **options: Any
) -> Archive:
    preparation = prepare(name, **(BESIDE | options))
    return find_front(preparation, SlowBackend(preparation.setup, before), lambda event: None)


@pytest.mark.parametrize("asynchronous", [False, True])
def test_the_next_generation_is_proposed_before_the_evaluations_of_this_one_end(
    prepare_tiny: Prepare, monkeypatch: pytest.MonkeyPatch, asynchronous: bool
) -> None:
    course = Course(monkeypatch)
    waited: list[int] = []

    def before(number: int) -> None:
        """The last trial of each generation but the last ends only once the next one is worked on."""
        if number in (6, 9):
            waited.append(number + 1)
            assert course.event(number + 1).wait(PATIENCE), "nothing is proposed beside"

    archive = searched(prepare_tiny, "beside", before, asynchronous=asynchronous)
    assert waited == [7, 10]
    assert course.ended == [4, 7, 10], "and none for after the end"
    assert len(archive) > 4
    assert set(course.threads.values()) == {("proposals", 1)}


def test_results_do_not_depend_on_what_takes_how_long(prepare_tiny: Prepare, monkeypatch: pytest.MonkeyPatch) -> None:
    evaluated = {first: threading.Event() for first in (7, 10)}

    def late(number: int) -> None:
        """Proposals end only after the evaluations beside them: all is in the archive by then."""
        if number in evaluated:
            evaluated[number].wait(PATIENCE)

    def told(event: events.Event) -> None:
        if isinstance(event, events.TrialFinished) and event.result.trial.id + 1 in evaluated:
            evaluated[event.result.trial.id + 1].set()

    quick = prepare_tiny("quick", **BESIDE)
    usual = find_front(quick, FormulaBackend(quick.setup), lambda event: None)
    with monkeypatch.context() as patch:
        Course(patch, late)
        slow = prepare_tiny("slow", **BESIDE)
        assert summary(find_front(slow, FormulaBackend(slow.setup), told)) == summary(usual)
    assert all(event.is_set() for event in evaluated.values())


def test_by_default_a_generation_is_proposed_from_all_that_is_known_by_the_program_itself(
    prepare_tiny: Prepare, monkeypatch: pytest.MonkeyPatch
) -> None:
    course = Course(monkeypatch)
    usual = searched(prepare_tiny, "usual", propose_beside=None)
    assert {name for name, _ in course.threads.values()} == {threading.current_thread().name}
    assert course.ended == [4, 7, 10]
    assert summary(searched(prepare_tiny, "said", propose_beside=False)) == summary(usual)


def test_this_machine_measures_only_once_nothing_goes_on_beside(
    prepare_tiny: Prepare, monkeypatch: pytest.MonkeyPatch
) -> None:
    preparation = prepare_tiny("settling", **BESIDE)
    course, settled = Course(monkeypatch), list[int]()
    settle = source.ProposalsBeside.settle

    def noted(beside: source.ProposalsBeside) -> None:
        settle(beside)
        settled.append(len(course.ended))

    monkeypatch.setattr(source.ProposalsBeside, "settle", noted)
    find_front(preparation, FormulaBackend(preparation.setup), lambda event: None)
    assert settled == [0, 2, 3, 3], "after each generation the next one's proposals are there"


def test_where_nothing_new_is_found_beside_it_is_asked_again_by_all_that_is_known(
    prepare_tiny: Prepare, monkeypatch: pytest.MonkeyPatch
) -> None:
    propose, asked = SurrogateTask.proposals, list[tuple[int, bool, int]]()

    def none_beside(task: SurrogateTask) -> Any:
        asked.append((task.first, bool(task.pending), len(task.entries)))
        return [] if task.pending else propose(task)

    monkeypatch.setattr(SurrogateTask, "proposals", none_beside)
    searched(prepare_tiny, "nothing")
    assert [entry[:2] for entry in asked] == [(4, False), (7, True), (7, False), (10, True), (10, False)]
    known = [entry[2] for entry in asked]
    assert known[0] == known[1] < known[2] == known[3] < known[4]


def test_what_fails_beside_fails_the_search(prepare_tiny: Prepare, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(first: int) -> None:
        if first == 7:
            raise MemoryError("no more")

    Course(monkeypatch, fail)
    with pytest.raises(MemoryError, match="no more"):
        searched(prepare_tiny, "failing")
