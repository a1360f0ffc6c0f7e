"""Trained networks as the store and the archive keep them."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest

from devices.configuration import RuntimeConfiguration
from evaluation.pretrained.provenance import Pretrained
from moo.storage.archive import Archive
from moo.storage.store import entries_of, new_store
from moo.storage.trained_network import TrainedNetwork
from search_space.spaces import FBNetSpace
from tests.moo.conftest import EntryOf, MeasurementOf, ResultOf, TrainedOf


def test_a_trained_network_comes_back_from_the_store(
    tmp_path: Path, trained_of: TrainedOf, measurement_of: MeasurementOf
) -> None:
    network = trained_of("012", error=0.25, measurement=measurement_of(2.0))
    baseline = trained_of("mobilenet", baseline=True)
    store = new_store(tmp_path / "search.sqlite")
    store.set_trained(network)
    store.set_trained(baseline)
    assert (store.trained(baselines=False), store.trained(baselines=True)) == ([network], [baseline])
    again = dataclasses.replace(network, error=0.125)
    store.set_trained(again)
    assert store.trained(baselines=False) == [again]
    store.close()


def test_where_pretrained_weights_are_from_is_kept_and_earlier_versions_knew_none(trained_of: TrainedOf) -> None:
    about = Pretrained(source="ImageNet", input_size=224, mean=(0.5,) * 3, std=(0.25,) * 3)
    network = dataclasses.replace(trained_of("lite0", baseline=True), pretrained=about, head_only=True)
    content = json.loads(json.dumps(network.to_json()))
    assert TrainedNetwork.from_json(content) == network
    del content["pretrained"], content["head_only"]
    assert TrainedNetwork.from_json(content) == dataclasses.replace(network, pretrained=None, head_only=False)


def test_files_are_found_by_precision(trained_of: TrainedOf) -> None:
    network = trained_of("012")
    assert network.file("fp32") is network.files[0]
    assert network.file("int8") is network.files[1]
    assert dataclasses.replace(network, files=()).file("int8") is None


def test_a_network_with_other_keys_is_refused(trained_of: TrainedOf) -> None:
    content = trained_of("012").to_json()
    del content["top3"]
    with pytest.raises(ValueError, match="a trained network must have exactly .*top3"):
        TrainedNetwork.from_json(content)


def test_a_file_that_is_missing_is_named(trained_of: TrainedOf) -> None:
    network = trained_of("012")
    assert network.file_in("int8") is network.files[1]
    with pytest.raises(ValueError, match="must have a file in int8, but '012' has none; train it anew with `--fresh`"):
        dataclasses.replace(network, files=network.files[:1]).file_in("int8")


def test_errors_are_those_of_the_file_that_a_runtime_reads(trained_of: TrainedOf) -> None:
    network = trained_of("012")
    fp32, int8 = network.files
    network = dataclasses.replace(network, files=(fp32, dataclasses.replace(int8, litert_top1=0.25, litert_error=0.75)))
    under_litert = RuntimeConfiguration(runtime="litert", precision="int8")
    assert (network.file_for(under_litert).top1, network.file_for(under_litert).error) == (0.25, 0.75)
    assert network.file_for(RuntimeConfiguration(precision="int8")).error == int8.error
    assert network.file_for(RuntimeConfiguration(runtime="litert")) == fp32, "not known: those of the ONNX file"


def test_a_file_with_other_keys_is_refused(trained_of: TrainedOf) -> None:
    content = trained_of("012").to_json()
    del content["files"][1]["error"]
    with pytest.raises(ValueError, match="a file of a trained network must have exactly error, .*, but got .'litert"):
        TrainedNetwork.from_json(content)


def test_the_front_is_that_of_trained_networks_once_all_are_trained(entry_of: EntryOf, trained_of: TrainedOf) -> None:
    archive = Archive((1.0, 10.0, 10.0))
    fast, middle, slow, dominated = (
        entry_of((0, 0, 0), 0.4, 1.0, 1.0),
        entry_of((0, 0, 1), 0.3, 2.0, 2.0),
        entry_of((0, 0, 2), 0.2, 3.0, 3.0),
        entry_of((1, 0, 0), 0.5, 4.0, 4.0),
    )
    for entry in (fast, middle, slow, dominated):
        archive.add(entry)
    assert archive.front() == archive.inherited_front()
    assert [point.entry for point in archive.front()] == [slow, middle, fast]
    for entry, error in ((fast, 0.2), (middle, 0.3)):
        archive.set_trained(entry.architecture.id, trained_of(entry.architecture.id, error=error))
    assert not archive.is_retrained
    assert [point.id for point in archive.front()] == [e.architecture.id for e in (slow, middle, fast)]
    archive.set_trained(slow.architecture.id, trained_of(slow.architecture.id, error=0.1))
    assert archive.is_retrained
    assert [point.id for point in archive.front()] == [e.architecture.id for e in (slow, fast)]
    assert [point.error for point in archive.front()] == [0.1, 0.2]


def test_the_store_fills_an_archive_with_trainings(
    tmp_path: Path, space: FBNetSpace, result_of: ResultOf, trained_of: TrainedOf
) -> None:
    store = new_store(tmp_path / "search.sqlite")
    result = result_of(0, (0, 0, 0), (1, 2, 0))
    store.add_result(result, space)
    identifier = entries_of(result, space)[1].architecture.id
    network = trained_of(identifier)
    store.set_trained(network)
    store.set_trained(trained_of("not there any more"))
    archive = store.fill(Archive((0.75, 10.0, 10.0)), space)
    assert archive[identifier].trained == network
    store.close()
