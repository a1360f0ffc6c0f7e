"""Networks that a supernet should rank by accuracy: random ones spread over MACs, or those of a run."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from devices.profiling.profile import random_networks
from evaluation.splits import Splits
from moo.analysis.rank_correlation import LEAST_PAIRS
from moo.storage.run_folder import RunFolder
from moo.storage.store import open_store
from search_space.architectures import Architecture, architecture_from_indices, parse_architecture
from search_space.counts import count
from search_space.spaces import FBNetSpace

CANDIDATES = 64
"""Random networks of which one is chosen."""


@dataclass(frozen=True, kw_only=True, slots=True)
class RankedNetworks:
    """What is ranked."""

    space: FBNetSpace
    splits: Splits
    architectures: tuple[Architecture, ...]
    macs: tuple[int, ...]
    known: dict[str, float]
    """Trained accuracies that a run holds already, by id."""


def networks_at_random(space: FBNetSpace, splits: Splits, number: int, seed: int) -> RankedNetworks:
    """Random architectures, spread over MACs."""
    return _networks(space, splits, spread_architectures(space, number, seed), known={})


def networks_of_run(space: FBNetSpace, splits: Splits, run: Path) -> RankedNetworks:
    """The trained networks of a run.

    Raises:
        ValueError: if the run was made with other images, or has too few trained networks.
    """
    known = trained_in_run(RunFolder(run), splits)
    return _networks(space, splits, tuple(parse_architecture(space, name) for name in known), known=known)


def _networks(
    space: FBNetSpace, splits: Splits, architectures: tuple[Architecture, ...], *, known: dict[str, float]
) -> RankedNetworks:
    macs = tuple(count(space.graph(architecture.operators)).macs for architecture in architectures)
    return RankedNetworks(space=space, splits=splits, architectures=architectures, macs=macs, known=known)


def spread_architectures(space: FBNetSpace, number: int, seed: int) -> tuple[Architecture, ...]:
    """Different random architectures, one from each stretch of the order by MACs, fewest first."""
    rows_NL = np.unique(random_networks(space, number * CANDIDATES, seed), axis=0)
    drawn = [architecture_from_indices(space, tuple(map(int, row_L))) for row_L in rows_NL]
    drawn.sort(key=lambda architecture: (count(space.graph(architecture.operators)).macs, architecture.id))
    rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(17,)))
    return tuple(drawn[int(rng.choice(part))] for part in np.array_split(np.arange(len(drawn)), number))


def trained_in_run(folder: RunFolder, splits: Splits) -> dict[str, float]:
    """Trained accuracies on the selection split of a run's networks, by id.

    Raises:
        ValueError: if the run was made with other images, or has too few trained networks.
    """
    _, origin = folder.read_config()
    if origin.dataset.fingerprint != splits.fingerprint:
        raise ValueError(
            f"the images must be those of the run, but {str(folder.path)!r} was made with others; omit `--dataset`."
        )
    with closing(open_store(folder.store)) as store:
        known = {network.name: 1 - network.error for network in store.trained(baselines=False)}
    if len(known) < LEAST_PAIRS:
        raise ValueError(
            f"a run must have at least {LEAST_PAIRS} trained networks to be ranked, but {str(folder.path)!r} has "
            f"{len(known)}; train its front first."
        )
    return known
