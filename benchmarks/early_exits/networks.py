"""Networks with what their candidate exits say and cost: of an adapted run, or drawn. Start with `networks_of_run`."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Literal

import numpy as np

from devices.configuration import PRECISIONS, Precision, RuntimeConfiguration
from devices.cost_tables.energy_objective import EnergyObjective
from devices.cost_tables.exit_costs import ExitCosts, exit_costs
from devices.cost_tables.family import CostTables
from devices.cost_tables.raspberry_pi import built_in_tables
from evaluation.early_exits.outcomes import ExitOutcomes, outcomes_of
from moo.adaptation.training.folder import AdaptationFolder
from moo.storage.archive import reference_point_of
from moo.storage.run_folder import RunFolder
from moo.storage.store import read_store
from moo.trials import Objectives
from search_space.architectures import architecture_from_indices
from search_space.exits import HEADS, Exit, keeps_head_limit
from search_space.spaces import FBNetSpace, space_named

Board = Literal["pi4", "pi5"]
GUESSING = 0.9
"""Error of guessing one of ten classes, for drawn networks."""
MOST_PLACES = 9
"""At which drawn networks have exits: as many as fit between 20 and 90 % of the latency, 10 % apart, and one more."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class AdaptedNetwork:
    """A network whose exits are trained."""

    name: str
    outcomes: dict[Precision, ExitOutcomes]
    costs: dict[RuntimeConfiguration, ExitCosts]
    """Modelled; the base first."""
    limits: tuple[FBNetSpace, tuple[str, ...]] | None
    """Space and operators, by which its heads are limited; None where all may be had."""

    def is_allowed(self, exits: Sequence[Exit]) -> bool:
        """Whether it may have these exits together."""
        return self.limits is None or keeps_head_limit(*self.limits, exits)

    @property
    def base(self) -> dict[RuntimeConfiguration, ExitCosts]:
        """Costs in the base configuration alone."""
        first = next(iter(self.costs))
        return {first: self.costs[first]}


def networks_of_run(
    folder: RunFolder, board: Board, threads: Sequence[int], clocks: int
) -> tuple[list[AdaptedNetwork], Objectives]:
    """The adapted networks of a run with modelled costs of a board, and the reference point of hypervolume.

    Args:
        folder: of the run.
        board: built-in; its tables give the costs, whatever board the run was searched on.
        threads: numbers of them.
        clocks: as many of the board's, the highest first.

    Raises:
        ValueError: if no network of the run has outcomes, or a file is damaged.
    """
    _, origin = folder.read_config(option="RUN")
    space = origin.space
    with closing(read_store(folder.store)) as store:
        known = {
            found.id: found
            for item in store.evaluated(space)
            for found in [architecture_from_indices(space, item.indices)]
        }
    networks = []
    for path in sorted(folder.adaptation("any").parent.glob("*/")):
        stage = AdaptationFolder(path).exits
        outcomes = {one: stage.read_outcomes(one) for one in PRECISIONS if stage.outcomes(one).exists()}
        if "fp32" not in outcomes or path.name not in known:
            continue
        operators = known[path.name].operators
        tables = _tables(board, space, threads, clocks, tuple(outcomes))
        costs = {table.configuration: exit_costs(table, space, operators, outcomes["fp32"].exits) for table in tables}
        networks.append(AdaptedNetwork(name=path.name, outcomes=outcomes, costs=costs, limits=(space, operators)))
    if not networks:
        raise ValueError(
            f"a network of the run must have trained exits, but none in {str(folder.path)!r} has: train them with "
            f"python scripts/adapt_front.py {folder.path}, or omit RUN for drawn networks."
        )
    everywhere = _tables(board, space, threads, clocks, tuple(networks[0].outcomes))
    return networks, reference_point_of(everywhere, origin.dataset.reference_error, EnergyObjective())


def drawn_networks(
    number: int, board: Board, threads: Sequence[int], clocks: int, *, images: int, seed: int = 0
) -> tuple[list[AdaptedNetwork], Objectives]:
    """Networks drawn at random with as many exits as any can have, and the reference point of hypervolume.

    An image has a difficulty that all exits share; the later an exit, and with the larger head, the higher its scores
    of the right class. Costs are those of `fbnet-micro` networks, whose exits are at even shares of the latency.

    Args:
        number: of networks.
        board: built-in.
        threads: numbers of them.
        clocks: as many of the board's, the highest first.
        images: that outcomes are of.
        seed: of all random numbers.
    """
    space = space_named("fbnet-micro")
    tables = _tables(board, space, threads, clocks, PRECISIONS)
    exits = tuple(Exit(layer, head) for layer in range(MOST_PLACES) for head in HEADS)
    networks = []
    for place, child in enumerate(np.random.SeedSequence(seed).spawn(number)):
        rng = np.random.default_rng(child)
        operators = tuple(rng.choice(space.operators, space.num_layers).tolist())
        networks.append(
            AdaptedNetwork(
                name=f"drawn {place}",
                outcomes=_drawn_outcomes(exits, images, rng),
                costs={
                    table.configuration: _drawn_costs(table_costs, exits)
                    for table in tables
                    for table_costs in [exit_costs(table, space, operators, (Exit(0, "linear"),))]
                },
                limits=None,
            )
        )
    return networks, reference_point_of(tables, GUESSING, EnergyObjective())


def _tables(
    board: Board, space: FBNetSpace, threads: Sequence[int], clocks: int, precisions: Sequence[Precision]
) -> CostTables:
    tables = built_in_tables(board, space)
    highest = sorted({one.frequency_mhz or 0 for one in tables.configurations}, reverse=True)[:clocks]
    return tables.only(
        [
            one
            for one in tables.configurations
            if one.threads in threads and one.frequency_mhz in highest and one.precision in precisions
        ]
    )


def _drawn_costs(whole: ExitCosts, exits: tuple[Exit, ...]) -> ExitCosts:
    """Costs of exits at even shares of a network: from 20 to 90 %, linear heads 0.5 % of it and others 3 %."""
    before_E = np.repeat(np.linspace(0.2, 0.9, len(exits) // len(HEADS)), len(HEADS))
    head_E = np.array([0.005 if one.head == "linear" else 0.03 for one in exits])
    return ExitCosts(
        exits=exits,
        before_ms_E=before_E * whole.whole_ms,
        before_mj_E=before_E * whole.whole_mj,
        head_ms_E=head_E * whole.whole_ms,
        head_mj_E=head_E * whole.whole_mj,
        whole_ms=whole.whole_ms,
        whole_mj=whole.whole_mj,
        energy_source="modelled",
        idle_w=whole.idle_w,
        energy_error=whole.energy_error,
    )


def _drawn_outcomes(
    exits: tuple[Exit, ...], images: int, rng: np.random.Generator, classes: int = 10
) -> dict[Precision, ExitOutcomes]:
    labels_N = rng.integers(classes, size=images)
    difficulty_N = rng.normal(size=images)
    skill_X = np.array([0.8 + 2.2 * one.layer / MOST_PLACES + 0.4 * (one.head == "conv") for one in exits] + [3.2])
    own_XN = 1.3 * (skill_X[:, None] - difficulty_N + 0.5 * rng.normal(size=(len(skill_X), images)))
    logits_XNK = rng.normal(size=(len(skill_X), images, classes))
    logits_XNK[:, np.arange(images), labels_N] += own_XN
    found: dict[Precision, ExitOutcomes] = {}
    for precision in PRECISIONS:
        noise = 0.25 if precision == "int8" else 0.0
        scores_XNK = 1.5 * (logits_XNK + noise * rng.normal(size=logits_XNK.shape))
        found[precision] = outcomes_of(exits, scores_XNK.astype(np.float32), labels_N)
    return found
