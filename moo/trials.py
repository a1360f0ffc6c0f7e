"""What the outer loop tries, and the results.

A `Trial` gives evaluated architectures; a `DeliveryJob` hands out one network of the final front. Where they run is
`moo.execution`. Shape suffixes: L layers, O operators, T steps.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

import numpy.typing as npt

from devices.configuration import RuntimeConfiguration
from devices.cost_tables.energy_objective import EnergyObjective
from devices.quantization import Activations
from dnas.inner_search import ThetaResult, ThetaSettings
from dnas.losses import Coefficients
from dnas.pretraining import PretrainSettings
from dnas.supernets.build import WeightSharing
from dnas.train_precision import TrainPrecision
from evaluation.augmentation import Augmentation
from evaluation.splits import Splits
from moo.limits import CostLimits
from search_space.boundary.records import record_from_json
from search_space.exits import Exit
from search_space.spaces import FBNetSpace

Arrays = dict[str, npt.NDArray[Any]]
Indices = tuple[int, ...]
"""An architecture as the index of each layer's operator in the space's candidates."""
Objectives = tuple[float, float, float]
"""Error, latency in ms, energy in mJ."""


@dataclass(frozen=True, kw_only=True, slots=True)
class WorkerSetup:
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
    deterministic: bool = False
    """Whether a GPU computes the same again, bit for bit."""
    precision: TrainPrecision = "fp32"
    """What steps of pre-training and of inner searches compute in."""
    balanced: bool = False
    """Whether batches draw all classes evenly."""
    warm_start: bytes | None = None
    """Weights of another run's supernet, as safetensors, from which pre-training starts; None for fresh ones."""
    independent: PretrainSettings | None = None
    """How each trial trains a supernet of its own; None if all start from one pre-trained supernet."""
    activations: Activations = "int8"
    """Type of activations of networks in int8: what the board computes with quickest."""
    limits: CostLimits = field(default_factory=CostLimits)
    """What the architecture that stands for a trial should keep."""
    adaptive: EnergyObjective | None = None
    """The energy of a run whose trials are judged by what networks do with early exits; None if by networks as they
    are."""
    searches_per_worker: int | None = None
    """Inner searches that a worker does in one forward; None for 1 on CPUs and several on GPUs."""


@dataclass(frozen=True)
class CoefficientTrial:
    """Search theta for coefficients, and evaluate architectures drawn from it."""

    id: int
    generation: int
    coefficients: Coefficients
    configuration: RuntimeConfiguration | None = None
    """What it is searched for, where the run has several; None is the run's only one."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ArchitectureTrial:
    """Evaluate one architecture that the outer loop itself proposes."""

    id: int
    generation: int
    indices: Indices
    coefficients: Coefficients | None = None
    """Those whose search on a surrogate gave it, if one did."""
    configuration: RuntimeConfiguration | None = None
    """As in `CoefficientTrial`."""


Trial = CoefficientTrial | ArchitectureTrial


@dataclass(frozen=True, kw_only=True, slots=True)
class AdaptiveEvaluation:
    """An architecture at the operating point that is best for its trial, with early exits or without.

    Its heads were fitted in a moment to the network with inherited weights, in fp32; what is deployed is trained anew.
    """

    error: float
    """On the selection split, in fp32, in [0, 1]."""
    cross_entropy: float
    """On the selection split, in nats."""
    latency_ms: float
    """Expected: the sum of shares x costs of the ways. So is the energy, which is that which the run minimises."""
    energy_mj: float
    exits: tuple[Exit, ...]
    """None where the network is best as it is, or has no room for an exit."""
    thresholds: tuple[float, ...]
    """Of each exit: an image leaves at the first whose largest softmax exceeds it."""
    exit_shares: tuple[float, ...]
    """Share of images that leave at each exit, and last of those that pass all."""

    def to_json(self) -> dict[str, Any]:
        """The form in the store."""
        return asdict(self)

    @classmethod
    def from_json(cls, content: Any) -> AdaptiveEvaluation:
        """What `to_json` gave.

        Raises:
            ValueError: if a key is missing, or a value is none of its kind.
        """
        return record_from_json(cls, content, where="adaptive")


@dataclass(frozen=True, kw_only=True, slots=True)
class EvaluatedArchitecture:
    """One architecture that a trial gave."""

    indices: Indices
    error: float
    """Error with inherited weights on the selection split, in [0, 1]."""
    cross_entropy: float
    """Cross-entropy on the selection split, in nats."""
    latency_ms: float
    """Predicted by the cost table of the trial's configuration."""
    energy_mj: float
    """Predicted by the same; the energy that the run minimises."""
    quantized_error: float | None = None
    """Error in int8, of those that stand for a trial in int8."""
    params: int
    """Trainable parameters."""
    correct: bytes | None = None
    """Which images of the selection split it classifies as they are labelled, a bit each (`numpy.packbits`)."""
    adaptive: AdaptiveEvaluation | None = None
    """What it does with early exits, where trials are judged by that."""

    @property
    def searched_error(self) -> float:
        """In the precision of the trial's configuration, where that was evaluated."""
        return self.error if self.quantized_error is None else self.quantized_error


@dataclass(frozen=True, kw_only=True, slots=True)
class TrialResult:
    """What a trial gave."""

    trial: Trial
    architectures: tuple[EvaluatedArchitecture, ...]
    """Of coefficients, the mode of theta first, then the samples."""
    chosen: int
    """Index of the one that stands for the trial: of coefficients, that with the least loss under them."""
    theta: ThetaResult | None
    """The course of the inner search, where the trial has one."""
    seconds: float
    """Duration of the inner search and its evaluations."""
    supernet: bytes | None = None
    """Weights of the trial's own supernet, as safetensors, where each trial trains one."""

    @property
    def objectives(self) -> Objectives:
        """Of the architecture that stands for the trial, with predicted costs.

        Where trials are judged by what networks do with early exits, they are those of its best operating point. In
        int8 that is an estimate: what int8 adds to the error of the network without exits is added to this one, too.
        """
        chosen = self.architectures[self.chosen]
        adaptive = chosen.adaptive
        if adaptive is None:
            return (chosen.searched_error, chosen.latency_ms, chosen.energy_mj)
        error = min(1.0, max(0.0, adaptive.error + (chosen.searched_error - chosen.error)))
        return (error, adaptive.latency_ms, adaptive.energy_mj)


@dataclass(frozen=True)
class TrialFailure:
    """A trial that raised, or whose worker died."""

    trial: Trial
    traceback: str
    died: bool = False
    """Whether what ran it died or wanted memory or the like, which says nothing of it: it is still to be done."""


@dataclass(frozen=True)
class DeliveryJob:
    """Hand out one network: weights with recalibrated statistics, and its error on the test split."""

    indices: Indices
    quantized: bool = False
    """Whether its int8 file is handed out, too."""


@dataclass(frozen=True, kw_only=True, slots=True)
class DeliveryResult:
    """A network of the final front."""

    job: DeliveryJob
    weights: Arrays
    """State of the stand-alone network, by name."""
    test_error: float
    """Error on the test split, in [0, 1]."""
    quantized: bytes | None = None
    """Its int8 file, as a serialised ONNX model."""
    quantized_test_error: float | None = None
    """Error of that file on the test split."""


@dataclass(frozen=True)
class DeliveryFailure:
    """A delivery that raised, or whose worker died."""

    job: DeliveryJob
    traceback: str
    died: bool = False
    """As in `TrialFailure`."""


@dataclass(frozen=True)
class QuantizationJob:
    """Evaluate one network in int8, with inherited weights."""

    indices: Indices


@dataclass(frozen=True)
class QuantizationResult:
    """What a network is worth in int8."""

    job: QuantizationJob
    error: float
    """On the selection split, in [0, 1]."""


@dataclass(frozen=True)
class QuantizationFailure:
    """A quantisation that raised, or whose worker died."""

    job: QuantizationJob
    traceback: str
    died: bool = False
    """As in `TrialFailure`."""


Job = Trial | DeliveryJob | QuantizationJob
Failure = TrialFailure | DeliveryFailure | QuantizationFailure
Outcome = TrialResult | DeliveryResult | QuantizationResult | Failure


def failure_of(job: Job, traceback: str, *, died: bool = False) -> Failure:
    """The outcome of a job that raised, or whose worker died."""
    if isinstance(job, QuantizationJob):
        return QuantizationFailure(job, traceback, died)
    return DeliveryFailure(job, traceback, died) if isinstance(job, DeliveryJob) else TrialFailure(job, traceback, died)


def named(trial: Trial) -> str:
    """What a trial tries, for people to read."""
    return f"trial {trial.id}" if isinstance(trial, CoefficientTrial) else f"architecture {trial.id}"
