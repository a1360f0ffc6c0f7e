"""The fine-tuning of one pre-trained network in a folder: its inputs, as `run` has those of a graph's training."""

from __future__ import annotations

from dataclasses import dataclass, replace

from devices.quantization import Activations
from evaluation.pretrained.network import PretrainedNetwork, counts_of
from evaluation.pretrained.provenance import Pretrained
from evaluation.splits import Splits
from evaluation.training.config import TrainConfig
from evaluation.training.fine_tuning import FineTuneJob
from evaluation.training.folder import TrainFolder
from evaluation.training.origin import BaselineNetwork, TrainOrigin
from evaluation.training.run import train_dataset

MOST_BYTES = 2 * 2**30
"""Memory for images at most."""


@dataclass(frozen=True, kw_only=True, slots=True)
class FineTunePreparation:
    """Checked inputs; implements `evaluation.training.run.Prepared`."""

    config: TrainConfig
    folder: TrainFolder
    pretrained: PretrainedNetwork
    splits: Splits
    """In the size and with the figures that the network's weights expect."""
    activations: Activations = "int8"
    """Type of activations in the int8 file."""

    @property
    def network(self) -> BaselineNetwork:
        """As `architecture.json` has it."""
        return BaselineNetwork(id=self.pretrained.id, input_size=self.pretrained.about.input_size)

    @property
    def job(self) -> FineTuneJob:
        """The job to run."""
        config = self.config
        return FineTuneJob(
            network=self.pretrained,
            settings=config,
            flip=config.flip,
            seed=config.seed,
            activations=self.activations,
        )

    @property
    def origin(self) -> TrainOrigin:
        """What the fine-tuning is made from."""
        size = self.pretrained.about.input_size
        counts = counts_of(self.pretrained, len(self.splits.class_names))
        return TrainOrigin(
            architecture=self.network,
            input_shape=(3, size, size),
            macs=counts.macs,
            params=counts.params,
            dataset=train_dataset(self.splits),
        )


def loaded_size(images: int, input_size: int) -> int:
    """Height and width, in pixels, that so many images are held in: those of a network, or what fits into memory.

    Args:
        images: number of all.
        input_size: of the network; smaller images are enlarged batch by batch.
    """
    return min(input_size, max(1, int((MOST_BYTES / (3 * max(1, images))) ** 0.5)))


def splits_for(splits: Splits, about: Pretrained) -> Splits:
    """Images with the figures that a network's weights expect."""
    return replace(splits, mean_C=about.mean, std_C=about.std, network_size=about.input_size)
