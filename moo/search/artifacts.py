"""What all inner searches of a run start from: cost table and supernet. Made once, then read from the run folder."""

from __future__ import annotations

import math
from collections.abc import Sequence

from devices.configuration import RuntimeConfiguration
from devices.cost_tables.analytic import analytic_cost_table
from devices.cost_tables.family import CostTables, read_cost_tables
from devices.errors import MeasurementError
from devices.measurement import MeasureSettings
from devices.profiling.family import measurements_left, remembered_family, seconds_each
from evaluation.data.facts import numbers_text, used_text
from evaluation.data.pictures import square
from evaluation.data.wording import depth_text, resolution, shrinking, shrinking_warning
from evaluation.training.loop import UNREADABLE
from moo import events
from moo.execution.backend import Backend
from moo.execution.pretraining import pretrained_weights, untrained_weights
from moo.measurement.boards import read_run_tables
from moo.search.preparation import Preparation
from moo.search.proposals import expected_trials
from moo.storage.run_folder import RunFolder, check_not_lost
from moo.visualization.gallery import SAMPLES, write_cost_tables_picture, write_samples_picture
from moo.visualization.samples import Sample
from search_space.boundary.sealing import read_sealed_state, sealed_state, sealed_tensors
from search_space.boundary.text import reason_of
from search_space.boundary.writing import write_atomically

NUM_SAMPLES = 9
"""Images that are drawn as networks see them."""
TWO_OBJECTIVES = (
    "two: in one configuration and without a meter, energy is latency times a constant; search several "
    "configurations, or give a meter"
)


BALANCED = "balanced: 1 less the mean of the classes' recalls, so that rare classes count as much as common ones"


class SearchFailedError(RuntimeError):
    """A run cannot go on.

    The board failed while it was profiled, every evaluation of a generation failed, or pre-training diverged however
    slowly it learnt.
    """


def started(preparation: Preparation, dashboard_url: str | None) -> events.RunStarted:
    """What is searched on what, as an event."""
    config, space, classes = preparation.search_config, preparation.space, len(preparation.splits.class_names)
    description = (
        ("data set", f"{config.dataset} ({classes} classes)"),
        *images_text(preparation),
        ("space", f"{space.name} ({space.num_architectures:,} architectures)"),
        *_start_text(preparation),
        ("training", _training_text(preparation)),
        ("board", _board_text(preparation)),
        ("configurations", configurations_text(preparation.configurations)),
        *_profile_text(preparation),
        *([("error", BALANCED)] if config.error == "balanced" else []),
        *([("objectives", TWO_OBJECTIVES)] if preparation.has_two_objectives else []),
    )
    return events.RunStarted(
        folder=str(preparation.folder.path),
        resumed=preparation.resumed,
        dashboard_url=dashboard_url,
        description=description,
        trials=None if config.minutes else expected_trials(config),
        pretrain_epochs=0 if config.independent or config.from_run else preparation.pretraining.epochs,
        minutes=config.minutes,
        measures=bool(preparation.boards.devices),
    )


def images_text(preparation: Preparation) -> list[tuple[str, str]]:
    """Which images are trained and tested on, how many of each class, and what becomes of them."""
    if preparation.source is None:
        return []
    looks, facts, data = preparation.source.describe(), preparation.source.facts, preparation.dataset
    size = preparation.space.input_size
    lines = [
        ("images", used_text(facts, test_images=data.images.test, omitted=data.omitted)),
        ("of each class", numbers_text(facts, data.classes)),
        ("resolution", resolution(looks.width, looks.height, data.resize, size)),
    ]
    if data.depth is not None:
        lines.append(("depth", depth_text(data.depth)))
    warning = shrinking_warning(shrinking(looks.width, looks.height, data.resize, size), size, looks.detail)
    return [*lines, *(("warning", text) for text in (*facts.warnings, *([warning] if warning else [])))]


def draw_samples(preparation: Preparation) -> None:
    """Draw some images as networks will see them, where they are not drawn yet."""
    source, resize, size = preparation.source, preparation.dataset.resize, preparation.space.input_size
    if source is None or (preparation.folder.plots / f"{SAMPLES}.png").exists():
        return
    facts = source.describe()
    samples = [Sample(name, image, square(image, size, resize)) for name, image in source.samples(NUM_SAMPLES)]
    said = resolution(facts.width, facts.height, resize, size)
    write_samples_picture(preparation.folder.plots, samples, size=size, said=said)


def configurations_text(configurations: Sequence[RuntimeConfiguration]) -> str:
    """Configurations by what they are made of, where they are all combinations, else one by one."""
    threads = sorted({one.threads for one in configurations})
    clocks = sorted({one.frequency_mhz for one in configurations if one.frequency_mhz is not None})
    precisions = sorted({one.precision for one in configurations})
    if len(configurations) < 2 or len(threads) * max(1, len(clocks)) * len(precisions) != len(configurations):
        return ", ".join(one.label for one in configurations)
    parts = [f"{', '.join(map(str, threads))} thread{'s' if threads != [1] else ''}"]
    parts += [f"{', '.join(map(str, clocks))} MHz"] if clocks else []
    return f"{len(configurations)}: {'; '.join([*parts, ', '.join(precisions)])}"


def run_cost_tables(preparation: Preparation, tell: events.Listener, *, begun: bool = False) -> CostTables:
    """The run's own tables, else the user's, else profiles of the board, else a model.

    Args:
        preparation: of the run.
        tell: is told of the profile.
        begun: whether trials have ended.

    Raises:
        ValueError: if the run's own tables are damaged, or lost though trials have ended.
        SearchFailedError: if the board failed while it was profiled.
    """
    path = preparation.folder.cost_table
    check_not_lost(path, what="the cost tables of a run", begun=begun)
    if path.exists():
        return read_run_tables(path, preparation.config.given_configurations)
    tables = preparation.cost_tables
    if tables is None and preparation.boards.devices:
        tables = _profiled(preparation, tell)
    if tables is None:
        tables = CostTables([analytic_cost_table(preparation.space)])
    tables.write(path)
    # Not the tables themselves: a resumed run reads the file, and the order of numbers in memory decides the last bit.
    return read_cost_tables(path)


def generation_cost_tables(
    folder: RunFolder, generation: int, latest: CostTables, *, begun: bool = False
) -> CostTables:
    """What a later generation is searched with: the run's tables, corrected by the networks measured before it.

    It is kept, so that a resumed run goes on with the same.

    Args:
        folder: of the run.
        generation: from 1; the first one, 0, has the run's tables as they are.
        latest: the tables as they are corrected now.
        begun: whether trials of the generation have ended.

    Raises:
        ValueError: if the kept ones are damaged, or lost though trials of the generation have ended.
    """
    path = folder.generation_cost_table(generation)
    check_not_lost(path, what="the cost tables of a generation", begun=begun)
    if not path.exists():
        latest.write(path)
    return read_run_tables(path, latest.configurations)


def supernet_weights(
    preparation: Preparation, backend: Backend, tell: events.Listener, *, begun: bool = False
) -> bytes:
    """Weights of the pre-trained supernet, as safetensors; fresh ones where each trial trains a supernet of its own.

    Args:
        preparation: of the run.
        backend: trains it.
        tell: is told of each epoch.
        begun: whether trials have ended.

    Raises:
        ValueError: if they are damaged, or lost though trials have ended.
        SearchFailedError: if pre-training diverges however slowly it learns.
    """
    folder, settings = preparation.folder, preparation.pretraining
    check_not_lost(folder.supernet, what="the supernet of a run", begun=begun)
    if folder.supernet.exists():
        _forget_pretraining(folder)
        return folder.read_supernet()
    state = None
    if folder.pretraining.exists():
        remedy = "Restore it from a copy, or remove it to pre-train from the start."
        state = read_sealed_state(folder.pretraining, what="the state of pre-training", remedy=remedy)
        try:
            pretrained_weights(state)
        except UNREADABLE as error:
            raise ValueError(
                f"the state of pre-training must be whole, but {str(folder.pretraining)!r} is not: {reason_of(error)}. "
                f"{remedy}"
            ) from None
    if not preparation.config.independent:
        for record, later_state in backend.pretrain(settings, state):
            if record.divergence is not None and record.divergence.lr is None:
                # Its state is not kept: a resumed run must come to the same end, not go on from it.
                tell(events.TrainingDiverged("pre-training", record.divergence))
                folder.pretraining.unlink(missing_ok=True)
                raise SearchFailedError(
                    f"pre-training {record.divergence}: choose a lower --pretrain-lr than {settings.lr:g} in a new run."
                )
            state = later_state
            write_atomically(folder.pretraining, sealed_state(state))
            if record.divergence is None:
                tell(events.PretrainEpoch(record, settings.epochs))
            else:
                tell(events.TrainingDiverged("pre-training", record.divergence))
    weights = untrained_weights(preparation.setup) if state is None else pretrained_weights(state)
    write_atomically(folder.supernet, sealed_tensors(weights))
    _forget_pretraining(folder)
    return folder.read_supernet()


def _forget_pretraining(folder: RunFolder) -> None:
    """Remove what only pre-training needed; a run that was killed right after it has that still."""
    folder.pretraining.unlink(missing_ok=True)
    folder.warm_start.unlink(missing_ok=True)


def _start_text(preparation: Preparation) -> list[tuple[str, str]]:
    """What is taken over from another run, if anything is."""
    source = preparation.config.from_run
    if source is None:
        return []
    if preparation.warm_start:
        return [("start", f"the supernet of {source}, which was trained on other images and is trained further")]
    return [("start", f"the supernet of {source} and all that it evaluated, on the same images")]


def _training_text(preparation: Preparation) -> str:
    """How the supernet is trained, and by how many images."""
    recipe, settings = preparation.recipe, preparation.pretraining
    images = len(preparation.splits.weights)
    balance = ", classes drawn evenly" if recipe.balanced else ""
    augmented = f"{recipe.augmentation} augmentation{balance}"
    if preparation.search_config.from_run is not None or not settings.epochs:
        return f"none but that of theta, {images:,} images, {augmented}"
    steps = settings.epochs * settings.steps_an_epoch(images)
    paths = "" if settings.paths_per_step == 1 else f" on each of {settings.paths_per_step} paths"
    batches = f"{steps:,} steps of {settings.batch_size}{paths}"
    return f"{images:,} images, {batches}, learning rate {settings.lr:.3g}, {augmented}"


def _board_text(preparation: Preparation) -> str:
    boards, tables = preparation.boards, preparation.cost_tables
    if boards.board is not None:
        several = f"{len(boards.devices)} boards: " if len(boards.devices) > 1 else ""
        return f"{several}{boards.board.label}, {boards.board.runtime}"
    return f"none, all costs are modelled{'' if tables is None else f' by a table of {tables.base.board}'}"


def _profile_text(preparation: Preparation) -> list[tuple[str, str]]:
    """How long a profile of the board takes, where one is to be made."""
    devices = preparation.boards.devices
    if preparation.cost_tables is not None or not devices:
        return []
    board, settings = preparation.boards.board, MeasureSettings()
    assert board is not None, "a board that measures has said what it is"
    count = measurements_left(board, preparation.space, preparation.configurations, settings)
    if not count:
        return [("profile", "measured before")]
    minutes = math.ceil(count * seconds_each(settings, metered=devices[0].metered) / 60)
    return [("profile", f"{count} short measurements first, about {minutes} min")]


def _profiled(preparation: Preparation, tell: events.Listener) -> CostTables:
    try:
        family = remembered_family(
            preparation.boards.devices[0],
            preparation.space,
            preparation.configurations,
            MeasureSettings(),
            on_progress=lambda done, total, name: tell(events.StageProgress("profiling", done, total, name)),
        )
    except MeasurementError as error:
        raise SearchFailedError(
            f"the board could not be profiled: {error} What was measured is kept: go on with --resume "
            f"{preparation.folder.path}."
        ) from None
    if len(family.members) > 1:
        write_cost_tables_picture(preparation.folder.plots, family, preparation.space)
    return family.tables
