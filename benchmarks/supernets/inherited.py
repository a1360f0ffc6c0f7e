"""Accuracies of networks with weights that they inherit from a supernet, pre-trained for a given time."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks.supernets.forms import Form, InheritedAccuracy, new_supernet, search_augmentation
from benchmarks.supernets.ranked_networks import RankedNetworks
from benchmarks.supernets.timed_pretraining import TimedPretraining
from dnas.pretraining import PretrainSettings
from evaluation.batches import ImageBatches
from search_space.architectures import operator_indices
from search_space.boundary.writing import write_json


@dataclass(frozen=True)
class Inherited:
    """What a supernet says of the networks."""

    steps: int
    """Steps of its pre-training."""
    seconds: float
    """Time that these took."""
    accuracies: list[float]
    """With inherited weights, on the selection split, in [0, 1]."""


def inherited_accuracies(
    path: Path,
    form: Form,
    networks: RankedNetworks,
    *,
    seconds: float,
    seed: int,
    on_share: Callable[[float], None],
) -> Inherited:
    """Accuracies with weights of a supernet, or what the file says of them.

    Args:
        path: a file, which is written if it is not there.
        form: that of the supernet.
        networks: in their order.
        seconds: time of pre-training.
        seed: of weights, paths and batches.
        on_share: called with the share of that time that is over.
    """
    if not path.exists():
        supernet = new_supernet(form, networks.space, seed)
        splits = networks.splits
        images = ImageBatches(splits.weights, splits, augmentation=search_augmentation(networks.space, splits))
        pretraining = TimedPretraining(
            supernet,
            images,
            PretrainSettings(epochs=1),
            ends=[seconds],
            seed=seed,
            forward=form.forward,
            on_share=on_share,
        )
        start = time.monotonic()
        pretraining.run()
        took = round(time.monotonic() - start, 1)
        accuracy_of = InheritedAccuracy(supernet, splits)
        accuracies = [accuracy_of(operator_indices(networks.space, item)) for item in networks.architectures]
        write_json(path, asdict(Inherited(pretraining.steps, took, accuracies)))
    return Inherited(**json.loads(path.read_text()))
