"""What a run was made from: written as ever, and read as earlier versions wrote it."""

from __future__ import annotations

import copy
import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest

from devices.measurement import Board
from dnas.pretraining import PretrainSettings
from moo.config import SearchConfig
from moo.storage.origin import MachineOrigin, PretrainingOrigin, RunOrigin, SearchDataset, SplitSizes, origin_from_json
from moo.storage.run_folder import RunFolder
from search_space.boundary.writing import write_json
from tests.moo.conftest import TINY

VERSION_2 = RunFolder(Path(__file__).with_name("run_of_version_2"))
CONTENT = json.loads(VERSION_2.config.read_text())
BOARD = Board(name="replay", model="no board", os="none", runtime="none", clock_mhz=None)
EARLIER = RunOrigin(
    date="2026-11-25T06:36:53+00:00",
    space=TINY,
    dataset=SearchDataset(
        fingerprint="f63bd4e7ae4a447b",
        classes=("a", "b", "c", "d"),
        mean=(0.5001194852941178, 0.5011483400178253, 0.4971847147950089),
        std=(0.24967491124676963, 0.25030721196925415, 0.25319670652370185),
        images=SplitSizes(weights=220, theta=60, selection=60, test=60),
    ),
    pretraining=PretrainingOrigin(
        epochs=2, batch_size=32, lr=0.3, weight_decay=0.0001, warmup_fraction=0.05, label_smoothing=0.0
    ),
    board=BOARD,
    machine=MachineOrigin(system="Linux", python="3.11.7"),
    packages={
        "torch": "2.13.0+cpu",
        "ray": "2.60.0",
        "pymoo": "0.6.2",
        "numpy": "2.4.6",
        "onnxruntime": "1.32.0",
        "datasets": "5.2.0",
    },
)


def changed(*keys: str, value: Any = ...) -> dict[str, Any]:
    """The earlier origin with one value changed; without a value, absent."""
    origin: dict[str, Any] = copy.deepcopy(CONTENT["origin"])
    inner = origin
    for key in keys[:-1]:
        inner = inner[key]
    if value is ...:
        del inner[keys[-1]]
    else:
        inner[keys[-1]] = value
    return origin


def test_the_config_of_an_earlier_version_is_read() -> None:
    config, origin = VERSION_2.read_config()
    assert (config.population, config.space) == (4, "tiny")
    assert origin == EARLIER


def test_it_is_written_as_earlier_versions_wrote_it_but_for_what_is_new(tmp_path: Path) -> None:
    settings = SearchConfig()
    expected = changed("board", value=dataclasses.asdict(BOARD))
    expected["dataset"] |= {"resize": "crop", "rules": 1, "omitted": 0, "width": None, "height": None}
    expected["dataset"] |= {"depth": None, "facts": None}
    expected["dataset"] |= {"guessing_error": None, "test_guessing_error": None, "error": "plain", "certain": None}
    expected["pretraining"] |= {"passes": 1, "largest_share": 0.0, "paths_per_step": 1}
    expected["recipe"] = None
    folder = RunFolder(tmp_path)
    folder.write_config(settings, EARLIER)
    assert json.loads(folder.config.read_text())["origin"] == json.loads(json.dumps(expected))
    assert folder.read_config() == (settings, EARLIER)


def test_the_reference_is_the_error_of_guessing_which_earlier_versions_took_from_the_classes() -> None:
    dataset = EARLIER.dataset
    assert dataset.reference_error == 1 - 1 / len(dataset.classes)
    assert dataclasses.replace(dataset, guessing_error=0.05).reference_error == 0.05
    assert dataclasses.replace(dataset, guessing_error=0.0).reference_error == 1 - 1 / len(dataset.classes)


@pytest.mark.parametrize("name", ["date", "pretraining", "board", "machine", "packages"])
def test_what_only_the_report_tells_may_be_absent(name: str) -> None:
    absent: Any = {} if name == "packages" else None
    assert origin_from_json(changed(name)) == dataclasses.replace(EARLIER, **{name: absent})


def test_a_run_without_a_board_has_none() -> None:
    assert origin_from_json(changed("board", value=None)).board is None


@pytest.mark.parametrize(
    ("origin", "reason"),
    [
        ({}, "`origin.space` must be there, but is missing"),
        (None, "`origin` must be an object, but got None"),
        (changed("dataset"), "`origin.dataset` must be there, but is missing"),
        (changed("dataset", "fingerprint"), "`origin.dataset.fingerprint` must be there, but is missing"),
        (changed("dataset", "classes", value="ab"), "`origin.dataset.classes` must be a list, but got 'ab'"),
        (changed("dataset", "images", "test", value=1.5), "`origin.dataset.images.test` must be a whole number, but"),
        (changed("space", "stages", value=[]), "`origin.space` breaks a rule: `stages` must hold at least one stage"),
        (changed("board", value="pi"), "`origin.board` must be an object, but got 'pi'"),
    ],
)
def test_a_bad_origin_is_refused_in_one_line(tmp_path: Path, origin: Any, reason: str) -> None:
    folder = RunFolder(tmp_path)
    write_json(folder.config, {"settings": SearchConfig().to_json(), "origin": origin})
    with pytest.raises(ValueError) as error:
        folder.read_config()
    message = str(error.value)
    assert message.startswith(f"`--resume` must name the folder of a run, but {str(folder.config)!r} cannot be read: ")
    assert reason in message
    assert message.endswith(". Restore it from a copy, or begin anew.")
    assert "\n" not in message
    assert folder.read_settings() == SearchConfig()


def test_pretraining_has_the_fields_of_its_settings() -> None:
    names = [[field.name for field in dataclasses.fields(kind)] for kind in (PretrainingOrigin, PretrainSettings)]
    assert names[0] == names[1]
