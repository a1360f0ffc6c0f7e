"""Made-up operating points of networks with early exits, for tests alone. Start with `adaptive_point`."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from devices.configuration import BASE, RuntimeConfiguration
from moo.storage.adaptive_front import AdaptivePoint, StreamedImages
from search_space.architectures import architecture_from_indices
from search_space.exits import Exit
from tests.moo.conftest import TINY

STREAMED = StreamedImages(images=500, mean_latency_ms=4.1, exit_shares=(0.6, 0.4), error=0.21, expected_latency_ms=4.0)


def adaptive_point(
    error: float = 0.2,
    latency_ms: float = 4.0,
    energy_mj: float = 8.0,
    *,
    indices: tuple[int, int, int] = (0, 0, 0),
    configuration: RuntimeConfiguration = BASE,
    worst_latency_ms: float = 6.0,
    exits: int = 1,
    **changed: Any,
) -> AdaptivePoint:
    """A point of a network of the tiny space.

    Args:
        error: on the selection split.
        latency_ms: expected.
        energy_mj: expected.
        indices: operators of the network.
        configuration: that it runs in.
        worst_latency_ms: of an image that passes all exits.
        exits: number of them, 0 to 2, at layers 0 and 1.
        changed: any other fields.
    """
    ways = exits + 1
    leaving = tuple(0.6 / exits for _ in range(exits)) if exits else ()
    point = AdaptivePoint(
        architecture=architecture_from_indices(TINY, indices),
        configuration=configuration,
        exits=tuple(Exit(layer, "linear") for layer in range(exits)),
        thresholds=tuple(0.9 for _ in range(exits)),
        exit_shares=(*leaving, 1 - sum(leaving)),
        error=error,
        error_low=max(0.0, error - 0.02),
        error_high=min(1.0, error + 0.02),
        images=500,
        static_error=error,
        oracle_error=error / 2,
        oracle_latency_ms=latency_ms / 2,
        latency_ms=latency_ms,
        worst_latency_ms=worst_latency_ms,
        energy_mj=energy_mj,
        energy_kind="net",
        net_energy_mj=energy_mj,
        gross_energy_mj=None,
        energy_error=0.25,
        latency_source="modelled",
        energy_source="modelled",
        path_latency_ms=tuple(worst_latency_ms * (way + 1) / ways for way in range(ways)),
        path_energy_mj=tuple(energy_mj * (way + 1) / ways for way in range(ways)),
        jointly_trained=False,
        segment_params=(100,) * ways,
    )
    return replace(point, **changed)


def static_point(error: float = 0.2, latency_ms: float = 6.0, energy_mj: float = 12.0, **changed: Any) -> AdaptivePoint:
    """The same network as it is."""
    return adaptive_point(error, latency_ms, energy_mj, exits=0, worst_latency_ms=latency_ms, **changed)


def random_points(seed: int, number: int, *, configurations: tuple[RuntimeConfiguration, ...] = (BASE,)) -> Any:
    """Points of many networks, of which some are static."""
    rng = np.random.default_rng(seed)
    return [
        adaptive_point(
            float(rng.uniform(0.1, 0.6)),
            float(rng.uniform(1, 8)),
            float(rng.uniform(2, 16)),
            indices=(int(rng.integers(3)), int(rng.integers(3)), int(rng.integers(3))),
            configuration=configurations[int(rng.integers(len(configurations)))],
            worst_latency_ms=9.0,
            exits=int(rng.integers(3)),
        )
        for _ in range(number)
    ]
