"""The space and the size of images where the user names none: what the images show, in the time that there is.

Start with `choose_space`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from devices.configuration import BASE, RuntimeConfiguration
from devices.measurement import MeasureSettings
from devices.profiling.family import measurements_left, seconds_each
from dnas.pretraining import PretrainSettings
from dnas.recipe import pretrain_settings, theta_batch
from evaluation.accelerators import accelerators
from evaluation.augmentation import strength_for
from evaluation.data.description import LOOKED_AT, ImageSource
from evaluation.data.source import DataSource
from moo.config import SearchConfig
from moo.formatting import many
from moo.measurement.boards import Boards
from moo.search.forecast import (
    Forecast,
    Machines,
    Speed,
    estimated_seconds,
    expected_sizes,
    measured_speed,
    minutes_text,
)
from moo.storage.origin import SplitSizes
from moo.workers import Demand
from search_space.boundary.machine import available_cpus
from search_space.counts import count
from search_space.spaces import FBNetSpace, space_named

SMALL_IMAGES = "fbnet-micro"
PHOTOS = "fbnet-photo"
SMALL_IMAGES_ON_GPU = "fbnet-cifar"
PHOTOS_ON_GPU = "fbnet-imagenet"
SMALL = 40
"""Images that show no more than so many pixels are small: 32 pixels hold them."""
PHOTO_SIZES = (64, 96, 128, 160, 192, 224)
FEW_IMAGES = 1000
"""With fewer training images, more pixels than `FEW_IMAGES_SIZE` are not tried unless the user asks for them."""
FEW_IMAGES_SIZE = 128
FEW_IMAGES_SIZE_ON_GPU = 160
MANY_IMAGES = 20_000
"""With so many training images and a GPU, a space of 22 layers has enough to learn from."""
PROBED_SIZE = 96
"""Nearest to it is the candidate whose steps are timed; the others follow from their multiply-accumulates."""
DEFAULT_MINUTES = 15.0
"""What a search takes at most, of the candidates that there are, where the user gives no time; with `MANY_IMAGES`,
`DEFAULT_MINUTES_FOR_MANY`."""
DEFAULT_MINUTES_FOR_MANY = 60.0
SHARE_BEFORE_SEARCH = 0.6
"""Of the user's time, what may go by before the search begins and after it ends."""
LEAST_SHARE = 0.25
"""Of the user's time, what the search itself gets however long all else takes."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Hardware:
    """What this machine has."""

    cores: int
    gpus: int

    @property
    def text(self) -> str:
        """In words."""
        if self.gpus:
            return many(self.gpus, "GPU", "GPUs")
        return many(self.cores, "core", "cores")


@dataclass(frozen=True, slots=True)
class SpaceChoice:
    """A search space for a data set, a machine and a time."""

    config: SearchConfig
    """The run's settings with space and size, and what else follows from the time that there is."""
    text: str
    """Space, reason, and the time that it will take, in one line."""


@dataclass(frozen=True, slots=True)
class _Candidate:
    preset: str
    space: FBNetSpace
    estimate: Forecast


def choose_space_here(
    config: SearchConfig,
    source: DataSource,
    boards: Boards,
    configurations: Sequence[RuntimeConfiguration],
    settings: MeasureSettings,
) -> SpaceChoice:
    """`choose_space` for this machine: its images are looked at, and a few steps are timed.

    Args:
        config: that names no space.
        source: its images.
        boards: that measure, if any.
        configurations: that are searched, as far as they are known.
        settings: how boards measure.

    Raises:
        ValueError: as `choose_space`, or if none of the images that are looked at can be read.
    """
    before = time.perf_counter()
    described = source.describe()
    decoding = (time.perf_counter() - before) / min(described.images, LOOKED_AT)
    demand = Demand(workers=config.workers, gpus_per_worker=config.gpus_per_worker)
    hardware = Hardware(cores=available_cpus(), gpus=accelerators())

    def machines(space: FBNetSpace) -> Machines:
        measures = bool(boards.devices)
        board = boards.board if measures and config.cost_table is None else None
        return Machines(
            workers=demand.workers_on(cpus=hardware.cores, gpus=hardware.gpus),
            configurations=configurations or (BASE,),
            gpus=hardware.gpus,
            measurements=0 if board is None else measurements_left(board, space, configurations, settings),
            measurement_seconds=seconds_each(settings, metered=boards.devices[0].metered) if measures else 0.0,
        )

    def speed(space: FBNetSpace) -> Speed:
        sizes = expected_sizes(described.images, test_images=described.test_images)
        timed = measured_speed(
            space,
            config,
            pretraining=_pretraining(config, sizes, space),
            theta_batch=config.theta_batch or theta_batch(sizes.theta),
        )
        return replace(timed, decoding=decoding)

    return choose_space(config, described, hardware, machines=machines, speed=speed)


def choose_space(
    config: SearchConfig,
    source: ImageSource,
    hardware: Hardware,
    *,
    machines: Callable[[FBNetSpace], Machines],
    speed: Callable[[FBNetSpace], Speed],
) -> SpaceChoice:
    """The largest images that show something and fit the time, in the space for such images.

    Images that show no more than 32 pixels, however large their files are, stay at 32. Without `minutes`, a search
    takes about `DEFAULT_MINUTES` at most. With it, that is the whole that the user waits: the search itself gets what
    pre-training and all else leave of it.

    Args:
        config: that names no space, and perhaps a size.
        source: of the images.
        hardware: of this machine.
        machines: what a search of a space runs on.
        speed: of this machine in a space; asked once.

    Raises:
        ValueError: if no space takes images of the size that the user gives.
    """
    sizes = expected_sizes(source.images, test_images=source.test_images)
    spaces = [
        (preset, space_named(preset, size=size).with_classes(len(source.classes)))
        for preset, size in candidate_sizes(source, hardware, config.size)
    ]
    probed = min(spaces, key=lambda item: abs(item[1].input_size - PROBED_SIZE))[1]
    found = speed(probed)
    candidates = [
        _Candidate(
            preset,
            space,
            estimated_seconds(
                config,
                sizes,
                _pretraining(config, sizes, space),
                found.scaled(_work(space) / _work(probed)),
                machines(space),
            ),
        )
        for preset, space in spaces
    ]
    chosen = _fitting(candidates, config.minutes, images=source.images)
    best = candidates[chosen]
    config = replace(config, space=best.preset, size=best.space.input_size)
    estimate = best.estimate
    if config.minutes is not None:
        config, estimate = _within(config, estimate, _pretraining(config, sizes, best.space))
    text = _text(source, hardware, best.space, estimate, candidates[chosen + 1 :])
    return SpaceChoice(config, text)


def candidate_sizes(source: ImageSource, hardware: Hardware, size: int | None) -> list[tuple[str, int]]:
    """Presets and sizes that suit images, in the order of the work that they make.

    Args:
        source: of the images.
        hardware: of this machine.
        size: that the user gives, if any.
    """
    many_on_gpu = hardware.gpus > 0 and source.images >= MANY_IMAGES
    if size is not None:
        stride = space_named(PHOTOS).total_stride
        return [(PHOTOS if size >= 2 * stride and size % stride == 0 and size > SMALL else SMALL_IMAGES, size)]
    if source.detail <= SMALL:
        return [(SMALL_IMAGES, 32), *([(SMALL_IMAGES_ON_GPU, 32)] if many_on_gpu else [])]
    most = FEW_IMAGES_SIZE_ON_GPU if hardware.gpus else FEW_IMAGES_SIZE
    enough = max(PHOTO_SIZES[0], min(source.detail, most if source.images < FEW_IMAGES else PHOTO_SIZES[-1]))
    # The first size that holds all that is shown, and those below.
    last = next(index for index, pixels in enumerate(PHOTO_SIZES) if pixels >= enough)
    found = [(PHOTOS, pixels) for pixels in PHOTO_SIZES[: last + 1]]
    return [*found, (PHOTOS_ON_GPU, 224)] if many_on_gpu and found[-1][1] == 224 else found


def _fitting(candidates: Sequence[_Candidate], minutes: float | None, *, images: int) -> int:
    """Index of the last candidate that fits the time; the first one where none does."""
    usual = DEFAULT_MINUTES_FOR_MANY if images >= MANY_IMAGES else DEFAULT_MINUTES

    def fits(item: _Candidate) -> bool:
        if minutes is None:
            return item.estimate.total <= 60 * usual
        return item.estimate.besides_search <= 60 * minutes * SHARE_BEFORE_SEARCH

    return max((index for index, item in enumerate(candidates) if fits(item)), default=0)


def _within(config: SearchConfig, estimate: Forecast, settings: PretrainSettings) -> tuple[SearchConfig, Forecast]:
    """The time of the search itself, and fewer epochs of pre-training where these would leave it too little."""
    assert config.minutes is not None, "there must be a time to stay within"
    whole = 60 * config.minutes
    too_long = estimate.besides_search - whole * SHARE_BEFORE_SEARCH
    if too_long > 0 and config.pretrain_epochs is None and estimate.pretraining > 0:
        kept = max(0.0, estimate.pretraining - too_long) / estimate.pretraining
        epochs = max(1, int(settings.epochs * kept))
        estimate = replace(estimate, pretraining=estimate.pretraining * epochs / settings.epochs)
        config = replace(config, pretrain_epochs=epochs)
    search = max(whole - estimate.besides_search, whole * LEAST_SHARE)
    return replace(config, minutes=search / 60), replace(estimate, searching=search)


def _pretraining(config: SearchConfig, sizes: SplitSizes, space: FBNetSpace) -> PretrainSettings:
    """Settings of pre-training as a run will have them."""
    strength = strength_for(sizes.weights, space.input_size) if config.augment == "auto" else config.augment
    return pretrain_settings(
        sizes.weights,
        epochs=config.pretrain_epochs,
        batch_size=config.pretrain_batch,
        lr=config.pretrain_lr,
        paths_per_step=config.paths_per_step,
        augmented=strength == "strong",
    )


def _work(space: FBNetSpace) -> int:
    """Multiply-accumulates of a network in the middle of a space."""
    middle = "k3_e3" if "k3_e3" in space.operators else space.operators[0]
    return count(space.graph((middle,) * space.num_layers)).macs


def _text(
    source: ImageSource, hardware: Hardware, space: FBNetSpace, estimate: Forecast, larger: Sequence[_Candidate]
) -> str:
    photos = f"{source.images:,} images of {source.width}x{source.height}"
    if source.detail <= SMALL < min(source.width, source.height):
        photos += f" that show no more than {source.detail} pixels a side"
    text = f"{photos}, {hardware.text}: {minutes_text(estimate.total)}"
    if larger:
        more = larger[0]
        option = f"--size {more.space.input_size}" if more.preset == PHOTOS else f"--space {more.space.name}"
        text += f"; {option} would see finer parts in {minutes_text(more.estimate.total)}"
    return f"{space.name if '@' in space.name else f'{space.name}@{space.input_size}'} ({text})"
