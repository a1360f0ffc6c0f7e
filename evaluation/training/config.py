"""What the training of one network is made of. Importing this is quick: the command line is made from `TrainConfig`."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import Any, Literal

from dnas.train_precision import TrainPrecision
from evaluation.data.rules import Resize
from evaluation.work_folder import check_out_and_resume, check_same_values
from search_space.boundary.records import record_from_json
from search_space.boundary.text import one_line, shown


@dataclass(frozen=True, kw_only=True)
class TrainTask:
    """What is trained, and on what."""

    architecture: str
    """A published name, comma-separated operators, an id, or a .json file."""
    dataset: str
    """`digits`, a local path, or a name on the Hugging Face hub."""
    image_column: str | None = None
    """Column of images, where the data set has several."""
    label_column: str | None = None
    """Column of labels, where the data set has several (CIFAR-100: `fine_label`)."""
    train_split: str | None = None
    """Published split to train on, where names do not tell; of a folder of images, a folder at its top, or `all` where
    its folders are classes, whatever they are called."""
    test_split: str | None = None
    """Published split to test on, where names do not tell, or `none` to hold a part of the training images out."""
    resize: Resize | None = None
    """How pictures become square: `crop`, their central square; `pad`, the whole picture between grey bars; `stretch`,
    the whole picture out of proportion. By default what loses least: `crop` where the central square holds nine tenths
    of the median picture, else `stretch`, or `pad` where some stand and others lie, or where they are longer than
    2:1."""
    skip_broken: bool = False
    """Whether images that cannot be read are left out."""
    space: str = "fbnet-cifar"
    """Name of a preset, `nas-bench-201`, or a .yaml file (docs/search_spaces.md)."""
    size: int | None = None
    """Height and width of the images in pixels, where they are not the space's own; `--space fbnet-micro@96` says the
    same."""
    weights: str | None = None
    """Weights to start from (.safetensors), as in a front's folders; by default random ones. Give the seed that they
    were found with too, so that no image of their training is selected or tested on."""


@dataclass(frozen=True, kw_only=True)
class TrainSettings:
    """How a network's weights are trained: SGD with Nesterov momentum, linear warm-up and cosine decay."""

    epochs: float | None = None
    """Passes over the training images, of which the last may be a part; by default 60, and more of few photos."""
    minutes: float | None = None
    """Instead of epochs: as many as fit into so many minutes, judged by the speed of the first steps."""
    batch_size: int | None = None
    """Images a step; by default 128, or down to 16 where there are few images."""
    lr: float | None = None
    """Peak learning rate; by default 0.2 for batches of 128, and less for smaller ones."""
    momentum: float = 0.9
    """Nesterov momentum, in [0, 1)."""
    weight_decay: float | None = None
    """Weight decay of convolutions and the classifier, not of BatchNorm and biases; by default 2e-4, and 5e-4 with
    strong augmentation."""
    warmup_fraction: float = 0.05
    """Share of all steps in which the learning rate rises linearly, before its cosine decay to zero."""
    label_smoothing: float = 0.1
    """Probability mass spread over all classes in the training target, in [0, 1)."""
    average_decay: float | None = None
    """Decay of the exponential moving average of the weights, which is the delivered network; 0 for none; by default
    0.999, or less where there are few steps."""
    augment: Literal["auto", "light", "strong"] = "auto"
    """How training images are changed at random: `light` crops them; `strong` moves, turns and resizes them, and
    changes light and colour; `auto` is strong for fewer than 5,000 images of 48 pixels or more."""
    balanced: bool | None = None
    """Whether batches draw all classes evenly; by default where the largest has over three times the images of the
    smallest."""
    cutout: int = 0
    """Side of a square, in pixels, that is cut out of each training image."""
    mixup: float = 0.0
    """Both parameters of the Beta distribution that pairs of training images are mixed by; 0 for none."""
    precision: TrainPrecision = "auto"
    """Number format that training computes in: `auto` is `bf16` on NVIDIA and AMD GPUs that have it, `fp32` elsewhere;
    accuracy is always that of fp32."""
    deterministic: bool = False
    """Whether a GPU computes the same again, bit for bit, as CPUs always do: slower, and on the same kind of GPU."""

    def __post_init__(self) -> None:
        for name in ("epochs", "minutes"):
            value = getattr(self, name)
            if value is not None and not (math.isfinite(value) and value > 0):
                raise ValueError(f"`--{name} > 0` must hold, but got {value}.")
        for name, least in (("batch_size", 2), ("cutout", 0)):
            if getattr(self, name) is not None and getattr(self, name) < least:
                raise ValueError(f"`--{_option(name)} >= {least}` must hold, but got {getattr(self, name)}.")
        if self.lr is not None and not (math.isfinite(self.lr) and self.lr > 0):
            raise ValueError(f"`--lr > 0` must hold, but got {self.lr}.")
        for name in ("weight_decay", "mixup"):
            value = getattr(self, name)
            if value is not None and not (math.isfinite(value) and value >= 0):
                raise ValueError(f"`--{_option(name)} >= 0` must hold, but got {getattr(self, name)}.")
        for name in ("momentum", "warmup_fraction", "label_smoothing", "average_decay"):
            if getattr(self, name) is not None and not 0 <= getattr(self, name) < 1:
                raise ValueError(f"`0 <= --{_option(name)} < 1` must hold, but got {getattr(self, name)}.")


@dataclass(frozen=True, kw_only=True)
class TrainConfig(TrainSettings, TrainTask):
    """Train one network for deployment, and write its weights, ONNX file, accuracy and learning curves."""

    flip: bool | None = None
    """Whether half of the training images are mirrored; by default unless all images are grey."""
    seed: int = 0
    """Of the splits, the first weights, and the order and augmentation of the images."""
    out: str | None = None
    """Folder to write into, by default one under runs/."""
    resume: str | None = None
    """Folder of an interrupted training to resume; its settings are read from there."""
    quiet: bool = False
    """Print only the result."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.seed < 0:
            raise ValueError(f"`--seed >= 0` must hold, but got {self.seed}.")
        check_out_and_resume(self.out, self.resume)

    def to_json(self) -> dict[str, Any]:
        """All settings as plain values."""
        return dataclasses.asdict(self)


FOLLOWING = ("epochs", "batch_size", "lr", "weight_decay", "average_decay", "augment", "balanced")
"""Settings that follow from the images where they are left open; a training keeps what followed."""
EXECUTION_SETTINGS = frozenset({"out", "resume", "quiet"})
"""Settings that do not affect the result of a training, and may differ when it is resumed."""


_LATER_SETTINGS = {
    "size": None, "resize": None, "skip_broken": False, "augment": "light", "balanced": False, "train_split": None,
    "test_split": None, "deterministic": False,
}  # fmt: skip
"""Settings that trainings of earlier versions lack, and what these did."""


def config_from_json(content: dict[str, Any]) -> TrainConfig:
    """Settings as `TrainConfig.to_json` wrote them.

    Raises:
        ValueError: if a setting is unknown, missing or out of range.
    """
    known = {field.name for field in dataclasses.fields(TrainConfig)}
    if not isinstance(content, dict):
        raise ValueError(f"settings must be an object, but got {shown(content)}.")
    content = _LATER_SETTINGS | content
    if content.keys() != known:
        names = ", ".join(sorted(content.keys() ^ known))
        raise ValueError(
            f"settings must be {', '.join(sorted(known))}, but these are unknown or missing: {one_line(names)}."
        )
    return record_from_json(TrainConfig, content, where="settings")


def check_same_settings(given: TrainConfig, saved: TrainConfig) -> None:
    """Check that a training is resumed with the settings that it was begun with, or leaves them open.

    Raises:
        ValueError: naming the first setting that differs.
    """
    check_same_values(
        given.to_json(),
        saved.to_json(),
        free=EXECUTION_SETTINGS | {name for name in FOLLOWING if getattr(given, name) in (None, "auto")},
        rule="a training must be resumed with its own settings, but it was begun with",
        remedy="begin a new training",
    )


def _option(name: str) -> str:
    return name.replace("_", "-")
