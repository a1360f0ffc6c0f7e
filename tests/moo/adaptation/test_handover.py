from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from evaluation.early_exits.files import ExportedSegments
from evaluation.splits import Splits
from moo.adaptation.handover import folder as handover
from moo.adaptation.handover import run as run_module
from moo.adaptation.handover.folder import read_adaptive, write_adaptive
from moo.storage.adaptive_front import AdaptivePoint
from search_space.boundary.sealing import sealed
from search_space.boundary.writing import write_atomically
from search_space.exits import Exit
from tests.moo.adaptation.handed_over import EXITS, TWO_THREADS, dataset_of, exported_network, point_of
from tests.moo.adaptive_points import static_point
from tests.moo.conftest import TINY

Exported = tuple[ExportedSegments, ...]


@pytest.fixture(scope="module")
def exported(splits: Splits) -> Exported:
    return exported_network(splits)


@pytest.fixture(scope="module")
def points(exported: Exported) -> list[AdaptivePoint]:
    fp32, int8 = exported
    return [
        point_of(fp32, 0.3, latency_ms=2.0),
        point_of(fp32, 0.8, latency_ms=4.0),
        point_of(fp32, 0.8, latency_ms=3.0, configuration=TWO_THREADS),
        point_of(int8, 0.5, latency_ms=1.0),
    ]


@pytest.fixture
def folder(tmp_path: Path, points: list[AdaptivePoint], exported: Exported, splits: Splits) -> Path:
    write_adaptive(tmp_path / "adaptive", points, exported, dataset_of(splits), TINY, dataset="stripes")
    return tmp_path / "adaptive"


def changed(folder: Path, change: Callable[[dict[str, Any]], Any], *, seal: bool = True) -> None:
    """Change what adaptive.json says."""
    path = folder / "adaptive.json"
    content = json.loads(path.read_text())
    del content["seal"]
    change(content)
    path.write_text(json.dumps(sealed(content) if seal else content))


def test_all_that_was_given_is_handed_over(folder: Path, points: list[AdaptivePoint], exported: Exported) -> None:
    assert sorted(path.name for path in folder.iterdir()) == [
        "adaptive.json",
        "card.md",
        "run.py",
        *(f"segment_{number}{suffix}.onnx" for number in (1, 2, 3) for suffix in ("", "_int8")),
    ]
    found = read_adaptive(folder)
    assert found.architecture == points[0].architecture
    assert found.space == TINY
    assert found.exits == EXITS
    assert found.points == tuple(sorted(points, key=lambda point: (point.objectives, point.configuration.label)))
    assert found.models == {("ort", one.precision): one.models for one in exported}
    assert (folder / "run.py").read_bytes() == Path(run_module.__file__).read_bytes()


def test_files_are_those_of_the_precisions_that_were_asked_for(
    tmp_path: Path, points: list[AdaptivePoint], exported: Exported, splits: Splits
) -> None:
    write_adaptive(tmp_path / "adaptive", points[:1], exported[:1], dataset_of(splits), TINY)
    assert not list((tmp_path / "adaptive").glob("*int8*"))
    with pytest.raises(ValueError, match="segments in each precision of a point, but in int8 are none"):
        write_adaptive(tmp_path / "other", points, exported[:1], dataset_of(splits), TINY)
    assert not (tmp_path / "other").exists()


def test_points_without_exits_are_left_to_the_file_beside(
    tmp_path: Path, points: list[AdaptivePoint], exported: Exported, splits: Splits
) -> None:
    static = replace(static_point(), architecture=points[0].architecture)
    write_adaptive(tmp_path / "adaptive", [static, points[0]], exported, dataset_of(splits), TINY)
    assert read_adaptive(tmp_path / "adaptive").points == (points[0],)
    with pytest.raises(ValueError, match="must have an operating point with early exits"):
        write_adaptive(tmp_path / "adaptive", [static], exported, dataset_of(splits), TINY)


def test_one_network_with_one_choice_of_exits_is_handed_over(
    tmp_path: Path, points: list[AdaptivePoint], exported: Exported, splits: Splits
) -> None:
    other = replace(points[0], exits=(Exit(0, "linear"), Exit(1, "linear")))
    with pytest.raises(ValueError, match="must be one network with one choice of exits"):
        write_adaptive(tmp_path / "adaptive", [*points, other], exported, dataset_of(splits), TINY)


def test_what_was_there_is_replaced_whole(
    folder: Path, points: list[AdaptivePoint], exported: Exported, splits: Splits
) -> None:
    (folder / "segment_9.onnx").write_bytes(b"of a network with more exits")
    write_adaptive(folder, points[:1], exported[:1], dataset_of(splits), TINY)
    assert len(list(folder.iterdir())) == 6
    assert list(folder.parent.iterdir()) == [folder]


@pytest.mark.parametrize("last", range(9))
def test_a_kill_leaves_the_old_files_or_the_new_ones(
    folder: Path,
    points: list[AdaptivePoint],
    splits: Splits,
    monkeypatch: pytest.MonkeyPatch,
    last: int,
) -> None:
    """Killed before each write and each renaming; then written again."""
    old, new = read_adaptive(folder).models, exported_network(splits, ["fp32"], seed=1)
    steps = iter(range(last))

    class Killed(BaseException):
        pass

    def before(action: Callable[..., Any]) -> Callable[..., Any]:
        def stepped(*arguments: Any) -> Any:
            if next(steps, None) is None:
                raise Killed
            return action(*arguments)

        return stepped

    with monkeypatch.context() as patch:
        patch.setattr(handover, "write_atomically", before(write_atomically))
        patch.setattr(os, "rename", before(os.rename))
        patch.setattr(shutil, "rmtree", before(shutil.rmtree))
        with pytest.raises(Killed):
            write_adaptive(folder, points[:1], new, dataset_of(splits), TINY)
    if folder.exists():
        assert read_adaptive(folder).models in (old, {("ort", "fp32"): new[0].models})
    else:
        assert last == 7, "the old one has gone, the new one has not come"
    write_adaptive(folder, points[:1], new, dataset_of(splits), TINY)
    assert read_adaptive(folder).models == {("ort", "fp32"): new[0].models}
    assert list(folder.parent.iterdir()) == [folder]


def test_a_link_in_its_place_is_replaced_not_followed(
    tmp_path: Path, points: list[AdaptivePoint], exported: Exported, splits: Splits
) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "mine").write_text("kept")
    front = tmp_path / "front"
    front.mkdir()
    for name in ("adaptive", ".adaptive.new", ".adaptive.old"):
        (front / name).symlink_to(elsewhere)
    write_adaptive(front / "adaptive", points, exported, dataset_of(splits), TINY)
    assert [path.name for path in front.iterdir()] == ["adaptive"]
    assert [path.name for path in elsewhere.iterdir()] == ["mine"]


def test_a_missing_or_damaged_segment_is_named(folder: Path) -> None:
    path = folder / "segment_2.onnx"
    whole = path.read_bytes()
    path.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    with pytest.raises(ValueError, match=r"segment_2\.onnx' is another one or damaged\. Restore"):
        read_adaptive(folder)
    path.write_bytes((folder / "segment_1.onnx").read_bytes())
    with pytest.raises(ValueError, match=r"segment_2\.onnx' is another one or damaged"):
        read_adaptive(folder)
    path.unlink()
    with pytest.raises(ValueError, match=r"must exist, but got .*segment_2\.onnx'\. Restore"):
        read_adaptive(folder)


def test_a_description_of_another_network_is_refused(
    folder: Path, tmp_path: Path, points: list[AdaptivePoint], splits: Splits
) -> None:
    write_adaptive(tmp_path / "other", points[:1], exported_network(splits, ["fp32"], seed=1), dataset_of(splits), TINY)
    shutil.copy(tmp_path / "other" / "adaptive.json", folder)
    with pytest.raises(ValueError, match=r"segment_1\.onnx' is another one or damaged"):
        read_adaptive(folder)


def test_a_damaged_description_is_refused(folder: Path) -> None:
    path = folder / "adaptive.json"
    path.write_text(path.read_text().replace('"error"', '"errors"', 1))
    with pytest.raises(ValueError, match=r"adaptive\.json' is not: its contents do not match its `seal`"):
        read_adaptive(folder)
    path.unlink()
    with pytest.raises(ValueError, match=r"must exist, but got .*adaptive\.json'\. Restore"):
        read_adaptive(folder)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda content: content.update(form=2), "its form must be 1, but is 2"),
        (lambda content: content.pop("classes"), "it lacks 'classes'"),
        (lambda content: content["classes"].pop(), "it has 3 classes, but its network has 4"),
        (lambda content: content["exits"].pop(), "its points are not of its network"),
        (lambda content: content.update(points=[]), "its points are not of its network"),
        (lambda content: content["architecture"].update(id="000"), "its points are not of its network"),
        (lambda content: content["files"]["fp32"].pop(), "a file for each segment"),
        (lambda content: content["files"].pop("int8"), "int8"),
        (lambda content: content["points"][0].update(thresholds=[0.5, 2]), "thresholds must be from 0 to 1"),
        (lambda content: content.pop("space"), "space"),
        (lambda content: content.update(files=[]), "it lacks 'fp32'"),
    ],
)
def test_a_description_that_says_something_else_is_refused(
    folder: Path, change: Callable[[dict[str, Any]], Any], reason: str
) -> None:
    changed(folder, change)
    with pytest.raises(ValueError, match=rf"adaptive\.json' is not: .*{reason}") as refusal:
        read_adaptive(folder)
    assert "\n" not in str(refusal.value)


def test_names_in_the_description_lead_nowhere_else(folder: Path, exported: Exported) -> None:
    changed(folder, lambda content: content["files"]["fp32"][0].update(name="../../secret"))
    assert read_adaptive(folder).models["ort", "fp32"] == exported[0].models
