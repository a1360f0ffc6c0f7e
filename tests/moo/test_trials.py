from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load

from devices.cost_tables.family import CostTables
from dnas.losses import Coefficients
from dnas.pretraining import PretrainSettings
from evaluation.accuracy import classification, classified, inherited_network
from evaluation.batches import ImageBatches
from evaluation.splits import Splits
from moo.execution.backend import InProcessBackend
from moo.execution.evaluator import Evaluator
from moo.execution.pretraining import new_supernet, pretrained_weights, pretraining_epochs, untrained_weights
from moo.trials import CoefficientTrial, DeliveryJob, DeliveryResult, TrialFailure, TrialResult, WorkerSetup
from search_space.onnx_files import weight_shapes

CPU = torch.device("cpu")
JOBS = [CoefficientTrial(number, 0, Coefficients(0.1 * (number + 1), 1.0, 0.1, 1.0)) for number in range(3)]


@pytest.fixture(scope="module")
def weights(setup: WorkerSetup) -> Any:
    return untrained_weights(setup)


@pytest.fixture
def evaluator(setup: WorkerSetup) -> Any:
    return Evaluator(setup)


def figures(result: Any) -> Any:
    return result.trial, result.architectures, result.chosen, result.theta.records


def test_results_do_not_depend_on_the_worker_or_the_order_of_jobs(
    setup: WorkerSetup, tables: CostTables, weights: Any
) -> None:
    one, other = Evaluator(setup), Evaluator(setup)
    forwards = [figures(one.run(job, tables, weights)) for job in JOBS]
    torch.manual_seed(99)
    backwards = [figures(other.run(job, tables, weights)) for job in reversed(JOBS)][::-1]
    assert forwards == backwards
    assert figures(one.run(JOBS[0], tables, weights)) == forwards[0]
    assert forwards[0][1:] != forwards[1][1:]


def test_a_trial_gives_its_mode_and_samples_each_once(evaluator: Any, tables: CostTables, weights: Any) -> None:
    result = evaluator.run(JOBS[1], tables, weights)
    assert isinstance(result, TrialResult)
    indices = [item.indices for item in result.architectures]
    assert indices[0] == tuple(result.theta.theta_LO.argmax(-1))
    assert 1 <= len(indices) == len(set(indices)) <= 1 + evaluator.setup.samples
    assert len(result.theta.records) == evaluator.setup.theta.steps


def test_an_architecture_is_worth_what_its_stand_alone_network_does(
    evaluator: Any, setup: WorkerSetup, splits: Splits, tables: CostTables, weights: Any
) -> None:
    result = evaluator.run(JOBS[0], tables, weights)
    supernet = new_supernet(setup)
    supernet.load_state_dict(load(weights))
    for item in result.architectures:
        graph = setup.space.graph(tuple(setup.space.operators[index] for index in item.indices))
        state = supernet.sub_network_state(item.indices)
        network = inherited_network(graph, state, ImageBatches(splits.weights, splits))
        found = classified(network, ImageBatches(splits.selection, splits))
        assert (found.error, found.cross_entropy) == (item.error, item.cross_entropy)
        assert item.correct == np.packbits(found.correct_N).tobytes()
        assert (item.latency_ms, item.energy_mj) == (
            tables.base.latency_of(item.indices),
            tables.base.energy_of(item.indices),
        )


def test_the_architecture_of_least_loss_stands_for_the_trial(evaluator: Any, tables: CostTables, weights: Any) -> None:
    job = CoefficientTrial(7, 1, Coefficients(3.0, 0.7, 0.4, 1.3))
    result = evaluator.run(job, tables, weights)
    latency_reference = tables.base.latency_ms.mean(1).sum() + tables.base.fixed_latency_ms
    energy_reference = tables.base.energy_mj.mean(1).sum() + tables.base.fixed_energy_mj
    losses = [
        item.cross_entropy
        + 3.0 * (item.latency_ms / latency_reference) ** 0.7
        + 0.4 * (item.energy_mj / energy_reference) ** 1.3
        for item in result.architectures
    ]
    assert result.chosen == int(np.argmin(losses))


def test_other_weights_are_used(evaluator: Any, setup: WorkerSetup, tables: CostTables, weights: Any) -> None:
    from dataclasses import replace

    before = evaluator.run(JOBS[0], tables, weights)
    other = untrained_weights(replace(setup, seed=1))
    assert other != weights
    changed = evaluator.run(JOBS[0], tables, other)
    fresh = Evaluator(setup).run(JOBS[0], tables, other)
    assert figures(changed) == figures(fresh)
    assert figures(changed) != figures(before)
    assert figures(evaluator.run(JOBS[0], tables, weights)) == figures(before)


def test_the_inner_search_leaves_the_weights_as_they_are(evaluator: Any, tables: CostTables, weights: Any) -> None:
    evaluator.run(JOBS[0], tables, weights)
    after = evaluator.supernet.state_dict()
    assert all(torch.equal(value, after[name]) for name, value in load(weights).items())


def test_a_delivery_has_all_weights_and_the_error_on_the_test_split(
    evaluator: Any, setup: WorkerSetup, splits: Splits, tables: CostTables, weights: Any
) -> None:
    result = evaluator.run(DeliveryJob((1, 2, 0)), tables, weights)
    assert isinstance(result, DeliveryResult)
    graph = setup.space.graph(("k3_e6", "skip", "k3_e1"))
    for name, shape in weight_shapes(graph).items():
        assert result.weights[name].shape == shape
    state = evaluator.supernet.sub_network_state((1, 2, 0))
    network = inherited_network(graph, state, ImageBatches(splits.weights, splits))
    assert result.test_error == classification(network, ImageBatches(splits.test, splits))[0]


def test_test_images_are_not_read_before_a_delivery(
    setup: WorkerSetup, tables: CostTables, weights: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = []
    original = ImageBatches.__init__

    def spy(self: Any, images: Any, *args: Any, **options: Any) -> None:
        read.append(images)
        original(self, images, *args, **options)

    monkeypatch.setattr(ImageBatches, "__init__", spy)
    evaluator = Evaluator(setup)
    evaluator.run(JOBS[0], tables, weights)
    assert not any(images is setup.splits.test for images in read)
    evaluator.run(DeliveryJob((0, 0, 0)), tables, weights)
    assert any(images is setup.splits.test for images in read)


def test_fresh_weights_depend_on_the_seed_alone(setup: WorkerSetup, weights: Any) -> None:
    torch.manual_seed(5)
    before = torch.random.get_rng_state()
    assert untrained_weights(setup) == weights
    assert torch.equal(torch.random.get_rng_state(), before)


def test_pretraining_goes_on_from_any_saved_state_as_if_uninterrupted(setup: WorkerSetup) -> None:
    settings = PretrainSettings(epochs=3, batch_size=32)
    whole = list(pretraining_epochs(setup, settings, None, CPU))
    assert [record.epoch for record, _ in whole] == [1, 2, 3]
    later = list(pretraining_epochs(setup, settings, whole[0][1], CPU))
    assert [record for record, _ in later] == [record for record, _ in whole[1:]]
    assert pretrained_weights(later[-1][1]) == pretrained_weights(whole[-1][1])
    assert pretrained_weights(whole[0][1]) != pretrained_weights(whole[-1][1])
    assert list(pretraining_epochs(setup, settings, whole[-1][1], CPU)) == []


def test_a_job_that_raises_comes_back_with_its_traceback_and_the_others_go_on(
    setup: WorkerSetup, tables: CostTables, weights: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def search(self: Any, job: Any, costs: Any) -> Any:
        if job.id == 1:
            raise ArithmeticError("theta is not a number")
        return job

    monkeypatch.setattr(Evaluator, "search", search)
    started: list[Any] = []
    outcomes = list(InProcessBackend(setup).run(JOBS, tables, weights, started.append))
    assert started == JOBS
    assert [outcomes[0], outcomes[2]] == [JOBS[0], JOBS[2]]
    assert isinstance(outcomes[1], TrialFailure)
    assert outcomes[1].trial == JOBS[1]
    assert "Traceback" in outcomes[1].traceback
    assert "ArithmeticError: theta is not a number" in outcomes[1].traceback
