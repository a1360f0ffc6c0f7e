"""A run goes on with its own files alone; those of another run are whole, too."""

from __future__ import annotations

import shutil
from contextlib import closing
from dataclasses import replace

import numpy as np
import pytest
import safetensors.numpy

from devices.cost_tables.cost_table import CostTable
from devices.cost_tables.family import CostTables
from moo.execution.backend import InProcessBackend
from moo.search.loop import run_search
from moo.search.preparation import Preparation
from moo.search.transfer import source_supernet
from moo.storage.record import begin_record, open_record
from search_space.boundary.sealing import sealed_tensors
from search_space.boundary.writing import write_atomically
from tests.moo.conftest import Prepare
from tests.tiers import THOROUGH


def run(preparation: Preparation) -> None:
    run_search(preparation, InProcessBackend(preparation.setup), lambda event: None)


@pytest.mark.parametrize(
    "name",
    [
        pytest.param("checkpoints/supernet.safetensors", marks=THOROUGH),
        "cost_table.json",
        "search.sqlite",
        "config.json",
    ],
)
@pytest.mark.parametrize("same_settings", [True, pytest.param(False, marks=THOROUGH)])
def test_a_whole_file_of_another_run_is_refused_before_anything_is_written(
    name: str, same_settings: bool, prepare_tiny: Prepare, table: CostTable
) -> None:
    if same_settings and name == "config.json":
        pytest.skip("it is the same, but for its date")
    own = prepare_tiny(generations=1)
    run(own)
    slower = CostTables([replace(table, latency_ms=2 * table.latency_ms)])
    seed = own.config.seed if same_settings else 5
    other = replace(prepare_tiny("other", generations=1, seed=seed), cost_tables=slower)
    run(other)
    path = own.folder.path / name
    if name == "checkpoints/supernet.safetensors" and same_settings:
        other = replace(prepare_tiny("longer", generations=1, pretrain_epochs=3))
        run(other)
    for suffix in ("", "-wal", "-shm"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)
    shutil.copy(other.folder.path / name, path)
    before = {file: file.read_bytes() for file in own.folder.path.rglob("*") if file.suffix in (".json", ".onnx")}
    with pytest.raises(ValueError, match="the files of a run must belong together, but .* is another run's"):
        run(prepare_tiny(resumed=True, generations=2, seed=seed if name == "config.json" else own.config.seed))
    assert {file: file.read_bytes() for file in before} == before


def test_a_file_that_was_changed_on_purpose_is_used(prepare_tiny: Prepare, table: CostTable) -> None:
    preparation = prepare_tiny(generations=1)
    run(preparation)
    text = preparation.folder.cost_table.read_text()
    start = text.rindex(",", 0, text.index('"seal"'))
    preparation.folder.cost_table.write_text(text[:start] + "\n}\n")
    run(prepare_tiny(resumed=True, generations=2))


def test_what_no_trial_has_used_may_be_made_anew(prepare_tiny: Prepare) -> None:
    preparation = prepare_tiny(generations=1)
    with closing(begin_record(preparation.folder)) as record:
        for weights in (b"a", b"b"):
            content = sealed_tensors(safetensors.numpy.save({"w": np.frombuffer(weights, np.uint8)}))
            write_atomically(preparation.folder.supernet, content)
            record.check_used(preparation.folder.supernet)
    with closing(open_record(preparation.folder)) as record:
        record.check_used(preparation.folder.supernet)


def test_a_search_takes_over_no_supernet_of_a_third_run(prepare_tiny: Prepare) -> None:
    source, third = prepare_tiny(generations=1), prepare_tiny("third", generations=1, seed=5)
    run(source)
    run(third)
    config = prepare_tiny("new", from_run=str(source.folder.path)).config
    assert source_supernet(config) == source.folder.supernet.read_bytes()
    shutil.copy(third.folder.supernet, source.folder.supernet)
    with pytest.raises(ValueError, match="the files of a run must belong together"):
        source_supernet(config)
