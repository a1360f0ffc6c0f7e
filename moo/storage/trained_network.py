"""What training for deployment made of a network: accuracy, files, what a board measured of them.

Networks of the front and baselines alike; they are made by `moo.deployment.training` and kept in the store.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, asdict, dataclass, fields, replace
from typing import Any

from devices.configuration import Precision, RuntimeConfiguration
from devices.measurement import Measurement, ModelledCosts
from evaluation.pretrained.provenance import Pretrained
from search_space.boundary.records import record_from_json
from search_space.boundary.text import one_line, shown


@dataclass(frozen=True, kw_only=True, slots=True)
class DeployedFile:
    """An ONNX file of a trained network, checked against PyTorch and, where a board was there, measured."""

    precision: Precision
    path: str
    """Relative to the run folder."""
    logits_difference: float
    """Largest absolute difference between its logits and PyTorch's, over the images that were compared."""
    top1: float
    """Accuracy of this very file on the test split, in [0, 1]."""
    error: float
    """Error of this very file on the selection split, in [0, 1]: what fronts in its precision are made of."""
    measurement: Measurement | None = None
    """None where nothing was measured."""
    modelled: ModelledCosts | None = None
    """For a board that is a model; None where there is a real one."""
    litert_top1: float | None = None
    """As `top1`, of the LiteRT file that is made of it; None where no point is under LiteRT, or that is not there."""
    litert_error: float | None = None
    """As `error`, of that."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainedNetwork:
    """A network of the front, or a baseline, after training."""

    name: str
    """Architecture id, or the baseline's name."""
    baseline: bool
    error: float
    """Error on the selection split, in [0, 1], by PyTorch in fp32; so are the next two. Each file has its own."""
    top1: float
    """Share of test images whose label has the highest score."""
    top3: float
    """Share of test images whose label is among the three highest scores."""
    epochs: float
    """Passes over the training images."""
    seconds: float
    """Time that its training took."""
    fine_tuned: bool
    """Whether training started from the weights inherited from the supernet, instead of random ones."""
    macs: int
    """Multiply-accumulates for one image."""
    params: int
    """Trainable parameters."""
    files: tuple[DeployedFile, ...]
    pretrained: Pretrained | None = None
    """Where its weights are from, if it is a network that others have trained before."""
    head_only: bool = False
    """Whether nothing but the last layer of a pre-trained network was trained."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "name", one_line(self.name))

    def file(self, precision: Precision) -> DeployedFile | None:
        """Its file of a precision, if there is one."""
        return next((file for file in self.files if file.precision == precision), None)

    def file_in(self, precision: Precision) -> DeployedFile:
        """Its file of a precision.

        Raises:
            ValueError: if there is none.
        """
        file = self.file(precision)
        if file is None:
            raise ValueError(
                f"a trained network must have a file in {precision}, but {self.name!r} has none; train it anew "
                "with `--fresh`."
            )
        return file

    def file_for(self, configuration: RuntimeConfiguration) -> DeployedFile:
        """Its file of a configuration's precision, with the errors of the file that its runtime reads, if known.

        Raises:
            ValueError: if there is none.
        """
        file = self.file_in(configuration.precision)
        if configuration.runtime == "ort" or file.litert_top1 is None or file.litert_error is None:
            return file
        return replace(file, top1=file.litert_top1, error=file.litert_error)

    def to_json(self) -> dict[str, Any]:
        """A plain dictionary, for the store."""
        return asdict(self)

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> TrainedNetwork:
        """The network that `to_json` gave.

        Raises:
            ValueError: if a key is missing or unknown, of it or of a file.
        """
        _check_keys(cls, content, "a trained network")
        for file in content["files"] if isinstance(content["files"], list | tuple) else ():
            _check_keys(DeployedFile, file, "a file of a trained network")
            for kind, name, what in (
                (Measurement, "measurement", "a measurement"),
                (ModelledCosts, "modelled", "modelled costs"),
            ):
                if file.get(name) is not None:
                    _check_keys(kind, file[name], what)
        if content.get("pretrained") is not None:
            _check_keys(Pretrained, content["pretrained"], "the source of a pre-trained network")
        return record_from_json(cls, content, where="network")


def _check_keys(
    kind: type[DeployedFile | TrainedNetwork | Pretrained | ModelledCosts | Measurement],
    content: Mapping[str, Any],
    what: str,
) -> None:
    """Check the keys of an object; earlier versions did not write those that have a default."""
    if not isinstance(content, Mapping):
        raise ValueError(f"{what} must be an object, but got {shown(content)}.")
    names = {entry.name for entry in fields(kind)}
    needed = {entry.name for entry in fields(kind) if entry.default is MISSING}
    if not needed <= content.keys() <= names:
        raise ValueError(f"{what} must have exactly {', '.join(sorted(names))}, but got {shown(sorted(content))}.")
