import numpy as np
import pytest

from evaluation.data.images import LabelledImages
from evaluation.training.config import TrainConfig, TrainSettings, check_same_settings
from evaluation.training.recipe import train_batch, train_recipe, with_recipe


def images(count: int, size: int = 64, classes: int = 7) -> LabelledImages:
    return LabelledImages(np.zeros((count, 3, size, size), np.uint8), np.arange(count) % classes)


@pytest.mark.parametrize(("count", "batch"), [(50_000, 128), (1024, 128), (1023, 64), (210, 16), (42, 16), (9, 9)])
def test_a_pass_has_eight_batches_where_batches_of_16_to_128_allow_it(count: int, batch: int) -> None:
    assert train_batch(count) == batch


def test_many_tiny_images_are_trained_on_as_they_always_were() -> None:
    recipe = train_recipe(TrainSettings(), images(45_000, 8))
    assert (recipe.epochs, recipe.batch_size, recipe.lr, recipe.weight_decay) == (60, 128, 0.2, 2e-4)
    assert recipe.average_decay == pytest.approx(0.999, abs=1e-4)
    assert (recipe.augment, recipe.balanced) == ("light", False)


def test_few_photos_are_seen_often_and_regularised() -> None:
    few, many = train_recipe(TrainSettings(), images(210)), train_recipe(TrainSettings(), images(4000))
    assert few.augment == many.augment == "strong"
    assert few.epochs * 210 == pytest.approx(80_000, rel=0.01)
    assert many.epochs == 60
    assert few.lr == pytest.approx(0.2 / 8)
    assert few.weight_decay == 5e-4
    assert 0.99 < few.average_decay < 0.999


def test_uneven_classes_are_drawn_evenly() -> None:
    uneven = LabelledImages(np.zeros((40, 3, 8, 8), np.uint8), np.arange(40) // 38)
    assert train_recipe(TrainSettings(), uneven).balanced
    assert not train_recipe(TrainSettings(balanced=False), uneven).balanced


def test_given_values_win_and_all_are_kept_with_the_training() -> None:
    given = TrainConfig(
        architecture="0", dataset="digits", epochs=3, batch_size=20, lr=0.7, weight_decay=0, average_decay=0.5,
        augment="light", balanced=True,
    )  # fmt: skip
    assert with_recipe(given, images(210)) == given
    kept = with_recipe(TrainConfig(architecture="0", dataset="digits", lr=0.7), images(210))
    assert (kept.batch_size, kept.lr, kept.augment, kept.balanced) == (16, 0.7, "strong", False)


def test_a_training_is_resumed_with_what_followed_unless_another_value_is_given() -> None:
    begun = TrainConfig(architecture="0", dataset="digits")
    kept = with_recipe(begun, images(210))
    check_same_settings(begun, kept)
    with pytest.raises(ValueError, match="it was begun with batch_size=16 and got batch_size=8"):
        check_same_settings(TrainConfig(architecture="0", dataset="digits", batch_size=8), kept)
