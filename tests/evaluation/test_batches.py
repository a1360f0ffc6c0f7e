import warnings

import numpy as np
import numpy.typing as npt
import pytest
import torch

from dnas.batches import joined_draws
from evaluation import batches
from evaluation.augmentation import Augmentation, Jitter, Warp
from evaluation.batches import ImageBatches, balanced_order, is_uneven
from evaluation.data.images import LabelledImages
from evaluation.splits import Splits, split_data
from tests.evaluation.conftest import ImageDataOf, ImagesOf


def test_a_channel_of_one_level_does_not_divide_by_zero(image_data: ImageDataOf) -> None:
    data = image_data()
    data.train.pixels[:, 1] = 7
    splits = split_data(data, 0)
    x_BCHW = ImageBatches(splits.weights, splits)._normalise(torch.from_numpy(splits.weights.pixels))
    assert x_BCHW.isfinite().all()
    torch.testing.assert_close(x_BCHW[:, 1], torch.zeros_like(x_BCHW[:, 1]), rtol=0, atol=1e-3)


def test_batches_of_the_weights_split_are_normalised(image_data: ImageDataOf) -> None:
    splits = split_data(image_data(), 0)
    batches = ImageBatches(splits.weights, splits).batches(16, np.random.default_rng(0))
    x_BCHW = torch.cat([x_BCHW for x_BCHW, _ in batches])
    torch.testing.assert_close(x_BCHW.mean((0, 2, 3)), torch.zeros(3), rtol=0, atol=1e-4)
    torch.testing.assert_close(x_BCHW.std((0, 2, 3), correction=0), torch.ones(3), rtol=0, atol=1e-4)


def normalised(pixels_CHW: npt.NDArray[np.uint8], splits: Splits) -> np.ndarray:
    mean, std = (np.array(values)[:, None, None] for values in (splits.mean_C, splits.std_C))
    return np.asarray((pixels_CHW / 255 - mean) / std)


def test_a_pass_holds_each_image_once_in_random_order_with_a_smaller_last_batch(image_data: ImageDataOf) -> None:
    splits = split_data(image_data(), 0)
    source = ImageBatches(splits.weights, splits)
    batches = list(source.batches(32, np.random.default_rng(5)))
    assert [len(labels_B) for _, labels_B in batches] == [32, 32, 32, 14]
    assert len(source) == 110
    order = np.random.default_rng(5).permutation(110)
    expected = np.stack([normalised(splits.weights.pixels[row], splits) for row in order])
    np.testing.assert_allclose(torch.cat([x_BCHW for x_BCHW, _ in batches]), expected, atol=1e-5)
    labels_B = torch.cat([labels_B for _, labels_B in batches])
    np.testing.assert_array_equal(labels_B, splits.weights.labels_N[order])
    assert labels_B.dtype == torch.int64
    assert batches[0][0].dtype == torch.float32


@pytest.mark.parametrize(
    "augmentation",
    [
        Augmentation(),
        Augmentation(crop_padding=1),
        Augmentation(crop_padding=2, flip=False),
        Augmentation(crop_padding=0),
        Augmentation(crop_padding=0, flip=False),
    ],
    ids=str,
)
def test_augmentation_equals_that_of_one_image_at_a_time(image_data: ImageDataOf, augmentation: Augmentation) -> None:
    splits = split_data(image_data(60, size=5), 0)
    images_NCHW, padding = splits.weights.pixels, augmentation.crop_padding
    source = ImageBatches(splits.weights, splits, augmentation=augmentation)
    rng = np.random.default_rng(5)
    order = rng.permutation(len(source))
    for number, (x_BCHW, _) in enumerate(source.batches(16, np.random.default_rng(5))):
        rows = order[16 * number : 16 * number + 16]
        tops, lefts = rng.integers(0, 2 * padding + 1, size=(2, len(rows)))
        mirrored = rng.random(len(rows)) < 0.5 if augmentation.flip else np.zeros(len(rows), bool)
        for x_CHW, row, top, left, mirror in zip(x_BCHW, rows, tops, lefts, mirrored, strict=True):
            padded = np.pad(images_NCHW[row], ((0, 0), (padding, padding), (padding, padding)))
            crop = padded[:, top : top + 5, left : left + 5]
            expected = normalised(crop[:, :, ::-1] if mirror else crop, splits)
            np.testing.assert_allclose(x_CHW, expected, atol=1e-5)


@pytest.mark.parametrize(
    "augmentation", [None, Augmentation(), Augmentation(crop_padding=0, warp=Warp(), jitter=Jitter())]
)
def test_batches_that_are_joined_have_the_images_of_each(
    image_data: ImageDataOf, augmentation: Augmentation | None
) -> None:
    """As where several inner searches share a forward."""
    splits = split_data(image_data(), 0)
    source = ImageBatches(splits.weights, splits, augmentation=augmentation)
    draws = [next(source.draws(8, np.random.default_rng(seed))) for seed in range(3)]
    ((x_NCHW, labels_N),) = source.read([joined_draws(draws)])
    for number, (x_BCHW, labels_B) in enumerate(source.read(draws)):
        own = slice(8 * number, 8 * number + 8)
        assert torch.equal(x_NCHW[own], x_BCHW)
        assert torch.equal(labels_N[own], labels_B)


def test_images_that_are_not_square_are_augmented_too(numbered: ImagesOf, image_data: ImageDataOf) -> None:
    splits = split_data(image_data(), 0)
    square = numbered(10, size=6)
    images = LabelledImages(np.ascontiguousarray(square.pixels[:, :, :4]), square.labels_N)
    source = ImageBatches(images, splits, augmentation=Augmentation())
    assert next(source.batches(10, np.random.default_rng(0)))[0].shape == (10, 3, 4, 6)


def test_images_in_order_are_as_they_are(image_data: ImageDataOf) -> None:
    splits = split_data(image_data(), 0)
    source = ImageBatches(splits.theta, splits, augmentation=Augmentation())
    for limit, sizes in ((None, [8, 8, 8, 6]), (12, [8, 4]), (16, [8, 8]), (99, [8, 8, 8, 6])):
        batches = list(source.in_order(8, limit))
        assert [len(labels_B) for _, labels_B in batches] == sizes
        x_BCHW = torch.cat([x_BCHW for x_BCHW, _ in batches])
        expected = normalised(splits.theta.pixels[: sum(sizes)], splits)
        np.testing.assert_allclose(x_BCHW, expected, atol=1e-5)
        np.testing.assert_array_equal(
            torch.cat([labels_B for _, labels_B in batches]), splits.theta.labels_N[: sum(sizes)]
        )


def test_batches_leave_the_images_as_they_are(image_data: ImageDataOf) -> None:
    splits = split_data(image_data(), 0)
    before = splits.weights.pixels.copy()
    source = ImageBatches(splits.weights, splits, augmentation=Augmentation())
    for x_BCHW, _ in [*source.batches(16, np.random.default_rng(0)), *source.in_order(16)]:
        x_BCHW.zero_()
    np.testing.assert_array_equal(splits.weights.pixels, before)


def test_read_only_arrays_give_no_warnings(image_data: ImageDataOf) -> None:
    """As they come from an object store."""
    splits = split_data(image_data(), 0)
    splits.weights.pixels.setflags(write=False)
    splits.weights.labels_N.setflags(write=False)
    torch.set_warn_always(True)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            source = ImageBatches(splits.weights, splits, augmentation=Augmentation())
            assert len(list(source.batches(64, np.random.default_rng(0)))) == 2
    finally:
        torch.set_warn_always(False)


def uneven(counts: tuple[int, ...]) -> npt.NDArray[np.int64]:
    return np.random.default_rng(1).permutation(np.repeat(np.arange(len(counts)), counts))


def test_a_balanced_order_has_every_class_once_in_each_turn() -> None:
    labels_N = uneven((90, 10, 0, 5))
    order = balanced_order(labels_N, np.random.default_rng(0))
    assert len(order) == 105
    for start in range(0, 105, 3):
        assert sorted(labels_N[order[start : start + 3]]) == [0, 1, 3]


def test_a_balanced_order_uses_all_images_of_a_class_before_any_again() -> None:
    labels_N = uneven((90, 10, 5))
    order = balanced_order(labels_N, np.random.default_rng(0))
    for label, count in enumerate((90, 10, 5)):
        rows = order[labels_N[order] == label]
        assert len(rows) == 35
        for start in range(0, 35 - count, count):
            assert set(rows[start : start + count]) == set(np.flatnonzero(labels_N == label))
    assert len(set(order[labels_N[order] == 0])) == 35


def test_a_balanced_order_follows_the_generator() -> None:
    labels_N = uneven((30, 8, 5))
    one, same, other = (balanced_order(labels_N, np.random.default_rng(seed)).tolist() for seed in (1, 1, 2))
    assert one == same
    assert one != other


def test_balanced_batches_have_classes_evenly_and_their_own_images(image_data: ImageDataOf) -> None:
    splits = split_data(image_data(), 0)
    images = LabelledImages(splits.weights.pixels[:60], uneven((50, 6, 4)))
    batches = list(ImageBatches(images, splits, balanced=True).batches(12, np.random.default_rng(0)))
    label_of = {image.tobytes(): label for image, label in zip(images.pixels, images.labels_N, strict=True)}
    assert len(batches) == 5
    for x_BCHW, labels_B in batches:
        assert np.bincount(labels_B).tolist() == [4, 4, 4]
        std, mean = (torch.tensor(values)[:, None, None] for values in (splits.std_C, splits.mean_C))
        pixels = ((x_BCHW * std + mean) * 255).round().to(torch.uint8).contiguous().numpy()
        assert [label_of[one.tobytes()] for one in pixels] == labels_B.tolist()


@pytest.mark.parametrize(
    ("counts", "expected"), [((30, 10), False), ((31, 10), True), ((31, 0, 11), False), ((9,), False)]
)
def test_classes_are_uneven_where_one_has_over_three_times_another(counts: tuple[int, ...], *, expected: bool) -> None:
    assert is_uneven(uneven(counts)) is expected


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="without a GPU")
@pytest.mark.parametrize("held", [0.0, 1.0])
def test_batches_on_a_gpu_are_those_of_the_cpu(
    image_data: ImageDataOf, held: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batches, "HELD_SHARE", held)
    splits = split_data(image_data(), 0)
    passes = []
    for device in ("cuda", "cpu"):
        source = ImageBatches(splits.weights, splits, device=torch.device(device))
        passes.append(list(source.batches(16, np.random.default_rng(1))))
    for (x_BCHW, labels_B), (expected_BCHW, expected_B) in zip(*passes, strict=True):
        torch.testing.assert_close(x_BCHW.cpu(), expected_BCHW)
        torch.testing.assert_close(labels_B.cpu(), expected_B)
