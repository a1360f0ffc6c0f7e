from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import matplotlib
import pytest
from PIL import Image

from devices.configuration import RuntimeConfiguration, configurations_of
from moo.analysis.adaptation import AdaptiveResults
from moo.storage.archive import Archive
from moo.storage.store import Store, entries_of, new_store
from moo.visualization.gallery import CAPTIONS, COST_TABLES, SAMPLES, trial_points, why_not_in_space, write_plots
from search_space.spaces import FBNetSpace
from tests.moo.adaptive_points import adaptive_point, static_point
from tests.moo.conftest import MeasurementOf, ResultOf, TrainedOf
from tests.tiers import THOROUGH

ADAPTIVE = ("adaptive_fronts", "adaptive_shares", "adaptive_clocks", "adaptive_oracle")
OTHERS = ("front_3d", "configurations", "clocks", *ADAPTIVE, COST_TABLES, SAMPLES)
"""Pictures that need several configurations, energy that does not follow latency, early exits, or a profile."""


@pytest.fixture
def run(tmp_path: Path, space: FBNetSpace, result_of: ResultOf) -> Iterator[Any]:
    store, archive = new_store(tmp_path / "search.sqlite"), Archive((1.0, 10.0, 10.0))
    for result in (result_of(0, (0, 0, 0), (1, 2, 0), chosen=1), result_of(4, (2, 2, 2), (0, 1, 2))):
        store.add_result(result, space)
        for entry in entries_of(result, space):
            archive.add(entry)
    store.add_failure(result_of(2).trial, "RuntimeError: a test")
    yield archive, store
    store.close()


def train(archive: Archive, store: Store, trained_of: TrainedOf, *, number: int) -> None:
    """Train so many networks, those that are not on the front first."""
    front = {point.id for point in archive.front()}
    entries = sorted(archive.entries, key=lambda entry: entry.architecture.id in front)
    for entry in entries[:number]:
        trained = trained_of(entry.architecture.id)
        archive.set_trained(trained.name, trained)
        store.set_trained(trained)


def test_all_pictures_are_written_in_the_order_of_their_captions(
    tmp_path: Path, run: Any, space: FBNetSpace, trained_of: TrainedOf
) -> None:
    archive, store = run
    train(archive, store, trained_of, number=3)
    settings = dict(matplotlib.rcParams)
    paths = write_plots(tmp_path / "plots", archive, store, space, front_size=24)
    assert [path.stem for path in paths] == [name for name in CAPTIONS if name not in OTHERS]
    for path in paths:
        with Image.open(path) as picture:
            assert min(picture.size) > 300
            assert len(picture.convert("L").getcolors()) > 20
    assert dict(matplotlib.rcParams) == settings


def test_pictures_of_training_need_a_trained_network(tmp_path: Path, run: Any, space: FBNetSpace) -> None:
    archive, store = run
    names = [path.stem for path in write_plots(tmp_path / "plots", archive, store, space, front_size=24)]
    assert names == [name for name in CAPTIONS if name not in ("ranking", "precisions", *OTHERS)]


def test_the_picture_of_a_profile_stays_and_has_its_place(tmp_path: Path, run: Any, space: FBNetSpace) -> None:
    archive, store = run
    drawn = tmp_path / "plots" / f"{COST_TABLES}.png"
    drawn.parent.mkdir()
    drawn.touch()
    paths = write_plots(drawn.parent, archive, store, space, front_size=24)
    assert drawn in paths
    assert [path.stem for path in paths] == [name for name in CAPTIONS if name in {path.stem for path in paths}]


@pytest.mark.parametrize(("number", "drawn"), [(2, False), (3, True)])
def test_a_ranking_is_one_of_at_least_three_networks(
    tmp_path: Path, run: Any, space: FBNetSpace, trained_of: TrainedOf, number: int, *, drawn: bool
) -> None:
    archive, store = run
    train(archive, store, trained_of, number=number)
    names = [path.stem for path in write_plots(tmp_path / "plots", archive, store, space, front_size=24)]
    assert ("ranking" in names) == drawn


@pytest.mark.parametrize("with_clocks", [True, pytest.param(False, marks=THOROUGH)])
def test_a_run_in_several_configurations_has_pictures_of_them(
    tmp_path: Path, run: Any, space: FBNetSpace, measurement_of: MeasurementOf, *, with_clocks: bool
) -> None:
    archive, store = run
    archive = in_configurations(archive, configurations_of((1, 4), (1500, 2400) if with_clocks else (None,)))
    measure(archive, measurement_of)
    names = [path.stem for path in write_plots(tmp_path / "plots", archive, store, space, front_size=24)]
    assert names[:4] == ["front_latency_error", "front_projections", "front_3d", "configurations"]
    assert ("clocks" in names) == with_clocks
    assert why_not_in_space(archive) == ""


def test_a_front_that_is_a_curve_is_not_drawn_in_space_and_the_reason_is_told(
    tmp_path: Path, run: Any, space: FBNetSpace, measurement_of: MeasurementOf
) -> None:
    archive, store = run
    for place, entry in enumerate(sorted(archive.entries, key=lambda entry: entry.error)):
        archive.set_measurement(entry.architecture.id, measurement_of(9.0 - 2 * place))
    stale = tmp_path / "plots" / "front_3d.png"
    stale.parent.mkdir()
    stale.touch()
    other = stale.with_name("own.png")
    other.touch()
    assert stale not in write_plots(stale.parent, archive, store, space, front_size=24)
    assert not stale.exists()
    assert other.exists()
    assert len(archive.front()) > 2
    assert "energy follows latency on this front (Spearman's rho 1.000)" in why_not_in_space(archive)


@pytest.mark.parametrize("clocks", [(1500, 2400), pytest.param((None,), marks=THOROUGH)])
def test_a_run_with_early_exits_has_pictures_of_them(
    tmp_path: Path, run: Any, space: FBNetSpace, clocks: tuple[int | None, ...]
) -> None:
    archive, store = run
    points = tuple(adaptive_point(configuration=one) for one in configurations_of((1,), clocks))
    results = AdaptiveResults(front=points, points=points, static=(static_point(),), is_whole=True)
    drawn = write_plots(tmp_path / "plots", archive, store, space, adaptive=results)
    names = [name for name in ADAPTIVE if name != "adaptive_clocks" or clocks[0]]
    assert [path.stem for path in drawn if path.stem in ADAPTIVE] == names
    without = AdaptiveResults(front=(static_point(),), points=(), static=(static_point(),), is_whole=True)
    drawn = write_plots(tmp_path / "plots", archive, store, space, adaptive=without)
    assert [path.stem for path in drawn if path.stem in ADAPTIVE] == ["adaptive_fronts"]
    assert not {*ADAPTIVE} & {path.stem for path in write_plots(tmp_path / "plots", archive, store, space)}


def in_configurations(archive: Archive, configurations: Sequence[RuntimeConfiguration]) -> Archive:
    copy = Archive(archive.reference_point, configurations=configurations)
    for entry in archive.entries:
        copy.add(entry)
    return copy


def measure(archive: Archive, measurement_of: MeasurementOf) -> None:
    """Measure all networks in all configurations: what is quicker takes more energy."""
    for place, entry in enumerate(archive.entries):
        for configuration in archive.configurations:
            mhz = configuration.frequency_mhz or 2400
            latency_ms = (9.0 - 2 * place) * 2400 / mhz / configuration.threads**0.5
            measurement = replace(
                measurement_of(latency_ms),
                threads=configuration.threads,
                frequency_mhz=configuration.frequency_mhz,
                energy_mj=latency_ms * configuration.threads * (mhz / 2400) ** 3,
            )
            archive.set_measurement(entry.architecture.id, measurement)


def test_a_trial_has_measured_costs_where_its_architecture_was_measured(
    run: Any, measurement_of: MeasurementOf, trained_of: TrainedOf
) -> None:
    archive, store = run
    chosen = archive.front()[0].id
    archive.set_measurement(chosen, measurement_of(0.75))
    archive.set_trained(chosen, trained_of(chosen, measurement=measurement_of(9.0)))
    points = trial_points(archive, store)
    measured = next(point for point in points if point.network == chosen)
    assert (measured.costs.latency_ms, measured.costs.latency_source) == (0.75, "measured")
    assert measured.error == archive[chosen].error, "errors are inherited, so costs are those of the search"
    assert {point.costs.latency_source for point in points if point.network != chosen} == {"modelled"}


def test_a_trial_is_shown_by_its_networks_of_the_front_or_by_the_one_that_stands_for_it(
    run: Any, measurement_of: MeasurementOf
) -> None:
    archive, store = run
    front = {point.id: point.entry.trial_id for point in archive.front()}
    points = trial_points(archive, store)
    assert {point.trial_id for point in points} == {0, 4}
    assert {point.network: point.trial_id for point in points if point.on_front} == front
    for entry in archive.entries:
        if entry.trial_id == 4:
            archive.set_measurement(entry.architecture.id, measurement_of(90.0))
    (other,) = [point for point in trial_points(archive, store) if point.trial_id == 4]
    assert not other.on_front
    assert other.network == store.trials()[4].architecture_id
    assert other.coefficients == store.trials()[4].trial.coefficients


def test_without_architectures_there_are_no_pictures(tmp_path: Path, space: FBNetSpace) -> None:
    store = new_store(tmp_path / "search.sqlite")
    assert write_plots(tmp_path / "plots", Archive((1.0, 1.0, 1.0)), store, space, front_size=24) == []
    store.close()
