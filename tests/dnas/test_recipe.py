import pytest

from dnas.recipe import pretrain_batch, pretrain_settings, theta_batch


@pytest.mark.parametrize(
    ("images", "batch"), [(50_000, 64), (512, 64), (511, 32), (256, 32), (165, 32), (33, 32), (12, 12)]
)
def test_a_pass_has_eight_batches_where_batches_of_32_to_64_allow_it(images: int, batch: int) -> None:
    assert pretrain_batch(images) == batch
    assert pretrain_settings(images).batch_size == batch


@pytest.mark.parametrize("images", [12, 33, 165, 300, 1000, 4000, 40_000])
def test_as_many_images_are_seen_in_all_where_they_are_augmented(images: int) -> None:
    settings = pretrain_settings(images, augmented=True)
    seen = settings.epochs * settings.steps_an_epoch(images) * settings.batch_size
    assert seen == pytest.approx(160_000, rel=0.04)


@pytest.mark.parametrize("images", [12, 33, 165, 511])
def test_an_epoch_of_few_images_has_steps_enough_to_say_something(images: int) -> None:
    steps = pretrain_settings(images).steps_an_epoch(images)
    assert 40 <= steps < 60


def test_images_that_are_hardly_augmented_are_seen_80_times_at_most() -> None:
    digits = pretrain_settings(990)
    assert (digits.epochs, digits.passes, digits.batch_size, digits.lr) == (80, 1, 64, 0.3)
    few = pretrain_settings(165)
    assert few.epochs * few.passes <= 80


def test_many_images_are_seen_three_times_at_least() -> None:
    assert pretrain_settings(1_000_000).epochs == 3


def test_the_rate_follows_the_batch_and_regularisation_the_number_of_images() -> None:
    few, many = pretrain_settings(165, augmented=True), pretrain_settings(40_000)
    assert (few.lr, many.lr) == (pytest.approx(0.3 / 2), 0.3)
    assert pretrain_settings(165, batch_size=128).lr == pytest.approx(0.6)
    assert few.weight_decay > many.weight_decay
    assert few.label_smoothing > many.label_smoothing == 0


def test_few_images_train_the_largest_architecture_in_half_of_the_steps() -> None:
    assert pretrain_settings(165, augmented=True).largest_share == 0.5
    assert pretrain_settings(165).largest_share == pretrain_settings(40_000).largest_share == 0


def test_a_warm_start_takes_half_of_the_steps() -> None:
    cold, warm = (pretrain_settings(165, augmented=True, warm_start=warm) for warm in (False, True))
    assert warm.lr == cold.lr
    assert warm.epochs == pytest.approx(0.5 * cold.epochs, abs=1)


def test_given_values_win() -> None:
    settings = pretrain_settings(165, epochs=3, batch_size=20, lr=0.7, augmented=True, warm_start=True)
    assert (settings.epochs, settings.batch_size, settings.lr) == (3, 20, 0.7)


def test_a_theta_batch_is_no_larger_than_its_split() -> None:
    assert [theta_batch(images) for images in (9, 32, 5000)] == [9, 32, 32]
