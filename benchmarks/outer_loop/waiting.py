"""How long workers wait for a generation on the surrogate: proposed when it is asked for, and beside evaluations.

    python benchmarks/outer_loop/waiting.py [--workers 8] [--proposals 16 64] [--seconds 0.2] [--turns 3] [--json]

The real outer loop with simulated workers: threads that sleep as long as an evaluation takes. Both ways take turns, a
seed each; medians over turns of the seconds from the last evaluation of a generation to the first of the next, of the
share of their time in which workers evaluate, both from the third generation on, and of the search stage. Claim: with
64 proposals workers wait at most a third as long beside evaluations. Any machine; what else it does lengthens waiting.
"""

from __future__ import annotations

import dataclasses
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from itertools import pairwise, product
from typing import TYPE_CHECKING

from benchmarks.options import BenchmarkConfig, check_at_least, check_positive, read_config
from benchmarks.outer_loop.efficiency import Searched, searched, settings_of
from benchmarks.results import Column, TextTable, print_results
from scripts.interface.command_line import run

if TYPE_CHECKING:
    from typing_extensions import Self

POPULATION = 8
WAYS = {"when asked": False, "beside": True}


@dataclass(frozen=True, kw_only=True, slots=True)
class WaitingConfig(BenchmarkConfig):
    """Run the outer loop with stand-ins, and report how long workers wait between generations."""

    workers: int = 8
    """Simulated workers."""
    proposals: tuple[int, ...] = (16, 64)
    """Architectures of a generation on the surrogate."""
    seconds: float = 0.2
    """Of an evaluation."""
    generations: int = 7
    """Of each search, of which the first is on the supernet."""
    turns: int = 3
    """Searches of each kind."""
    quick: bool = False
    """Four workers, eight proposals, one turn."""

    def __post_init__(self) -> None:
        check_at_least(self, workers=1, proposals=1, generations=4, turns=1)
        check_positive(self, "seconds")

    def quickened(self) -> Self:
        """One short search of each kind."""
        return dataclasses.replace(self, workers=4, proposals=(8,), seconds=0.02, generations=4, turns=1)


@dataclass(frozen=True, kw_only=True, slots=True)
class Waiting:
    """Of one search, or the median of several."""

    waited_seconds: float
    """From a generation's last evaluation to the next one's first."""
    busy: float
    """Share of the workers' time, in [0, 1]."""
    stage_seconds: float


@dataclass(frozen=True, kw_only=True, slots=True)
class WaitingRow:
    """Searches of one kind."""

    way: str
    proposals: int
    median: Waiting
    turns: tuple[Waiting, ...]


TABLE = TextTable(
    Column(title="proposed", width=10, left=True),
    Column(title="a generation", width=12),
    Column(title="workers wait", width=12, form=".2f", unit=" s"),
    Column(title="busy", width=6, form=".0%"),
    Column(title="stage", width=8, form=".1f", unit=" s"),
)


def main() -> None:
    """Print one row a kind of search."""
    config = read_config(WaitingConfig)
    found: dict[tuple[int, str], list[Waiting]] = {kind: [] for kind in product(config.proposals, WAYS)}
    for turn, (kind, waits) in product(range(config.turns), found.items()):
        waits.append(measured(config, kind, seed=turn))
    rows = [
        WaitingRow(way=way, proposals=proposals, median=median_of(waits), turns=tuple(waits))
        for (proposals, way), waits in found.items()
    ]
    lines = [TABLE.head, *map(row_text, rows)]
    print_results({"rows": [asdict(row) for row in rows]}, lines, as_json=config.json)


def measured(config: WaitingConfig, kind: tuple[int, str], *, seed: int) -> Waiting:
    """One search."""
    proposals, way = kind
    usual = settings_of(
        population=POPULATION, generations=config.generations, surrogate=True, asynchronous=False, seed=seed
    )
    settings = replace(usual, proposals=proposals, propose_beside=WAYS[way])
    # A search on the supernet takes as many evaluations as it gives.
    mean = config.seconds * (1 + settings.samples)
    return waiting(
        searched(settings, place="simulated", workers=config.workers, seconds=mean, durations="even"), config
    )


def waiting(search: Searched, config: WaitingConfig) -> Waiting:
    """How long workers waited for generations that may have been proposed beside: from the third on."""
    starts = sorted(search.generation_starts)
    generations: list[list[tuple[float, float]]] = [[] for _ in starts]
    for one in search.worked:
        place = sum(one.start >= start for start in starts) - 1
        generations[place].append((one.start, one.start + one.seconds))
    waited, busy = [], []
    for before, own in pairwise(generations[1:]):
        last = max(end for _, end in before)
        waited.append(min(start for start, _ in own) - last)
        time = max(end for _, end in own) - last
        busy.append(sum(end - start for start, end in own) / (config.workers * time))
    return Waiting(
        waited_seconds=statistics.median(waited), busy=statistics.mean(busy), stage_seconds=search.stage_seconds
    )


def median_of(waits: Sequence[Waiting]) -> Waiting:
    """Of each figure by itself."""
    fields = [field.name for field in dataclasses.fields(Waiting)]
    return Waiting(**{name: statistics.median(getattr(one, name) for one in waits) for name in fields})


def row_text(row: WaitingRow) -> str:
    """As a line of the table."""
    median = row.median
    return TABLE.row(row.way, row.proposals, median.waited_seconds, median.busy, median.stage_seconds)


if __name__ == "__main__":
    run(main)
