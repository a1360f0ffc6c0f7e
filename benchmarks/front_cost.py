"""What a front costs: trials that share one pre-trained supernet, against trials that each train their own.

    python benchmarks/front_cost.py --dataset cifar10 --pretrain-epochs 2 --out runs/front-cost

Both searches have the same trials in a generation, schedule of pre-training, theta steps, samples, workers and cost
table; the second is `--independent`, as FBNet and HANNA search. Shared pre-training has all cores, independent ones a
core each, so that both keep the machine busy. Nothing is measured on a board. After an interruption the same command
resumes.

Goal, 24 trials: the shared way takes an eighth of the time at most, with hypervolume no lower.
"""

from __future__ import annotations

import json
import sys
import time
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Literal

from benchmarks.options import check_at_least, read_config
from benchmarks.results import Column, TextTable, print_results
from benchmarks.searches import SearchBenchmarkConfig, loaded, search_front
from moo import events
from moo.config import SearchConfig
from moo.search.preparation import Preparation
from scripts.interface.command_line import run
from search_space.boundary.writing import write_json

if TYPE_CHECKING:
    from typing_extensions import Self

Supernets = Literal["shared", "independent"]


@dataclass(frozen=True, kw_only=True, slots=True)
class FrontCostConfig(SearchBenchmarkConfig):
    """Search one front twice: with a shared supernet, and with one for each trial."""

    population: int = 8
    """Trials in a generation."""
    generations: int = 3
    """Generations, all searched on supernets."""
    out: str = "runs/front-cost"
    """Folder to write into, or to resume in."""
    quick: bool = False
    """Four trials, eight epochs."""

    def __post_init__(self) -> None:
        check_at_least(self, population=4, generations=1, workers=1)

    def quickened(self) -> Self:
        """One small generation after a short pre-training."""
        return replace(self, population=4, generations=1, pretrain_epochs=self.pretrain_epochs or 8)


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """One search, from nothing to its front."""

    supernets: Supernets
    trials: int
    seconds: float
    hypervolume: float
    architectures: int


TABLE = TextTable(
    Column(title="supernets", width=12, left=True),
    Column(title="trials", width=6),
    Column(title="seconds", width=9, form=".0f"),
    Column(title="hypervolume", width=12, form=".4f"),
    Column(title="architectures", width=14),
)


def main() -> None:
    """Print the time and the hypervolume of both, and their ratio."""
    config = read_config(FrontCostConfig)
    base = loaded(settings_of(config, "shared"))
    shared, independent = front(config, base, "shared"), front(config, base, "independent")
    ratio = independent.seconds / shared.seconds
    lines = [
        TABLE.head,
        *(TABLE.row(*asdict(row).values()) for row in (shared, independent)),
        f"the shared way takes 1 / {ratio:.1f} of the time (measured)",
        f"hypervolume: errors with inherited weights, costs as the table of {config.device} predicts them",
    ]
    print_results({"rows": [asdict(shared), asdict(independent)], "ratio": ratio}, lines, as_json=config.json)


def settings_of(config: FrontCostConfig, supernets: Supernets) -> SearchConfig:
    """Settings of one of the two searches."""
    return replace(
        config.search_config(supernets),
        population=config.population,
        generations=config.generations,
        supernet_generations=config.generations,
        independent=supernets == "independent",
    )


def front(config: FrontCostConfig, base: Preparation, supernets: Supernets) -> Row:
    """One search from nothing to its front, or what it found when it was done before."""
    done = config.folder / f"{supernets}.json"
    if done.exists():
        return Row(**json.loads(done.read_text()))
    start = time.monotonic()
    archive = search_front(base, settings_of(config, supernets), listener=_print_trials(supernets))
    row = Row(
        supernets=supernets,
        trials=config.population * config.generations,
        seconds=time.monotonic() - start,
        hypervolume=archive.hypervolume(),
        architectures=len(archive),
    )
    write_json(done, asdict(row))
    return row


def _print_trials(supernets: Supernets) -> events.Listener:
    def listen(event: events.Event) -> None:
        if isinstance(event, events.TrialFinished):
            sys.stderr.write(f"{supernets}: trial {event.result.trial.id}, {event.result.seconds:.0f} s\n")

    return listen


if __name__ == "__main__":
    run(main)
