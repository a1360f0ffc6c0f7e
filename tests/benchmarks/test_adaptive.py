from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks import adaptive as bench
from benchmarks.early_exits.runs import spread_networks
from devices.configuration import RuntimeConfiguration
from moo.analysis.adaptation import AdaptiveResults
from moo.analysis.selection import FrontPoint
from moo.storage.adaptive_front import AdaptivePoint, StreamedImages
from tests.moo.adaptive_points import adaptive_point, static_point

BASE = RuntimeConfiguration()
TWO_THREADS = RuntimeConfiguration(threads=2)


def front_of(*ids: str) -> tuple[FrontPoint, ...]:
    return tuple(
        FrontPoint(
            id=name,
            space="tiny",
            operators=("skip",),
            configuration=BASE,
            error=0.1 * place,
            latency_ms=1.0,
            energy_mj=1.0,
            latency_source="modelled",
            energy_source="modelled",
        )
        for place, name in enumerate(ids)
    )


def results_of(static: list[AdaptivePoint], points: list[AdaptivePoint]) -> AdaptiveResults:
    return AdaptiveResults(front=(*static, *points), points=tuple(points), static=tuple(static), is_whole=True)


def test_networks_are_spread_over_the_more_accurate_half() -> None:
    front = front_of("a", "a", "b", "c", "d", "e", "f")
    assert spread_networks(front, 2) == ("a", "c")
    assert spread_networks(front, 10) == ("a", "b", "c")
    assert spread_networks(front[:1], 3) == ("a",)


def test_the_box_is_that_of_the_base_configurations_front_alone() -> None:
    static = [
        replace(static_point(), error=0.2, latency_ms=2.0, energy_mj=5.0),
        replace(static_point(), error=0.4, latency_ms=1.0, energy_mj=3.0),
        # Dominated, and in another configuration: neither counts.
        replace(static_point(), error=0.9, latency_ms=9.0, energy_mj=9.0),
        replace(static_point(), error=0.8, latency_ms=8.0, energy_mj=8.0, configuration=TWO_THREADS),
    ]
    assert bench.base_box(static) == pytest.approx((0.4004, 2.002, 5.005))


def test_the_stream_that_is_furthest_off_counts_in_either_direction() -> None:
    def streamed(mean_ms: float) -> AdaptivePoint:
        point = adaptive_point()
        return replace(
            point,
            streamed=StreamedImages(
                images=100,
                mean_latency_ms=mean_ms,
                exit_shares=point.exit_shares,
                error=0.1,
                expected_latency_ms=1.0,
            ),
        )

    found = {
        one.name.partition(",")[0]: one for one in bench.expectations(results_of([], [streamed(1.02), streamed(0.9)]))
    }
    off = found["streamed mean latency over the sum of shares x costs"]
    assert off.seen == pytest.approx(-10)
    assert off.reached is False
    assert off.cells[1:] == ("-10.0 %", "<= 5 %", "no")


def test_points_without_a_stream_have_no_figure_of_it() -> None:
    point = replace(adaptive_point(), streamed=None, test_error=None)
    assert list(bench.expectations(results_of([], [point]))) == []


def test_a_run_or_a_place_for_one_must_be_given(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="either RUN or `--out`"):
        bench.AdaptiveConfig()
    with pytest.raises(ValueError, match="either RUN or `--out`"):
        bench.AdaptiveConfig(run=str(tmp_path), out=str(tmp_path))


def test_a_run_without_exits_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "config.json").write_text(json.dumps({}))
    monkeypatch.setattr("sys.argv", ["adaptive.py", str(tmp_path)])
    with pytest.raises(ValueError, match=r"scripts/adapt_front\.py"):
        bench.main()
