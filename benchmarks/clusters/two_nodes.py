"""How the jobs of a search are shared by two nodes of a cluster, of which the second has not got the project.

    python benchmarks/clusters/two_nodes.py [--population 8] [--generations 3] [--quick] [--json]

A cluster of two Ray nodes is started on this machine as docs/clusters.md has it, with a token, one core for each node.
The second one's Python has all packages, but cannot import the project. Then `pareto_search.py --address` joins, and
the run's own `run.log` says how many jobs each node ended. The same search without a cluster, on one core, tells
whether the front is the same. Goal: about half of the jobs on each node.
"""

from __future__ import annotations

import dataclasses
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.clusters.ray_nodes import cluster, python_without_project
from benchmarks.options import BenchmarkConfig, check_at_least, read_config
from benchmarks.results import print_results
from scripts.interface.command_line import run
from scripts.interface.run_log import NAME
from search_space.boundary.text import last_line

if TYPE_CHECKING:
    from typing_extensions import Self

ROOT = Path(__file__).parents[2]
SHORT = ("--device", "pi4", "--samples", "2", "--pretrain-epochs", "8", "--theta-steps", "20")
"""Options of a search whose jobs are short, and whose front is the same wherever they are done."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TwoNodesConfig(BenchmarkConfig):
    """How the jobs of a search are shared by two nodes of a cluster, of which the second has not got the project."""

    population: int = 8
    """Trials of a generation."""
    generations: int = 3
    """Generations."""

    def __post_init__(self) -> None:
        check_at_least(self, population=4, generations=1)

    def quickened(self) -> Self:
        """One generation of four trials."""
        return dataclasses.replace(self, population=4, generations=1)


@dataclass(frozen=True, kw_only=True, slots=True)
class Shares:
    """What became of the search."""

    jobs: dict[str, int]
    """Jobs that ended, by node."""
    unfit: list[str]
    """What was said of nodes that got no jobs."""
    seconds: float
    """Time of the search on the cluster."""
    alone_seconds: float
    """Time of the same search on one core of this machine."""
    same_front: bool
    """Whether both found the same networks with the same errors."""

    @property
    def smaller(self) -> float:
        """The share of the node that ended fewer jobs; 0 where one did all."""
        return min(self.jobs.values()) / sum(self.jobs.values()) if len(self.jobs) > 1 else 0.0


def main() -> None:
    """Print how many jobs each node did."""
    config = read_config(TwoNodesConfig)
    with tempfile.TemporaryDirectory(prefix="two-nodes-") as folder:
        found = shares(config, Path(folder))
    print_results(asdict(found) | {"smaller": found.smaller}, _lines(found), as_json=config.json)


def shares(config: TwoNodesConfig, folder: Path) -> Shares:
    """Search on the cluster, and without."""
    pythons = {"head": Path(sys.executable), "bare": python_without_project(folder / "python")}
    with cluster(pythons, folder) as (address, variables):
        seconds = _search(config, folder / "two", ["--address", address], variables)
    before = os.sched_getaffinity(0)
    # As a node has: pre-training in another number of threads rounds differently.
    os.sched_setaffinity(0, {min(before)})
    try:
        alone_seconds = _search(config, folder / "alone", [], {})
    finally:
        os.sched_setaffinity(0, before)
    said = (folder / "two" / NAME).read_text().splitlines()
    return Shares(
        jobs=_jobs(said),
        unfit=[line for line in said if "gets no jobs" in line],
        seconds=seconds,
        alone_seconds=alone_seconds,
        same_front=_front(folder / "two") == _front(folder / "alone"),
    )


def _search(config: TwoNodesConfig, out: Path, options: list[str], variables: Mapping[str, str]) -> float:
    """Run a search; returns its time in seconds.

    Raises:
        RuntimeError: if it fails, with its last line.
    """
    command = [
        sys.executable, str(ROOT / "scripts" / "pareto_search.py"), "--population", str(config.population),
        "--generations", str(config.generations), *SHORT, *options, "--out", str(out),
    ]  # fmt: skip
    start = time.monotonic()
    done = subprocess.run(command, env=os.environ | variables, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"The search ended with code {done.returncode}: {last_line(done.stderr or done.stdout)}")
    return time.monotonic() - start


def _jobs(lines: list[str]) -> dict[str, int]:
    """Jobs that ended, by node, as the last such line of `run.log` has them."""
    told = [line.partition("jobs by node: ")[2] for line in lines if "jobs by node: " in line]
    return {name: int(count) for name, count in re.findall(r"([^,]+) (\d+)(?:, |$)", told[-1])} if told else {}


def _front(folder: Path) -> list[tuple[str, float]]:
    """Networks of a front, with their errors."""
    front = json.loads((folder / "front.json").read_text())
    return [(point["architecture"]["id"], point["error"]) for point in front]


def _lines(found: Shares) -> Iterator[str]:
    for name, count in found.jobs.items():
        yield f"{count:>4} jobs on {name}"
    yield from found.unfit
    yield f"share of the node that ended fewer: {found.smaller:.1%}"
    yield f"time {found.seconds:.0f} s on two nodes, {found.alone_seconds:.0f} s on one core"
    yield f"the same front: {'yes' if found.same_front else 'no'}"


if __name__ == "__main__":
    run(main)
