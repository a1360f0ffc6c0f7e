import dataclasses
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import safetensors.torch
import torch
from torch import Tensor

from dnas.batches import BatchDraw
from evaluation import export
from evaluation.accuracy import classification
from evaluation.batches import ImageBatches
from evaluation.data.images import LabelledImages
from evaluation.splits import Splits
from evaluation.training import job as train_job
from evaluation.training.config import TrainConfig, check_same_settings, config_from_json
from evaluation.training.folder import TrainFolder, read_result
from evaluation.training.job import EpochDone, new_training, training_images
from evaluation.training.run import TrainPreparation, prepare_training, run_training
from search_space.counts import count
from search_space.networks import Network

ConfigOf = Callable[..., TrainConfig]
SPACE = """\
name: small
input_size: 8
stem: {channels: 8, stride: 2}
stages: [{channels: 8, layers: 2, stride: 1}]
last_channels: 8
operators: [k3_e1, k5_e3, skip]
"""
FILES = [
    "architecture.json", "checkpoint.pt", "config.json", "model.onnx", "model_int8.onnx", "result.json",
    "weights.safetensors",
]  # fmt: skip


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ConfigOf:
    """Makes settings of a quick training, from a folder that holds a tiny space."""
    (tmp_path / "small.yaml").write_text(SPACE)
    monkeypatch.chdir(tmp_path)

    def make(**values: Any) -> TrainConfig:
        usual: dict[str, Any] = {
            "architecture": "k3_e1,k5_e3",
            "dataset": "digits",
            "space": "small.yaml",
            "epochs": 2,
            "out": "run",
        }
        return TrainConfig(**usual | values)

    return make


def prepared(config: TrainConfig) -> TrainPreparation:
    return prepare_training(config, on_loading=lambda done, total: None)


def first_weights(config: TrainConfig) -> dict[str, Tensor]:
    preparation = prepared(config)
    return dict(new_training(preparation.job, preparation.splits).network.state_dict())


class StoppedError(Exception):
    """Stands for a kill."""


def stop(_: EpochDone) -> None:
    raise StoppedError


def test_a_run_writes_everything(config: ConfigOf, tmp_path: Path) -> None:
    preparation = prepared(config())
    assert not (tmp_path / "run").exists()
    result, records = run_training(preparation)
    folder = preparation.folder
    assert sorted(path.name for path in folder.path.iterdir()) == FILES
    assert json.loads(folder.architecture.read_text()) == preparation.network.to_json()
    content = json.loads(folder.result.read_text())
    assert read_result(folder) == result
    counts = count(preparation.graph)
    assert (content["macs"], content["params"]) == (counts.macs, counts.params)
    assert content["selection_accuracy"] == records[-1].accuracy
    assert content["settings"] == preparation.config.to_json()
    assert len(content["classes"]) == 10
    assert len(records) == 2


def test_weights_and_onnx_file_are_the_network_that_was_tested(config: ConfigOf) -> None:
    preparation = prepared(config())
    result, _ = run_training(preparation)
    network, splits = Network(preparation.graph), preparation.splits
    network.load_state_dict(safetensors.torch.load_file(preparation.folder.weights))
    error, _ = classification(network, ImageBatches(splits.test, splits))
    assert result.top1 == pytest.approx(1 - error)
    assert result.files[0].error == pytest.approx(1 - result.selection_accuracy)
    content = json.loads(preparation.folder.result.read_text())["input"]
    pixels_NCHW = splits.test.pixels[:7].astype(np.float32) / content["scale"]
    mean, std = (np.array(content[name], np.float32)[:, None, None] for name in ("mean", "std"))
    session = onnxruntime.InferenceSession(preparation.folder.onnx.read_bytes())
    logits = np.concatenate([session.run(None, {"images": image[None]})[0] for image in (pixels_NCHW - mean) / std])
    notes = session.get_modelmeta().custom_metadata_map
    assert json.loads(notes["network"]) == preparation.network.id
    assert json.loads(notes["classes"]) == list(splits.class_names)
    assert json.loads(notes["mean"]) == pytest.approx(content["mean"], rel=1e-7)
    assert json.loads(notes["error"]) == pytest.approx(1 - result.files[0].top1, abs=1e-6)
    assert json.loads(notes["error_of"]) == f"test split, {len(splits.test)} images, trained"
    with torch.no_grad():
        expected = network(next(ImageBatches(splits.test, splits).in_order(7))[0])
    np.testing.assert_allclose(logits, expected.numpy(), rtol=1e-3, atol=1e-4)


def test_the_test_split_is_read_once_and_last(config: ConfigOf, monkeypatch: pytest.MonkeyPatch) -> None:
    preparation, read = prepared(config()), []

    class Watched(ImageBatches):
        def __init__(self, images: LabelledImages, splits: Splits, **options: Any) -> None:
            super().__init__(images, splits, **options)
            self.name = next(
                (name for name in ("selection", "test") if getattr(splits, name) is images), "weights and theta"
            )

        def in_order(self, batch_size: int, limit: int | None = None) -> Iterator[tuple[Tensor, Tensor]]:
            read.append(self.name)
            return super().in_order(batch_size, limit)

        def draws(self, batch_size: int, rng: np.random.Generator) -> Iterator[BatchDraw]:
            read.append(self.name)
            return super().draws(batch_size, rng)

    monkeypatch.setattr(train_job, "ImageBatches", Watched)
    monkeypatch.setattr(export, "ImageBatches", Watched)
    run_training(preparation)
    assert read[:4] == ["weights and theta", "selection"] * 2
    # Once for the network, once for each of its two files.
    assert [name for name in read[4:] if name != "selection"] == ["test"] * 3
    run_training(prepared(config(out=None, resume="run")))
    assert read.count("test") == 3


def test_training_images_are_the_weights_and_theta_splits(config: ConfigOf) -> None:
    splits = prepared(config()).splits
    images = training_images(splits)
    assert len(images) == len(splits.weights) + len(splits.theta)
    np.testing.assert_array_equal(images.pixels[: len(splits.weights)], splits.weights.pixels)
    np.testing.assert_array_equal(images.labels_N[len(splits.weights) :], splits.theta.labels_N)


def test_a_killed_run_resumes_to_the_result_of_an_uninterrupted_one(config: ConfigOf) -> None:
    whole, records = run_training(prepared(config()))
    with pytest.raises(StoppedError):
        run_training(prepared(config(out="cut")), on_epoch=stop)
    assert sorted(path.name for path in Path("cut").iterdir()) == ["checkpoint.pt", "config.json"]
    result, resumed_records = run_training(prepared(config(out=None, resume="cut")))
    assert resumed_records == records
    assert dataclasses.replace(result, seconds=0) == dataclasses.replace(whole, seconds=0)
    for name in ("weights.safetensors", "model.onnx"):
        assert Path("cut", name).read_bytes() == Path("run", name).read_bytes()


def test_a_run_killed_before_its_first_epoch_ended_resumes(config: ConfigOf) -> None:
    def kill(done: int, total: int) -> None:
        raise StoppedError

    with pytest.raises(StoppedError):
        run_training(prepared(config()), on_step=kill)
    _, records = run_training(prepared(config(out=None, resume="run")))
    assert len(records) == 2


def test_given_weights_are_what_training_starts_from(config: ConfigOf, tmp_path: Path) -> None:
    preparation = prepared(config())
    run_training(preparation)
    given = prepared(config(out="other", weights="run/weights.safetensors"))
    state = new_training(given.job, given.splits).network.state_dict()
    for name, value in safetensors.torch.load_file(tmp_path / "run/weights.safetensors").items():
        assert torch.equal(state[name], value)


def test_first_weights_come_from_the_seed_alone(config: ConfigOf) -> None:
    torch.manual_seed(1)
    one = first_weights(config())
    torch.manual_seed(2)
    same, other = (first_weights(config(seed=seed)) for seed in (0, 1))
    assert all(torch.equal(value, same[name]) for name, value in one.items())
    assert not torch.equal(one["stem.conv.weight"], other["stem.conv.weight"])


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"architecture": "fbnet-z"}, "`--architecture` must be"),
        ({"architecture": "k3_e1"}, "`--architecture` must be"),
        ({"space": "fbnet"}, "`--space` must be one of"),
        ({"dataset": "./none"}, "the path './none' does not exist"),
        ({"cutout": 8}, "`--cutout` must be less than the 8 pixels of an image, but got 8."),
        ({"batch_size": 10_000}, "`--batch-size` must be at most the 1259 training images, but got 10000."),
        ({"out": "small.yaml"}, "`--out` must name a folder, but 'small.yaml' is a file."),
        ({"out": "small.yaml/run"}, "the folder of a training must lie where files can be written"),
        ({"out": "."}, "`--out` must name a new folder, but '.' is not empty"),
        ({"weights": "none.safetensors"}, "a file of weights must exist, but got 'none.safetensors'"),
        ({"weights": "small.yaml"}, "a file of weights must be whole, but '"),
        ({"out": None, "resume": "none"}, "`--resume` must name the folder of a training, but 'none' holds no config"),
    ],
)
def test_bad_input_is_refused_before_anything_is_written(
    config: ConfigOf, tmp_path: Path, values: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError) as refusal:
        prepared(config(**values))
    assert message in str(refusal.value)
    assert [path.name for path in tmp_path.iterdir() if path.name != "cache"] == ["small.yaml"]


def test_weights_of_another_network_are_refused(config: ConfigOf) -> None:
    run_training(prepared(config(epochs=1)))
    with pytest.raises(ValueError, match=r"must have shape \(8, 8, 1, 1\), and has \(24, 8, 1, 1\)"):
        prepared(config(out="other", architecture="k3_e1,k3_e1", weights="run/weights.safetensors"))
    with pytest.raises(ValueError, match="`--out` must name a new folder, but 'run' already holds a training"):
        prepared(config())


def test_a_cut_checkpoint_is_refused(config: ConfigOf) -> None:
    preparation = prepared(config())
    with pytest.raises(StoppedError):
        run_training(preparation, on_epoch=stop)
    content = preparation.folder.checkpoint.read_bytes()
    preparation.folder.checkpoint.write_bytes(content[:1000])
    with pytest.raises(ValueError, match=r"'run/checkpoint.pt' is not: its .* or remove it to train from the start."):
        run_training(prepared(config(out=None, resume="run")))


def test_other_settings_images_or_shapes_are_refused(config: ConfigOf, tmp_path: Path) -> None:
    with pytest.raises(StoppedError):
        run_training(prepared(config()), on_epoch=stop)
    with pytest.raises(ValueError, match=r"begun with lr=0.2 and got lr=0.1; omit `--lr`"):
        prepared(config(out=None, resume="run", lr=0.1))
    (tmp_path / "small.yaml").write_text(SPACE.replace("last_channels: 8", "last_channels: 16"))
    with pytest.raises(ValueError, match="resumed with what it was begun with, but its `macs` has changed"):
        prepared(config(out=None, resume="run"))
    (tmp_path / "small.yaml").write_text(SPACE)
    path = tmp_path / "run" / "config.json"
    content = json.loads(path.read_text())
    content["origin"]["dataset"]["fingerprint"] = "other"
    del content["seal"]
    path.write_text(json.dumps(content))
    with pytest.raises(ValueError, match="its `dataset` has changed"):
        prepared(config(out=None, resume="run"))


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"settings": {}, "origin": {}}', '{"settings": 1, "origin": {}}'])
def test_a_config_that_cannot_be_read_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "config.json").write_text(text)
    with pytest.raises(ValueError, match="`--resume` must name the folder of a training, but .* cannot be read"):
        TrainFolder(tmp_path).read_config()


@pytest.mark.parametrize("text", ["", "{}", "[]"])
def test_a_result_that_cannot_be_read_is_refused(tmp_path: Path, text: str) -> None:
    assert read_result(TrainFolder(tmp_path)) is None
    (tmp_path / "result.json").write_text(text)
    with pytest.raises(ValueError, match="result.* Remove it, and the same command makes it anew"):
        read_result(TrainFolder(tmp_path))


def test_settings_survive_json_and_where_they_lie_may_differ(config: ConfigOf) -> None:
    saved = config(mixup=0.2, flip=True, weights="a")
    read = config_from_json(json.loads(json.dumps(saved.to_json())))
    assert read == saved
    check_same_settings(dataclasses.replace(read, out=None, resume="run", quiet=True), saved)
    earlier = {name: value for name, value in saved.to_json().items() if name != "size"}
    assert config_from_json(earlier) == saved
    with pytest.raises(ValueError, match="these are unknown or missing: colour, epochs"):
        config_from_json({name: value for name, value in saved.to_json().items() if name != "epochs"} | {"colour": 1})


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"seed": -1}, "`--seed >= 0` must hold, but got -1."),
        ({"lr": -1.0}, "`--lr > 0` must hold, but got -1.0."),
        ({"out": "a", "resume": "b"}, "`--resume` goes on in its own folder, but got --out a and --resume b"),
    ],
)
def test_settings_out_of_range_are_refused(config: ConfigOf, values: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError) as refusal:
        config(**values)
    assert str(refusal.value).startswith(message)
