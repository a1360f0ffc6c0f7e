"""A search by the balanced error, on images of which two classes are rare."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import get_args

import numpy as np
import pytest
from sklearn.metrics import balanced_accuracy_score
from torch import Tensor, nn

from evaluation.accuracy import classified
from evaluation.batches import ImageBatches
from evaluation.data.images import ImageData, LabelledImages
from evaluation.errors import ErrorKind
from evaluation.export import file_error
from evaluation.splits import Splits, split_data
from moo.analysis.errors import on_selection_split
from moo.config import SearchConfig, config_from_json, lasting_settings
from moo.execution.backend import InProcessBackend
from moo.execution.evaluator import Evaluator
from moo.report.choices import choices_section
from moo.report.conditions import hypervolume
from moo.search.images import search_dataset
from moo.search.loop import run_search
from moo.search.transfer import is_warm_start
from moo.trials import DeliveryJob
from tests.moo.conftest import Prepare

COUNTS = (110, 20, 8, 6)


@pytest.fixture(scope="module")
def rare() -> Splits:
    """Four classes, of which three are rare, told apart by brightness."""
    labels_N = np.repeat(np.arange(4), COUNTS)
    pixels_NCHW = (
        np.random.default_rng(0).integers(0, 40, (len(labels_N), 3, 8, 8)) + 60 * labels_N[:, None, None, None]
    )
    images = LabelledImages(pixels_NCHW.astype(np.uint8), labels_N)
    data = ImageData(name="parts", train=images, test=None, class_names=("ok", "bent", "dent", "scratch"), grey=False)
    return replace(split_data(data, seed=0), error="balanced")


class Constant(nn.Module):
    """Always answers the first class."""

    def forward(self, x_BCHW: Tensor) -> Tensor:
        scores_BK = x_BCHW.new_zeros(len(x_BCHW), 4)
        scores_BK[:, 0] = 1
        return scores_BK


def test_a_constant_network_guesses(rare: Splits) -> None:
    images, kinds = rare.selection, get_args(ErrorKind)
    found = {kind: classified(Constant(), ImageBatches(images, replace(rare, error=kind))) for kind in kinds}
    data = search_dataset(rare)
    assert found["balanced"].error == pytest.approx(3 / 4) == data.guessing_error
    assert found["plain"].error == np.count_nonzero(images.labels_N) / len(images)
    assert (found["plain"].correct_N == found["balanced"].correct_N).all()
    # Of the classes' cross-entropies: log(e + 3) - 1, and three times log(e + 3).
    assert found["balanced"].cross_entropy == pytest.approx(np.log(np.e + 3) - 1 / 4, abs=1e-6)
    assert on_selection_split(3 / 4, data).beats_guessing is False
    assert data.certain is not None
    assert data.certain.selection == 4 * np.bincount(images.labels_N).min()


def test_a_search_minimises_and_tells_the_balanced_error(prepare_tiny: Prepare, rare: Splits) -> None:
    preparation = replace(
        prepare_tiny(error="balanced", samples=1, theta_steps=1, generations=1, pretrain_epochs=1, theta_batch=8),
        splits=rare,
    )
    archive = run_search(preparation, InProcessBackend(preparation.setup), lambda event: None)
    assert archive.reference_point[0] == pytest.approx(3 / 4)
    labels_N = rare.selection.labels_N
    for entry in archive.entries:
        assert entry.correct is not None
        right_N = np.unpackbits(np.frombuffer(entry.correct, np.uint8))[: len(labels_N)].astype(bool)
        answers_N = np.where(right_N, labels_N, (labels_N + 1) % 4)
        with_all_classes = balanced_accuracy_score(labels_N, answers_N)
        assert entry.error == pytest.approx(1 - with_all_classes, abs=1e-12)
    folder = preparation.folder
    assert {item["error_kind"] for item in json.loads(folder.front.read_text())} == {"balanced"}
    _, origin = folder.read_config()
    assert (origin.dataset.error, origin.dataset.certain) == ("balanced", search_dataset(rare).certain)
    assert "| balanced accuracy |" in choices_section(archive, preparation.space)
    assert "reference point: balanced error 75.0 %" in hypervolume(archive)
    assert "Errors and accuracies are balanced" in next(folder.networks.glob("*/card.md")).read_text()
    with pytest.raises(ValueError, match="must have their `--error`, balanced, but got plain"):
        is_warm_start(replace(preparation.config, error="plain", from_run=str(folder.path)), origin.space, rare)


def test_int8_is_judged_in_the_same_way(rare: Splits, prepare_tiny: Prepare) -> None:
    preparation = replace(prepare_tiny(), splits=rare)
    worker = Evaluator(preparation.setup)
    found = worker.deliver(DeliveryJob(indices=(0, 0, 0), quantized=True))
    assert found.quantized is not None
    # The mean of four shares, each of the images of a class.
    of_class_K = np.bincount(rare.test.labels_N)
    for error in (found.test_error, found.quantized_test_error):
        assert error is not None
        scaled = error * 4 * np.lcm.reduce(of_class_K)
        assert scaled == pytest.approx(round(scaled), abs=1e-6)
    assert found.quantized_test_error == file_error(found.quantized, rare.test, rare)


def test_settings_of_earlier_versions_are_plain_and_exits_are_refused() -> None:
    settings = SearchConfig(error="balanced").to_json()
    assert config_from_json(settings).error == "balanced"
    assert lasting_settings(config_from_json(settings))["error"] == "balanced"
    del settings["error"]
    assert config_from_json(settings) == SearchConfig()
    with pytest.raises(ValueError, match="`--error balanced` must go with networks as they are"):
        SearchConfig(error="balanced", adaptive=True)
