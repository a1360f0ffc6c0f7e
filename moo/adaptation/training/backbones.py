"""Trained networks that get exits: their weights, where these may sit, and what has been learnt of them so far.

Start with `prepared_backbones`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import safetensors.numpy

from devices.cost_tables.exit_costs import latency_shares
from evaluation.training.config import TrainConfig
from evaluation.training.folder import read_files, read_result
from evaluation.work_folder import check_same_values
from moo.adaptation.config import AdaptFrontConfig
from moo.adaptation.training.folder import FRESH, AdaptationFolder, Arrays
from moo.analysis.near_front import CandidateNetworks
from moo.deployment.finished_run import FinishedRun
from moo.storage.archive import Archive, Entry
from moo.storage.run_folder import RunFolder
from search_space.architectures import Architecture
from search_space.boundary.sealing import digest_of, write_sealed_json
from search_space.boundary.text import command_line, reason_of, shown
from search_space.exits import Exit, candidate_exits


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Backbone:
    """A trained network, and the exits that it may get."""

    entry: Entry
    folder: AdaptationFolder
    exits: tuple[Exit, ...]
    weights: Arrays
    """Of the trained network."""
    trained_with: TrainConfig
    made_with: dict[str, Any]
    """What its exits are trained with, as plain values."""

    @property
    def id(self) -> str:
        """Of its architecture."""
        return self.entry.architecture.id

    @property
    def architecture(self) -> Architecture:
        """The network."""
        return self.entry.architecture


@dataclass(frozen=True)
class PassedOver:
    """A network that cannot get exits."""

    id: str
    reason: str


def chosen_networks(candidates: CandidateNetworks, archive: Archive, only: Sequence[str]) -> tuple[Entry, ...]:
    """The networks that `--only` names, else all candidates that are trained.

    Raises:
        ValueError: if one that is named is not trained, or nothing is.
    """
    trained = {entry.architecture.id: entry for entry in archive.entries if entry.trained is not None}
    for name in only:
        if name not in trained:
            raise ValueError(
                f"`--only` must name trained networks of the run, which are {', '.join(trained) or 'none'}, but got "
                f"{name!r}."
            )
    return tuple(trained[name] for name in dict.fromkeys(only)) if only else candidates.trained


def prepared_backbones(
    run: FinishedRun, archive: Archive, entries: Sequence[Entry], config: AdaptFrontConfig
) -> tuple[list[Backbone], list[PassedOver]]:
    """The networks that can get exits, checked, and those that cannot; nothing is written.

    Args:
        run: that they were trained in.
        archive: of the run, which predicts costs.
        entries: of it, trained.
        config: how exits are trained.

    Raises:
        ValueError: if files of a network are missing or damaged, if its exits were begun with other settings or
            weights and `--fresh` is not given, or if one that `--only` names is too short for an exit.
    """
    backbones, passed_over = [], []
    for entry in entries:
        network = entry.architecture
        assert archive.tables is not None, "a run that has ended has cost tables"
        folder = AdaptationFolder(run.folder.adaptation(network.id))
        training = run.folder.training(network.id)
        result = read_result(training)
        if result is None:
            raise ValueError(
                f"a trained network must have its files, but {str(training.path)!r} has no {training.result.name}; "
                f"make them anew: {command_line(['python', 'scripts/train_front.py', str(run.folder.path)])}"
            )
        content = read_files(training, result)[training.weights.name]
        settings = training.read_settings()
        made_with = {
            "network": network.id,
            "weights": digest_of(content),
            "images": run.origin.dataset.fingerprint,
            "seed": run.config.seed,
            "exit_epochs": config.exit_epochs,
        }
        kept = None if config.fresh else _kept_exits(folder, made_with)
        try:
            exits = kept or candidate_exits(
                run.space, network.operators, latency_shares(archive.tables.base, run.space, network.operators).tolist()
            )
        except ValueError as error:
            if config.only:
                raise ValueError(f"{network.id}: {reason_of(error, most=1000)}") from None
            passed_over.append(PassedOver(network.id, reason_of(error, most=1000)))
            continue
        backbones.append(
            Backbone(
                entry=entry,
                folder=folder,
                exits=exits,
                weights=dict(safetensors.numpy.load(content)),
                trained_with=settings,
                made_with=made_with,
            )
        )
    return backbones, passed_over


def begin(backbone: Backbone) -> None:
    """Write what the exits of a network are made with, so that their training can be resumed from now on."""
    stage = backbone.folder.exits
    if not stage.config.exists():
        content = {"made_with": backbone.made_with, "exits": [one.to_json() for one in backbone.exits]}
        write_sealed_json(stage.config, content)


def stale_adaptations(folder: RunFolder) -> tuple[str, ...]:
    """Networks of a run whose exits were trained for weights that are no longer theirs, by id.

    Args:
        folder: of the run.

    Raises:
        ValueError: if a file is damaged.
    """
    stale = []
    for path in sorted(folder.path.glob("adaptations/*/exits/config.json")):
        name = path.parents[1].name
        saved = AdaptationFolder(folder.adaptation(name)).exits.read_config() or {}
        weights = folder.training(name).weights
        now = digest_of(weights.read_bytes()) if weights.exists() else None
        if saved.get("made_with", {}).get("weights") != now:
            stale.append(name)
    return tuple(stale)


def _kept_exits(folder: AdaptationFolder, made_with: dict[str, Any]) -> tuple[Exit, ...] | None:
    """The exits that training was begun with; None if it was not begun."""
    stage = folder.exits
    content = stage.read_config()
    if content is None:
        return None
    saved, exits = content.get("made_with"), content.get("exits")
    if not (isinstance(saved, dict) and isinstance(exits, list) and saved.keys() == made_with.keys()):
        raise ValueError(
            f"{str(stage.config)!r} must hold what exits are made with, but holds {shown(content)}. {FRESH}"
        )
    _check_same_network(folder, saved, made_with)
    check_same_values(
        made_with,
        saved,
        free=(),
        rule=f"exits of {made_with['network']} must go on with their own settings, but they were begun with",
        remedy="add `--fresh` to train all exits anew",
    )
    try:
        return tuple(Exit.from_json(item) for item in exits)
    except ValueError as error:
        raise ValueError(f"{str(stage.config)!r}: {error} {FRESH}") from None


def _check_same_network(folder: AdaptationFolder, saved: dict[str, Any], made_with: dict[str, Any]) -> None:
    for name, what in (
        ("network", "are of another network"),
        ("images", "were trained on other images: they are another run's"),
        ("seed", "were trained with another seed: they are another run's"),
        ("weights", "are of other weights: the network was trained anew since, or they are another run's"),
    ):
        if saved[name] != made_with[name]:
            raise ValueError(
                f"exits must belong to the network as it is trained now, but those in {str(folder.path)!r} {what}. "
                "Add `--fresh` to train all exits anew."
            )
