"""What training a run's front, or baselines beside it, is made of. Importing this is quick."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any

from tyro.conf import Positional, UseAppendAction

from evaluation.training.config import TrainSettings
from moo.config import check_gpus_per_worker
from moo.storage.run_folder import RunFolder

SETTINGS = tuple(field.name for field in dataclasses.fields(TrainSettings))
"""Names of the settings that make up a training recipe."""
NO_PRETRAINED = "none"


@dataclass(frozen=True, kw_only=True)
class RunTrainingConfig(TrainSettings):
    """What training the front and training baselines have in common."""

    run: Positional[str]
    """Folder of a run that has ended."""
    only: Annotated[tuple[str, ...], UseAppendAction] = ()
    """Train this network only; give it several times for several."""
    dataset: str | None = None
    """Where the run's images lie now, if not where they lay in the search."""
    measure: bool = True
    """Whether the trained files are measured on the run's board."""
    fresh: bool = False
    """Train anew what was trained, or begun, before."""
    workers: int | None = None
    """Networks trained at the same time; by default one for each GPU, else one for each CPU core."""
    gpus_per_worker: float | None = None
    """Share of a GPU that a training has: 0.25 trains four networks on each GPU at the same time, 0 on CPU cores."""
    threads_per_worker: int | None = None
    """CPU threads of each training; by default the cores are shared out."""
    address: str | None = None
    """Ray cluster to join (`auto`, `host:port`); by default, or with `local`, one is started on this machine."""
    dashboard: bool = True
    """Whether a started Ray has its dashboard."""
    quiet: bool = False
    """Print only the result."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_gpus_per_worker(self.gpus_per_worker)
        for name in ("workers", "threads_per_worker"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ValueError(f"`--{name.replace('_', '-')} >= 1` must hold, but got {value}.")

    @property
    def recipe(self) -> dict[str, Any]:
        """The settings of training, by name."""
        return {name: getattr(self, name) for name in SETTINGS}


@dataclass(frozen=True, kw_only=True)
class TrainFrontConfig(RunTrainingConfig):
    """Train every network of a run's front for deployment; check, export and measure them; and make the front anew.

    Settings of training are those that it was begun with, unless given.
    """

    fine_tune: bool = False
    """Start from the weights inherited from the supernet, instead of random ones."""
    near: int = 0
    """Train so many networks near the front as well, the nearest first: with early exits (`adapt_front.py`) they may be
    better than those of the front."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.near < 0:
            raise ValueError(f"`--near >= 0` must hold, but got {self.near}.")


@dataclass(frozen=True, kw_only=True)
class CompareBaselinesConfig(RunTrainingConfig):
    """Train and measure published networks like a run's front, and draw them into its pictures.

    Some are trained from scratch at the run's image size; pre-trained ones are fine-tuned at their own. Settings of
    training from scratch are those of the front's own training, unless given.
    """

    pretrained: Annotated[tuple[str, ...], UseAppendAction] = ()
    """Pre-trained network to fine-tune: `efficientnet-lite0` (a package), `timm:NAME`, `ARCHITECTURE=FILE` with weights
    of torchvision or timm, or `none`; give it several times for several. By default what is installed of a short
    list."""
    pretrained_minutes: float | None = None
    """Minutes that each pre-trained network is fine-tuned for; by default `--minutes` if given, else as the number of
    images asks for, at most ten."""

    def __post_init__(self) -> None:
        super().__post_init__()
        value = self.pretrained_minutes
        if value is not None and not (math.isfinite(value) and value > 0):
            raise ValueError(f"`--pretrained-minutes > 0` must hold, but got {value}.")
        if NO_PRETRAINED in self.pretrained and len(self.pretrained) > 1:
            raise ValueError(f"`--pretrained {NO_PRETRAINED}` must stand alone, but got {' '.join(self.pretrained)}.")


def saved_recipe(folder: RunFolder, only: Sequence[str] = ()) -> dict[str, Any]:
    """Settings that networks of a run's front were trained with, and whether they were fine-tuned; empty if none was.

    Args:
        folder: of the run.
        only: networks whose settings are wanted; by default any.

    Raises:
        ValueError: if they cannot be read.
    """
    names = only or sorted(path.parent.name for path in folder.path.glob("trained/*/config.json"))
    for name in names:
        training = folder.training(name)
        if training.config.exists():
            saved = training.read_settings().to_json()
            return {name: saved[name] for name in SETTINGS} | {"fine_tune": saved["weights"] is not None}
    return {}
