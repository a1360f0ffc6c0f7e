"""What a training was made from: written as ever, and read as earlier versions wrote it."""

import json
from pathlib import Path
from typing import Any

import pytest

from evaluation.training.config import TrainConfig
from evaluation.training.folder import TrainFolder
from evaluation.training.origin import BaselineNetwork, TrainDataset, TrainImages, TrainOrigin
from search_space.architectures import Architecture
from search_space.boundary.writing import write_json

SETTINGS = TrainConfig(architecture="0,1", dataset="digits")
EARLIER_DATASET: dict[str, Any] = {
    "fingerprint": "f63bd4e7ae4a447b",
    "classes": ["a", "b"],
    "mean": [0.5, 0.25, 0.125],
    "std": [0.1, 0.2, 0.3],
    "images": {"training": 280, "selection": 60, "test": 40},
}
LATER = {"resize": "crop", "rules": 1, "omitted": 0, "width": None, "height": None, "depth": None, "facts": None}
"""What earlier versions did not say of images, as they made them."""
EARLIER: dict[str, Any] = {
    "architecture": {"space": "small", "id": "04", "operators": ["k3_e1", "k5_e3"]},
    "input_shape": [3, 8, 8],
    "macs": 12345,
    "params": 678,
    "dataset": EARLIER_DATASET,
}
ORIGIN = TrainOrigin(
    architecture=Architecture("small", ("k3_e1", "k5_e3"), "04"),
    input_shape=(3, 8, 8),
    macs=12345,
    params=678,
    dataset=TrainDataset(
        fingerprint="f63bd4e7ae4a447b",
        classes=("a", "b"),
        mean=(0.5, 0.25, 0.125),
        std=(0.1, 0.2, 0.3),
        images=TrainImages(training=280, selection=60, test=40),
    ),
)
BASELINE = {"id": "mobilenet-v2-0.35", "input_size": 8}


def folder_with(path: Path, origin: object) -> TrainFolder:
    folder = TrainFolder(path)
    write_json(folder.config, {"settings": SETTINGS.to_json(), "origin": origin})
    return folder


def test_the_config_of_an_earlier_version_is_read_and_written_alike(tmp_path: Path) -> None:
    folder = folder_with(tmp_path / "earlier", EARLIER)
    assert folder.read_config() == (SETTINGS, ORIGIN)
    again = TrainFolder(tmp_path / "again")
    again.write_config(SETTINGS, ORIGIN)
    assert json.loads(again.config.read_text())["origin"] == EARLIER | {"dataset": EARLIER_DATASET | LATER}
    assert again.read_config() == (SETTINGS, ORIGIN)


def test_a_baseline_is_told_from_an_architecture(tmp_path: Path) -> None:
    folder = folder_with(tmp_path, EARLIER | {"architecture": BASELINE})
    _, origin = folder.read_config()
    assert origin.architecture == BaselineNetwork(id="mobilenet-v2-0.35", input_size=8)
    folder.write_config(SETTINGS, origin)
    assert folder.read_config() == (SETTINGS, origin)
    assert json.loads(json.dumps(origin.architecture.to_json())) == BASELINE


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"macs": "many"}, "`origin.macs` must be a whole number, but got 'many'"),
        ({"input_shape": [3, 8]}, "`origin.input_shape` must be a list of 3, but got [3, 8]"),
        ({"architecture": {"id": "04"}}, "`origin.architecture.input_size` must be there, but is missing"),
        ({"dataset": {}}, "`origin.dataset.fingerprint` must be there, but is missing"),
    ],
)
def test_a_bad_origin_is_refused_in_one_line(tmp_path: Path, changes: dict[str, Any], reason: str) -> None:
    folder = folder_with(tmp_path, EARLIER | changes)
    with pytest.raises(ValueError) as error:
        folder.read_config()
    assert str(error.value) == (
        f"`--resume` must name the folder of a training, but {str(folder.config)!r} cannot be read: {reason}. Restore "
        "it from a copy, or begin anew."
    )
    assert folder.read_settings() == SETTINGS
