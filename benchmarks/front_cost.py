"""What a front costs: tuples that share one pre-trained supernet, against tuples that each train their own.

    python benchmarks/front_cost.py --dataset cifar10 --pretrain-epochs 2 --out runs/front-cost

Both searches have the same tuples in a generation, schedule of pre-training, theta steps, samples, workers and cost
table; the second is `--independent`, as FBNet and HANNA search. Shared pre-training has all cores, independent ones a
core each, so that both keep the machine busy. Nothing is measured on a board. An interrupted benchmark goes on with the
same command.

Goal, 24 tuples: the shared way takes an eighth of the time at most, with hypervolume no lower.
"""

from __future__ import annotations

import json
import shutil
import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from evaluation.work_folder import write_json
from moo import events
from moo.config import SearchConfig
from moo.execution.ray_backend import RayBackend
from moo.search.loop import find_front
from moo.search.preparation import Preparation, prepare
from moo.storage.run_folder import RunFolder
from scripts.command_line import parse, run


@dataclass(frozen=True)
class FrontCostConfig:
    """Search one front twice: with a shared supernet, and with one for each tuple."""

    dataset: str = "digits"
    """As in pareto_search.py."""
    space: str = "fbnet-micro"
    """Search space."""
    device: str = "pi4"
    """Cost table: a built-in board, or a table file."""
    population: int = 8
    """Tuples in a generation."""
    generations: int = 3
    """Generations, all searched on supernets."""
    pretrain_epochs: int | None = None
    """Passes of pre-training, of the shared supernet and of each independent one."""
    workers: int = 2
    """Inner searches at the same time, one thread each."""
    out: str = "runs/front-cost"
    """Folder to write into, or to go on in."""
    quick: bool = False
    """Four tuples, eight epochs."""
    json: bool = False
    """Print JSON."""


def main() -> None:
    """Print the time and the hypervolume of both, and their ratio."""
    config = parse(FrontCostConfig)
    if config.quick:
        config = replace(config, population=4, generations=1, pretrain_epochs=config.pretrain_epochs or 8)
    base = prepare(settings_of(config, "not made", independent=False), on_loading=lambda done, total: None)
    rows = [front(config, base, name) for name in ("shared", "independent")]
    shared, independent = rows
    ratio = independent["seconds"] / shared["seconds"]
    if config.json:
        print(json.dumps({"rows": rows, "ratio": ratio}, indent=1))
        return
    print(f"{'supernets':<12} {'tuples':>6} {'seconds':>9} {'hypervolume':>12} {'architectures':>14}")
    for row in rows:
        print(
            f"{row['supernets']:<12} {row['tuples']:>6} {row['seconds']:>9.0f} {row['hypervolume']:>12.4f} "
            f"{row['architectures']:>14}"
        )
    print(f"the shared way takes 1 / {ratio:.1f} of the time (measured)")
    print(f"hypervolume: errors with inherited weights, costs as the table of {config.device} predicts them")


def settings_of(config: FrontCostConfig, name: str, *, independent: bool) -> SearchConfig:
    """Settings of one of the two searches."""
    return SearchConfig(
        dataset=config.dataset,
        space=config.space,
        device=(config.device,),
        measure=False,
        population=config.population,
        generations=config.generations,
        supernet_generations=config.generations,
        pretrain_epochs=config.pretrain_epochs,
        workers=config.workers,
        independent=independent,
        dashboard=False,
        out=str(Path(config.out) / name),
    )


def front(config: FrontCostConfig, base: Preparation, name: str) -> dict[str, Any]:
    """One search from nothing to its front, or what it came to when it was done before."""
    done = Path(config.out) / f"{name}.json"
    if done.exists():
        return dict(json.loads(done.read_text()))
    settings = settings_of(config, name, independent=name == "independent")
    folder = RunFolder(Path(config.out) / name)
    shutil.rmtree(folder.path, ignore_errors=True)
    folder.path.mkdir(parents=True)
    preparation = replace(base, config=settings, folder=folder)
    start = time.monotonic()
    backend = RayBackend(preparation.setup, workers=config.workers, dashboard=False)
    try:
        archive = find_front(preparation, backend, _told(name))
    finally:
        backend.close()
    row = {
        "supernets": name,
        "tuples": config.population * config.generations,
        "seconds": time.monotonic() - start,
        "hypervolume": archive.hypervolume(),
        "architectures": len(archive),
    }
    write_json(done, row)
    return row


def _told(name: str) -> events.Listener:
    def tell(event: events.Event) -> None:
        if isinstance(event, events.TrialFinished):
            sys.stderr.write(f"{name}: tuple {event.result.trial.id}, {event.result.seconds:.0f} s\n")

    return tell


if __name__ == "__main__":
    run(main)
