"""Networks on the joint front, trained on together with the exits of their plans, and made into files.

Start with `deploy_finalists`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from evaluation.early_exits.training import JointJob, JointOutcome
from moo import events
from moo.adaptation.backbones import Backbone
from moo.adaptation.deployed import Deployment, begin_deployment, deploy, plan_weights, read_deployment
from moo.adaptation.exit_training import TrainedExits
from moo.adaptation.folder import Arrays
from moo.adaptation.inputs import AdaptationInputs
from moo.adaptation.stages import StageTraining, train_stages
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
        The networks in their order; and why joint training failed, where it did: those keep their frozen weights.

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

    def finish(one: Finalist, weights: Arrays | None) -> None:
        nonlocal done
        inputs.tell(events.StageProgress("exporting", done, len(waiting), one.id))
        frozen = plan_weights(inputs.run, one.backbone, one.plan, one.trained.weights)
        deploy(inputs.run, one.backbone, one.plan, frozen, weights, inputs.precisions)
        done += 1

    def keep(name: str, outcome: JointOutcome) -> None:
        finish(by_id[name], dict(outcome.weights))

    failures = train_stages(jobs, trainer, keep, inputs.record, inputs.tell)
    deployments = []
    for one in finalists:
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
    run = inputs.run
    return JointJob(
        name=one.id,
        space=run.space,
        operators=one.backbone.architecture.operators,
        exits=one.plan,
        weights=plan_weights(run, one.backbone, one.plan, one.trained.weights),
        settings=one.backbone.trained_with,
        seed=run.config.seed,
    )
