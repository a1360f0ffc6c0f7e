"""One tuple of coefficients searched on the supernet of a run, beside the run, to which nothing is written.

Start with `search_coefficients`.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from devices.configuration import RuntimeConfiguration
from dnas.losses import Coefficients
from moo.execution.evaluator import Evaluator
from moo.measurement.boards import Boards, read_run_tables
from moo.measurement.front import corrected_tables
from moo.search.preparation import Preparation, archive_for, run_source, run_splits
from moo.storage.run_folder import RunFolder
from moo.storage.store import read_store
from moo.trials import CoefficientTrial, TrialResult
from search_space.architectures import Architecture, architecture_from_indices

TRIAL = 2**30
"""Number that gives such a trial its randomness: no trial of a run has it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TriedNetwork:
    """A network that coefficients gave."""

    architecture: Architecture
    error: float
    """With inherited weights on the selection split, in the precision of the configuration where that was evaluated."""
    latency_ms: float
    """Predicted, as is the energy that the run minimises: both are `modelled`."""
    energy_mj: float
    stands: bool
    """Whether it stands for the trial: the least loss under the coefficients."""


def search_coefficients(
    path: Path,
    coefficients: Coefficients,
    configuration: RuntimeConfiguration | None = None,
    *,
    on_loading: Callable[[int, int], None] = lambda done, total: None,
) -> tuple[TriedNetwork, ...]:
    """Search theta on the supernet as a trial of the run does; other programs may write to the run meanwhile.

    Args:
        path: of the run folder.
        coefficients: of the loss.
        configuration: that networks are searched for; None for the base.
        on_loading: called with images decoded and in all.

    Returns:
        Mode and samples of theta, the mode first.

    Raises:
        ValueError: if there is no run, it has no supernet yet, its images have changed, or it has not searched that
            configuration.
    """
    folder = RunFolder(path)
    config, origin = folder.read_config(option="RUN")
    if not (folder.supernet.exists() and folder.cost_table.exists()):
        raise ValueError(
            f"a run must have pre-trained its supernet to search coefficients on it, but {str(path)!r} has not: wait "
            "for its trials."
        )
    tables = read_run_tables(folder.cost_table, config.given_configurations)
    if configuration is not None and configuration not in tables:
        labels = ", ".join(one.label for one in tables.configurations)
        raise ValueError(
            f"`configuration` must be one that the run has searched ({labels}), but got {configuration.label}."
        )
    with closing(read_store(folder.store, as_of_now=True)) as store:
        archive = store.fill(archive_for(config, tables, origin.dataset), origin.space)
    corrected = corrected_tables(tables, archive.entries, origin.space).mapped(config.energy_objective.table)
    splits = run_splits(config, run_source(config), origin.space.input_size, on_loading, as_before=origin.dataset)
    preparation = Preparation(
        config=config,
        folder=folder,
        resumed=True,
        space=origin.space,
        splits=splits,
        boards=Boards(board=origin.board),
        cost_tables=tables,
        configurations=tables.configurations,
        saved_origin=origin,
    )
    trial = CoefficientTrial(TRIAL, 0, coefficients, configuration or tables.base.configuration)
    result = Evaluator(preparation.setup).run(trial, corrected, folder.read_supernet())
    assert isinstance(result, TrialResult), "a trial gives the result of one"
    return tuple(
        TriedNetwork(
            architecture=architecture_from_indices(origin.space, item.indices),
            error=item.searched_error,
            latency_ms=item.latency_ms,
            energy_mj=item.energy_mj,
            stands=place == result.chosen,
        )
        for place, item in enumerate(result.architectures)
    )
