"""Networks on the joint front, trained on together with the exits of their plans, and made into files.

Start with `deploy_finalists`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from evaluation.early_exits.joint import JointJob, JointOutcome
from evaluation.early_exits.settings import JOINT_EPOCHS_SHARE, JOINT_LR_SHARE
from moo import events
from moo.adaptation.inputs import AdaptationInputs
from moo.adaptation.training.backbones import Backbone
from moo.adaptation.training.deployed import (
    Deployment,
    JointResult,
    begin_deployment,
    deploy,
    plan_weights,
    read_deployment,
)
from moo.adaptation.training.exits import TrainedExits, default_epochs, exit_settings
from moo.adaptation.training.stages import StageTraining, train_stages
from moo.execution.backend import Trainer
from search_space.exits import Exit


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Finalist:
    """A network on the joint front, and the exits that it gets."""

    backbone: Backbone
    trained: TrainedExits
    """All its candidates."""
    plan: tuple[Exit, ...]

    @property
    def id(self) -> str:
        """Of its architecture."""
        return self.backbone.id


def deploy_finalists(
    inputs: AdaptationInputs, finalists: Sequence[Finalist], trainer: Callable[[], Trainer]
) -> tuple[list[Deployment], dict[str, str]]:
    """Train finalists on together with their exits, cut them into segments, and check these; what was done is kept.

    Args:
        inputs: what they are adapted with.
        finalists: the networks.
        trainer: gives what trains them; called if there is anything to train.

    Returns:
        The networks in their order, and why others failed.

    Raises:
        ValueError: if what was kept is damaged, or files do not compute what PyTorch does.
    """
    waiting, jobs = [], []
    for one in finalists:
        begin_deployment(
            inputs.run,
            one.backbone,
            one.plan,
            inputs.precisions,
            weights=one.trained.digest,
            joint_epochs=inputs.config.joint_epochs,
        )
        if one.backbone.folder.deployed.read_result() is None:
            waiting.append(one)
            if inputs.config.joint_epochs != 0:
                jobs.append(StageTraining(one.backbone.folder.deployed, _job(inputs, one)))

    by_id = {one.id: one for one in waiting}
    done = 0

    def finish(one: Finalist, outcome: JointOutcome | None) -> None:
        nonlocal done
        inputs.tell(events.StageProgress("exporting", done, len(waiting), one.id))
        if outcome is None:
            weights = plan_weights(inputs.run, one.backbone, one.plan, one.trained.weights)
            deploy(inputs.run, one.backbone, one.plan, weights, inputs.precisions, joint=None)
        else:
            before, after = outcome.accuracy_before, outcome.accuracy_after
            joint = JointResult(kept=outcome.kept, lost=None if after is None else before - after)
            deploy(inputs.run, one.backbone, one.plan, outcome.weights, inputs.precisions, joint=joint)
        done += 1

    def keep(name: str, outcome: JointOutcome) -> None:
        finish(by_id[name], outcome)

    failures = train_stages(jobs, trainer, keep, inputs.record, inputs.tell)
    deployments = []
    for one in finalists:
        if one.id in failures:
            continue
        if one.backbone.folder.deployed.read_result() is None:
            finish(one, None)
        deployment = read_deployment(one.backbone, one.plan)
        assert deployment is not None, "it was deployed just now"
        inputs.tell(
            events.NetworkDeployed(
                one.id, tuple(exit_.label for exit_ in one.plan), deployment.jointly_trained, deployment.lost
            )
        )
        deployments.append(deployment)
    return deployments, failures


def _job(inputs: AdaptationInputs, one: Finalist) -> JointJob:
    run, trained_with = inputs.run, one.backbone.trained_with
    settings, given = exit_settings(trained_with), inputs.config.joint_epochs
    return JointJob(
        name=one.id,
        space=run.space,
        operators=one.backbone.architecture.operators,
        exits=one.plan,
        weights=plan_weights(run, one.backbone, one.plan, one.trained.weights),
        settings=replace(
            settings,
            epochs=default_epochs(one.backbone, JOINT_EPOCHS_SHARE) if given is None else given,
            lr=None if settings.lr is None else JOINT_LR_SHARE * settings.lr,
        ),
        flip=run.config.flip,
        seed=run.config.seed,
        precisions=(),
    )
