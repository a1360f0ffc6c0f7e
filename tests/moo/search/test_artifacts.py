"""What is said and drawn before a search, and what pre-training that diverges does to a run."""

import io
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from dnas.divergence import Divergence
from dnas.pretraining import PretrainRecord, PretrainSettings
from evaluation.data.loading import load
from evaluation.data.source import open_source
from evaluation.splits import split_data
from moo import events
from moo.execution.backend import InProcessBackend
from moo.search.artifacts import SearchFailedError, draw_samples, images_text, started, supernet_weights
from tests.moo.conftest import TINY, Prepare


class DivergingBackend(InProcessBackend):
    """Its first epoch diverges; `given_up` says whether for good."""

    given_up = False

    def pretrain(self, settings: PretrainSettings, state: bytes | None) -> Iterator[tuple[PretrainRecord, bytes]]:
        """See `moo.execution.backend.Backend.pretrain`."""
        pairs = super().pretrain(settings, state)
        for record, later in pairs:
            found = Divergence(epoch=1, loss=22.7, guessing=1.95, lr=None if self.given_up else 0.05)
            yield PretrainRecord(epoch=1, loss=22.7, accuracy=0.1, lr=0.1, divergence=found), later
            if not self.given_up:
                yield record, later
                yield from pairs
            return


def test_listeners_hear_of_a_divergence_and_the_run_goes_on(prepare_tiny: Prepare) -> None:
    ready = prepare_tiny()
    seen: list[events.Event] = []
    weights = supernet_weights(ready, DivergingBackend(ready.setup), seen.append)
    kinds = [type(event) for event in seen]
    assert kinds == [events.TrainingDiverged, events.PretrainEpoch, events.PretrainEpoch]
    assert isinstance(seen[0], events.TrainingDiverged)
    assert str(seen[0].divergence).startswith("diverged in epoch 1 (loss 22.7; guessing has 1.95)")
    assert ready.folder.supernet.read_bytes() == weights


def test_pretraining_that_diverges_for_good_ends_the_run_and_leaves_nothing_to_go_on_from(
    prepare_tiny: Prepare, monkeypatch: pytest.MonkeyPatch
) -> None:
    def written(path: Path, content: bytes) -> None:
        raise AssertionError(f"{path} must not be written: killed right after, a resumed run would go on from it")

    monkeypatch.setattr("moo.search.artifacts.write_atomically", written)
    ready = prepare_tiny(pretrain_lr=0.1)
    backend = DivergingBackend(ready.setup)
    backend.given_up = True
    rule = "pre-training diverged in epoch 1 .*: given up: choose a lower --pretrain-lr than 0.1"
    with pytest.raises(SearchFailedError, match=rule):
        supernet_weights(ready, backend, lambda event: None)
    assert not [path for path in Path(ready.folder.path).rglob("*") if path.is_file()]


def photos(folder: Path) -> str:
    """Forty lying pictures of two classes, three of a third, one of which cannot be read."""
    rng = np.random.default_rng(0)
    for name, count in (("nut", 20), ("bolt", 20), ("rivet", 3)):
        (folder / name).mkdir(parents=True)
        for number in range(count):
            image = Image.fromarray(rng.integers(0, 256, (30, 40, 3), dtype=np.uint8))
            image.save(folder / name / f"{number}.png")
    (folder / "rivet" / "2.png").write_bytes(b"no image")
    return str(folder)


def test_what_becomes_of_the_images_is_said_and_drawn_before_a_search(prepare_tiny: Prepare, tmp_path: Path) -> None:
    source = open_source(photos(tmp_path / "photos"))
    data = split_data(load(source, TINY.input_size, skip_broken=True), 0)
    preparation = replace(prepare_tiny(), source=source, splits=data)
    assert images_text(preparation) == [
        ("images", f"trained on `train` (43), tested on {len(data.test)} of them; left out: 1 that cannot be read"),
        ("of each class", "nut 20, bolt 20, rivet 3; fewer than 4, so not in every split: rivet"),
        (
            "resolution",
            "40x30 (median) -> whole picture, stretched -> 8x8 (a central square would lose 25 %: --resize crop)",
        ),
        (
            "warning",
            "3.8 times smaller: what is finer than 8 pixels show is lost. --size 30 keeps nearly all, at about 14.1 "
            "times the time for training and for each inference",
        ),
    ]
    assert images_text(preparation)[0] in started(preparation, None).description
    draw_samples(preparation)
    drawn = preparation.folder.plots / "samples.png"
    assert Image.open(drawn).size[0] > 500
    before = drawn.stat().st_mtime_ns
    draw_samples(preparation)
    assert drawn.stat().st_mtime_ns == before


def test_a_picture_of_samples_that_was_not_finished_is_drawn_anew(
    prepare_tiny: Prepare, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def cut(figure: Figure, target: Any, **_: Any) -> None:
        (target.write if isinstance(target, io.BytesIO) else target.write_bytes)(b"the beginning")
        raise KeyboardInterrupt

    source = open_source(photos(tmp_path / "photos"))
    preparation = replace(prepare_tiny(), source=source)
    with monkeypatch.context() as patched:
        patched.setattr(Figure, "savefig", cut)
        with pytest.raises(KeyboardInterrupt):
            draw_samples(preparation)
    draw_samples(preparation)
    assert Image.open(preparation.folder.plots / "samples.png").size[0] > 500


def test_with_a_published_test_split_three_images_are_enough_for_the_others(
    prepare_tiny: Prepare, tmp_path: Path
) -> None:
    photos(tmp_path / "photos" / "train")
    photos(tmp_path / "photos" / "test")
    source = open_source(str(tmp_path / "photos"))
    data = split_data(load(source, TINY.input_size, skip_broken=True), 0)
    said = images_text(replace(prepare_tiny(), source=source, splits=data))
    assert said[1][1] == "nut 20, bolt 20, rivet 3; tested on nut 20, bolt 20, rivet 3"
    assert ("warning", "43 pictures are both trained and tested on, byte by byte") in said


def test_samples_are_of_as_many_classes_as_there_are(tmp_path: Path) -> None:
    samples = open_source(photos(tmp_path / "photos")).samples(9)
    assert [name for name, _ in samples] == ["bolt", "nut", "rivet", "bolt", "nut", "rivet", "bolt", "nut", "bolt"]
    assert {image.size for _, image in samples} == {(40, 30)}


def test_images_from_elsewhere_are_not_described(prepare_tiny: Prepare) -> None:
    preparation = prepare_tiny()
    assert images_text(preparation) == []
    draw_samples(preparation)
    assert not preparation.folder.plots.exists()
