from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import matplotlib
import pytest
from PIL import Image

from moo.storage.archive import Archive
from moo.storage.store import entries_of, open_store
from moo.visualization.gallery import CAPTIONS, bubbles, write_plots
from search_space.spaces import FBNetSpace
from tests.moo.conftest import MeasurementOf, ResultOf, TrainedOf


@pytest.fixture
def run(tmp_path: Path, space: FBNetSpace, result_of: ResultOf) -> Iterator[Any]:
    store, archive = open_store(tmp_path / "search.sqlite"), Archive((1.0, 10.0, 10.0))
    for result in (result_of(0, (0, 0, 0), (1, 2, 0), chosen=1), result_of(4, (2, 2, 2), (0, 1, 2))):
        store.add_result(result, space)
        for entry in entries_of(result, space):
            archive.add(entry)
    store.add_failure(result_of(2).trial, "RuntimeError: a test")
    yield archive, store
    store.close()


def test_all_pictures_are_written_in_the_order_of_their_captions(
    tmp_path: Path, run: Any, space: FBNetSpace, trained_of: TrainedOf
) -> None:
    archive, store = run
    identifier = archive.front()[0].architecture.id
    archive.set_trained(identifier, trained_of(identifier))
    store.set_trained(trained_of(identifier))
    settings = dict(matplotlib.rcParams)
    paths = write_plots(tmp_path / "plots", archive, store, space)
    assert [path.stem for path in paths] == list(CAPTIONS)
    for path in paths:
        with Image.open(path) as picture:
            assert min(picture.size) > 300
            assert len(picture.convert("L").getcolors()) > 20
    assert dict(matplotlib.rcParams) == settings


def test_pictures_of_training_need_a_trained_network(tmp_path: Path, run: Any, space: FBNetSpace) -> None:
    names = [path.stem for path in write_plots(tmp_path / "plots", *run, space)]  # type: ignore[call-arg]
    assert names == [name for name in CAPTIONS if name not in ("ranking", "precisions")]


def test_a_bubble_has_measured_costs_where_its_architecture_was_measured(
    run: Any, measurement_of: MeasurementOf, trained_of: TrainedOf
) -> None:
    archive, store = run
    chosen = store.trials()[0].architecture_id
    archive.set_measurement(chosen, measurement_of(0.75))
    archive.set_trained(chosen, trained_of(chosen, measurement=measurement_of(9.0)))
    first, second = bubbles(archive, store)
    assert (first.costs.latency_ms, first.costs.latency_source) == (0.75, "measured")
    assert first.error == archive[chosen].error, "errors are inherited, so costs are those of the search"
    assert second.costs.latency_source == "modelled"


def test_without_architectures_there_are_no_pictures(tmp_path: Path, space: FBNetSpace) -> None:
    store = open_store(tmp_path / "search.sqlite")
    assert write_plots(tmp_path / "plots", Archive((1.0, 1.0, 1.0)), store, space) == []
    store.close()
