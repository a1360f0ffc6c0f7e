"""Everything that a run needs, checked before anything is written."""

from __future__ import annotations

import dataclasses
import importlib.metadata
import platform
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone

from devices.configuration import BASE, RuntimeConfiguration
from devices.cost_tables.family import CostTables, read_cost_tables
from devices.cost_tables.table_names import BUILT_IN_NAMES, is_table
from devices.errors import MeasurementError
from devices.measurement import MeasureSettings
from devices.profiling.default_configurations import (
    check_configurations,
    default_configurations,
    settable_configurations,
)
from devices.quantization import activations_for
from dnas.inner_search import ThetaSettings
from dnas.pretraining import PretrainSettings
from dnas.recipe import pretrain_settings, theta_batch
from evaluation.augmentation import augmentation_of, strength_for
from evaluation.batches import is_uneven
from evaluation.data.facts import DIGITS
from evaluation.data.loading import load
from evaluation.data.rules import LATEST_RULES
from evaluation.data.source import DataSource, source_of
from evaluation.splits import Splits, split_data
from evaluation.work_folder import check_work_folder, with_absolute_paths
from moo.config import SearchConfig, check_effect, check_effect_of_taking_over
from moo.measurement.boards import Boards, configurations_in, open_boards, read_run_tables, tables_named
from moo.search.images import search_dataset
from moo.search.space_choice import choose_space_here
from moo.search.transfer import is_warm_start, source_folder, source_supernet
from moo.storage.archive import Archive, reference_point_of
from moo.storage.origin import MachineOrigin, PretrainingOrigin, RecipeOrigin, RunOrigin, SearchDataset
from moo.storage.run_folder import RESTORE, RunFolder, check_same_settings, new_folder
from moo.trials import WorkerSetup
from search_space.boundary.reading import local_path
from search_space.boundary.sealing import read_tensors
from search_space.spaces import CELL_SPACE, FBNetSpace, preset_names, space_named, split_size

_PACKAGES = ("torch", "ray", "pymoo", "numpy", "onnxruntime", "datasets")


@dataclass(frozen=True, kw_only=True, slots=True)
class Preparation:
    """Checked inputs of a run."""

    config: SearchConfig
    folder: RunFolder
    resumed: bool
    space: FBNetSpace
    splits: Splits
    boards: Boards
    cost_tables: CostTables | None
    """The tables that the user gave, or that the run had before; for all of the configurations."""
    configurations: tuple[RuntimeConfiguration, ...]
    """Those that are searched, the base first."""
    source: DataSource | None = None
    """The data set, opened; None where the images came from elsewhere."""
    saved_origin: RunOrigin | None = None
    """What a resumed run was made from."""
    warm_start: bool = False
    """Whether `--from` names a run on other images, from whose supernet pre-training starts."""
    length_changed: bool = False
    """Whether a run is resumed with another number of generations, or another time, than it had before."""

    @property
    def has_two_objectives(self) -> bool:
        """Whether energy follows from latency, so that there is nothing to trade between the two."""
        return len(self.configurations) == 1 and not any(device.metered for device in self.boards.devices)

    @property
    def search_config(self) -> SearchConfig:
        """The settings as the search itself sees them: a warm start takes over no evaluated architectures."""
        return dataclasses.replace(self.config, from_run=None) if self.warm_start else self.config

    @property
    def dataset(self) -> SearchDataset:
        """The images, as the run was made with them."""
        return search_dataset(self.splits) if self.saved_origin is None else self.saved_origin.dataset

    @property
    def pretraining(self) -> PretrainSettings:
        """Settings of pre-training, with the defaults worked out; a resumed run has those that it began with."""
        config, saved = self.config, self.saved_origin
        if saved is not None and saved.pretraining is not None:
            return PretrainSettings(**dataclasses.asdict(saved.pretraining))
        return pretrain_settings(
            len(self.splits.weights),
            epochs=config.pretrain_epochs,
            batch_size=config.pretrain_batch,
            lr=config.pretrain_lr,
            paths_per_step=config.paths_per_step,
            augmented=self.recipe.augmentation == "strong",
            warm_start=self.warm_start,
        )

    @property
    def recipe(self) -> RecipeOrigin:
        """What else follows from the images."""
        config, saved = self.config, self.saved_origin
        batch = theta_batch(len(self.splits.theta)) if config.theta_batch is None else config.theta_batch
        if saved is not None:
            return saved.recipe or RecipeOrigin(theta_batch=batch, augmentation="light", balanced=False)
        weights, size = self.splits.weights, self.splits.weights.size
        return RecipeOrigin(
            theta_batch=batch,
            augmentation=strength_for(len(weights), size) if config.augment == "auto" else config.augment,
            balanced=is_uneven(weights.labels_N) if config.balanced is None else config.balanced,
            warm_start=self.warm_start,
        )

    @property
    def setup(self) -> WorkerSetup:
        """What every worker is set up with."""
        config, recipe = self.config, self.recipe
        flip = not self.splits.grey if config.flip is None else config.flip
        theta = ThetaSettings(
            steps=config.theta_steps,
            batch_size=recipe.theta_batch,
            entropy_weight=config.entropy_weight,
            loss=config.loss,
        )
        return WorkerSetup(
            space=self.space,
            splits=self.splits,
            weight_sharing=config.weight_sharing,
            augmentation=augmentation_of(
                recipe.augmentation, size=self.space.input_size, flip=flip, grey=self.splits.grey
            ),
            balanced=recipe.balanced,
            warm_start=self._first_weights(),
            theta=theta,
            samples=config.samples,
            seed=config.seed,
            threads=config.threads_per_worker,
            deterministic=config.deterministic,
            searches_per_worker=config.searches_per_worker,
            precision=config.train_precision,
            independent=self.pretraining if config.independent else None,
            activations=activations_for(None if self.boards.board is None else self.boards.board.machine),
            limits=config.limits,
            adaptive=config.energy_objective if config.adaptive else None,
        )

    def _first_weights(self) -> bytes | None:
        """Those that pre-training starts from, while it has not ended; in the run's folder once there is one."""
        if not self.warm_start or self.folder.supernet.exists():
            return None
        path = self.folder.warm_start
        if not path.exists():
            return source_supernet(self.config)
        return read_tensors(path, what="the weights that pre-training starts from", remedy=RESTORE)

    @property
    def origin(self) -> RunOrigin:
        """What the run is made from, as of now."""
        return RunOrigin(
            date=datetime.now(timezone.utc).isoformat(timespec="seconds"),
            space=self.space,
            dataset=self.dataset,
            pretraining=PretrainingOrigin(**dataclasses.asdict(self.pretraining)),
            recipe=self.recipe,
            board=self.boards.board,
            machine=MachineOrigin(system=platform.platform(), python=platform.python_version()),
            packages={name: importlib.metadata.version(name) for name in _PACKAGES},
        )


def prepare(
    config: SearchConfig,
    *,
    on_loading: Callable[[int, int], None],
    on_choice: Callable[[str], None] = lambda text: None,
) -> Preparation:
    """Check all settings and load all inputs; nothing is written.

    Args:
        config: the settings; with `resume`, those of the run.
        on_loading: called with images decoded and in all.
        on_choice: called with space, reason and time, where the user names no space.

    Raises:
        ValueError: for every kind of bad input.
    """
    config = here(config)
    if config.cost_table is not None and any(is_table(name) for name in config.boards):
        raise ValueError(
            f"costs must come from one table, but got --device {config.boards[0]} and --cost-table "
            f"{config.cost_table}: omit one of the two."
        )
    saved_origin: RunOrigin | None = None
    saved: SearchConfig | None = None
    warm_start = False
    if config.resume is not None:
        folder = RunFolder(local_path(config.resume))
        saved, saved_origin = folder.read_config()
        check_work_folder(folder.path, what="a run")
        if config.space is None:
            config = dataclasses.replace(config, space=saved.space, size=saved.size)
        config, saved = _with_size(config), _with_size(here(saved))
        check_same_settings(config, saved)
    else:
        check_effect(config)
        config = _with_size(_with_known_space(config))
        folder = new_folder(config)
    as_before = None if saved_origin is None else saved_origin.dataset
    if config.from_run is not None and saved_origin is None:
        from_config, from_origin = source_folder(config).read_config(option="--from")
        if here(from_config).dataset == config.dataset:
            # Splits as before keep what is tested apart; pictures may be made square in another way.
            as_before = dataclasses.replace(from_origin.dataset, resize=config.resize or from_origin.dataset.resize)
    # Now, not once boards were profiled: whether the weights that all rests on are whole.
    if saved_origin is not None and folder.supernet.exists():
        folder.read_supernet()
    elif saved_origin is None and config.from_run is not None:
        source_supernet(config)
    source = run_source(config)
    settings = MeasureSettings()
    given = config.given_configurations
    tables = None
    if saved_origin is not None and folder.cost_table.exists():
        tables = read_run_tables(folder.cost_table, given)
    elif config.cost_table is not None and config.cost_table not in BUILT_IN_NAMES and config.space is not None:
        tables = tables_named(config.cost_table, _space(config))
    chosen = config.space is None
    if chosen and any(is_table(name) for name in config.boards):
        config = _with_chosen_space(config, source, Boards(), settings, on_choice)
    boards = open_boards(
        config.boards,
        None if config.space is None else _space(config),
        settings,
        meter=config.meter,
        measure=config.measure,
        configurations=given,
    )
    try:
        if config.space is None:
            config = _with_chosen_space(config, source, boards, settings, on_choice)
        if chosen:
            folder = new_folder(config)
        space = _space(config)
        tables, configurations = _configured(config, tables or boards.tables, boards, space)
        splits = run_splits(config, source, space.input_size, on_loading, as_before=as_before)
        space = space.with_classes(len(splits.class_names))
        if saved_origin is not None:
            check_same_inputs(saved_origin, space, splits, config.dataset)
            warm_start = saved_origin.recipe is not None and saved_origin.recipe.warm_start
        elif config.from_run is not None:
            warm_start = is_warm_start(config, space, splits)
            if not warm_start:
                check_effect_of_taking_over(config)
    except BaseException:
        boards.close()
        raise
    return Preparation(
        config=config,
        folder=folder,
        resumed=saved_origin is not None,
        space=space,
        splits=splits,
        boards=boards,
        cost_tables=tables,
        configurations=configurations,
        source=source,
        saved_origin=saved_origin,
        warm_start=warm_start,
        length_changed=saved is not None and _length(config) != _length(saved),
    )


def here(config: SearchConfig) -> SearchConfig:
    """Settings whose local paths are absolute."""
    folders = ("from_run",) if config.dataset == DIGITS else ("dataset", "from_run")
    return with_absolute_paths(config, files=("space", "device", "cost_table"), folders=folders)


def _length(config: SearchConfig) -> tuple[int, float | None]:
    return config.generations, config.minutes


def _configured(
    config: SearchConfig, tables: CostTables | None, boards: Boards, space: FBNetSpace
) -> tuple[CostTables | None, tuple[RuntimeConfiguration, ...]]:
    """The configurations that are searched, and the tables for them where there are any.

    Raises:
        ValueError: if there is no table for a configuration, no board to tell them apart, or no idle power where the
            energy that is minimised needs it.
    """
    given = config.given_configurations
    if tables is None and config.cost_table is not None:
        wanted = given
        if given is None and boards.board is not None:
            wanted = _of_board(boards, None)
        tables = tables_named(config.cost_table, space, wanted)
    if tables is not None:
        tables = configurations_in(tables, given, boards=boards.board is not None)
        energy = config.energy_objective
        for table in tables:
            energy.table(table)
        return tables, tables.configurations
    if boards.board is not None:
        return None, _of_board(boards, given)
    if given is not None and given != (BASE,):
        raise ValueError(
            f"configurations must be told apart by a board or by cost tables, but got {given[-1].label} and nothing "
            "that measures: give `--device`, `--cost-table`, or omit the options of configurations."
        )
    return None, (BASE,)


def _of_board(boards: Boards, given: tuple[RuntimeConfiguration, ...] | None) -> tuple[RuntimeConfiguration, ...]:
    """The given configurations, or those of the board; at the governor's clock where its clock cannot be set.

    Raises:
        ValueError: if the board cannot be run in a given one, or fails.
    """
    board, device = boards.board, boards.devices[0]
    assert board is not None, "there must be a board"
    try:
        if given is None:
            return settable_configurations(device, default_configurations(board, shares_host=device.shares_host))
        check_configurations(device, board, given)
    except MeasurementError as error:
        raise ValueError(f"`--device` must name a board that measures, but {board.name!r} fails: {error}") from None
    return given


def _space(config: SearchConfig) -> FBNetSpace:
    assert config.space is not None, "the space must be chosen by now"
    if split_size(config.space)[0] == CELL_SPACE:
        raise ValueError(
            "`--space` must be a space with a supernet, but `nas-bench-201` is for the tabular benchmark only; "
            "use an `fbnet-` preset or a .yaml file."
        )
    return space_named(config.space, size=config.size)


def _with_size(config: SearchConfig) -> SearchConfig:
    """The same settings, with the size of the space named apart from it and never left open."""
    if config.space is None:
        return config
    return here(dataclasses.replace(config, space=split_size(config.space)[0], size=_space(config).input_size))


def _with_known_space(config: SearchConfig) -> SearchConfig:
    """The space where it follows from a run or a cost table that the user names.

    Raises:
        ValueError: if the run is none, or the file is no cost table.
    """
    if config.from_run is not None:
        saved = source_folder(config).read_settings(option="--from")
        if config.space is None:
            config = dataclasses.replace(config, space=saved.space, size=config.size or saved.size)
    tables = [name for name in (config.cost_table, *config.device) if name is not None and is_table(name)]
    if config.space is None and tables and tables[0] not in BUILT_IN_NAMES and tables[0].endswith(".json"):
        name = read_cost_tables(local_path(tables[0])).base.space
        if split_size(name)[0] not in preset_names():
            raise ValueError(
                f"`--space` must name the file of the space {name!r}, which the cost table {tables[0]!r} is for."
            )
        config = dataclasses.replace(config, space=name)
    return config


def _with_chosen_space(
    config: SearchConfig,
    source: DataSource,
    boards: Boards,
    settings: MeasureSettings,
    on_choice: Callable[[str], None],
) -> SearchConfig:
    configurations = config.given_configurations
    if boards.board is not None:
        configurations = _of_board(boards, configurations)
    choice = choose_space_here(config, source, boards, configurations or (BASE,), settings)
    on_choice(choice.text)
    return choice.config


def run_source(config: SearchConfig) -> DataSource:
    """The data set of a run, opened; no picture is read yet.

    Raises:
        ValueError: if there is none.
    """
    return source_of(config)


def run_splits(
    config: SearchConfig,
    source: DataSource,
    size: int,
    on_loading: Callable[[int, int], None],
    *,
    as_before: SearchDataset | None,
) -> Splits:
    """The images of a run, split by its seed.

    Args:
        config: of the run.
        source: its data set.
        size: height and width of the images in pixels.
        on_loading: called with images decoded and in all.
        as_before: how the images of an earlier run were made, which must be the same ones; None for a new run.

    Raises:
        ValueError: if the data set cannot be read, or a split is smaller than a batch.
    """
    data = load(
        source,
        size,
        resize=config.resize if as_before is None else as_before.resize,
        rules=LATEST_RULES if as_before is None else as_before.rules,
        skip_broken=config.skip_broken,
        on_progress=on_loading,
    )
    splits = dataclasses.replace(split_data(data, config.seed), error=config.error)
    for name, split in (("theta_batch", splits.theta), ("pretrain_batch", splits.weights)):
        batch = getattr(config, name)
        if batch is not None and batch > len(split):
            raise ValueError(
                f"a batch must not be larger than its split, but got --{name.replace('_', '-')} {batch} for "
                f"{len(split)} images; omit it for one that fits."
            )
    return splits


def archive_for(config: SearchConfig, tables: CostTables, data: SearchDataset) -> Archive:
    """An empty archive that compares as a run does.

    Args:
        config: of the run.
        tables: its own cost tables.
        data: its images.
    """
    energy = config.energy_objective
    return Archive(
        reference_point_of(tables, data.reference_error, energy),
        configurations=tables.configurations,
        energy=energy,
        limits=config.limits,
        data=data,
    )


def check_same_inputs(origin: RunOrigin, space: FBNetSpace, splits: Splits, dataset: str) -> None:
    """Check that images and search space are those that a run was made from.

    Raises:
        ValueError: if they are not.
    """
    classes = origin.dataset.classes
    if classes != splits.class_names:
        raise ValueError(
            f"a run's images must have its {len(classes)} classes ({_few(classes)}), but {dataset!r} has "
            f"{len(splits.class_names)} ({_few(splits.class_names)})."
        )
    if origin.dataset.fingerprint != splits.fingerprint:
        raise ValueError(
            f"a run must be resumed with its own images, but those of {dataset!r} are not the ones it was made with."
        )
    if origin.space != space:
        raise ValueError(
            f"a run must be resumed with its own search space, but that of {space.name!r} was changed since."
        )


def _few(names: Sequence[str]) -> str:
    return ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")
