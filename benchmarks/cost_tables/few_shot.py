"""How well ten measured networks and another board's cost table predict the latencies of a new board.

    python benchmarks/cost_tables/few_shot.py --table TABLE.json --targets LATENCIES.csv [--source-name NAME]
        [--devices NAME ...] [--space fbnet-cifar] [--count 10] [--draws 5] [--pool 1000] [--seed 0] [--quick] [--json]

TABLE.json is a cost table as `devices/cost_tables/cost_table.py` writes it, or an object of tables by device, of which
`--source-name` is taken:

    {"raspi4": {"const_all_skip": ms of the network that skips at every layer,
                "delta_vs_skip": {"layer0": {"k3_e1": ms beyond `skip` in its place, ...}, ...}}, ...}

`--table pi4` is the built-in Raspberry Pi 4. LATENCIES.csv has a column `arch`, operator indices joined by `_`, and a
column `<device>_ms` for each device; `--source-name` is not among the targets.

Each draw is a pool of networks that could be measured. Two methods get the networks that `choose_networks` takes from
it, and as many taken at random: the few-shot predictor, and scikit-learn's Bayesian ridge regression on the same eight
counts (`kinds_of_work`), summed over each network. Figures are of all networks that were not measured. No target's
latencies but the measured ones are used anywhere. It takes half a minute on one core; results do not depend on the
machine beyond rounding.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from scipy.stats import spearmanr
from sklearn.linear_model import BayesianRidge

from benchmarks.options import BenchmarkConfig, check_at_least, read_config
from benchmarks.results import print_results
from devices.cost_tables.cost_table import CostTable, read_cost_table
from devices.cost_tables.pi4 import pi4_cost_table
from devices.profiling.few_shot import FewShotPredictor, choose_networks
from devices.profiling.network_features import kinds_of_work
from scripts.interface.command_line import run
from search_space.spaces import FBNetSpace, space_named

if TYPE_CHECKING:
    from typing_extensions import Self

Array = npt.NDArray[np.float64]
Indices = npt.NDArray[np.intp]
Predict = Callable[[Indices, Array, np.random.Generator], Array]

METHODS = ("few-shot", "few-shot, blind", "ridge", "ridge, blind")


@dataclass(frozen=True, kw_only=True, slots=True)
class FewShotConfig(BenchmarkConfig):
    """Predict latencies of boards from ten measured networks and another board's cost table."""

    table: str
    """Cost table of the source board (the header of this script has its form), or `pi4`."""
    targets: str
    """CSV file of networks' latencies on other boards."""
    source_name: str | None = None
    """Device whose table is used; it is not among the targets."""
    devices: tuple[str, ...] | None = None
    """Targets; all by default."""
    space: str = "fbnet-cifar"
    """Search space of the networks."""
    count: int = 10
    """Networks measured on the new board."""
    draws: int = 5
    """Pools that figures are means of."""
    pool: int = 1000
    """Networks that could be measured, in each draw."""
    seed: int = 0
    """Of the draws."""
    quick: bool = False
    """One draw from a pool of 200."""

    def __post_init__(self) -> None:
        check_at_least(self, count=1, draws=1, pool=self.count, seed=0)

    def quickened(self) -> Self:
        """One draw from a small pool."""
        return replace(self, draws=1, pool=200)


@dataclass(frozen=True)
class Figures:
    """One method on one device, over the draws."""

    spearman: float
    spread: float
    """Standard deviation of Spearman's correlation."""
    mean_relative_error: float
    within_10_percent: float


def main() -> None:
    """Read, compute, print."""
    config = read_config(FewShotConfig)
    space = space_named(config.space)
    source = read_source(config.table, config.source_name, space)
    networks_NL, latencies = read_targets(Path(config.targets))
    latencies.pop(config.source_name or "", None)
    if unknown := sorted(set(config.devices or ()) - latencies.keys()):
        raise ValueError(f"`--devices` must be of {', '.join(latencies)}, but got {', '.join(unknown)}.")
    if config.devices:
        latencies = {name: latencies[name] for name in config.devices}
    seeds = np.random.SeedSequence(config.seed).spawn(config.draws)
    results = compare(source, space, networks_NL, latencies, seeds, count=config.count, pool=config.pool)
    means = {method: float(np.mean([row[method].spearman for row in results.values()])) for method in METHODS}
    devices = {name: {method: asdict(figures) for method, figures in row.items()} for name, row in results.items()}
    head = f"{config.count} of {config.pool} networks measured, {config.draws} draws, source: {source.board}"
    print_results({"mean_spearman": means, "devices": devices}, [head, *table_lines(results)], as_json=config.json)


def compare(
    source: CostTable,
    space: FBNetSpace,
    networks_NL: Indices,
    latencies: dict[str, Array],
    seeds: list[np.random.SeedSequence],
    *,
    count: int,
    pool: int,
) -> dict[str, dict[str, Figures]]:
    """Figures by device and method."""
    counts_N8 = kinds_of_work(source, space)[np.arange(space.num_layers), networks_NL].sum(axis=1)

    def few_shot(measured: Indices, latency_ms: Array, rng: np.random.Generator) -> Array:
        return FewShotPredictor.fit(source, space, networks_NL[measured], latency_ms, rng=rng).predict(networks_NL)[0]

    def ridge(measured: Indices, latency_ms: Array, rng: np.random.Generator) -> Array:
        mean, spread = counts_N8[measured].mean(axis=0), counts_N8[measured].std(axis=0)
        standard_N8 = (counts_N8 - mean) / np.where(spread > 0, spread, 1)
        predicted: Array = BayesianRidge().fit(standard_N8[measured], latency_ms).predict(standard_N8)
        return predicted

    rows: dict[str, dict[str, list[list[float]]]] = {name: {method: [] for method in METHODS} for name in latencies}
    for seed in seeds:
        rng = np.random.default_rng(seed)
        candidates = rng.choice(len(networks_NL), min(pool, len(networks_NL)), replace=False)
        chosen, blind = candidates[choose_networks(source, space, networks_NL[candidates], count)], candidates[:count]
        for name, latency_ms in latencies.items():
            for method, predict, measured in zip(
                METHODS, (few_shot, few_shot, ridge, ridge), (chosen, blind, chosen, blind), strict=True
            ):
                predicted_ms = predict(measured, latency_ms[measured], rng)
                others = np.setdiff1d(np.arange(len(networks_NL)), measured)
                rows[name][method].append(scores(predicted_ms[others], latency_ms[others]))
    return {
        name: {method: summary(np.array(scores_of_draws)) for method, scores_of_draws in row.items()}
        for name, row in rows.items()
    }


def scores(predicted_ms: Array, latency_ms: Array) -> list[float]:
    """Spearman's correlation, mean relative error, share within 10 %."""
    relative = np.abs(predicted_ms / latency_ms - 1)
    return [
        float(spearmanr(predicted_ms, latency_ms).statistic),
        float(relative.mean()),
        float((relative <= 0.1).mean()),
    ]


def summary(draws_D3: Array) -> Figures:
    """Means over draws."""
    return Figures(*map(float, (draws_D3[:, 0].mean(), draws_D3[:, 0].std(), *draws_D3[:, 1:].mean(axis=0))))


def read_source(table: str, name: str | None, space: FBNetSpace) -> CostTable:
    """The source board's table, in either form."""
    if table == "pi4":
        return pi4_cost_table(space)
    content = json.loads(Path(table).read_text())
    if "latency_ms" in content:
        return read_cost_table(Path(table))
    if name is None or name not in content:
        raise ValueError(f"`--source-name` must be one of {', '.join(content)}, but got {name or 'none'}.")
    rows = content[name]["delta_vs_skip"]
    latency_ms = [
        [0.0 if operator == "skip" else rows[f"layer{layer}"][operator] for operator in space.operators]
        for layer in range(space.num_layers)
    ]
    blank = replace(pi4_cost_table(space), board=name, latency_source="published", method="published")
    return replace(
        blank,
        latency_ms=np.array(latency_ms),
        energy_mj=np.zeros_like(latency_ms),
        fixed_latency_ms=max(content[name]["const_all_skip"], 0.0),
        fixed_energy_mj=0.0,
    )


def read_targets(path: Path) -> tuple[Indices, dict[str, Array]]:
    """Networks and their latencies by device."""
    header, *rows = [line.split(",") for line in path.read_text().split()]
    first = header.index("arch")
    networks_NL = np.array([[int(index) for index in row[first].split("_")] for row in rows])
    columns = {name: place for place, name in enumerate(header) if name.endswith("_ms")}
    return networks_NL, {
        name.removesuffix("_ms"): np.array([float(row[place]) for row in rows]) for name, place in columns.items()
    }


def table_lines(results: dict[str, dict[str, Figures]]) -> Iterator[str]:
    """A head of two lines, one line a device, and the mean."""
    yield f"{'':<16}" + "".join(f"{method:^32}" for method in METHODS)
    yield f"{'device':<16}" + f"{'Spearman':>14}{'error':>9}{'in 10 %':>9}" * len(METHODS)
    everything = {
        method: Figures(*np.mean([list(vars(row[method]).values()) for row in results.values()], axis=0))
        for method in METHODS
    }
    for name, row in (*results.items(), ("mean", everything)):
        cells = "".join(
            f"{figures.spearman:>7.3f} ± {figures.spread:<4.3f}{100 * figures.mean_relative_error:>7.1f} %"
            f"{100 * figures.within_10_percent:>7.0f} %"
            for figures in (row[method] for method in METHODS)
        )
        yield f"{name:<16}{cells}"


if __name__ == "__main__":
    run(main)
