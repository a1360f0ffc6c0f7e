"""How far the operator model of the built-in Raspberry Pi 4 is off for shapes that it never saw.

    python benchmarks/built_in_boards/pi4_model.py [--networks N] [--quick] [--json]

Each of the seven stages of the published table is predicted by a model fitted to the other six. The data come from the
built-in table alone; it takes about a second, and the result does not depend on the machine. Claims: operators 12.4 %
mean relative error, whole networks 1.0 % with one stage predicted and 3.8 % with all seven.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from benchmarks.options import BenchmarkConfig, check_at_least, read_config
from benchmarks.results import print_results
from devices.cost_tables.pi4 import fitted_model, held_out_ms, published_latencies
from scripts.interface.command_line import run
from search_space.operators import OPERATOR_NAMES

if TYPE_CHECKING:
    from typing_extensions import Self

Array = npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, slots=True)
class Pi4ModelConfig(BenchmarkConfig):
    """Predict stages of the published table that the operator model did not see."""

    networks: int = 5000
    """Random networks."""
    quick: bool = False
    """200 networks."""

    def __post_init__(self) -> None:
        check_at_least(self, networks=1)

    def quickened(self) -> Self:
        """200 networks."""
        return dataclasses.replace(self, networks=200)


def main() -> None:
    """Compute and print."""
    config = read_config(Pi4ModelConfig)
    results = errors(config.networks)
    print_results(
        {"networks": config.networks, "mean_relative_error": results},
        [
            f"mean relative error, {config.networks} random networks",
            *(f"{name + ':':<52}{_percentages(value)} %" for name, value in results.items()),
        ],
        as_json=config.json,
    )


def errors(networks: int) -> dict[str, float | list[float]]:
    """Mean relative errors of operators and of random networks, by what was predicted."""
    published = published_latencies()
    truth_LO, predicted_LO = published.above_skip_ms_LO, held_out_ms(published)
    stage_L = published.stage_of_layer
    operator_errors = np.abs(predicted_LO[:, :-1] / truth_LO[:, :-1] - 1)
    rng = np.random.default_rng(0)
    chosen_NL = rng.integers(len(OPERATOR_NAMES), size=(networks, len(truth_LO)))

    def network_error(table_LO: Array, all_skip_ms: float) -> float:
        true_ms = published.all_skip_ms + _sums(truth_LO, chosen_NL)
        return float(np.abs((all_skip_ms + _sums(table_LO, chosen_NL)) / true_ms - 1).mean())

    stages = range(len(published.space.stages))
    one_stage = [
        network_error(np.where(stage_L[:, None] == stage, predicted_LO, truth_LO), published.all_skip_ms)
        for stage in stages
    ]
    model = fitted_model(published)
    all_skip_ms = model.latency_ms(published.space.graph(("skip",) * len(truth_LO)))
    distinct = [published.space.layers.index(layer) for layer in dict.fromkeys(published.space.layers)]
    return {
        "operators": float(operator_errors.mean()),
        "operators, each shape once": float(operator_errors[distinct].mean()),
        "operators, median": float(np.median(operator_errors)),
        "operators, by left-out stage": [float(operator_errors[stage_L == stage].mean()) for stage in stages],
        "networks, one stage predicted": float(np.mean(one_stage)),
        "networks, by predicted stage": one_stage,
        "networks, all stages predicted": network_error(predicted_LO, published.all_skip_ms),
        "networks, everything predicted": network_error(predicted_LO, all_skip_ms),
        "the network that skips everywhere": abs(all_skip_ms / published.all_skip_ms - 1),
    }


def _sums(table_LO: Array, chosen_NL: npt.NDArray[np.int64]) -> Array:
    sums: Array = table_LO[np.arange(len(table_LO)), chosen_NL].sum(axis=1)
    return sums


def _percentages(value: float | list[float]) -> str:
    return ", ".join(f"{100 * entry:.1f}" for entry in (value if isinstance(value, list) else [value]))


if __name__ == "__main__":
    run(main)
