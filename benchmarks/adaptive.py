"""What early exits gain on a run's networks, what they cost, and how far what was expected of them is true.

    python benchmarks/adaptive.py RUN [--json]
    python benchmarks/adaptive.py --dataset cifar10 --device pi4 --out runs/adaptive [--networks 7] [--epochs 6]

RUN is a run whose networks have exits (scripts/adapt_front.py). Without it such a run is made in `--out` by the very
commands that users give: a search, some networks of its front fine-tuned, and their exits; interrupted, the same
command goes on. Costs are those of the run: measured where a board measured them, else modelled, as is said.

Hypervolumes are those of the same networks as they are in the base configuration, with exits there, as they are in all
configurations, and with both. They are told with two reference points: that of the run (the error of guessing, and the
costs of the space's slowest architecture: any front dominates most of that box), and the worst values of the networks'
own front in the base configuration. `benchmarks/early_exits/` has the engines, segments and streams by themselves.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import numpy as np
import tyro

from benchmarks.early_exits.runs import RunSize, adapted_run
from benchmarks.options import BenchmarkConfig, check_at_least, check_positive, read_config
from benchmarks.results import Column, TextTable, print_results
from devices.cost_tables.exit_costs import exit_costs
from moo.adaptation.inner_search import search_policies
from moo.adaptation.training.folder import AdaptationFolder
from moo.analysis.adaptation import AdaptiveResults, gains, read_adaptive_results
from moo.measurement.boards import read_run_tables
from moo.storage.adaptive_front import AdaptivePoint
from moo.storage.archive import reference_point_of
from moo.storage.pareto import non_dominated
from moo.storage.run_folder import RunFolder
from moo.storage.store import read_store
from moo.trials import Objectives
from scripts.interface.command_line import run
from search_space.exits import keeps_head_limit
from search_space.operators import OPERATOR_NAMES

if TYPE_CHECKING:
    from typing_extensions import Self

MOST_EXITS = 3


@dataclass(frozen=True, kw_only=True, slots=True)
class AdaptiveConfig(BenchmarkConfig):
    """What early exits gain on a run's networks."""

    run: Annotated[str | None, tyro.conf.Positional] = None
    """Folder of a run whose networks have exits; without it one is made in `--out`."""
    out: str | None = None
    """Folder of the run that is made, or made further."""
    dataset: str = "digits"
    """As in pareto_search.py; so are the next three."""
    space: str = "fbnet-micro"
    """Search space."""
    device: str = "pi4"
    """Board."""
    pretrain_epochs: int | None = None
    """Passes of pre-training."""
    networks: int = 7
    """Of the more accurate half of the front, that are trained."""
    epochs: float = 6
    """That each is fine-tuned for."""
    quick: bool = False
    """Two networks, trained for a moment."""

    def __post_init__(self) -> None:
        check_at_least(self, networks=1)
        check_positive(self, "epochs")
        if (self.run is None) == (self.out is None):
            raise ValueError("either RUN or `--out` must be given: a run with exits, or where one is to be made.")

    def quickened(self) -> Self:
        """Two networks, trained for a moment."""
        return replace(self, networks=2, epochs=1, pretrain_epochs=2)

    @property
    def size(self) -> RunSize:
        """Of the run that is made."""
        return RunSize(
            dataset=self.dataset,
            space=self.space,
            device=self.device,
            pretrain_epochs=self.pretrain_epochs,
            networks=self.networks,
            epochs=self.epochs,
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class Figure:
    """One figure, and the goal that it has."""

    name: str
    seen: float
    unit: str
    """Empty for a ratio, else `%` or `s`."""
    goal: str
    """Empty where there is none."""
    reached: bool | None

    @property
    def cells(self) -> tuple[str, str, str, str]:
        """As a row of `TABLE`."""
        number = f"{self.seen:+.1f} %" if self.unit == "%" else f"{self.seen:.3f}{' s' * (self.unit == 's')}"
        return self.name, number, self.goal, "" if self.reached is None else "yes" if self.reached else "no"


TABLE = TextTable(
    Column(title="figure", width=86, left=True),
    Column(title="seen", width=9),
    Column(title="goal", width=8),
    Column(title="reached", width=7),
)


def main() -> None:
    """Make or read the run, and print."""
    config = read_config(AdaptiveConfig)
    if config.run is None:
        assert config.out is not None, "one of them is given"
        folder = adapted_run(Path(config.out).expanduser(), config.size)
    else:
        folder = RunFolder(Path(config.run).expanduser())
    results = read_adaptive_results(folder)
    if results is None or not results.is_whole:
        raise ValueError(
            f"a run must have networks with exits, but {str(folder.path)!r} has none: python scripts/adapt_front.py "
            f"{folder.path}"
        )
    about = about_run(results)
    figures = [*gains_in_boxes(folder, results), *expectations(results), *trainings(folder), *engine(folder)]
    content = {"run": about, "figures": [asdict(figure) for figure in figures]}
    print_results(content, [about, "", TABLE.head, *(TABLE.row(*one.cells) for one in figures)], as_json=config.json)


def about_run(results: AdaptiveResults) -> str:
    """What the figures are of."""
    networks = {point.id for point in results.static}
    deployed = {point.id for point in results.points}
    configurations = {point.configuration for point in results.static}
    sources = sorted({point.latency_source for point in results.points})
    return (
        f"{len(networks)} networks, {len(deployed)} of them with exits, {len(configurations)} configurations; "
        f"latencies of ways {' and '.join(sources)}; {results.static[0].images} images of the selection split"
    )


def gains_in_boxes(folder: RunFolder, results: AdaptiveResults) -> Iterator[Figure]:
    """Hypervolumes by both reference points, and latencies at equal accuracy."""
    config, origin = folder.read_config(option="RUN")
    tables = read_run_tables(folder.cost_table, config.given_configurations)
    of_run = reference_point_of(tables, origin.dataset.reference_error, config.energy_objective)
    for box, reference in (("the run's box", of_run), ("the box of the base's front", base_box(results.static))):
        found = gains(results.points, results.static, reference)
        for what, ratio, goal in (
            ("exits alone over the networks as they are", found.exits_ratio, 1.03),
            ("configurations over the base configuration", found.configurations_ratio, 1.15),
            ("both", found.both_ratio, 1.20),
        ):
            if ratio is not None:
                yield Figure(
                    name=f"hypervolume, {what}, {box}",
                    seen=ratio,
                    unit="",
                    goal=f">= {goal:.2f}",
                    reached=ratio >= goal,
                )
    if found.latency_change is not None and found.worst_latency_change is not None:
        for name, change, most in (
            ("expected latency of the most accurate third at <= 0.5 points", found.latency_change, -25.0),
            ("worst-case latency of the same", found.worst_latency_change, 5.0),
        ):
            seen = 100 * change
            yield Figure(name=name, seen=seen, unit="%", goal=f"<= {most:+.0f} %", reached=seen <= most)


def base_box(static: Sequence[AdaptivePoint]) -> Objectives:
    """The worst error and costs on the front of the networks as they are, in the base configuration."""
    base = min(point.configuration for point in static)
    points = np.array([point.objectives for point in static if point.configuration == base])
    error, latency_ms, energy_mj = points[non_dominated(points)].max(0)
    # A point on the border of the box dominates nothing.
    return 1.001 * float(error), 1.001 * float(latency_ms), 1.001 * float(energy_mj)


def expectations(results: AdaptiveResults) -> Iterator[Figure]:
    """How far what was expected of points is true."""
    streamed = [point.streamed for point in results.front if point.streamed is not None]
    if streamed:
        off = [100 * (one.mean_latency_ms / one.expected_latency_ms - 1) for one in streamed]
        furthest = max(off, key=abs)
        yield Figure(
            name=f"streamed mean latency over the sum of shares x costs, furthest of {len(off)} points",
            seen=furthest,
            unit="%",
            goal="<= 5 %",
            reached=abs(furthest) <= 5,
        )
    with_exits = [point for point in results.front if point.exits and point.test_error is not None]
    if with_exits:
        lost = [100 * ((point.test_error or 0.0) - point.error) for point in with_exits]
        yield Figure(
            name="error on the test split less that on the selection split, mean of points with exits",
            seen=float(np.mean(lost)),
            unit="%",
            goal="",
            reached=None,
        )


def trainings(folder: RunFolder) -> Iterator[Figure]:
    """What training all exits took, beside the training of the networks themselves."""
    with closing(read_store(folder.store)) as store:
        seconds = {network.name: network.seconds for network in store.trained(baselines=False)}
    shares = []
    for name, own in seconds.items():
        result = AdaptationFolder(folder.adaptation(name)).exits.read_result()
        if result is not None:
            shares.append(100 * result["seconds"] / own)
    if shares:
        median = float(np.median(shares))
        yield Figure(
            name=f"training of all exits over that of the network, median of {len(shares)} (wall time)",
            seen=median,
            unit="%",
            goal="<= 15 %",
            reached=median <= 15,
        )


def engine(folder: RunFolder) -> Iterator[Figure]:
    """CPU time of the inner search of a network, on the costs of the run's tables."""
    config, origin = folder.read_config(option="RUN")
    space = origin.space
    tables = read_run_tables(folder.cost_table, config.given_configurations)
    precisions = {one.precision for one in tables.configurations}
    seconds = []
    for path in sorted(folder.adaptation("any").parent.glob("*/exits/result.json")):
        stage = AdaptationFolder(path.parents[1]).exits
        operators = tuple(OPERATOR_NAMES[int(digit)] for digit in path.parents[1].name)
        outcomes = {one: stage.read_outcomes(one) for one in precisions}
        exits = next(iter(outcomes.values())).exits
        costs = {table.configuration: exit_costs(table, space, operators, exits) for table in tables}
        begun = time.process_time()
        search_policies(
            outcomes,
            costs,
            max_exits=MOST_EXITS,
            energy=config.energy_objective,
            is_allowed=partial(keeps_head_limit, space, operators),
            seed=config.seed,
        )
        seconds.append(time.process_time() - begun)
    if seconds:
        longest = max(seconds)
        yield Figure(
            name=f"inner search of a network in {len(tables)} configurations, longest of {len(seconds)}",
            seen=longest,
            unit="s",
            goal="<= 5 s",
            reached=longest <= 5,
        )


if __name__ == "__main__":
    run(main)
