"""What people would use otherwise: published networks, trained and measured like a run's front.

From scratch at the run's image size, and pre-trained ones at their own. Start with `baseline_trainings`.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace

from evaluation.pretrained.network import PretrainedNetwork
from evaluation.pretrained.sources import (
    ARCHITECTURES,
    SHORT_LIST,
    UnavailableError,
    pretrained_named,
)
from evaluation.pretrained.timm_models import PRETRAINED_SUFFIX
from evaluation.splits import Splits
from evaluation.training.config import TrainConfig
from evaluation.training.fine_tuning import fine_tune_settings
from evaluation.training.fine_tuning_run import FineTunePreparation, loaded_size, splits_for
from evaluation.training.origin import BaselineNetwork
from moo import events
from moo.deployment.config import NO_PRETRAINED, SETTINGS, CompareBaselinesConfig
from moo.deployment.finished_run import FinishedRun
from moo.deployment.plan import NetworkTraining, chosen, training_of
from moo.search.preparation import run_source, run_splits
from moo.storage.trained_network import TrainedNetwork
from search_space.architectures import parse_architecture
from search_space.graphs import Graph
from search_space.reference_networks import BASELINE_NAMES, WIDTH_NAMES, baseline_graph, mobilenet_name
from search_space.spaces import space_named

FBNET_NAMES = ("fbnet-a", "fbnet-b", "fbnet-c")
NAMES = (*BASELINE_NAMES, *FBNET_NAMES)
LARGE_INPUT = 96
"""Inputs of so many pixels and more are given to networks in their ImageNet form."""


def baseline_trainings(
    run: FinishedRun, config: CompareBaselinesConfig, tell: events.Listener = lambda event: None
) -> list[NetworkTraining]:
    """The baselines as trainings, for the classes of a run: pre-trained ones first, then those from scratch.

    Args:
        run: that they are compared with.
        config: how they are trained.
        tell: is told of pre-trained networks that are not to be had, and of images that are loaded for the others.

    Raises:
        ValueError: if `--only` names no baseline, or a setting does not fit the images.
    """
    pretrained = {network.id: network for network in _pretrained(config.pretrained, tell)}
    names = _names(config.only, pretrained)
    trainings = _fine_tunings(run, config, [pretrained[name] for name in names if name in pretrained], tell)
    for name in names:
        if name in pretrained:
            continue
        graph = graph_of(name, input_size=run.space.input_size, classes=run.space.classes)
        network = BaselineNetwork(id=name, input_size=run.space.input_size)
        preparation = training_of(run, config, network, graph, run.folder.baseline(name), None)
        trainings.append(NetworkTraining(preparation, baseline=True))
    return trainings


def _names(only: Sequence[str], pretrained: Collection[str]) -> Sequence[str]:
    """The baselines that `--only` chooses, each once, MobileNets of other widths among them; or all of the list."""
    asked = [mobilenet_name(name) or name for name in only]
    widths = dict.fromkeys(name for name in asked if name not in NAMES and mobilenet_name(name))
    return chosen(asked, (*pretrained, *NAMES, *widths), what=f"baselines (or one of {WIDTH_NAMES})")


def _pretrained(names: Sequence[str], tell: events.Listener) -> list[PretrainedNetwork]:
    if NO_PRETRAINED in names:
        return []
    networks: dict[str, PretrainedNetwork] = {}
    for name in dict.fromkeys(names) or SHORT_LIST:
        try:
            network = pretrained_named(name)
        except UnavailableError as error:
            tell(events.PretrainedMissing(name, str(error)))
            continue
        if network.id in networks:
            raise ValueError(
                f"`--pretrained` must name each architecture once, but {network.id} comes twice, of "
                f"{networks[network.id].about.source} and of {network.about.source}; leave one out."
            )
        networks[network.id] = network
    return list(networks.values())


def _fine_tunings(
    run: FinishedRun, config: CompareBaselinesConfig, networks: Sequence[PretrainedNetwork], tell: events.Listener
) -> list[NetworkTraining]:
    search, loaded = run.config, dict[int, Splits]()
    parts = (run.splits.weights, run.splits.theta, run.splits.selection, run.splits.test)
    trainings = []
    for network in networks:
        size = loaded_size(sum(map(len, parts)), network.about.input_size)
        if size not in loaded:
            loaded[size] = _same_splits(run, size, tell)
        splits = splits_for(loaded[size], network.about)
        settings = replace(
            fine_tune_settings(len(splits.weights) + len(splits.theta), minutes=config.pretrained_minutes),
            deterministic=config.deterministic,
        )
        preparation = FineTunePreparation(
            config=TrainConfig(
                architecture=network.id,
                dataset=search.dataset,
                image_column=search.image_column,
                label_column=search.label_column,
                train_split=search.train_split,
                test_split=search.test_split,
                resize=search.resize,
                skip_broken=search.skip_broken,
                space=search.space or TrainConfig.space,
                weights=network.about.source,
                flip=search.flip,
                seed=search.seed,
                **{name: getattr(settings, name) for name in SETTINGS},
            ),
            folder=run.folder.baseline(network.id),
            pretrained=network,
            splits=splits,
            activations=run.activations,
        )
        trainings.append(NetworkTraining(preparation, baseline=True))
    return trainings


def _same_splits(run: FinishedRun, size: int, tell: events.Listener) -> Splits:
    """The images of a run's splits in another size.

    Raises:
        ValueError: if they are others.
    """
    if size == run.space.input_size:
        return run.splits
    splits = run_splits(
        run.config,
        run_source(run.config),
        size,
        lambda done, total: tell(events.StageProgress("loading", done, total)),
        as_before=run.origin.dataset,
    )
    for name in ("weights", "theta", "selection", "test"):
        before, now = getattr(run.splits, name).labels_N, getattr(splits, name).labels_N
        if before.tolist() != now.tolist():
            raise ValueError(f"a run's images must stay as they are, but those of its {name} split have changed.")
    return splits


def baseline_graph_of(network: TrainedNetwork, run: FinishedRun) -> Graph | None:
    """The graph of a trained baseline; None where it is none of this project's."""
    name, classes = network.name, run.space.classes
    if network.pretrained is None:
        return graph_of(name, input_size=run.space.input_size, classes=classes)
    architecture = name.removesuffix(PRETRAINED_SUFFIX)
    if architecture not in ARCHITECTURES:
        return None
    return baseline_graph(architecture, input_size=network.pretrained.input_size, classes=classes)


def graph_of(name: str, *, input_size: int, classes: int) -> Graph:
    """The graph of a baseline.

    Args:
        name: one of `NAMES`, or a MobileNet of another width. FBNets have their ImageNet form from 96 pixels on, and
            below it that of `fbnet-cifar`, with strides of 8 instead of 32 in all, as
            `search_space.reference_networks` scales the others.
        input_size: height and width of the images in pixels.
        classes: number of outputs.

    Raises:
        ValueError: if there is no such baseline.
    """
    if name not in FBNET_NAMES:
        return baseline_graph(name, input_size=input_size, classes=classes)
    preset = "fbnet-imagenet" if input_size >= LARGE_INPUT else "fbnet-cifar"
    space = replace(space_named(preset, published=name), input_size=input_size, classes=classes)
    return space.graph(parse_architecture(space, name).operators)
