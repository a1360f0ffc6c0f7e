"""What was learnt of a network's early exits, as sealed files in the run. Start with `AdaptationFolder`.

Array shapes: N images, E exits, X = E + 1 ways through a network.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.numpy

from devices.configuration import PRECISIONS, Precision
from evaluation.early_exits.outcomes import ExitOutcomes
from search_space.boundary.sealing import (
    digest_of,
    read_sealed_json,
    read_sealed_state,
    read_tensors,
    sealed_state,
    sealed_tensors,
)
from search_space.boundary.text import shown
from search_space.boundary.writing import write_atomically
from search_space.exits import HEADS, Exit

FRESH = "Restore it from a copy, or add `--fresh` to train its exits anew."
Arrays = dict[str, np.ndarray[Any, np.dtype[Any]]]


@dataclass(frozen=True)
class StageFolder:
    """The files of a stage of a network's adaptation: its exits trained, or its segments made."""

    path: Path

    @property
    def config(self) -> Path:
        """What the stage is made with."""
        return self.path / "config.json"

    @property
    def checkpoint(self) -> Path:
        """State of training after its last finished epoch."""
        return self.path / "checkpoint.pt"

    @property
    def weights(self) -> Path:
        """Weights that were trained."""
        return self.path / "weights.safetensors"

    def outcomes(self, precision: Precision, split: str = "selection") -> Path:
        """What each exit says of each image of a split."""
        return self.path / f"outcomes_{split}_{precision}.safetensors"

    @property
    def result(self) -> Path:
        """Results, written last: with it, the stage has ended."""
        return self.path / "result.json"

    def read_config(self) -> dict[str, Any] | None:
        """What the stage was begun with; None if it was not begun.

        Raises:
            ValueError: if that is damaged, or lost where there is what was made with it.
        """
        if not self.config.exists():
            if self.result.exists() or self.checkpoint.exists():
                raise ValueError(f"{str(self.path)!r} must have a {self.config.name} to go on, but has none. {FRESH}")
            return None
        return self._object(self.config, "what a network's exits are made with")

    def read_result(self) -> dict[str, Any] | None:
        """Results of the stage; None if it has not ended.

        Raises:
            ValueError: if they are damaged.
        """
        return self._object(self.result, "results of a network's exits") if self.result.exists() else None

    def _object(self, path: Path, what: str) -> dict[str, Any]:
        content = read_sealed_json(path, what=what, remedy=FRESH)
        if not isinstance(content, dict):
            raise ValueError(f"{str(path)!r} must hold an object, but holds {shown(content)}. {FRESH}")
        return content

    def forget(self) -> None:
        """Have the stage begin anew; killed in between, it does so at the next attempt, too."""
        on_test = [self.outcomes(precision, "test") for precision in PRECISIONS]
        for path in (self.result, self.checkpoint, *on_test, self.config):
            path.unlink(missing_ok=True)

    def read_checkpoint(self) -> bytes | None:
        """State of training after its last finished epoch; None if none has ended.

        Raises:
            ValueError: if it is damaged.
        """
        if not self.checkpoint.exists():
            return None
        return read_sealed_state(self.checkpoint, what="the checkpoint of a training", remedy=FRESH)

    def write_checkpoint(self, state: bytes) -> None:
        """Keep a state of training."""
        write_atomically(self.checkpoint, sealed_state(state))

    def write_weights(self, weights: Arrays) -> str:
        """Keep weights; returns their digest."""
        content = sealed_tensors(safetensors.numpy.save(weights))
        write_atomically(self.weights, content)
        return digest_of(content)

    def read_weights(self, *, digest: str) -> Arrays:
        """Weights as they were kept.

        Args:
            digest: that they must have.

        Raises:
            ValueError: if they are missing, damaged, or others.
        """
        content = read_tensors(self.weights, what="the weights of a network with exits", remedy=FRESH)
        self._check_digest(self.weights, content, digest)
        return dict(safetensors.numpy.load(content))

    def _check_digest(self, path: Path, content: bytes, digest: str) -> None:
        if digest_of(content) != digest:
            raise ValueError(
                f"the files of a network's exits must belong together, but {str(path)!r} does not match its digest in "
                f"{self.result.name}: it is another network's. {FRESH}"
            )

    def write_outcomes(self, outcomes: ExitOutcomes, precision: Precision, split: str = "selection") -> str:
        """Keep outcomes; returns their digest."""
        arrays: Arrays = {
            "exits": np.array([(one.layer, HEADS.index(one.head)) for one in outcomes.exits], np.int64).reshape(-1, 2),
            "confidence": np.ascontiguousarray(outcomes.confidence_XN),
            "correct": np.ascontiguousarray(outcomes.correct_XN.astype(np.uint8)),
            "cross_entropy": np.ascontiguousarray(outcomes.cross_entropy_XN),
        }
        content = sealed_tensors(safetensors.numpy.save(arrays))
        write_atomically(self.outcomes(precision, split), content)
        return digest_of(content)

    def read_outcomes(
        self, precision: Precision, split: str = "selection", *, digest: str | None = None
    ) -> ExitOutcomes:
        """Outcomes as they were kept.

        Args:
            precision: of the files that they are of.
            split: of the images.
            digest: that they must have; None where none is known.

        Raises:
            ValueError: if they are missing, damaged, or others.
        """
        path = self.outcomes(precision, split)
        content = read_tensors(path, what="what exits say of images", remedy=FRESH)
        if digest is not None:
            self._check_digest(path, content, digest)
        try:
            arrays = safetensors.numpy.load(content)
            return ExitOutcomes(
                exits=tuple(Exit(int(layer), HEADS[int(head)]) for layer, head in arrays["exits"]),
                confidence_XN=arrays["confidence"],
                correct_XN=arrays["correct"].astype(bool),
                cross_entropy_XN=arrays["cross_entropy"],
            )
        except (KeyError, IndexError, TypeError, ValueError) as error:
            raise ValueError(f"{str(path)!r} must be what exits say of images, but is not: {error}. {FRESH}") from None


@dataclass(frozen=True)
class AdaptationFolder:
    """Where everything lies that was learnt of one network."""

    path: Path

    @property
    def exits(self) -> StageFolder:
        """Its candidate exits, trained with the network frozen."""
        return StageFolder(self.path / "exits")

    @property
    def deployed(self) -> StageFolder:
        """The exits that it is deployed with, perhaps trained together with it, and its segments."""
        return StageFolder(self.path / "deployed")

    @property
    def measurements(self) -> Path:
        """What a board measured of its ways."""
        return self.path / "deployed" / "measurements.json"

    def forget(self) -> None:
        """Have everything begin anew; killed in between, it does so at the next attempt, too."""
        self.measurements.unlink(missing_ok=True)
        self.deployed.forget()
        self.exits.forget()
