"""Times steps of the version of this project that is first in PYTHONPATH, as asked for on stdin; for `launches`.

It keeps to what versions have in common. Each line names a kind of step; the answer is wall and CPU seconds of one.
"""

from __future__ import annotations

import json
import sys
import time

import numpy as np
import torch

from benchmarks.noise import random_images
from benchmarks.supernets.steps import SomeBatches
from dnas.costs import OperatorCosts
from dnas.inner_search import ThetaSettings, search_theta
from dnas.losses import Coefficients
from dnas.pretraining import Pretraining, PretrainSettings
from dnas.supernets.build import build_supernet
from evaluation.accuracy import classification, inherited_network
from evaluation.augmentation import Augmentation
from evaluation.batches import ImageBatches
from evaluation.splits import split_data
from evaluation.training.allocator import keep_freed_memory
from search_space.spaces import space_named

STEPS = 4
IMAGES = 2000


def main() -> None:
    """Answer until stdin ends."""
    space, threads = space_named(sys.argv[1]), int(sys.argv[2])
    torch.set_num_threads(threads)
    keep_freed_memory()
    torch.manual_seed(0)
    supernet = build_supernet(space, "shared").to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    splits = split_data(random_images(space, IMAGES, seed=0), 0)
    images = ImageBatches(splits.weights, splits, augmentation=Augmentation())
    costs = OperatorCosts(torch.ones(space.num_layers, len(space.operators)), 1.0)
    indices = tuple(int(index) for index in np.random.default_rng(0).integers(8, size=space.num_layers))

    def weight() -> int:
        source = SomeBatches(images, STEPS * 64)
        Pretraining(supernet, source, PretrainSettings(epochs=1, batch_size=64), seed=0).run_epoch()
        return STEPS

    def theta() -> int:
        coefficients, settings = Coefficients(alpha=0.1, beta=1.0, gamma=0.1, delta=1.0), ThetaSettings(steps=STEPS)
        search_theta(supernet, images, costs, costs, coefficients, settings, np.random.default_rng(0))
        return STEPS

    def evaluation() -> int:
        graph = space.graph(tuple(space.operators[index] for index in indices))
        recalibration, selection = (ImageBatches(split, splits) for split in (splits.weights, splits.selection))
        classification(inherited_network(graph, supernet.sub_network_state(indices), recalibration), selection)
        return 1

    kinds = {"weight": weight, "theta": theta, "evaluation": evaluation}
    for line in sys.stdin:
        wall, cpu = time.perf_counter(), time.process_time()
        steps = kinds[line.strip()]()
        seconds = [(time.perf_counter() - wall) / steps, (time.process_time() - cpu) / steps]
        sys.stdout.write(json.dumps(seconds) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
