"""A search on two Ray nodes of one machine, of which one goes away in the middle."""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
import ray
import torch
from ray.cluster_utils import Cluster

from devices.cost_tables.family import CostTables
from moo import events
from moo.execution.backend import InProcessBackend
from moo.execution.evaluator import Evaluator
from moo.execution.ray_backend import start_ray_backend
from moo.search.loop import run_search
from moo.storage.store import open_store
from moo.trials import DeliveryJob, Job, Outcome, WorkerSetup
from tests.moo.conftest import Prepare
from tests.tiers import THOROUGH

pytestmark = [*THOROUGH]


class DoomedEvaluator(Evaluator):
    """Does its jobs; but on one node no trial ends, so that there is one at work there whenever that node dies."""

    def __init__(self, setup: WorkerSetup, device: torch.device, *, doomed_node: str, folder: Path) -> None:
        super().__init__(setup, device)
        self._is_doomed = ray.get_runtime_context().get_node_id() == doomed_node
        self._folder = folder

    def run(self, job: Job, costs: CostTables, supernet: bytes) -> Outcome:
        while self._is_doomed:
            assert not isinstance(job, DeliveryJob)
            (self._folder / str(job.id)).touch()
            time.sleep(0.05)
        return super().run(job, costs, supernet)


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    yield cluster
    ray.shutdown()
    cluster.shutdown()


def test_a_node_that_dies_in_the_middle_costs_no_evaluation(
    prepare_tiny: Prepare, cluster: Cluster, tmp_path: Path
) -> None:
    node = cluster.add_node(num_cpus=1)
    at_work = tmp_path / "at-work"
    at_work.mkdir()
    preparation = prepare_tiny("cluster", pretrain_epochs=0, workers=2)
    evaluator = partial(DoomedEvaluator, doomed_node=node.node_id, folder=at_work)
    backend = start_ray_backend(preparation.setup, workers=2, address=cluster.address, evaluator=evaluator)
    seen: list[events.Event] = []

    def listen(event: events.Event) -> None:
        seen.append(event)
        if isinstance(event, events.TrialFinished) and node in cluster.worker_nodes:
            deadline = time.monotonic() + 60
            while not list(at_work.iterdir()):
                assert time.monotonic() < deadline, "no trial began on the node that is to die"
                time.sleep(0.05)
            cluster.remove_node(node, allow_graceful=False)

    try:
        archive = run_search(preparation, backend, listen)
    finally:
        backend.close()

    ended = Counter(event.result.trial.id for event in seen if isinstance(event, events.TrialFinished))
    started = Counter(event.trial.id for event in seen if isinstance(event, events.TrialStarted))
    assert ended == started == Counter(range(8))
    assert len(list(at_work.iterdir())) == 1
    store = open_store(preparation.folder.store)
    stored = store.trials()
    store.close()
    assert {number: kept.traceback for number, kept in stored.items()} == dict.fromkeys(range(8))

    undisturbed = prepare_tiny("undisturbed", pretrain_epochs=0)
    assert archive.entries == run_search(undisturbed, InProcessBackend(undisturbed.setup), lambda event: None).entries
