from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

import pytest
import ray

from moo.config import SearchConfig
from moo.workers import Demand, resources, share
from tests.tiers import THOROUGH

GPUS = 4


@pytest.mark.parametrize("available", range(1, 9))
@pytest.mark.parametrize("workers", range(1, 33))
def test_the_shares_of_all_workers_fit_and_each_lies_on_one_device(available: int, workers: int) -> None:
    part = share(available, workers)
    assert 0 < part <= 1
    assert int(1 / part + 1e-9) * available >= workers
    assert share(0, workers) == 0


@pytest.mark.parametrize("gpus", range(1, 9))
@pytest.mark.parametrize("asked", range(1, 40))
def test_workers_on_gpus_fill_them_exactly_or_have_one_each(asked: int, gpus: int) -> None:
    demand = Demand(workers=asked)
    workers = demand.workers_on(cpus=64, gpus=gpus)
    assert asked - gpus < workers <= asked
    part = resources(demand, workers, cpus=64, gpus=gpus)["num_gpus"]
    if workers <= gpus:
        assert part == 1
    else:
        # One more would have no place: none is left over on a GPU, so none is empty.
        assert workers == gpus * int(1 / part + 1e-9)


def test_without_gpus_workers_are_as_many_as_asked_for_or_cores() -> None:
    for asked, workers in ((None, 16), (5, 5), (40, 40)):
        assert Demand(workers=asked).workers_on(cpus=16, gpus=0) == workers
    assert Demand().workers_on(cpus=16, gpus=4) == 4
    assert Demand().workers_on(cpus=0, gpus=0) == 1
    assert resources(Demand(), 3, cpus=2, gpus=0) == {"num_cpus": 0.5, "num_gpus": 0.0}


@pytest.mark.parametrize(
    ("each", "asked", "jobs", "workers", "part"),
    [
        (None, None, None, 4, 1.0),
        (0.25, None, None, 16, 0.25),
        (0.3, None, None, 12, 0.3333),
        (0.3333, None, None, 12, 0.3333),
        (1.0, None, None, 4, 1.0),
        (0.25, 6, None, 4, 1.0),
        (0.25, 8, None, 8, 0.5),
        (0.25, 100, None, 16, 0.25),
        (1.0, 8, None, 4, 1.0),
        (0.25, None, 10, 8, 0.5),
        (0.25, None, 3, 3, 1.0),
        (0.0, None, None, 16, 0.0),
        (0.0, 3, None, 3, 0.0),
    ],
)
def test_jobs_at_the_same_time_follow_from_the_share_of_a_gpu(
    each: float | None, asked: int | None, jobs: int | None, workers: int, part: float
) -> None:
    demand = Demand(workers=asked, gpus_per_worker=each)
    assert demand.workers_on(cpus=16, gpus=GPUS, jobs=jobs) == workers
    assert resources(demand, workers, cpus=16, gpus=GPUS)["num_gpus"] == part


def test_cores_suffice_for_the_gpus_of_each_machine() -> None:
    """By all cores together each worker could have one, but the first machine's four GPUs have two cores."""
    machines = [(2, 4), (32, 4), (8, 0)]
    assert resources(Demand(), 8, cpus=42, gpus=8, machines=machines) == {"num_cpus": 0.5, "num_gpus": 1.0}
    assert resources(Demand(), 16, cpus=42, gpus=8, machines=machines) == {"num_cpus": 0.25, "num_gpus": 0.5}
    assert resources(Demand(), 8, cpus=40, gpus=8, machines=machines[1:])["num_cpus"] == 1.0


def test_one_line_says_that_workers_are_fewer() -> None:
    said = Demand(workers=5).said_of(4, 4)
    assert said == "4 workers at the same time instead of 5, as many on each GPU: there are 4."
    said = Demand(workers=20, gpus_per_worker=0.25).said_of(16, 4)
    assert said is not None
    assert said.endswith("there are 4 and --gpus-per-worker 0.25.")
    assert Demand(workers=4).said_of(4, 4) is None
    assert Demand().said_of(1, 4) is None


def test_a_share_of_gpus_that_are_not_there_is_refused() -> None:
    with pytest.raises(
        ValueError, match=r"^`--gpus-per-worker 0.5` must go with GPUs, but Ray counts none here: .*\.$"
    ):
        Demand(gpus_per_worker=0.5).check(0)
    Demand(gpus_per_worker=0.5).check(1)
    Demand(gpus_per_worker=0.0).check(0)
    Demand().check(0)


@pytest.mark.parametrize("value", [-1.0, 0.001, 1.5, 2.0, float("nan"), float("inf")])
def test_what_is_no_share_of_a_gpu_is_refused(value: float) -> None:
    with pytest.raises(ValueError, match=r"^`0.01 <= --gpus-per-worker <= 1`, or 0 for none, must hold, but got .*"):
        SearchConfig(gpus_per_worker=value)


class Placed:
    def gpus(self) -> list[Any]:
        return list(ray.get_gpu_ids())


@pytest.fixture(scope="module")
def four_gpus() -> Iterator[None]:
    """Ray only counts them."""
    ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])
    ray.init(address="local", num_cpus=9, num_gpus=GPUS, include_dashboard=False, log_to_driver=False)
    yield
    ray.shutdown()


@pytest.mark.slow
@pytest.mark.parametrize("asked", [5, 9, *(pytest.param(number, marks=THOROUGH) for number in (1, 2, 3, 4, 6, 7, 8))])
@pytest.mark.usefixtures("four_gpus")
def test_ray_leaves_no_gpu_without_a_worker(asked: int) -> None:
    demand = Demand(workers=asked)
    workers = demand.workers_on(cpus=9, gpus=GPUS)
    options = resources(demand, workers, cpus=9, gpus=GPUS)
    actors = [ray.remote(Placed).options(**options).remote() for _ in range(workers)]
    found = [number for numbers in ray.get([actor.gpus.remote() for actor in actors], timeout=60) for number in numbers]
    for actor in actors:
        ray.kill(actor)
    counts = {number: found.count(number) for number in found}
    assert len(counts) == min(GPUS, asked)
    assert len(set(counts.values())) == 1, "as many on each"
