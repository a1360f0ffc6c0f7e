"""A search that starts from what another has learnt, and a finished one that goes on for longer."""

from __future__ import annotations

import shutil
from contextlib import closing
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from devices.cost_tables.cost_table import CostTable
from devices.cost_tables.family import CostTables, read_cost_tables
from evaluation.data.images import ImageData, LabelledImages
from evaluation.splits import Splits, split_data
from moo import events
from moo.analysis.transfer import transferred
from moo.config import check_effect, check_effect_of_taking_over
from moo.execution.backend import InProcessBackend
from moo.execution.pretraining import untrained_weights
from moo.report.transfer import transfer_section
from moo.search.loop import run_search
from moo.search.preparation import Preparation
from moo.search.transfer import GENERATION, is_warm_start, source_folder
from moo.storage.archive import Archive
from moo.storage.choices import source_front
from moo.storage.run_folder import RunFolder, check_same_settings
from moo.storage.store import read_store
from moo.trials import ArchitectureTrial
from tests.moo.conftest import Prepare, family_of
from tests.moo.search.test_search_modes import StoppedBackend
from tests.moo.search.test_search_with_configurations import SEVERAL, SHORT, items_of
from tests.tiers import THOROUGH

SLOWER = 3.0
"""By what the other board's operators that are wide are slower."""


def finished(preparation: Preparation) -> Archive:
    return run_search(preparation, InProcessBackend(preparation.setup), lambda event: None)


def reader(preparation: Preparation) -> Any:
    return closing(read_store(preparation.folder.store))


def trials_of(preparation: Preparation) -> list[Any]:
    """The trials of a run with what they came to, in the order of their numbers."""
    with reader(preparation) as store:
        return [(item.trial, item.objectives) for item in store.trials().values()]


def other_board(table: CostTable) -> CostTables:
    """A board that runs narrow operators slowly and wide ones quickly, the other way round than the first."""
    return CostTables([replace(table, latency_ms=table.latency_ms[:, ::-1] * SLOWER, board="another")])


def started_from(prepare_tiny: Prepare, source: Preparation, table: CostTable, name: str = "second") -> Preparation:
    preparation = prepare_tiny(name, from_run=str(source.folder.path), generations=2, samples=2, theta_steps=2)
    tables = other_board(table)
    return replace(preparation, cost_tables=tables, configurations=tables.configurations)


@pytest.fixture
def source(prepare_tiny: Prepare) -> Preparation:
    preparation = prepare_tiny("first", generations=1, **SHORT)
    finished(preparation)
    return preparation


def test_errors_and_supernet_are_taken_over_and_costs_are_the_new_boards(
    prepare_tiny: Prepare, source: Preparation, table: CostTable
) -> None:
    preparation = started_from(prepare_tiny, source, table)
    seen: list[Any] = []
    archive = run_search(preparation, InProcessBackend(preparation.setup), seen.append)
    assert preparation.folder.supernet.read_bytes() == source.folder.supernet.read_bytes()
    assert not any(isinstance(event, events.PretrainEpoch) for event in seen)
    with reader(source) as before, reader(preparation) as store:
        taken = before.evaluated(preparation.space)
        trials = store.trials()
        assert store.num_trials() == len(trials) - len(taken)
    for number, item in enumerate(taken):
        trial = trials[number].trial
        assert trial == ArchitectureTrial(id=number, generation=GENERATION, indices=item.indices)
        objectives = trials[number].objectives
        assert objectives is not None
        base = other_board(table).base
        assert objectives == (item.error, base.latency_of(item.indices), base.energy_of(item.indices))
    later = [stored.trial for number, stored in trials.items() if number >= len(taken)]
    assert later, "the run must have trials of its own"
    assert all(isinstance(trial, ArchitectureTrial) and trial.coefficients is not None for trial in later)
    assert len(archive) >= len(taken)


@pytest.mark.parametrize("after", [pytest.param(0, marks=THOROUGH), pytest.param(1, marks=THOROUGH), 3])
def test_interrupted_and_resumed_it_ends_as_without_interruption(
    prepare_tiny: Prepare, source: Preparation, table: CostTable, after: int
) -> None:
    whole = started_from(prepare_tiny, source, table, "whole")
    finished(whole)
    stopped = started_from(prepare_tiny, source, table, "stopped")
    with pytest.raises(KeyboardInterrupt):
        run_search(stopped, StoppedBackend(stopped.setup, after), lambda event: None)
    finished(replace(stopped, resumed=True))
    assert items_of(stopped) == items_of(whole)


def test_both_fronts_are_compared_on_both_boards(prepare_tiny: Prepare, table: CostTable) -> None:
    source = prepare_tiny("first", generations=1, **SHORT | {"pretrain_epochs": 20, "pretrain_lr": 0.1})
    finished(source)
    preparation = started_from(prepare_tiny, source, table)
    archive = finished(preparation)
    tables = read_cost_tables(preparation.folder.source_cost_table)
    assert tables.base.board == table.board
    with reader(preparation) as store:
        known = source_front(store)
        assert known is not None
        front, in_int8 = known
        assert in_int8 == {}
        assert front == list(dict.fromkeys(item["architecture"]["id"] for item in items_of(source)))
        found = transferred(archive, front, tables)
        text = transfer_section(archive, store, preparation.origin, tables)
    assert found.own_here >= found.source_here > 0
    assert found.source_there > 0
    assert all(loss.slower >= 0 for loss in found.losses)
    assert f"{found.own_here:.4f}" in text
    assert f"on {table.board}" in text


def test_a_run_that_started_from_none_has_no_such_section(source: Preparation) -> None:
    with reader(source) as store:
        assert transfer_section(Archive((1.0, 1.0, 1.0)), store, source.origin, None) == ""


def test_errors_in_int8_come_along_where_activations_are_of_one_type(prepare_tiny: Prepare, table: CostTable) -> None:
    first = prepare_tiny("first", generations=1, **SEVERAL, **SHORT)
    archive = finished(first)
    known = {entry.architecture.id: entry.quantized_error for entry in archive.entries if entry.quantized_error}
    assert known
    second = prepare_tiny("second", from_run=str(first.folder.path), generations=1, **SEVERAL)
    second = replace(second, cost_tables=family_of(table, second.configurations))
    again = finished(second)
    assert {name: again[name].quantized_error for name in known} == known


@pytest.mark.parametrize("missing", ["supernet", "store", "config"])
def test_a_run_that_lacks_something_is_refused(prepare_tiny: Prepare, source: Preparation, missing: str) -> None:
    path = getattr(source.folder, missing)
    path.unlink()
    config = prepare_tiny("second", from_run=str(source.folder.path)).config
    with pytest.raises(ValueError, match=f"`--from` must name the folder of a run with a supernet, but .* {path.name}"):
        source_folder(config)


def test_what_trains_a_supernet_has_no_place_beside_it(prepare_tiny: Prepare, source: Preparation) -> None:
    config = replace(prepare_tiny("second").config, from_run=str(source.folder.path), supernet_generations=1)
    config = replace(config, pretrain_epochs=None, pretrain_batch=None, theta_batch=None, pretrain_lr=0.1)
    check_effect(config)
    rule = "`--pretrain-lr` must go with pre-training, but --from takes it over from a run on the same images"
    with pytest.raises(ValueError, match=rule):
        check_effect_of_taking_over(config)
    with pytest.raises(ValueError, match="`--supernet-generations` must go with a search that begins with them"):
        check_effect_of_taking_over(replace(config, pretrain_lr=None, supernet_generations=2))
    with pytest.raises(ValueError, match="`--from` must go with a search that uses what was evaluated before"):
        replace(config, method="random")


def other_images(splits: Splits) -> Splits:
    """Other images, of other classes."""
    rng = np.random.default_rng(9)
    labels_N = rng.integers(3, size=200)
    images_NCHW = rng.integers(0, 200, (200, 3, 8, 8)) + 18 * labels_N[:, None, None, None]
    images = LabelledImages(images_NCHW.astype(np.uint8), labels_N)
    return split_data(
        ImageData(name="dim", train=images, test=None, class_names=("dim", "grey", "lit"), grey=False), seed=0
    )


def warm(prepare_tiny: Prepare, source: Preparation, splits: Splits, name: str = "warm") -> Preparation:
    settings: dict[str, Any] = {**SHORT, "pretrain_epochs": 1}
    ready = prepare_tiny(name, dataset="dim", from_run=str(source.folder.path), generations=1, **settings)
    return replace(ready, splits=other_images(splits), space=ready.space.with_classes(3), warm_start=True)


@pytest.fixture
def written_source(source: Preparation) -> Preparation:
    """A run whose supernet is not what the seed of the next one gives."""
    source.folder.write_config(source.config, source.origin)
    source.folder.supernet.write_bytes(untrained_weights(replace(source.setup, seed=7)))
    return source


def test_on_other_images_only_the_supernet_is_taken_over_and_trained_further(
    prepare_tiny: Prepare, written_source: Preparation, splits: Splits
) -> None:
    ready = warm(prepare_tiny, written_source, splits)
    assert is_warm_start(ready.config, ready.space, ready.splits)
    seen: list[Any] = []
    run_search(ready, InProcessBackend(ready.setup), seen.append)
    assert sum(isinstance(event, events.PretrainEpoch) for event in seen) == ready.pretraining.epochs
    words = dict(seen[0].description)
    assert "which was trained on other images and is trained further" in words["start"]
    with reader(ready) as store:
        assert all(stored.trial.generation >= 0 for stored in store.trials().values())
    assert ready.origin.recipe is not None
    assert ready.origin.recipe.warm_start
    assert not ready.folder.warm_start.exists()
    cold = replace(ready, folder=RunFolder(ready.folder.path.parent / "cold"), warm_start=False)
    cold = replace(cold, config=replace(cold.config, from_run=None))
    run_search(cold, InProcessBackend(cold.setup), lambda event: None)
    assert cold.folder.supernet.read_bytes() != ready.folder.supernet.read_bytes()


@pytest.mark.parametrize("after", [0, 1])
def test_a_warm_start_is_resumed_without_the_run_that_it_began_from(
    prepare_tiny: Prepare, written_source: Preparation, splits: Splits, after: int
) -> None:
    whole, stopped = (warm(prepare_tiny, written_source, splits, name) for name in ("whole", "stopped"))
    finished(whole)
    with pytest.raises(KeyboardInterrupt):
        run_search(stopped, StoppedBackend(stopped.setup, after), lambda event: None)
    shutil.rmtree(written_source.folder.path)
    finished(replace(stopped, resumed=True))
    assert stopped.folder.supernet.read_bytes() == whole.folder.supernet.read_bytes()
    assert items_of(stopped) == items_of(whole)


def test_the_same_images_are_no_warm_start(prepare_tiny: Prepare, written_source: Preparation) -> None:
    same = prepare_tiny("second", from_run=str(written_source.folder.path))
    assert not is_warm_start(same.config, same.space, same.splits)


def test_the_form_of_the_space_must_be_the_same_but_not_its_input_size(
    prepare_tiny: Prepare, written_source: Preparation, splits: Splits
) -> None:
    ready = warm(prepare_tiny, written_source, splits)
    larger = replace(ready.space, name="tiny@16", input_size=16)
    assert is_warm_start(ready.config, larger, ready.splits)
    rule = "`--from` must name a run whose supernet has the same stem, stages, operators and weight sharing, but"
    with pytest.raises(ValueError, match=rule):
        is_warm_start(ready.config, replace(ready.space, stem_channels=10), ready.splits)
    with pytest.raises(ValueError, match=rule):
        is_warm_start(replace(ready.config, weight_sharing="separate"), ready.space, ready.splits)


def test_another_seed_on_the_same_data_set_is_refused(
    prepare_tiny: Prepare, written_source: Preparation, splits: Splits
) -> None:
    """Its test split would hold images that the supernet was trained on."""
    config = replace(written_source.config, from_run=str(written_source.folder.path), seed=5)
    with pytest.raises(ValueError, match="on the same data set must have its `--seed`, 0, .* but got 5"):
        is_warm_start(config, written_source.space, other_images(splits))


def test_a_finished_run_goes_on_with_more_generations(prepare_tiny: Prepare) -> None:
    settings: dict[str, Any] = {"supernet_generations": 1, "samples": 1, "theta_steps": 1}
    short = prepare_tiny("short", generations=2, **settings)
    finished(short)
    longer = replace(short, config=replace(short.config, generations=3), resumed=True, length_changed=True)
    check_same_settings(longer.config, short.config)
    finished(longer)
    whole = prepare_tiny("whole", generations=3, **settings)
    finished(whole)
    assert items_of(longer) == items_of(whole)
    assert longer.folder.read_settings().generations == 3


@pytest.mark.parametrize("asynchronous", [False, True])
def test_a_run_ends_with_fewer_generations_and_all_that_it_found_and_goes_on_later(
    prepare_tiny: Prepare, asynchronous: bool
) -> None:
    settings: dict[str, Any] = {"supernet_generations": 1, "samples": 1, "theta_steps": 1, "asynchronous": asynchronous}
    whole = prepare_tiny("run", generations=3, **settings)
    finished(whole)
    items, trials = items_of(whole), trials_of(whole)
    shorter = replace(whole, config=replace(whole.config, generations=1), resumed=True, length_changed=True)
    check_same_settings(shorter.config, whole.config)
    archive = finished(shorter)
    assert (items_of(shorter), trials_of(shorter)) == (items, trials)
    assert all((shorter.folder.networks / point.id / "model.onnx").is_file() for point in archive.front())
    assert shorter.folder.read_settings().generations == 1
    again = replace(whole, resumed=True, length_changed=True)
    finished(again)
    assert (items_of(again), trials_of(again)) == (items, trials)
    assert again.folder.read_settings().generations == 3


def test_a_run_changes_from_generations_to_a_time_and_back(prepare_tiny: Prepare) -> None:
    settings: dict[str, Any] = {"samples": 1, "theta_steps": 1}
    first = prepare_tiny("run", generations=2, **settings)
    finished(first)
    items, trials = items_of(first), trials_of(first)
    timed = replace(first, config=replace(first.config, minutes=1e-6), resumed=True, length_changed=True)
    check_same_settings(timed.config, first.config)
    finished(timed)
    assert (items_of(timed), trials_of(timed)) == (items, trials), "the time was used up before"
    assert timed.folder.read_settings().minutes == 1e-6
    check_same_settings(first.config, timed.config)
    longer = replace(first, config=replace(first.config, generations=3), resumed=True, length_changed=True)
    finished(longer)
    assert trials_of(longer)[: len(trials)] == trials
    assert len(trials_of(longer)) == len(trials) * 3 // 2
    assert longer.folder.read_settings().minutes is None


def test_a_grid_keeps_its_generations_but_may_be_given_a_time(prepare_tiny: Prepare) -> None:
    grid = replace(prepare_tiny(generations=2).config, method="grid", supernet_generations=1)
    check_same_settings(replace(grid, minutes=3.0), grid)
    for generations in (1, 3):
        with pytest.raises(ValueError, match=f"it was made with generations=2 and got generations={generations}"):
            check_same_settings(replace(grid, generations=generations), grid)
