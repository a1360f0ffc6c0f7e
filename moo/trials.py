"""What the outer loop has done for it, free of Ray: jobs, their outcomes, and where they run.

A `SearchJob` gives evaluated architectures; a `DeliveryJob` hands out one network. `moo.execution.evaluator` does them.
Shape suffixes: L layers, O operators, T steps.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy.typing as npt

from dnas.build import WeightSharing
from dnas.inner_search import ThetaResult, ThetaSettings
from dnas.losses import Coefficients
from dnas.pretraining import PretrainSettings
from evaluation.splits import Augmentation, Splits
from search_space.spaces import FBNetSpace

Arrays = dict[str, npt.NDArray[Any]]
Indices = tuple[int, ...]
"""An architecture as the index of each layer's operator in the space's candidates."""
Objectives = tuple[float, float, float]
"""Error, latency in ms, energy in mJ."""


@dataclass(frozen=True)
class Bench:
    """All that a worker is set up with."""

    space: FBNetSpace
    splits: Splits
    weight_sharing: WeightSharing
    augmentation: Augmentation
    theta: ThetaSettings
    samples: int
    """Architectures sampled from each theta, besides its mode."""
    seed: int
    threads: int
    """CPU threads of torch."""
    independent: PretrainSettings | None = None
    """How each tuple trains a supernet of its own; None if all start from one pre-trained supernet."""


@dataclass(frozen=True)
class TupleJob:
    """Search theta for one tuple of coefficients, and evaluate architectures drawn from it."""

    id: int
    generation: int
    coefficients: Coefficients


@dataclass(frozen=True)
class ArchitectureJob:
    """Evaluate one architecture that the outer loop itself proposes."""

    id: int
    generation: int
    indices: Indices
    coefficients: Coefficients | None = None
    """The tuple whose search on a surrogate gave it, if one did."""


@dataclass(frozen=True)
class EvaluatedArchitecture:
    """One architecture that a job gave."""

    indices: Indices
    error: float
    """Error with inherited weights on the selection split, in [0, 1]."""
    cross_entropy: float
    """Cross-entropy on the selection split, in nats."""
    latency_ms: float
    """Predicted by the cost table."""
    energy_mj: float
    """Predicted by the cost table."""


SearchJob = TupleJob | ArchitectureJob


@dataclass(frozen=True)
class SearchResult:
    """What a search job gave."""

    job: SearchJob
    architectures: tuple[EvaluatedArchitecture, ...]
    """Of a tuple, the mode of theta first, then the samples."""
    chosen: int
    """Index of the one that stands for the job: of a tuple, that with the least loss under its own coefficients."""
    theta: ThetaResult | None
    """The course of a tuple's inner search."""
    seconds: float
    """Duration of the inner search and its evaluations."""
    supernet: bytes | None = None
    """Weights of the tuple's own supernet, as safetensors, where each tuple trains one."""


@dataclass(frozen=True)
class DeliveryJob:
    """Hand out one network: weights with recalibrated statistics, and its error on the test split."""

    indices: Indices


@dataclass(frozen=True)
class DeliveryResult:
    """A network of the final front."""

    job: DeliveryJob
    weights: Arrays
    """State of the stand-alone network, by name."""
    test_error: float
    """Error on the test split, in [0, 1]."""


@dataclass(frozen=True)
class JobFailure:
    """A job that raised, or whose worker died."""

    job: SearchJob | DeliveryJob
    traceback: str


Job = SearchJob | DeliveryJob
Outcome = SearchResult | DeliveryResult | JobFailure


def named(job: SearchJob) -> str:
    """What a job tries, for people to read."""
    return f"{'tuple' if isinstance(job, TupleJob) else 'architecture'} {job.id}"
