from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from evaluation.data.images import ImageData, LabelledImages
from evaluation.data.loading import load, load_images
from evaluation.data.source import open_source
from evaluation.splits import Splits, load_splits, split_data
from tests.evaluation.conftest import ImageDataOf, ImagesOf


def numbers(part: LabelledImages) -> npt.NDArray[np.int64]:
    """The number in each image's first pixel."""
    return part.pixels[:, :, 0, 0].astype(int) @ [65536, 256, 1]


def parts(splits: Splits) -> tuple[LabelledImages, ...]:
    return splits.weights, splits.theta, splits.selection, splits.test


@pytest.mark.parametrize(
    ("count", "test", "sizes"),
    [
        (200, None, (110, 30, 30, 30)),
        (200, 17, (140, 30, 30, 17)),
        (20, None, (11, 3, 3, 3)),
        (40_000, None, (25_000, 5000, 5000, 5000)),
        (40_000, 9, (30_000, 5000, 5000, 9)),
    ],
)
def test_splits_are_disjoint_and_hold_all_images(
    image_data: ImageDataOf, count: int, test: int | None, sizes: tuple[int, ...]
) -> None:
    data = image_data(count, test=test, size=1)
    splits = split_data(data, seed=3)
    assert tuple(len(part) for part in parts(splits)) == sizes
    found = np.concatenate([numbers(part) for part in parts(splits)])
    np.testing.assert_array_equal(np.sort(found), np.arange(sum(sizes)))


def test_images_keep_their_labels(image_data: ImageDataOf) -> None:
    data = image_data(100, test=20)
    assert data.test is not None
    labels = np.concatenate([data.train.labels_N, data.test.labels_N])
    for part in parts(split_data(data, seed=0)):
        np.testing.assert_array_equal(part.labels_N, labels[numbers(part)])


def test_the_published_test_split_is_the_test_split(image_data: ImageDataOf) -> None:
    data = image_data(100, test=20)
    for seed in range(3):
        assert split_data(data, seed).test is data.test


def test_loaded_images_are_split_by_the_seed() -> None:
    splits = load_splits("digits", size=8, seed=3)
    expected = split_data(load_images("digits", size=8), seed=3)
    assert splits.fingerprint == expected.fingerprint
    assert splits.fingerprint != load_splits("digits", size=8, seed=4).fingerprint


def test_splits_follow_the_seed(image_data: ImageDataOf) -> None:
    one, same, other = (split_data(image_data(), seed) for seed in (1, 1, 2))
    for first, second in zip(parts(one), parts(same), strict=True):
        np.testing.assert_array_equal(numbers(first), numbers(second))
    for first, second in zip(parts(one), parts(other), strict=True):
        assert set(numbers(first)) != set(numbers(second))


def test_the_fingerprint_is_that_of_data_and_seed(image_data: ImageDataOf) -> None:
    fingerprint = split_data(image_data(), 1).fingerprint
    assert split_data(image_data(), 1).fingerprint == fingerprint
    assert split_data(image_data(), 2).fingerprint != fingerprint
    assert split_data(image_data(seed=9), 1).fingerprint != fingerprint
    for array in ("pixels", "labels_N"):
        data = image_data()
        getattr(data.train, array).flat[123] ^= 1
        assert split_data(data, 1).fingerprint != fingerprint


EARLIER_FINGERPRINTS = ["eb2efcaebae08cfb", "8945f362039aba19"]


def labelled(*of_class: int, seed: int = 0, **options: Any) -> ImageData:
    """So many images of each class, in random order, each with its number."""
    labels_N = np.random.default_rng(seed).permutation(np.repeat(np.arange(len(of_class)), of_class))
    images_NCHW = np.zeros((len(labels_N), 3, 1, 1), np.uint8)
    images_NCHW[:, :2, 0, 0] = np.stack([np.arange(len(labels_N)) >> 8, np.arange(len(labels_N)) & 255], axis=1)
    names = tuple(f"class {number}" for number in range(len(of_class)))
    images = LabelledImages(images_NCHW, labels_N)
    return ImageData(
        name="labelled", train=images, test=options.pop("test", None), class_names=names, grey=False, **options
    )


def counts(part: LabelledImages, classes: int) -> list[int]:
    return [int(number) for number in np.bincount(part.labels_N, minlength=classes)]


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(
    ("of_class", "held_out"),
    [
        ((100, 100), [15, 15]),
        ((900, 100), [135, 15]),
        ((9, 9, 9, 9, 8, 8, 8), [2, 2, 1, 1, 1, 1, 1]),
        ((110, 6), [16, 1]),
        ((5,) * 30, [1] * 30),
        ((50_000, 5000), [4545, 455]),
    ],
)
def test_each_split_has_each_classs_share(of_class: tuple[int, ...], held_out: list[int], seed: int) -> None:
    splits = split_data(labelled(*of_class), seed)
    for part in (splits.theta, splits.selection, splits.test):
        assert counts(part, len(of_class)) == held_out
    together = np.concatenate([part.pixels[:, :2, 0, 0].astype(int) @ [256, 1] for part in parts(splits)])
    assert sorted(together) == list(range(sum(of_class)))


def test_the_first_images_of_a_split_are_of_all_classes_where_a_folder_lists_one_after_the_other() -> None:
    labels_N = np.repeat(np.arange(5), 200)
    train = LabelledImages(np.zeros((1000, 3, 1, 1), np.uint8), labels_N)
    data = ImageData(name="sorted", train=train, test=None, class_names=tuple("abcde"), grey=False)
    for part in parts(split_data(data, seed=0)):
        assert len(set(part.labels_N[:80].tolist())) == 5


def test_a_class_of_few_images_is_trained_first_and_then_tested() -> None:
    splits = split_data(labelled(30, 1, 2, 3, 4), 0)
    found = np.array([counts(part, 5) for part in parts(splits)])
    assert found[:, 1:].T.tolist() == [[1, 0, 0, 0], [1, 0, 0, 1], [1, 0, 1, 1], [1, 1, 1, 1]]
    published = LabelledImages(np.zeros((5, 3, 1, 1), np.uint8), np.arange(5))
    splits = split_data(labelled(30, 1, 2, 3, 4, test=published), 0)
    found = np.array([counts(part, 5) for part in (splits.weights, splits.theta, splits.selection)])
    assert found[:, 1:].T.tolist() == [[1, 0, 0], [1, 0, 1], [1, 1, 1], [2, 1, 1]]


def test_a_class_without_training_images_cannot_be_tested() -> None:
    published = LabelledImages(np.zeros((2, 3, 1, 1), np.uint8), np.array([0, 2]))
    with pytest.raises(ValueError, match="every class must have training images, but of 'labelled' 'class 2' is in"):
        split_data(labelled(20, 20, 0, test=published), 0)
    assert counts(split_data(labelled(20, 20, 0), 0).weights, 3) == [11, 11, 0]


def test_work_of_earlier_versions_keeps_its_splits() -> None:
    """Fingerprints as version 0.1.0 had them."""
    digits = load(open_source("digits"), 8, rules=1)
    assert [split_data(digits, seed).fingerprint for seed in (0, 7)] == EARLIER_FINGERPRINTS
    assert split_data(load_images("digits", size=8), 0).fingerprint not in EARLIER_FINGERPRINTS


def test_statistics_are_those_of_the_weights_split(image_data: ImageDataOf) -> None:
    splits = split_data(image_data(), 0)
    levels = splits.weights.pixels / 255
    np.testing.assert_allclose(splits.mean_C, levels.mean((0, 2, 3)))
    np.testing.assert_allclose(splits.std_C, levels.std((0, 2, 3)))


@pytest.mark.parametrize(("count", "test", "classes"), [(0, None, 2), (12, None, 2), (13, 50, 2), (100, None, 30)])
def test_too_few_images_are_refused(numbered: ImagesOf, count: int, test: int | None, classes: int) -> None:
    published = None if test is None else numbered(test)
    names = tuple(str(number) for number in range(classes))
    data = ImageData(name="few", train=numbered(count), test=published, class_names=names, grey=False)
    with pytest.raises(
        ValueError, match=f"enough training images for four splits.*{classes} classes, but 'few' has {count}"
    ):
        split_data(data, 0)
