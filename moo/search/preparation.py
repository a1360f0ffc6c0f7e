"""Everything that a run needs, checked before anything is written."""

from __future__ import annotations

import dataclasses
import importlib.metadata
import math
import platform
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from devices.configuration import BASE
from devices.cost_tables.cost_table import CostTable
from devices.measurement import MeasureSettings
from dnas.inner_search import ThetaSettings
from dnas.pretraining import PretrainSettings
from evaluation.splits import Augmentation, Splits, load_splits
from moo.config import SearchConfig, check_effect
from moo.measurement.boards import Boards, check_configuration, is_table, open_boards, table_named
from moo.storage.run_folder import RunFolder, check_same_settings, new_folder
from moo.trials import WorkerSetup
from search_space.spaces import FBNetSpace, space_named

DEFAULT_STEPS = 2500
DEFAULT_EPOCHS = (3, 80)
_PACKAGES = ("torch", "ray", "pymoo", "numpy", "onnxruntime", "datasets")


@dataclass(frozen=True)
class Preparation:
    """Checked inputs of a run."""

    config: SearchConfig
    folder: RunFolder
    resumed: bool
    space: FBNetSpace
    splits: Splits
    boards: Boards
    cost_table: CostTable | None
    """The table that the user gave."""

    @property
    def pretraining(self) -> PretrainSettings:
        """Settings of pre-training, with the default number of epochs worked out."""
        config = self.config
        epochs = config.pretrain_epochs
        if epochs is None:
            steps = max(1, len(self.splits.weights) // config.pretrain_batch)
            epochs = min(max(math.ceil(DEFAULT_STEPS / steps), DEFAULT_EPOCHS[0]), DEFAULT_EPOCHS[1])
        return PretrainSettings(epochs=epochs, batch_size=config.pretrain_batch, lr=config.pretrain_lr)

    @property
    def setup(self) -> WorkerSetup:
        """What every worker is set up with."""
        config = self.config
        flip = not self.splits.grey if config.flip is None else config.flip
        theta = ThetaSettings(
            steps=config.theta_steps,
            batch_size=config.theta_batch,
            entropy_weight=config.entropy_weight,
            loss=config.loss,
        )
        return WorkerSetup(
            space=self.space,
            splits=self.splits,
            weight_sharing=config.weight_sharing,
            augmentation=Augmentation(crop_padding=self.space.input_size // 16, flip=flip),
            theta=theta,
            samples=config.samples,
            seed=config.seed,
            threads=config.threads_per_worker,
            independent=self.pretraining if config.independent else None,
        )

    @property
    def origin(self) -> dict[str, Any]:
        """What the run is made from, for `config.json`."""
        splits = self.splits
        return {
            "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
            "space": dataclasses.asdict(self.space),
            "dataset": {
                "fingerprint": splits.fingerprint,
                "classes": list(splits.class_names),
                "mean": list(splits.mean_C),
                "std": list(splits.std_C),
                "images": {name: len(getattr(splits, name)) for name in ("weights", "theta", "selection", "test")},
            },
            "pretraining": dataclasses.asdict(self.pretraining),
            "board": None if self.boards.board is None else dataclasses.asdict(self.boards.board),
            "machine": {"system": platform.platform(), "python": platform.python_version()},
            "packages": {name: importlib.metadata.version(name) for name in _PACKAGES},
        }


def prepare(config: SearchConfig, *, on_loading: Callable[[int, int], None]) -> Preparation:
    """Check all settings and load all inputs; nothing is written.

    Args:
        config: the settings; with `resume`, those of the run.
        on_loading: called with images decoded and in all.

    Raises:
        ValueError: for every kind of bad input.
    """
    saved_origin: dict[str, Any] | None = None
    if config.resume is not None:
        folder = RunFolder(Path(config.resume).expanduser())
        saved, saved_origin = folder.read_config()
        check_same_settings(config, saved)
    else:
        check_effect(config)
        folder = new_folder(config)
    space = _space(config)
    settings = MeasureSettings()
    if config.cost_table is not None and any(is_table(name) for name in config.boards):
        raise ValueError(
            f"costs must come from one table, but got --device {config.boards[0]} and --cost-table "
            f"{config.cost_table}: omit one of the two."
        )
    _check_effect_of_runtime(config)
    table = None
    if config.cost_table is not None:
        table = table_named(config.cost_table, space)
        check_configuration(table, config.configuration)
    boards = open_boards(config.boards, space, settings, meter=config.meter, measure=config.measure)
    if table is None:
        table = boards.table
    try:
        splits = run_splits(config, space.input_size, on_loading)
        space = space.with_classes(len(splits.class_names))
        if saved_origin is not None:
            check_same_inputs(saved_origin, space, splits, config.dataset)
    except BaseException:
        boards.close()
        raise
    return Preparation(config, folder, saved_origin is not None, space, splits, boards, table)


def _check_effect_of_runtime(config: SearchConfig) -> None:
    """Check that no runtime configuration is asked for where a table of costs stands for the board."""
    usual, given = BASE, config.configuration
    for name in ("threads", "frequency_mhz", "precision"):
        if any(is_table(board) for board in config.boards) and getattr(given, name) != getattr(usual, name):
            raise ValueError(
                f"`--{name.replace('_', '-')}` must go with a board that measures, but --device {config.boards[0]} is "
                "a table of costs, which it does not change: omit one of the two."
            )


def _space(config: SearchConfig) -> FBNetSpace:
    if config.space == "nas-bench-201":
        raise ValueError(
            "`--space` must be a space with a supernet, but `nas-bench-201` is for the tabular benchmark only; "
            "use an `fbnet-` preset or a .yaml file."
        )
    return space_named(config.space)


def run_splits(config: SearchConfig, size: int, on_loading: Callable[[int, int], None]) -> Splits:
    """The images of a run, split by its seed.

    Args:
        config: of the run.
        size: height and width of the images in pixels.
        on_loading: called with images decoded and in all.

    Raises:
        ValueError: if the data set cannot be read, or a split is smaller than a batch.
    """
    splits = load_splits(
        config.dataset,
        size=size,
        seed=config.seed,
        image_column=config.image_column,
        label_column=config.label_column,
        on_progress=on_loading,
    )
    if config.theta_batch > len(splits.theta) or config.pretrain_batch > len(splits.weights):
        raise ValueError(
            f"a batch must not be larger than its split, but got --theta-batch {config.theta_batch} for "
            f"{len(splits.theta)} images and --pretrain-batch {config.pretrain_batch} for {len(splits.weights)}."
        )
    return splits


def check_same_inputs(origin: dict[str, Any], space: FBNetSpace, splits: Splits, dataset: str) -> None:
    """Check that images and search space are those that a run was made from.

    Raises:
        ValueError: if they are not, or the run's config.json does not tell.
    """
    try:
        fingerprint, saved = origin["dataset"]["fingerprint"], _plain(origin["space"])
        classes = tuple(origin["dataset"]["classes"])
    except (KeyError, TypeError):
        raise ValueError("the run's config.json must tell data set and space, but it was changed.") from None
    if classes != splits.class_names:
        raise ValueError(
            f"a run's images must have its {len(classes)} classes ({_few(classes)}), but {dataset!r} has "
            f"{len(splits.class_names)} ({_few(splits.class_names)})."
        )
    if fingerprint != splits.fingerprint:
        raise ValueError(
            f"a run must be resumed with its own images, but those of {dataset!r} are not the ones it was made with."
        )
    if saved != _plain(dataclasses.asdict(space)):
        raise ValueError(
            f"a run must be resumed with its own search space, but that of {space.name!r} was changed since."
        )


def _few(names: Sequence[str]) -> str:
    return ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")


def _plain(value: Any) -> Any:
    """The same with tuples as lists, as JSON has them."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, list | tuple) else value
