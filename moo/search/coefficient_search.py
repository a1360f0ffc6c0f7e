"""One tuple of coefficients searched on the supernet of a run, as a trial of that run would be; nothing is written.

Start with `searched_on_supernet`. What a run has evaluated answers sooner, though not on images
(`moo.search.surrogates.answers`).
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

from devices.configuration import RuntimeConfiguration
from devices.quantization import activations_for
from dnas.losses import Coefficients
from moo.execution.evaluator import Evaluator
from moo.measurement.boards import Boards, read_run_tables
from moo.measurement.front import corrected_tables
from moo.search.preparation import Preparation, archive_for, check_same_inputs, here, run_source, run_splits
from moo.storage.run_folder import RunFolder
from moo.storage.store import read_store
from moo.trials import CoefficientTrial, TrialResult
from search_space.architectures import Architecture, architecture_from_indices
from search_space.boundary.text import shown


@dataclass(frozen=True, kw_only=True, slots=True)
class TriedNetwork:
    """A network that a search gave; its costs are predictions."""

    architecture: Architecture
    error: float
    """With inherited weights on the selection split, in the precision of the configuration, in [0, 1]."""
    latency_ms: float
    energy_mj: float
    """The energy that the run minimises."""
    chosen: bool
    """Whether it is the one that stands for the coefficients."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TriedCoefficients:
    """What a search of one tuple gave."""

    coefficients: Coefficients
    configuration: RuntimeConfiguration
    networks: tuple[TriedNetwork, ...]
    """Those that differ: the mode of theta first, then its samples."""
    seconds: float


def searched_on_supernet(
    path: Path,
    coefficients: Coefficients,
    *,
    configuration: RuntimeConfiguration | None = None,
    dataset: str | None = None,
    on_loading: Callable[[int, int], None] = lambda done, total: None,
) -> TriedCoefficients:
    """Search a tuple; a run that goes on is only read.

    It is searched as the trial that would come next, with the costs as they are corrected by now.

    Args:
        path: of the run folder.
        coefficients: of the loss.
        configuration: that networks are to run in; None for the base.
        dataset: where the images lie now; by default where they lay in the search.
        on_loading: called with images decoded and in all.

    Raises:
        ValueError: if there is no run, its supernet is not pre-trained yet, its images are not there or are others, or
            it has not searched that configuration.
    """
    folder = RunFolder(path)
    config, origin = folder.read_config(option="RUN")
    config = here(replace(config, dataset=dataset or config.dataset))
    if not folder.cost_table.exists() or not (folder.supernet.exists() or config.independent):
        raise ValueError(
            f"a run must have a pre-trained supernet to be searched on, but {shown(str(path))} has none yet: wait for "
            "it."
        )
    tables = read_run_tables(folder.cost_table, config.given_configurations)
    labels = ", ".join(one.label for one in tables.configurations)
    if configuration is not None and configuration not in tables.configurations:
        raise ValueError(
            f"`configuration` must be one that the run has searched ({labels}), but got {shown(configuration.label)}."
        )
    splits = run_splits(config, run_source(config), origin.space.input_size, on_loading, as_before=origin.dataset)
    check_same_inputs(origin, origin.space, splits, config.dataset)
    with closing(read_store(folder.store, as_of_now=True)) as store:
        archive = store.fill(archive_for(config, tables, origin.dataset), origin.space)
        number = max(store.trials(), default=-1) + 1
    costs = corrected_tables(tables, archive.entries, origin.space)
    preparation = Preparation(
        config=config,
        folder=folder,
        resumed=True,
        space=origin.space,
        splits=splits,
        boards=Boards(),
        cost_tables=tables,
        configurations=tables.configurations,
    )
    board = origin.board
    setup = replace(preparation.setup, activations=activations_for(None if board is None else board.machine))
    supernet = folder.read_supernet() if folder.supernet.exists() else b""
    trial = CoefficientTrial(number, 0, coefficients, configuration if len(tables) > 1 else None)
    result = Evaluator(setup).run(trial, costs.mapped(archive.energy.table), supernet)
    assert isinstance(result, TrialResult), "a trial has a result"
    networks: dict[Architecture, TriedNetwork] = {}
    for place, item in enumerate(result.architectures):
        architecture = architecture_from_indices(origin.space, item.indices)
        known = networks.get(architecture)
        networks[architecture] = TriedNetwork(
            architecture=architecture,
            error=item.searched_error,
            latency_ms=float(item.latency_ms),
            energy_mj=float(item.energy_mj),
            chosen=place == result.chosen or (known is not None and known.chosen),
        )
    return TriedCoefficients(
        coefficients=coefficients,
        configuration=configuration or tables.base.configuration,
        networks=tuple(networks.values()),
        seconds=result.seconds,
    )
