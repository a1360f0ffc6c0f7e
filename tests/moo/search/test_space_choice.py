from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from devices.configuration import configurations_of
from dnas.recipe import pretrain_settings
from evaluation.data.description import ImageSource
from moo.config import SearchConfig
from moo.search.forecast import Machines, Speed
from moo.search.space_choice import Hardware, SpaceChoice, candidate_sizes, choose_space
from search_space.counts import count
from search_space.spaces import FBNetSpace, space_named

TWO_CORES = Hardware(cores=2, gpus=0)
GPU = Hardware(cores=16, gpus=1)
MACS_A_SECOND = 2e10
"""Of training on two cores, about."""


def images(number: int, width: int, height: int, detail: int, classes: int = 7, test: int = 0) -> ImageSource:
    return ImageSource(
        name="made up",
        images=number,
        classes=tuple(f"class {index}" for index in range(classes)),
        images_of_class=(number // classes,) * classes,
        width=width,
        height=height,
        aspect=max(width, height) / min(width, height),
        portrait=0.0,
        landscape=1.0,
        detail=detail,
        train_split="train",
        test_split="test" if test else None,
        test_images=test,
    )


DIGITS = images(1797, 8, 8, 8, classes=10)
CIFAR = images(50_000, 32, 32, 32, classes=10, test=10_000)
ENLARGED = images(50_000, 640, 480, 32, classes=10, test=10_000)
PHOTOS = images(300, 640, 480, 224)
PUBLIC = images(100_000, 500, 375, 224, classes=100)


def chosen(
    source: ImageSource, hardware: Hardware = TWO_CORES, *, quicker: float = 1.0, **settings: Any
) -> SpaceChoice:
    def speed(space: FBNetSpace) -> Speed:
        macs = count(space.graph(("k3_e3",) * space.num_layers)).macs
        second = macs / (quicker * MACS_A_SECOND)
        return Speed(weight_step=3 * 16 * second, theta_step=9 * 32 * second, image=2 * second, decoding=0.002)

    def machines(space: FBNetSpace) -> Machines:
        return Machines(
            workers=hardware.gpus or hardware.cores,
            configurations=configurations_of((1, 2), (None,), ("fp32", "int8")),
            measurements=30 * space.num_layers,
            measurement_seconds=0.45,
        )

    return choose_space(SearchConfig(**settings), source, hardware, machines=machines, speed=speed)


def named(choice: SpaceChoice) -> tuple[str, int]:
    assert choice.config.space is not None
    assert choice.config.size is not None
    return choice.config.space, choice.config.size


@pytest.mark.parametrize("source", [DIGITS, CIFAR, ENLARGED])
@pytest.mark.parametrize("minutes", [None, 5.0, 30.0])
def test_images_that_show_no_more_than_32_pixels_stay_at_32(source: ImageSource, minutes: float | None) -> None:
    assert named(chosen(source, minutes=minutes)) == ("fbnet-micro", 32)


def test_photos_get_as_many_pixels_as_the_time_allows() -> None:
    sizes = list[int]()
    for quicker in (0.01, 0.3, 0.5, 1, 2, 50):
        space, size = named(chosen(PHOTOS, quicker=quicker))
        assert space == "fbnet-photo"
        sizes.append(size)
    assert sizes == sorted(sizes)
    assert sizes[0] == 64
    assert {96, 128} & set(sizes)


def test_less_time_gives_fewer_pixels() -> None:
    sizes = [named(chosen(PHOTOS, minutes=minutes))[1] for minutes in (2, 5, 15, 30, 120)]
    assert sizes == sorted(sizes)
    assert sizes[0] < sizes[-1]


def test_few_images_get_no_more_pixels_than_they_can_teach() -> None:
    assert named(chosen(PHOTOS, quicker=1000)) == ("fbnet-photo", 128)
    assert named(chosen(PHOTOS, GPU, quicker=1000)) == ("fbnet-photo", 160)
    assert named(chosen(replace(PHOTOS, images=5000), GPU, quicker=1000)) == ("fbnet-photo", 224)


def test_a_gpu_and_many_images_get_the_spaces_of_22_layers() -> None:
    assert named(chosen(PUBLIC, GPU, quicker=1000)) == ("fbnet-imagenet", 224)
    assert named(chosen(CIFAR, GPU, quicker=1000)) == ("fbnet-cifar", 32)
    assert named(chosen(PUBLIC, Hardware(cores=64, gpus=0), quicker=1000)) == ("fbnet-photo", 224)


def test_no_more_pixels_than_the_images_show() -> None:
    assert named(chosen(replace(PHOTOS, detail=80, images=5000), GPU, quicker=1000)) == ("fbnet-photo", 96)
    assert named(chosen(replace(PHOTOS, detail=48, images=5000), GPU, quicker=1000)) == ("fbnet-photo", 64)


@pytest.mark.parametrize(
    ("size", "preset"), [(32, "fbnet-micro"), (48, "fbnet-photo"), (72, "fbnet-micro"), (96, "fbnet-photo")]
)
def test_a_size_of_the_users_is_kept(size: int, preset: str) -> None:
    for source in (CIFAR, PHOTOS):
        assert named(chosen(source, size=size)) == (preset, size)


def test_a_size_that_no_space_takes_is_refused() -> None:
    with pytest.raises(ValueError, match="`--size` must be a multiple of 8"):
        chosen(PHOTOS, size=50)


def test_the_candidates_make_ever_more_work() -> None:
    for source, hardware in ((PUBLIC, GPU), (CIFAR, GPU), (PHOTOS, TWO_CORES)):
        spaces = [space_named(preset, size=size) for preset, size in candidate_sizes(source, hardware, None)]
        work = [count(space.graph(("k3_e3",) * space.num_layers)).macs for space in spaces]
        assert work == sorted(set(work))


def test_the_line_says_space_reason_and_time() -> None:
    choice = chosen(PHOTOS, quicker=0.3)
    text, (space, size) = choice.text, named(choice)
    assert text.startswith(f"{space}@{size} (300 images of 640x480, 2 cores: about ")
    assert "would see finer parts in about" in text
    assert "\n" not in text
    assert "that show no more than 32 pixels a side" in chosen(ENLARGED).text
    assert "1 GPU" in chosen(PUBLIC, GPU).text
    assert "finer" not in chosen(DIGITS).text


def test_the_time_given_is_that_of_the_whole() -> None:
    for minutes in (10.0, 30.0):
        choice = chosen(PHOTOS, minutes=minutes)
        assert choice.config.minutes is not None
        assert 0.25 * minutes <= choice.config.minutes < minutes
        assert f"about {minutes:.0f} min" in choice.text
    assert chosen(PHOTOS).config.minutes is None


def test_pre_training_is_shortened_where_it_would_leave_the_search_no_time() -> None:
    usual = pretrain_settings(165, augmented=True).epochs
    choice = chosen(PHOTOS, quicker=0.02, minutes=20)
    assert choice.config.pretrain_epochs is not None
    assert 1 <= choice.config.pretrain_epochs < usual
    assert chosen(PHOTOS, quicker=0.02, minutes=20, pretrain_epochs=usual).config.pretrain_epochs == usual
    assert chosen(PHOTOS, quicker=0.02, minutes=600).config.pretrain_epochs is None
