"""The inner search over exits, thresholds and configurations: its time, what it misses, and what it adds.

    python benchmarks/early_exits/inner_search.py [RUN] [--board pi5] [--out FOLDER] [--quick] [--json]

RUN is a run whose networks have exits (`scripts/adapt_front.py`); without it networks are drawn, which says how long
the search takes and how near it comes, but nothing about exits. Costs are modelled: those of a built-in board.

First each network by itself: seconds of CPU of the factorised search and of NSGA-II, and the hypervolume of their
points over that of an exhaustive search on a far finer grid. Then all networks together, as they are, with exits, with
configurations and with both: hypervolumes relative to the first, with one reference point, for both engines at equal
numbers of judged policies and for several seeds. A policy that the factorised search has judged on the outcomes of a
precision counts for all configurations; NSGA-II judges each policy in one configuration.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, get_args

import numpy as np
import tyro
from matplotlib.figure import Figure

from benchmarks.early_exits.networks import AdaptedNetwork, Board, drawn_networks, networks_of_run
from benchmarks.options import BenchmarkConfig, check_at_least, read_config
from benchmarks.results import Column, TextTable, print_results, write_results
from devices.configuration import RuntimeConfiguration
from devices.cost_tables.energy_objective import EnergyObjective
from devices.cost_tables.exit_costs import ExitCosts
from moo.adaptation.config import InnerEngine
from moo.adaptation.inner_search import INNER_ENGINES, search_each_plan, search_policies
from moo.adaptation.plan_choice import choose_plans, joint_front
from moo.adaptation.policy_points import PolicyPoint
from moo.storage.pareto import hypervolume
from moo.storage.run_folder import RunFolder
from moo.trials import Objectives
from scripts.interface.command_line import run

if TYPE_CHECKING:
    from typing_extensions import Self

NET = EnergyObjective()
MOST_OF_PLAN = 50
"""Points of each plan of a network, from which one plan is chosen."""
Contents = Literal["static", "exits", "configurations", "both"]
CONTENTS: tuple[Contents, ...] = get_args(Contents)


@dataclass(frozen=True, kw_only=True, slots=True)
class InnerSearchConfig(BenchmarkConfig):
    """Time of the inner search, what it misses, and what exits and configurations add."""

    run: Annotated[str | None, tyro.conf.Positional] = None
    """Folder of a run whose networks have exits; without it they are drawn."""
    board: Board = "pi5"
    """Built-in board whose costs count."""
    threads: tuple[int, ...] = (1, 4)
    """Of the configurations."""
    clocks: int = 3
    """Of the board's, the highest first; with both precisions, these are twelve configurations."""
    max_exits: int = 3
    """Of a plan."""
    networks: int = 4
    """That are drawn, or of the run the first ones."""
    images: int = 5000
    """That drawn networks have outcomes of."""
    seeds: tuple[int, ...] = (0, 1, 2, 3, 4)
    """Of the inner search."""
    policies: tuple[int, ...] = (2_000, 20_000)
    """That either engine judges."""
    finest: int = 60_000_000
    """Policies that the exhaustive search judges, in each precision."""
    out: str | None = None
    """Folder for results.json and a picture."""

    def __post_init__(self) -> None:
        check_at_least(self, clocks=1, max_exits=1, networks=1, images=2, policies=1, finest=1, threads=1, seeds=0)

    def quickened(self) -> Self:
        """Few images, policies and seeds."""
        return replace(
            self, networks=min(self.networks, 2), images=300, seeds=self.seeds[:2], policies=(500,), finest=200_000
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class EngineRow:
    """One network, the factorised search by default, and NSGA-II with the most policies of `--policies`."""

    network: str
    exits: int
    """Candidates."""
    configurations: int
    seconds: float
    """Of CPU, of the factorised search."""
    points: int
    share: float
    """Of the exhaustive hypervolume."""
    nsga2_seconds: float
    nsga2_share: float
    exhaustive_seconds: float


@dataclass(frozen=True, kw_only=True, slots=True)
class ContentsRow:
    """All networks together, over several seeds: hypervolume over that of the networks as they are."""

    contents: str
    engine: str
    """Empty where there is nothing to search."""
    policies: int | None
    """Judged for each network; None for the engine's default."""
    mean: float
    low: float
    high: float
    one_plan: float
    """The same where each network has one of the plans found, as it is deployed, with thresholds searched anew for it;
    of the first seed."""
    on_front: int
    """Points of that joint front, of at most `MOST_OF_PLAN` of each network's plan."""


ENGINES = TextTable(
    Column(title="network", width=10, left=True),
    Column(title="exits", width=5, form="d"),
    Column(title="configurations", width=14, form="d"),
    Column(title="factorised", width=10, form=".2f", unit=" s"),
    Column(title="points", width=6, form="d"),
    Column(title="of exhaustive", width=13, form=".3%"),
    Column(title="nsga2", width=8, form=".2f", unit=" s"),
    Column(title="of exhaustive", width=13, form=".3%"),
    Column(title="exhaustive", width=11, form=".1f", unit=" s"),
)
GAINS = TextTable(
    Column(title="points", width=14, left=True),
    Column(title="engine", width=10, left=True),
    Column(title="policies", width=8, form="d"),
    Column(title="hypervolume", width=11, form=".4f"),
    Column(title="lowest", width=7, form=".4f"),
    Column(title="highest", width=7, form=".4f"),
    Column(title="one plan", width=8, form=".4f"),
    Column(title="on the front", width=12, form="d"),
)


def main() -> None:
    """Search and print."""
    config = read_config(InnerSearchConfig)
    if config.run is None:
        networks, reference = drawn_networks(
            config.networks, config.board, config.threads, config.clocks, images=config.images
        )
        said = "drawn networks: what exits add to these says nothing"
    else:
        folder = RunFolder(Path(config.run).expanduser())
        networks, reference = networks_of_run(folder, config.board, config.threads, config.clocks)
        networks = networks[: config.networks]
        said = f"{len(networks)} networks of {folder.path.name}"
    engines = [engine_row(network, reference, config) for network in networks]
    gains = contents_rows(networks, reference, config)
    content = {
        "networks": said,
        "board": config.board,
        "costs": "modelled",
        "engines": [asdict(row) for row in engines],
        "gains": [asdict(row) for row in gains],
    }
    lines = [f"{said}; costs are modelled ({config.board})", "", ENGINES.head]
    lines += [ENGINES.row(*asdict(row).values()) for row in engines]
    lines += ["", "hypervolume over that of the networks as they are, in the base configuration:", GAINS.head]
    lines += [GAINS.row(*asdict(row).values()) for row in gains]
    print_results(content, lines, as_json=config.json)
    write_results(config.out, content, {"inner_search.svg": lambda: drawn(gains)})


def engine_row(network: AdaptedNetwork, reference: Objectives, config: InnerSearchConfig) -> EngineRow:
    """Both engines against an exhaustive search on a far finer grid."""
    found, seconds = _timed(network, config, "factorised", None)
    control, control_seconds = _timed(network, config, "nsga2", max(config.policies))
    finest, finest_seconds = _timed(network, config, "factorised", config.finest)
    best = _volume([finest], reference)
    return EngineRow(
        network=network.name,
        exits=len(network.outcomes["fp32"].exits),
        configurations=len(network.costs),
        seconds=seconds,
        points=len(found),
        share=_volume([found], reference) / best,
        nsga2_seconds=control_seconds,
        nsga2_share=_volume([control], reference) / best,
        exhaustive_seconds=finest_seconds,
    )


def contents_rows(
    networks: Sequence[AdaptedNetwork], reference: Objectives, config: InnerSearchConfig
) -> list[ContentsRow]:
    """What exits, configurations and both add to the networks as they are."""
    static = _volume(_searched(networks, "static", "factorised", None, 0, config).values(), reference)
    rows = []
    for contents in CONTENTS:
        is_searched = contents in ("exits", "both")
        budgets = [(engine, policies) for policies in config.policies for engine in INNER_ENGINES]
        for engine, policies in [*(budgets if is_searched else ()), ("factorised", None)]:
            found = [
                _searched(networks, contents, engine, policies, seed, config)
                # By default all policies of a grid are judged, and chance has no part.
                for seed in (config.seeds if policies else config.seeds[:1])
            ]
            volumes = [_volume(points.values(), reference) / static for points in found]
            front = _with_one_plan(networks, contents, found[0], reference)
            rows.append(
                ContentsRow(
                    contents=contents,
                    engine=engine if is_searched else "",
                    policies=policies,
                    mean=float(np.mean(volumes)),
                    low=min(volumes),
                    high=max(volumes),
                    one_plan=_volume(front, reference) / static,
                    on_front=sum(len(own) for own in front),
                )
            )
    return rows


def _with_one_plan(
    networks: Sequence[AdaptedNetwork],
    contents: Contents,
    points: Mapping[str, Sequence[PolicyPoint]],
    reference: Objectives,
) -> list[tuple[PolicyPoint, ...]]:
    """The joint front of networks of which each has one of the plans that were found."""
    each = {
        network.name: search_each_plan(
            network.outcomes,
            _costs(network, contents),
            {one.plan for one in points[network.name]},
            energy=NET,
            most_points=MOST_OF_PLAN,
        )
        for network in networks
    }
    return list(joint_front(each, choose_plans(each, reference)).values())


def _searched(
    networks: Sequence[AdaptedNetwork],
    contents: Contents,
    engine: InnerEngine,
    policies: int | None,
    seed: int,
    config: InnerSearchConfig,
) -> dict[str, tuple[PolicyPoint, ...]]:
    return {
        network.name: search_policies(
            network.outcomes,
            _costs(network, contents),
            max_exits=config.max_exits if contents in ("exits", "both") else 0,
            energy=NET,
            is_allowed=network.is_allowed,
            engine=engine,
            seed=seed,
            evaluations=policies,
        )
        for network in networks
    }


def _costs(network: AdaptedNetwork, contents: Contents) -> dict[RuntimeConfiguration, ExitCosts]:
    return network.costs if contents in ("configurations", "both") else network.base


def _timed(
    network: AdaptedNetwork, config: InnerSearchConfig, engine: InnerEngine, policies: int | None
) -> tuple[tuple[PolicyPoint, ...], float]:
    begun = time.process_time()
    points = _searched([network], "both", engine, policies, 0, config)[network.name]
    return points, time.process_time() - begun


def _volume(points: Iterable[Sequence[PolicyPoint]], reference: Objectives) -> float:
    objectives = [one.objectives for own in points for one in own]
    return hypervolume(np.array(objectives), np.array(reference))


def drawn(rows: Sequence[ContentsRow]) -> Figure:
    """Hypervolume over that of the networks as they are, with the range of the seeds, by policies that are judged."""
    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.add_subplot()
    for contents in CONTENTS:
        for engine in sorted({row.engine for row in rows if row.contents == contents}):
            own = [row for row in rows if (row.contents, row.engine) == (contents, engine)]
            label = f"{contents}, {engine}" if engine else contents
            labels = ["default" if row.policies is None else f"{row.policies:,}" for row in own]
            means = np.array([row.mean for row in own])
            if not engine:
                axes.axhline(means[0], color="0.6", linewidth=1)
                axes.annotate(label, (0, means[0]), textcoords="offset points", xytext=(0, 3), color="0.4")
                continue
            bounds = np.array([[row.mean - row.low, row.high - row.mean] for row in own]).T
            axes.errorbar(labels, means, yerr=np.maximum(bounds, 0), capsize=3, marker="o", label=label)
    axes.set_xlabel("policies that are judged for each network")
    axes.set_ylabel("hypervolume / as they are")
    axes.legend()
    return figure


if __name__ == "__main__":
    run(main)
