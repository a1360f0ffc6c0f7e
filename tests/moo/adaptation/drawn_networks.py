"""Outcomes and costs of networks with exits, drawn at random."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from devices.configuration import Precision, RuntimeConfiguration, configurations_of
from devices.cost_tables.exit_costs import ExitCosts
from evaluation.early_exits.outcomes import ExitOutcomes
from search_space.exits import Exit

CONFIGURATIONS = configurations_of((1, 4), (1500, 2400))


def drawn_exits(places: int, heads: int = 1) -> tuple[Exit, ...]:
    return tuple(Exit(layer, head) for layer in range(places) for head in ("linear", "conv")[:heads])  # type: ignore[arg-type]


def drawn_outcomes(exits: tuple[Exit, ...], images: int, *, seed: int = 0, values: int | None = None) -> ExitOutcomes:
    """Later exits are right more often, and confident ones; of few values, confidences have ties, and some are 1."""
    rng = np.random.default_rng(seed)
    easiness_N = rng.uniform(size=images)
    skill_X1 = np.linspace(0.5, 0.95, len(exits) + 1)[:, None]
    confidence_XN = np.clip(skill_X1 * easiness_N + rng.uniform(0.1, 0.5, (len(exits) + 1, images)), 0.1, 1)
    if values is not None:
        confidence_XN = np.ceil(confidence_XN * values) / values
    return ExitOutcomes(
        exits=exits,
        confidence_XN=confidence_XN.astype(np.float32),
        correct_XN=rng.uniform(size=confidence_XN.shape) < np.minimum(0.98, skill_X1 * (0.3 + confidence_XN)),
        cross_entropy_XN=rng.exponential(size=confidence_XN.shape).astype(np.float32),
    )


def drawn_costs(
    exits: tuple[Exit, ...],
    configurations: Iterable[RuntimeConfiguration] = CONFIGURATIONS,
    *,
    in_proportion: bool = True,
    seed: int = 0,
    idle_w: float | None = 3.0,
) -> dict[RuntimeConfiguration, ExitCosts]:
    """Costs that configurations scale by factors of latency and power; out of proportion, each cost has its own."""
    rng = np.random.default_rng(seed)
    before_E = np.array([(one.layer + 1) / (exits[-1].layer + 2) for one in exits])
    head_E = np.array([0.01 if one.head == "linear" else 0.03 for one in exits])
    costs = {}
    for configuration in configurations:
        faster = (configuration.frequency_mhz or 2400) / 2400
        latency = 2.0 / faster**0.9 / configuration.threads**0.6 * (0.6 if configuration.precision == "int8" else 1)
        power = (0.5 + 0.8 * configuration.threads) * faster**1.8
        wobble = 0.0 if in_proportion else 0.3
        own_EM, head_EM, whole_M = (
            1 + wobble * rng.uniform(-1, 1, shape) for shape in ((len(exits), 2), (len(exits), 2), 2)
        )
        before_ms_E = latency * before_E * own_EM[:, 0]
        before_mj_E = latency * power * before_E * own_EM[:, 1]
        costs[configuration] = ExitCosts(
            exits=exits,
            before_ms_E=before_ms_E,
            before_mj_E=before_mj_E,
            head_ms_E=latency * head_E * head_EM[:, 0],
            head_mj_E=latency * power * head_E * head_EM[:, 1],
            whole_ms=float(latency * 1.3 * whole_M[0]),
            whole_mj=float(latency * power * 1.3 * whole_M[1]),
            energy_source="modelled",
            idle_w=idle_w,
            energy_error=0.25,
        )
    return costs


def precisions_of(exits: tuple[Exit, ...], images: int, **drawn: int) -> dict[Precision, ExitOutcomes]:
    """Of both precisions, each with its own; in int8 fewer are right."""
    quantized = drawn_outcomes(exits, images, seed=2, **drawn)
    quantized.correct_XN[:, ::5] = False
    return {"fp32": drawn_outcomes(exits, images, seed=1, **drawn), "int8": quantized}
