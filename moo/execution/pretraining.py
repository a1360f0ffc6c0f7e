"""Pre-training of a run's supernet, epoch by epoch, and its weights as bytes."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping

import numpy as np
import safetensors.torch
import torch

from dnas.pretraining import Pretraining, PretrainRecord, PretrainSettings, weight_step_forward
from dnas.ranks import ALONE, Ranks
from dnas.supernets.build import build_supernet
from dnas.supernets.supernet import Supernet
from evaluation.batches import ImageBatches
from moo.trials import (
    WorkerSetup,
)


def pretraining_epochs(
    setup: WorkerSetup, settings: PretrainSettings, state: bytes | None, device: torch.device, ranks: Ranks = ALONE
) -> Iterator[tuple[PretrainRecord, bytes]]:
    """Pre-train from a saved state or from scratch; yields a record and the saved state after each epoch.

    It ends early, with such a record, where it diverges however slowly it learns. Of several ranks, which all have the
    same weights, only the first one tells of them.
    """
    pretraining = new_pretraining(setup, settings, device, ranks)
    if state is not None:
        pretraining.load_state(torch.load(io.BytesIO(state), map_location=device, weights_only=True))
    while not pretraining.done:
        record = pretraining.run_epoch()
        if ranks.rank == 0:
            buffer = io.BytesIO()
            torch.save(pretraining.state(), buffer)
            yield record, buffer.getvalue()
        if record.divergence is not None and record.divergence.lr is None:
            return


def pretrained_weights(state: bytes) -> bytes:
    """The supernet's weights of a saved state of pre-training, as safetensors."""
    return supernet_bytes(torch.load(io.BytesIO(state), map_location="cpu", weights_only=True)["weights"])


def untrained_weights(setup: WorkerSetup) -> bytes:
    """The supernet's weights that pre-training starts from, as safetensors: fresh ones, or another run's."""
    return supernet_bytes(_first_supernet(setup).state_dict())


def new_supernet(setup: WorkerSetup) -> Supernet:
    """A supernet with the fresh weights that belong to the run's seed."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(int(np.random.SeedSequence(setup.seed, spawn_key=(0,)).generate_state(1)[0]))
        return build_supernet(setup.space, setup.weight_sharing)


def warm_start(supernet: Supernet, weights: bytes) -> int:
    """Take over another supernet's weights where names and shapes agree; the classifier stays as it is.

    Args:
        supernet: with fresh weights.
        weights: of the other one, as safetensors.

    Returns:
        How many tensors were taken over.
    """
    own, other = supernet.state_dict(), safetensors.torch.load(weights)
    taken = {
        name: other[name]
        for name, value in own.items()
        if not name.startswith("classifier.") and name in other and other[name].shape == value.shape
    }
    supernet.load_state_dict({**own, **taken})
    return len(taken)


def supernet_bytes(state: Mapping[str, torch.Tensor]) -> bytes:
    """Weights of a supernet as safetensors."""
    return bytes(safetensors.torch.save({name: value.cpu().contiguous() for name, value in state.items()}))


def new_pretraining(
    setup: WorkerSetup, settings: PretrainSettings, device: torch.device, ranks: Ranks = ALONE
) -> Pretraining:
    """Pre-training of a run's supernet."""
    source = ImageBatches(
        setup.splits.weights,
        setup.splits,
        augmentation=setup.augmentation,
        balanced=setup.balanced,
        device=device,
    )
    supernet = _first_supernet(setup).to(device)
    forward = weight_step_forward(setup.weight_sharing, settings.largest_share)
    return Pretraining(
        supernet,
        source,
        settings,
        seed=setup.seed,
        forward=forward,
        precision=setup.precision,
        ranks=ranks,
    )


def _first_supernet(setup: WorkerSetup) -> Supernet:
    supernet = new_supernet(setup)
    if setup.warm_start is not None:
        warm_start(supernet, setup.warm_start)
    return supernet
