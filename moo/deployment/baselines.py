"""What people would use otherwise: published networks, trained and measured like a run's front."""

from __future__ import annotations

from dataclasses import replace

from evaluation.training.origin import BaselineNetwork
from moo.deployment.config import CompareBaselinesConfig
from moo.deployment.finished_run import FinishedRun
from moo.deployment.plan import NetworkTraining, chosen, training_of
from search_space.architectures import parse_architecture
from search_space.graphs import Graph
from search_space.reference_networks import BASELINE_NAMES, baseline_graph
from search_space.spaces import space_named

FBNET_NAMES = ("fbnet-a", "fbnet-b", "fbnet-c")
NAMES = (*BASELINE_NAMES, *FBNET_NAMES)
LARGE_INPUT = 96
"""Inputs of so many pixels and more are given to networks in their ImageNet form."""


def baseline_trainings(run: FinishedRun, config: CompareBaselinesConfig) -> list[NetworkTraining]:
    """The baselines as trainings, for the input size and classes of a run.

    Raises:
        ValueError: if `--only` names no baseline, or a setting does not fit the images.
    """
    trainings = []
    for name in chosen(config.only, NAMES, what="baselines"):
        graph = graph_of(name, input_size=run.space.input_size, classes=run.space.classes)
        network = BaselineNetwork(id=name, input_size=run.space.input_size)
        preparation = training_of(run, config, network, graph, run.folder.baseline(name), None)
        trainings.append(NetworkTraining(preparation, baseline=True))
    return trainings


def graph_of(name: str, *, input_size: int, classes: int) -> Graph:
    """The graph of a baseline.

    Args:
        name: one of `NAMES`. FBNets have their ImageNet form from 96 pixels on, and below it that of `fbnet-cifar`,
            with strides of 8 instead of 32 in all, as `search_space.reference_networks` scales the others.
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
