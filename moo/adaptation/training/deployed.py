"""A network with the exits that it is deployed with: trained on together with them, cut into segments, and checked.

Start with `begin_deployment`, then `deploy`; `read_deployment` gives what was kept.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from devices.configuration import Precision
from evaluation.early_exits.files import ExportedSegments, export_segments, segment_outcomes
from evaluation.early_exits.outcomes import ExitOutcomes
from evaluation.work_folder import check_same_values
from moo.adaptation.training.backbones import Backbone
from moo.adaptation.training.folder import FRESH, Arrays, StageFolder
from moo.deployment.finished_run import FinishedRun
from search_space.boundary.reading import read_bytes
from search_space.boundary.sealing import MOST_STATE_BYTES, digest_of, write_sealed_json
from search_space.boundary.text import shown
from search_space.boundary.writing import write_atomically
from search_space.exits import Exit
from search_space.segments import branched_graph

_NOT_OURS = "must be that of this network's segments"


@dataclass(frozen=True, kw_only=True, slots=True)
class JointResult:
    """What training a network together with its exits came to."""

    kept: bool
    """Whether the network is deployed with what it gave."""
    lost: float | None
    """Accuracy that its last exit lost on the selection split; None where the loss did not stay finite."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Deployment:
    """A network with exits, ready to be measured and deployed."""

    backbone: Backbone
    exits: tuple[Exit, ...]
    jointly_trained: bool
    lost: float | None
    """Accuracy that its last exit lost by joint training, dropped or not; None where there was none."""
    segments: Mapping[Precision, ExportedSegments]
    """In each precision that is searched."""

    @property
    def params(self) -> tuple[int, ...]:
        """Of each segment, in any precision."""
        return next(iter(self.segments.values())).params

    @property
    def digests(self) -> dict[str, list[str]]:
        """Of each segment, by precision."""
        return {precision: [digest_of(model) for model in own.models] for precision, own in self.segments.items()}

    @property
    def folder(self) -> StageFolder:
        """Where it is kept."""
        return self.backbone.folder.deployed


def check_deployment(backbone: Backbone, *, joint_epochs: float | None) -> None:
    """Check that a deployment that was begun before can go on.

    Raises:
        ValueError: if it was begun with another number of epochs, or is damaged.
    """
    saved = backbone.folder.deployed.read_config()
    if saved is None:
        return
    if saved.keys() != {"network", "weights", "exits", "joint_epochs", "precisions", "activations"}:
        raise ValueError(
            f"{str(backbone.folder.deployed.config)!r} {_NOT_OURS}, but holds {shown(sorted(saved))}. {FRESH}"
        )
    check_same_values(
        {"joint_epochs": joint_epochs},
        {"joint_epochs": saved["joint_epochs"]},
        free=(),
        rule=f"{backbone.id} must go on with its own settings, but it was trained together with its exits with",
        remedy="add `--fresh` to train all exits anew",
    )


def begin_deployment(
    run: FinishedRun,
    backbone: Backbone,
    plan: Sequence[Exit],
    precisions: Sequence[Precision],
    *,
    weights: str,
    joint_epochs: float | None,
) -> None:
    """Begin, or go on with, a network's deployment with a plan; one with another plan is forgotten.

    Args:
        run: that the network is of.
        backbone: the network.
        plan: the exits that it gets.
        precisions: that its segments are made in.
        weights: digest of those of its candidate exits.
        joint_epochs: that it is trained on for, as given.
    """
    stage = backbone.folder.deployed
    made_with: dict[str, Any] = {
        "network": backbone.id,
        "weights": weights,
        "exits": [one.to_json() for one in plan],
        "joint_epochs": joint_epochs,
        "precisions": list(precisions),
        "activations": run.activations,
    }
    if stage.read_config() == made_with:
        return
    backbone.folder.measurements.unlink(missing_ok=True)
    stage.forget()
    write_sealed_json(stage.config, made_with)


def plan_weights(run: FinishedRun, backbone: Backbone, plan: Sequence[Exit], heads: Arrays) -> Arrays:
    """The weights of a network and of the exits of a plan, those of other candidates omitted.

    Args:
        run: that the network is of.
        backbone: the network.
        plan: its exits.
        heads: weights of all candidates, and of the network or not.
    """
    names = {node.name for node in branched_graph(run.space, backbone.architecture.operators, plan).graph.nodes}
    weights = {**heads, **backbone.weights}
    return {name: value for name, value in weights.items() if name.partition(".")[0] in names}


def deploy(
    run: FinishedRun,
    backbone: Backbone,
    plan: Sequence[Exit],
    weights: Arrays,
    precisions: Sequence[Precision],
    *,
    joint: JointResult | None,
) -> None:
    """Cut a network at its exits, check the files, and keep them.

    Args:
        run: that the network is of.
        backbone: the network.
        plan: its exits.
        weights: of the network and these.
        precisions: that segments are made in.
        joint: what joint training came to; None where there was none.

    Raises:
        ValueError: if the files do not compute what PyTorch does.
    """
    stage = backbone.folder.deployed
    found = export_segments(
        run.space,
        backbone.architecture.operators,
        plan,
        weights,
        run.splits,
        activations=run.activations,
        precisions=precisions,
    )
    files: dict[str, Any] = {}
    for one in found:
        for number, model in enumerate(one.models):
            write_atomically(segment_path(stage, number, one.precision), model)
        files[one.precision] = {
            "segments": [digest_of(model) for model in one.models],
            "outcomes": stage.write_outcomes(one.outcomes, one.precision),
            "logits_difference": one.logits_difference,
            "one_file_difference": one.one_file_difference,
        }
    write_sealed_json(
        stage.result,
        {
            "weights": stage.write_weights(weights),
            "jointly_trained": joint is not None and joint.kept,
            "lost": None if joint is None else joint.lost,
            "params": list(found[0].params),
            "files": files,
        },
    )
    stage.checkpoint.unlink(missing_ok=True)


def read_deployment(backbone: Backbone, plan: Sequence[Exit]) -> Deployment | None:
    """What was kept of a network's deployment; None if it has not ended.

    Raises:
        ValueError: if a file is missing, damaged, or another one's.
    """
    stage = backbone.folder.deployed
    result = stage.read_result()
    if result is None:
        return None
    try:
        if "weights" in result:  # Nothing computes with them: they are for those who train on.
            stage.read_weights(digest=result["weights"])
        segments = {
            precision: _read_segments(stage, precision, content, tuple(plan), tuple(result["params"]))
            for precision, content in result["files"].items()
        }
        return Deployment(
            backbone=backbone,
            exits=tuple(plan),
            jointly_trained=bool(result["jointly_trained"]),
            lost=result["lost"],
            segments=segments,
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{str(stage.result)!r} {_NOT_OURS}, but is not: {error!r}. {FRESH}") from None


def outcomes_on_test(run: FinishedRun, deployment: Deployment, precision: Precision) -> ExitOutcomes:
    """What the exits say of the test split, which is read once for each file."""
    path = deployment.folder.outcomes(precision, "test")
    if not path.exists():
        models = deployment.segments[precision].models
        outcomes = segment_outcomes(models, deployment.exits, run.splits.test, run.splits)
        deployment.folder.write_outcomes(outcomes, precision, "test")
    return deployment.folder.read_outcomes(precision, "test")


def segment_path(stage: StageFolder, number: int, precision: Precision) -> Path:
    """Where a segment is kept, counted from 0."""
    return stage.path / f"segment_{number}{'_int8' if precision == 'int8' else ''}.onnx"


def _read_segments(
    stage: StageFolder, precision: Precision, content: Any, exits: tuple[Exit, ...], params: tuple[int, ...]
) -> ExportedSegments:
    models, outcomes = [], stage.read_outcomes(precision, digest=content["outcomes"])
    if not len(content["segments"]) == len(params) == len(exits) + 1 or outcomes.exits != exits:
        raise ValueError(f"{str(stage.result)!r} {_NOT_OURS}, but is of other exits. {FRESH}")
    for number, digest in enumerate(content["segments"]):
        path = segment_path(stage, number, precision)
        try:
            model = read_bytes(path, what="a segment of a network", most=MOST_STATE_BYTES)
        except ValueError as error:
            raise ValueError(f"{error} {FRESH}") from None
        if digest_of(model) != digest:
            raise ValueError(
                f"segments must be whole and belong together, but {str(path)!r} is damaged, or another network's: it "
                f"does not match its digest in {stage.result.name}. {FRESH}"
            )
        models.append(model)
    return ExportedSegments(
        precision=precision,
        exits=exits,
        models=tuple(models),
        logits_difference=float(content["logits_difference"]),
        one_file_difference=float(content["one_file_difference"]),
        outcomes=outcomes,
        params=params,
    )
