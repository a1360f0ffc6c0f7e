"""What a search tells of its front after each result, against a front made anew of all that it found so far."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from devices.cost_tables.family import CostTables
from moo import events
from moo.execution.backend import InProcessBackend
from moo.search.loop import run_search
from moo.storage.archive import Archive, reference_point_of
from moo.storage.store import entries_of
from tests.moo.conftest import Prepare
from tests.tiers import THOROUGH


class BackwardsBackend(InProcessBackend):
    """The last trial of a generation ends first, so that architectures pass to earlier trials."""

    def run(self, jobs: Any, costs: Any, supernet: Any, on_start: Any) -> Iterator[Any]:
        yield from reversed(list(super().run(jobs, costs, supernet, on_start)))


@pytest.mark.parametrize("independent", [False, pytest.param(True, marks=THOROUGH)])
@pytest.mark.parametrize("backend_type", [InProcessBackend, BackwardsBackend])
def test_after_each_result_the_front_of_all_that_was_found_is_told(
    prepare_tiny: Prepare, tables: CostTables, backend_type: Any, independent: bool
) -> None:
    preparation = prepare_tiny(
        samples=3, theta_steps=1, pretrain_epochs=1, generations=3, supernet_generations=3, independent=independent
    )
    found = Archive(reference_point_of(tables, preparation.dataset.reference_error))
    found.use_tables(tables)
    told = []

    def listen(event: Any) -> None:
        if isinstance(event, events.TrialFinished):
            for entry in entries_of(event.result, preparation.space):
                found.add(entry)
        if isinstance(event, events.FrontChanged):
            told.append((event, found.inherited_front(), found.hypervolume(), len(found)))

    run_search(preparation, backend_type(preparation.setup), listen)
    during = [item for item in told if 0 < item[0].trials < 12]
    assert len(during) >= 11
    for event, front, hypervolume, size in during:
        assert event.front == front
        assert event.hypervolume == pytest.approx(hypervolume, abs=1e-12)
        assert [point.costs for point in event.front] == [point.costs for point in front]
        assert event.evaluations == size
    assert {event.trials for event, *_ in told} == set(range(13))
