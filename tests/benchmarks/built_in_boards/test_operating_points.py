from __future__ import annotations

import numpy as np
import pytest

from benchmarks.built_in_boards.operating_points import gains_of
from devices.cost_tables.raspberry_pi import built_in_tables
from moo.trials import EvaluatedArchitecture
from search_space.spaces import space_named

SPACE = space_named("fbnet-micro")


def evaluated(*, in_int8: bool) -> list[EvaluatedArchitecture]:
    """Networks of which the slower ones are the more accurate; int8 costs a point."""
    rng = np.random.default_rng(0)
    base = built_in_tables("pi5", SPACE).base
    networks = []
    for _ in range(12):
        indices = tuple(int(index) for index in rng.integers(len(SPACE.operators), size=SPACE.num_layers))
        latency_ms = base.latency_of(indices)
        error = float(0.8 * np.exp(-3 * latency_ms / base.slowest_ms()))
        networks.append(
            EvaluatedArchitecture(
                indices=indices,
                error=error,
                cross_entropy=error,
                latency_ms=latency_ms,
                energy_mj=base.energy_of(indices),
                params=1,
                quantized_error=error + 0.01 if in_int8 else None,
            )
        )
    return networks


def test_more_configurations_never_take_hypervolume_away() -> None:
    floats, everything = gains_of("pi5", evaluated(in_int8=True), built_in_tables("pi5", SPACE), "net", 0.9)
    assert 1 < floats.hypervolume < everything.hypervolume
    assert 1 < floats.hypervolume_of_front < everything.hypervolume_of_front
    assert everything.on_front > floats.on_front > 1


def test_int8_counts_only_where_it_was_evaluated() -> None:
    floats, everything = gains_of("pi5", evaluated(in_int8=False), built_in_tables("pi5", SPACE), "net", 0.9)
    assert everything.hypervolume == floats.hypervolume
    assert everything.points == floats.points


def test_the_base_alone_gains_nothing() -> None:
    tables = built_in_tables("pi4", SPACE)
    alone = tables.only([tables.base.configuration])
    for gain in gains_of("pi4", evaluated(in_int8=True), alone, "gross", 0.9):
        assert gain.hypervolume == pytest.approx(1.0)
        assert gain.hypervolume_of_front == pytest.approx(1.0)
