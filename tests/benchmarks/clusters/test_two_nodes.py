from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.clusters import two_nodes as bench
from benchmarks.clusters.two_nodes import Shares, TwoNodesConfig


def shares_of(jobs: dict[str, int]) -> Shares:
    return Shares(jobs=jobs, unfit=[], seconds=1.0, alone_seconds=2.0, same_front=True)


def test_the_smaller_share_is_of_all_jobs_and_nothing_where_one_node_did_all() -> None:
    assert shares_of({"a": 6, "b": 2}).smaller == 0.25
    assert shares_of({"a": 6}).smaller == shares_of({}).smaller == 0.0


def test_jobs_are_read_from_the_last_line_that_tells_them() -> None:
    lines = [
        "2026-01-01T00:00:00.000Z INFO    moo.execution.ray_backend: jobs by node: 10.0.0.1 (a, b) 0a1b2c 3",
        "2026-01-01T00:01:00.000Z INFO    run: the run starts",
        "2026-01-01T00:02:00.000Z INFO    moo.execution.ray_backend: "
        "jobs by node: 10.0.0.1 (head) 0a1b2c 11, 10.0.0.2 (other) 3d4e5f 13",
    ]
    assert bench._jobs(lines) == {"10.0.0.1 (head) 0a1b2c": 11, "10.0.0.2 (other) 3d4e5f": 13}
    assert bench._jobs(lines[1:2]) == {}


@pytest.mark.slow
@pytest.mark.thorough
def test_a_node_without_the_project_does_its_share(tmp_path: Path) -> None:
    found = bench.shares(TwoNodesConfig(population=4, generations=2), tmp_path)
    assert not found.unfit
    assert found.smaller > 0.2
    assert found.same_front
