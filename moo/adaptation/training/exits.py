"""Candidate exits of networks, trained with these frozen, and what they say of images. Start with `train_exits`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from devices.configuration import Precision
from evaluation.early_exits.files import branched_outcomes
from evaluation.early_exits.outcomes import ExitOutcomes
from evaluation.early_exits.settings import EXIT_EPOCHS_SHARE, ExitTrainSettings
from evaluation.early_exits.training import ExitJob, ExitOutcome
from evaluation.training.config import TrainSettings
from moo import events
from moo.adaptation.inputs import AdaptationInputs
from moo.adaptation.training.backbones import Backbone, begin
from moo.adaptation.training.folder import FRESH, Arrays
from moo.adaptation.training.stages import StageTraining, train_stages
from moo.execution.backend import Trainer
from search_space.boundary.sealing import write_sealed_json

LEAST_EPOCHS = 1.0


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class TrainedExits:
    """All candidate exits of a network."""

    weights: Arrays
    """Of their heads."""
    digest: str
    """Of these."""
    outcomes: Mapping[Precision, ExitOutcomes]
    """On the selection split, in each precision that is searched."""


def train_exits(
    inputs: AdaptationInputs, backbones: Sequence[Backbone], trainer: Callable[[], Trainer]
) -> tuple[dict[str, TrainedExits], dict[str, str]]:
    """Train the candidate exits of networks; those that were before are not trained again.

    Args:
        inputs: what they are trained with.
        backbones: the networks.
        trainer: gives what trains them; called if there is anything to train.

    Returns:
        Trained exits by the network's id; and why others failed.

    Raises:
        ValueError: if what was kept is damaged.
    """
    by_id = {backbone.id: backbone for backbone in backbones}
    waiting = []
    for backbone in backbones:
        begin(backbone)
        if backbone.folder.exits.read_result() is None:
            waiting.append(StageTraining(backbone.folder.exits, _job(inputs, backbone)))

    def keep(name: str, outcome: ExitOutcome) -> None:
        stage = by_id[name].folder.exits
        weights = stage.write_weights(outcome.heads)
        digests = {precision: stage.write_outcomes(own, precision) for precision, own in outcome.outcomes.items()}
        write_sealed_json(stage.result, {"weights": weights, "outcomes": digests, "seconds": outcome.seconds})
        stage.checkpoint.unlink(missing_ok=True)

    failures = train_stages(waiting, trainer, keep, inputs.record, inputs.tell)
    trained = {}
    for done, backbone in enumerate(backbones):
        if backbone.id not in failures:
            inputs.tell(events.StageProgress("evaluating exits", done, len(backbones), backbone.id))
            trained[backbone.id] = own = _read(inputs, backbone)
            accuracies = next(iter(own.outcomes.values())).correct_XN.mean(1)
            labels = tuple(one.label for one in backbone.exits)
            inputs.tell(events.ExitsTrained(backbone.id, labels, tuple(accuracies.tolist())))
    return trained, failures


def _job(inputs: AdaptationInputs, backbone: Backbone) -> ExitJob:
    run, trained_with = inputs.run, backbone.trained_with
    given = inputs.config.exit_epochs
    return ExitJob(
        name=backbone.id,
        space=run.space,
        operators=backbone.architecture.operators,
        exits=backbone.exits,
        weights=backbone.weights,
        settings=replace(
            exit_settings(trained_with), epochs=default_epochs(backbone, EXIT_EPOCHS_SHARE) if given is None else given
        ),
        flip=run.config.flip,
        seed=run.config.seed,
        activations=run.activations,
        precisions=inputs.precisions,
    )


def exit_settings(trained_with: TrainSettings) -> ExitTrainSettings:
    """How exits are trained beside a network: as it was, but for their own epochs.

    Args:
        trained_with: settings of the network's training.
    """
    return ExitTrainSettings(
        batch_size=trained_with.batch_size,
        lr=trained_with.lr,
        label_smoothing=trained_with.label_smoothing,
        augment=trained_with.augment,
        balanced=trained_with.balanced,
        precision=trained_with.precision,
    )


def default_epochs(backbone: Backbone, share: float) -> float:
    """Passes over the training images by default, at least one.

    Args:
        backbone: the network.
        share: of the passes that it was trained for itself.
    """
    trained = backbone.entry.trained
    assert trained is not None, "a backbone is trained"
    return max(LEAST_EPOCHS, share * trained.epochs)


def _read(inputs: AdaptationInputs, backbone: Backbone) -> TrainedExits:
    """What was kept of a network's exits; what they say of images is found where it is missing."""
    stage, run = backbone.folder.exits, inputs.run
    result = stage.read_result()
    try:
        assert result is not None, "its exits are trained"
        weights, digests = stage.read_weights(digest=result["weights"]), dict(result["outcomes"])
    except (KeyError, TypeError) as error:
        raise ValueError(f"{str(stage.result)!r} must be the result of training exits: {error!r}. {FRESH}") from None
    for precision in inputs.precisions:
        if precision not in digests:
            outcomes = branched_outcomes(
                run.space,
                backbone.architecture.operators,
                backbone.exits,
                {**weights, **backbone.weights},
                run.splits,
                precision=precision,
                images=run.splits.selection,
                activations=run.activations,
            )
            digests[precision] = stage.write_outcomes(outcomes, precision)
            write_sealed_json(stage.result, result | {"outcomes": digests})
    outcomes_of = {
        precision: stage.read_outcomes(precision, digest=digests[precision]) for precision in inputs.precisions
    }
    if any(outcomes.exits != backbone.exits for outcomes in outcomes_of.values()):
        raise ValueError(f"what exits say in {str(stage.path)!r} must be of this network's exits, but is not. {FRESH}")
    return TrainedExits(weights=weights, digest=result["weights"], outcomes=outcomes_of)
