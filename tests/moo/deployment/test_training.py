"""Training the front of a tiny run: what is kept, what is measured, and going on after an interruption."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from typing import Any

import numpy as np
import onnxruntime
import pytest

from devices.errors import BoardUnreachableError
from evaluation.accuracy import classification
from evaluation.batches import ImageBatches
from evaluation.splits import Splits
from evaluation.training.folder import read_result
from evaluation.training.job import EpochDone, TrainFailure, new_training
from moo.analysis.near_front import candidate_networks
from moo.deployment.baselines import baseline_trainings
from moo.deployment.config import CompareBaselinesConfig, TrainFrontConfig
from moo.deployment.finished_run import record_of
from moo.deployment.plan import check_trainings, forget, front_trainings
from moo.deployment.training import train_networks
from moo.events import BoardUnreachable, NetworkMeasured, TrainingFailed, TrainingFinished, TrainingProgress
from tests.moo.conftest import MakeReplay


class StoppedError(Exception):
    """Stands for a kill."""


class SerialTrainer:
    """Trains one network after another in this process; `stop_after` epochs it is killed."""

    def __init__(self, splits: Splits, *, stop_after: Any = None, fails: Any = ()) -> None:
        self.splits, self.stop_after, self.fails = splits, stop_after, fails
        self.jobs: list[Any] = []

    def train(self, jobs: Any) -> Iterator[Any]:
        for job, state in jobs:
            self.jobs.append(job.name)
            if job.name in self.fails:
                yield job.name, TrainFailure("Traceback\nRuntimeError: no memory")
                continue
            for event in job.events(self.splits, state=state):
                yield job.name, event
                if isinstance(event, EpochDone) and self.stop_after is not None:
                    self.stop_after -= 1
                    if self.stop_after == 0:
                        raise StoppedError

    def close(self) -> None:
        """Nothing to stop."""


def archive_now(run: Any) -> Any:
    """What the store holds by now."""
    record = record_of(run)
    try:
        return record.archive
    finally:
        record.close()


def front_config(run: Any, **values: Any) -> Any:
    return TrainFrontConfig(run=str(run.folder.path), **{"epochs": 2, "batch_size": 64} | values)


def trained(
    run: Any, record: Any, trainer: Any, told: Any = None, devices: Any = (), config: Any = None, **values: Any
) -> Any:
    config = config or front_config(run, **values)
    trainings = front_trainings(run, archive_now(run), config)
    if config.fresh:
        forget(trainings)
    check_trainings(trainings)
    return train_networks(run, trainings, lambda: trainer, record, devices, (told if told is not None else []).append)


def near_front(archive: Any) -> list[str]:
    on_front = {point.id for point in archive.inherited_front()}
    names = [entry.architecture.id for entry in candidate_networks(archive).entries]
    return [name for name in names if name not in on_front]


def test_networks_near_the_front_are_trained_where_they_are_asked_for(run: Any, record: Any) -> None:
    archive = archive_now(run)
    front, near = [point.id for point in archive.inherited_front()], near_front(archive)
    assert near, "the search found networks beside its front"
    names = [one.name for one in front_trainings(run, archive, front_config(run, near=1))]
    assert names == [*dict.fromkeys(front), near[0]]
    (only,) = front_trainings(run, archive, front_config(run, only=(near[-1],)))
    assert only.name == near[-1]
    both = front_trainings(run, archive, front_config(run, only=(front[0],), near=1))
    assert [one.name for one in both] == [front[0], near[0]]
    networks = trained(run, record, SerialTrainer(run.splits), only=(near[0],), epochs=1)
    assert [network.name for network in networks] == [near[0]]
    assert near[0] in [entry.architecture.id for entry in candidate_networks(archive_now(run)).trained]


def test_more_networks_near_the_front_than_there_are_are_refused(run: Any) -> None:
    archive = archive_now(run)
    number = len(near_front(archive)) + 1
    with pytest.raises(ValueError, match=f"`--near` must be at most {number - 1}, .* but got {number}"):
        front_trainings(run, archive, front_config(run, near=number))
    with pytest.raises(ValueError, match=r"`--near >= 0` must hold, but got -1"):
        front_config(run, near=-1)


def test_all_networks_of_the_front_are_trained_and_the_front_is_theirs(run: Any, record: Any) -> None:
    before = archive_now(run)
    told: list[Any] = []
    networks = trained(run, record, SerialTrainer(run.splits), told)
    assert [network.name for network in networks] == [point.id for point in before.inherited_front()]
    archive = archive_now(run)
    assert archive.is_retrained
    assert {point.id: point.entry.trained for point in archive.front()}.items() <= {
        network.name: network for network in networks
    }.items()
    assert all(point.trained for point in archive.front())
    ended = [event.network for event in told if isinstance(event, TrainingFinished)]
    assert ended == networks
    assert [moved.epoch.record.epoch for moved in told if isinstance(moved, TrainingProgress) and moved.epoch] == [
        1, 2,
    ] * len(networks)  # fmt: skip


def test_figures_are_those_of_the_files(run: Any, record: Any) -> None:
    (network, *_) = trained(run, record, SerialTrainer(run.splits))
    pixels = next(ImageBatches(run.splits.test, run.splits).in_order(len(run.splits.test)))
    for file in network.files:
        session = onnxruntime.InferenceSession((run.folder.path / file.path).read_bytes())
        right = [
            int(session.run(None, {"images": image[None].numpy()})[0].argmax() == label)
            for image, label in zip(*pixels, strict=True)
        ]
        assert file.top1 == pytest.approx(np.mean(right))
    assert network.files[0].logits_difference < 1e-3
    assert network.top1 == pytest.approx(network.files[0].top1, abs=0.02)


def test_an_interrupted_training_goes_on_to_the_result_of_an_uninterrupted_one(run: Any, record: Any) -> None:
    with pytest.raises(StoppedError):
        trained(run, record, SerialTrainer(run.splits, stop_after=3))
    assert len(record.store.trained(baselines=False)) == 1
    trainer = SerialTrainer(run.splits)
    resumed = trained(run, record, trainer)
    assert len(trainer.jobs) == len(resumed) - 1
    whole = trained(run, record, SerialTrainer(run.splits), fresh=True)
    assert [dataclasses.replace(n, seconds=0) for n in resumed] == [dataclasses.replace(n, seconds=0) for n in whole]


@pytest.mark.thorough
def test_what_is_trained_is_not_trained_again(run: Any, record: Any) -> None:
    networks = trained(run, record, SerialTrainer(run.splits))
    trainer = SerialTrainer(run.splits)
    assert trained(run, record, trainer) == networks
    assert trainer.jobs == []
    trained(run, record, trainer, fresh=True)
    assert len(trainer.jobs) == len(networks)


def test_fine_tuning_starts_from_the_inherited_weights(run: Any, record: Any) -> None:
    archive = archive_now(run)
    (training, *_) = front_trainings(run, archive, front_config(run, fine_tune=True))
    job: Any = training.preparation.job
    point = archive.inherited_front()[0]
    assert job.name == point.id
    error, _ = classification(new_training(job, run.splits).network, ImageBatches(run.splits.selection, run.splits))
    assert error == pytest.approx(point.error)
    (network,) = trained(run, record, SerialTrainer(run.splits), fine_tune=True, only=(job.name,))
    assert network.fine_tuned


def test_every_file_is_measured_once(run: Any, record: Any, replay: MakeReplay) -> None:
    told: list[Any] = []
    networks = trained(run, record, SerialTrainer(run.splits), told, devices=(replay(),))
    measured = [event.network for event in told if isinstance(event, NetworkMeasured)]
    assert measured == [f"{network.name}/{precision}" for network in networks for precision in ("fp32", "int8")]
    assert all(file.measurement is not None for network in networks for file in network.files)
    archive = archive_now(run)
    points = {point.id: point for point in archive.trained_points()}
    for network in networks:
        entry = archive[network.name]
        assert entry.trained == network
        assert points[network.name].costs.latency_ms == network.files[0].measurement.latency_ms
        assert archive.searched_costs(entry).latency_source == "modelled"
    told.clear()
    assert trained(run, record, SerialTrainer(run.splits), told, devices=(replay(),)) == networks
    assert not any(isinstance(event, NetworkMeasured) for event in told)


def test_what_was_trained_without_a_board_is_measured_later(run: Any, record: Any, replay: MakeReplay) -> None:
    trained(run, record, SerialTrainer(run.splits))
    trainer = SerialTrainer(run.splits)
    networks = trained(run, record, trainer, devices=(replay(),))
    assert trainer.jobs == []
    assert all(file.measurement is not None for network in networks for file in network.files)


def test_a_network_that_fails_leaves_the_others_alone(run: Any, record: Any) -> None:
    first = archive_now(run).inherited_front()[0].id
    told: list[Any] = []
    networks = trained(run, record, SerialTrainer(run.splits, fails=(first,)), told)
    assert first not in [network.name for network in networks]
    assert [h for h in told if isinstance(h, TrainingFailed)] == [TrainingFailed(first, "RuntimeError: no memory")]
    assert [content["network"] for _, kind, content in record.store.events() if kind == "training failed"] == [first]
    assert not archive_now(run).is_retrained


@pytest.mark.slow
@pytest.mark.parametrize("name", ["fbnet-a", "mobilenet-v3-small-0.25"])
def test_baselines_are_trained_alike(run: Any, record: Any, replay: MakeReplay, name: str) -> None:
    config = CompareBaselinesConfig(run=str(run.folder.path), epochs=0.5, batch_size=64, only=(name,))
    trainings = baseline_trainings(run, config)
    check_trainings(trainings)
    trainer = SerialTrainer(run.splits)
    (network,) = train_networks(run, trainings, lambda: trainer, record, (replay(),), lambda event: None)
    assert network.baseline
    assert network.epochs == 0.5
    assert record.store.trained(baselines=True) == [network]
    assert record.store.trained(baselines=False) == []
    assert (run.folder.path / network.files[0].path).is_file()
    assert json.loads((run.folder.baseline(name).architecture).read_text())["id"] == name


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (
            {"only": ("nothing",)},
            "`--only` must name networks of the front or near it, which are .*, but got 'nothing'",
        ),
        ({"batch_size": 10_000}, "`--batch-size` must be at most the 280 training images, but got 10000"),
        ({"cutout": 8}, "`--cutout` must be less than the 8 pixels of an image, but got 8"),
    ],
)
def test_bad_input_is_refused(run: Any, record: Any, values: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        trained(run, record, SerialTrainer(run.splits), **values)


@pytest.mark.thorough
def test_other_settings_are_refused_unless_trained_anew(run: Any, record: Any) -> None:
    trained(run, record, SerialTrainer(run.splits))
    with pytest.raises(ValueError, match=r"was begun with epochs=2 and got epochs=1; omit `--epochs`, or add `--f"):
        trained(run, record, SerialTrainer(run.splits), epochs=1)
    with pytest.raises(ValueError, match="fine_tune=False and got fine_tune=True"):
        trained(run, record, SerialTrainer(run.splits), fine_tune=True)
    assert all(network.epochs == 1 for network in trained(run, record, SerialTrainer(run.splits), epochs=1, fresh=True))


def test_a_cut_checkpoint_is_refused_before_anything_is_trained(run: Any, record: Any) -> None:
    with pytest.raises(StoppedError):
        trained(run, record, SerialTrainer(run.splits, stop_after=1))
    (name,) = [path.parent.name for path in run.folder.path.glob("trained/*/checkpoint.pt")]
    checkpoint = run.folder.training(name).checkpoint
    checkpoint.write_bytes(checkpoint.read_bytes()[:500])
    with pytest.raises(ValueError, match=f"{name}/checkpoint.pt' is not: its .* or remove it to train from the start"):
        trained(run, record, SerialTrainer(run.splits))
    checkpoint.unlink()
    trained(run, record, SerialTrainer(run.splits))
    assert read_result(run.folder.training(name)) is not None


def test_a_supernet_that_cannot_be_read_is_refused(run: Any, record: Any) -> None:
    run.folder.supernet.write_bytes(b"cut")
    with pytest.raises(
        ValueError, match="the supernet of a run must be whole, but .*supernet.safetensors' is not: it is cut"
    ):
        trained(run, record, SerialTrainer(run.splits), fine_tune=True)


def test_other_images_are_refused(run: Any, record: Any) -> None:
    trained(run, record, SerialTrainer(run.splits), only=(archive_now(run).inherited_front()[0].id,))
    (path,) = run.folder.path.glob("trained/*/config.json")
    content = json.loads(path.read_text())
    content["origin"]["dataset"]["fingerprint"] = "other"
    del content["seal"]
    path.write_text(json.dumps(content))
    with pytest.raises(ValueError, match="must go on with its own images, but they have changed"):
        trained(run, record, SerialTrainer(run.splits))


@pytest.mark.thorough
@pytest.mark.parametrize("kept", [0, 1, 2])
def test_killed_while_it_forgets_a_training_begins_anew(run: Any, record: Any, kept: int) -> None:
    networks = trained(run, record, SerialTrainer(run.splits))
    folder = run.folder.training(networks[0].name)
    for path in (folder.result, folder.checkpoint, folder.config)[: kept + 1]:
        path.unlink()
    trainer = SerialTrainer(run.splits)
    trained(run, record, trainer, fresh=True)
    assert len(trainer.jobs) == len(networks)
    folder.config.unlink()
    with pytest.raises(ValueError, match="must have a config.json to go on, but .* has none; add `--fresh`"):
        trained(run, record, SerialTrainer(run.splits))


class AwayDevice:
    """A board of its own that answers only at first."""

    shares_host = False
    metered = False

    def __init__(self, device: Any) -> None:
        self.device, self.left = device, 1

    def measure(self, model: Any, configuration: Any) -> Any:
        self.left -= 1
        if self.left < 0:
            raise BoardUnreachableError("no route to host")
        return self.device.measure(model, configuration)

    def close(self) -> None:
        self.device.close()


def test_a_board_that_goes_away_is_told_and_the_rest_is_measured_later(
    run: Any, record: Any, replay: MakeReplay
) -> None:
    impatient = dataclasses.replace(run, config=dataclasses.replace(run.config, board_patience=0.3))
    told: list[Any] = []
    networks = trained(impatient, record, SerialTrainer(run.splits), told, devices=(AwayDevice(replay()),))
    measured = [file for network in networks for file in network.files if file.measurement is not None]
    assert len(measured) == 1
    (gone,) = [event for event in told if isinstance(event, BoardUnreachable)]
    assert gone.reason == "no route to host"
    assert [kind for _, kind, _ in record.store.events() if kind == "board unreachable"] == ["board unreachable"]
    later = trained(run, record, SerialTrainer(run.splits), devices=(replay(shares_host=False),))
    assert all(file.measurement is not None for network in later for file in network.files)
