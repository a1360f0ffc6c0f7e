from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from dnas.losses import Coefficients
from moo.config import SearchConfig
from moo.report.conditions import conditions, effort, hypervolume, pictures, sources, splits
from moo.storage.archive import Archive
from moo.storage.origin import PretrainingOrigin, RecipeOrigin, SplitSizes
from moo.storage.store import new_store
from moo.trials import ArchitectureTrial
from search_space.spaces import FBNetSpace
from tests.moo.conftest import ORIGIN, EntryOf, MeasurementOf, ResultOf, TrainedOf

IMAGES = SplitSizes(weights=100, theta=50, selection=40, test=3000)


@pytest.fixture
def archive(entry_of: EntryOf) -> Any:
    archive = Archive((0.75, 10.0, 10.0))
    archive.add(entry_of((0, 0, 0), 0.3, 2.0, 2.0))
    return archive


def test_conditions_of_unmeasured_networks_are_modelled(archive: Any) -> None:
    assert conditions(archive).startswith("Nothing was measured.")


def test_conditions_span_the_dates_and_runs(archive: Any, measurement_of: MeasurementOf) -> None:
    archive.set_measurement("000", measurement_of(1.0))
    assert "| dates (UTC) | 2000-01-01T00:00:00+00:00 |" in conditions(archive)
    assert "| precision | fp32 |" in conditions(archive)


def test_conditions_of_trained_files_have_a_column(
    archive: Any, trained_of: TrainedOf, measurement_of: MeasurementOf
) -> None:
    later = replace(measurement_of(1.0), date="2001-01-01T00:00:00+00:00", board="another")
    archive.set_trained("000", trained_of("000", measurement=later))
    text = conditions(archive)
    assert "Nothing was measured" not in text
    assert "|  | trained files |" in text
    assert "| measured | 1 file of 1 trained network |" in text
    archive.set_measurement("000", measurement_of(1.0))
    text = conditions(archive)
    assert "|  | networks of the search | trained files |" in text
    assert "| board | bench board | another |" in text
    assert "| dates (UTC) | 2000-01-01T00:00:00+00:00 | 2001-01-01T00:00:00+00:00 |" in text
    assert "A trained network has the costs of its file in the configuration" in text


def test_hypervolume_says_which_errors_it_has(archive: Any, trained_of: TrainedOf) -> None:
    inherited = hypervolume(archive)
    archive.set_trained("000", trained_of("000", error=0.15))
    trained = hypervolume(archive)
    assert f"{0.6 * 0.8 * 0.8:.4f}" in inherited
    assert f"{0.8 * 0.8 * 0.8:.4f}" in trained
    assert "those with inherited weights" in inherited
    assert "those after training" in trained


@pytest.mark.parametrize(("trained", "times"), [(False, 0), (True, 2)])
def test_splits_say_where_images_trained_networks(trained: bool, times: int) -> None:
    text = splits(IMAGES, trained=trained)
    assert text.count("train networks for deployment") == times
    assert "| test | 3,000 |" in text


def test_hours_are_those_of_all_threads(tmp_path: Path, archive: Any, space: FBNetSpace, result_of: ResultOf) -> None:
    store = new_store(tmp_path / "search.sqlite")
    store.add_result(result_of(0, (0, 0, 0)), space)
    text = effort(archive, store, SearchConfig(threads_per_worker=2), replace(ORIGIN, packages={"torch": "2.4+cpu"}))
    assert "0 s in all workers: 0.000139 CPU-hours" in text
    store.close()


@pytest.mark.parametrize(
    ("method", "coefficients", "algorithm"),
    [
        ("architectures", None, "NSGA-II"),
        ("dnas", None, "a local search"),
        ("bayesian", None, "a local search"),
        ("dnas", Coefficients(1.0, 1.0, 1.0, 1.0), "searches on the surrogate"),
    ],
)
def test_coefficients_and_proposed_architectures_are_counted_apart(
    tmp_path: Path,
    archive: Any,
    space: FBNetSpace,
    result_of: ResultOf,
    method: Any,
    coefficients: Any,
    algorithm: str,
) -> None:
    store = new_store(tmp_path / "search.sqlite")
    store.add_result(result_of(0, (0, 0, 0)), space)
    store.add_failure(result_of(1, (0, 0, 0)).trial, "RuntimeError: no memory")
    store.add_failure(
        ArchitectureTrial(id=2, generation=1, indices=(0, 0, 1), coefficients=coefficients), "RuntimeError: no memory"
    )
    text = effort(archive, store, SearchConfig(method=method), ORIGIN)
    assert "| coefficients searched on the supernet | 2, of which 1 failed |" in text
    assert f"| architectures proposed by {algorithm} | 1, of which 1 failed |" in text
    assert "- trial 1 failed: `RuntimeError: no memory`" in text
    assert "- architecture 2 failed: `RuntimeError: no memory`" in text
    store.close()


def test_what_each_source_added_is_told(
    tmp_path: Path, space: FBNetSpace, entry_of: EntryOf, result_of: ResultOf
) -> None:
    """Of a box of 1 x 10 x 10: first 0.5 x 0.8 x 0.8, then 0.25 x 0.8 x 0.8 more."""
    archive = Archive((1.0, 10.0, 10.0))
    archive.add(entry_of((0, 0, 0), 0.5, 2.0, 2.0))
    store = new_store(tmp_path / "search.sqlite")
    store.add_result(result_of(0, (0, 0, 0)), space)
    assert sources(archive, store, SearchConfig()) == ""
    archive.add(replace(entry_of((0, 0, 1), 0.25, 2.0, 2.0), trial_id=1))
    store.add_failure(ArchitectureTrial(id=1, generation=1, indices=(0, 0, 1)), "told only as a trial")
    text = sources(archive, store, SearchConfig())
    assert "| architectures of coefficients searched on the supernet | 1 | 0.3200 | 320.000 |" in text
    assert "| architectures proposed by a local search | 1 | 0.1600 | 160.000 |" in text
    store.close()


@pytest.mark.parametrize(
    ("source", "warm_start", "expected"),
    [
        (None, False, "6 passes over the weights split in batches of 32, learning rate 0.150, strong augmentation |"),
        ("runs/a", True, "strong augmentation, from the supernet of `runs/a`, which has seen other images |"),
        ("runs/a", False, "| supernet | that of `runs/a`, on the same images, not trained further |"),
    ],
)
def test_where_the_supernet_comes_from_is_said(
    tmp_path: Path, archive: Any, source: str | None, warm_start: bool, expected: str
) -> None:
    pretraining = PretrainingOrigin(
        epochs=3, passes=2, batch_size=32, lr=0.15, weight_decay=0, warmup_fraction=0, label_smoothing=0
    )
    recipe = RecipeOrigin(theta_batch=8, augmentation="strong", balanced=False, warm_start=warm_start)
    store = new_store(tmp_path / "search.sqlite")
    origin = replace(ORIGIN, pretraining=pretraining, recipe=recipe)
    assert expected in effort(archive, store, SearchConfig(from_run=source), origin)
    assert "| supernet |" not in effort(archive, store, SearchConfig(), ORIGIN)
    store.close()


def test_what_became_of_the_pictures_is_said_where_it_is_known() -> None:
    data = replace(ORIGIN.dataset, width=640, height=480, resize="stretch", omitted=3)
    text = pictures(data, 96)
    assert "640x480 (median) -> whole picture, stretched -> 96x96" in text
    assert "3 pictures that cannot be read were left out" in text
    assert pictures(ORIGIN.dataset, 96) == ""
