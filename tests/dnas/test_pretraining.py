import dataclasses
import io
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from dnas.batches import BatchSource
from dnas.pretraining import (
    DrawForward,
    Forward,
    Pretraining,
    PretrainRecord,
    PretrainSettings,
    largest_operator,
    mixed_paths,
    sampled_or_largest,
    sampled_path,
    weight_step_forward,
)
from dnas.supernets.build import build_supernet
from dnas.supernets.supernet import Supernet
from search_space.spaces import FBNetSpace
from tests.dnas.conftest import SourceOf

SETTINGS = PretrainSettings(epochs=3, batch_size=16, label_smoothing=0.1)


def pretraining(
    space: FBNetSpace,
    source: BatchSource,
    *,
    init: int,
    settings: PretrainSettings = SETTINGS,
    seed: int = 5,
    **options: Any,
) -> Pretraining:
    torch.manual_seed(init)
    return Pretraining(build_supernet(space, "shared"), source, settings, seed=seed, **options)


def watched(watch: Callable[[Tensor], None]) -> DrawForward:
    """A sampled path whose images are seen."""

    def draw(supernet: Supernet, rng: np.random.Generator) -> Forward:
        path = sampled_path(supernet, rng)

        def forward(x_BCHW: Tensor) -> Tensor:
            watch(x_BCHW)
            return path(x_BCHW)

        return forward

    return draw


def scaled_by(factor: Callable[[], float]) -> DrawForward:
    """A sampled path whose logits are scaled."""

    def draw(supernet: Supernet, rng: np.random.Generator) -> Forward:
        path = sampled_path(supernet, rng)
        return lambda x_BCHW: path(x_BCHW) * factor()

    return draw


def equal(one: Pretraining, other: Pretraining) -> bool:
    return all(torch.equal(a, b) for a, b in zip(one.supernet.parameters(), other.supernet.parameters(), strict=True))


@pytest.mark.parametrize("forward", [sampled_path, mixed_paths, sampled_or_largest(0.5)])
@pytest.mark.parametrize("epoch", [0, 1, 2])
def test_a_resumed_run_equals_an_uninterrupted_one_bit_for_bit(
    space: FBNetSpace, easy_source: SourceOf, forward: DrawForward, epoch: int
) -> None:
    source = easy_source(40)
    uninterrupted = pretraining(space, source, init=1, forward=forward)
    records = []
    for number in range(3):
        if number == epoch:
            buffer = io.BytesIO()
            torch.save(uninterrupted.state(), buffer)
        records.append(uninterrupted.run_epoch())
    resumed = pretraining(space, source, init=2, forward=forward)
    buffer.seek(0)
    resumed.load_state(torch.load(buffer, weights_only=True))
    assert resumed.epochs_done == epoch
    assert [resumed.run_epoch() for _ in range(epoch, 3)] == records[epoch:]
    assert equal(uninterrupted, resumed)


def test_a_state_stays_as_it_was_while_training_goes_on(space: FBNetSpace, easy_source: SourceOf) -> None:
    """Also while a run that was resumed from it goes on."""
    first = pretraining(space, easy_source(32), init=1)
    first.run_epoch()
    state = first.state()
    first.run_epoch()
    second, third = (pretraining(space, easy_source(32), init=init) for init in (2, 3))
    for resumed in (second, third):
        resumed.load_state(state)
        resumed.run_epoch()
        assert equal(first, resumed)


def test_epochs_depend_on_the_seed(space: FBNetSpace, easy_source: SourceOf) -> None:
    runs = [pretraining(space, easy_source(32), init=1, seed=seed) for seed in (5, 5, 6)]
    for run in runs:
        run.run_epoch()
    assert equal(runs[0], runs[1])
    assert not equal(runs[0], runs[2])


def test_each_epoch_has_an_order_of_its_own(space: FBNetSpace, easy_source: SourceOf) -> None:
    orders = []

    def watch(x_BCHW: Tensor) -> None:
        orders.append(x_BCHW.flatten().tolist())

    run = pretraining(space, easy_source(16), init=1, forward=watched(watch))
    for _ in range(2):
        run.run_epoch()
    assert orders[0] != orders[1]
    assert sorted(orders[0]) == sorted(orders[1])


def test_loss_falls_on_an_easy_data_set(space: FBNetSpace, easy_source: SourceOf) -> None:
    run = pretraining(space, easy_source(96), init=1, settings=PretrainSettings(epochs=8, batch_size=16))
    records = [run.run_epoch() for _ in range(8)]
    assert [record.epoch for record in records] == list(range(1, 9))
    assert records[-1].loss < 0.5 * records[0].loss
    assert records[-1].accuracy > 0.8


def test_learning_rate_warms_up_and_decays_to_zero(space: FBNetSpace, easy_source: SourceOf) -> None:
    """In closed form: 20 steps, of which 5 warm up."""
    settings = PretrainSettings(epochs=20, batch_size=16, lr=0.2, warmup_fraction=0.25)
    run = pretraining(space, easy_source(16), init=1, settings=settings)
    rates = [run.run_epoch().lr for _ in range(20)]
    warm = [0.2 * step / 6 for step in range(1, 6)]
    cosine = [0.1 * (1 + math.cos(math.pi * (step - 5) / 15)) for step in range(5, 20)]
    assert rates == pytest.approx(warm + cosine)


def test_only_whole_batches_are_used_where_there_is_one(space: FBNetSpace, easy_source: SourceOf) -> None:
    sizes: list[int] = []

    for count in (33, 9):
        forward = watched(lambda x_BCHW: sizes.append(len(x_BCHW)))
        pretraining(space, easy_source(count), init=1, forward=forward).run_epoch()
    assert sizes == [16, 16, 9]


def test_an_epoch_has_as_many_passes_as_asked_for(space: FBNetSpace, easy_source: SourceOf) -> None:
    settings = PretrainSettings(epochs=2, batch_size=16, passes=3)
    run = pretraining(space, easy_source(40), init=1, settings=settings)
    assert (settings.steps_an_epoch(40), settings.steps_an_epoch(9)) == (6, 3)
    assert (run.total_steps, run.run_epoch().epoch, run.step) == (12, 1, 6)
    few = pretraining(space, easy_source(9), init=1, settings=settings)
    few.run_epoch()
    assert (few.total_steps, few.step) == (6, 3)


WILD = PretrainSettings(epochs=6, batch_size=16, lr=200.0, warmup_fraction=0.2)
"""Diverges at first."""


def whole(run: Pretraining) -> list[PretrainRecord]:
    records = []
    while not run.done:
        records.append(run.run_epoch())
    return records


def test_an_epoch_that_diverges_is_done_again_with_half_the_rate(space: FBNetSpace, easy_source: SourceOf) -> None:
    run = pretraining(space, easy_source(48), init=1, settings=WILD)
    records = whole(run)
    restarts = [record.divergence for record in records if record.divergence is not None]
    assert [restart.lr for restart in restarts] == [200.0 / 2 ** (number + 1) for number in range(len(restarts))]
    assert 1 <= len(restarts) <= 4
    assert run.restarts == len(restarts)
    assert all(restart.loss > restart.guessing == math.log(space.classes) for restart in restarts)
    assert (run.epochs_done, run.step, records[-1].epoch) == (6, run.total_steps, 6)


def test_training_goes_back_to_where_the_last_good_epoch_began(space: FBNetSpace, easy_source: SourceOf) -> None:
    """The damage of an epoch's last steps shows in the next one only."""
    wild = False

    forward = scaled_by(lambda: 1e4 if wild else 1.0)
    run, plain = (pretraining(space, easy_source(32), init=1, forward=forward) for _ in range(2))
    for _ in range(2):
        run.run_epoch()
    plain.run_epoch()
    wild = True
    assert run.run_epoch().divergence is not None
    wild = False
    assert (run.epochs_done, run.step) == (1, plain.step)
    assert equal(run, plain)
    assert run.run_epoch().lr == pytest.approx(plain.run_epoch().lr / 2)


def test_a_run_that_diverged_is_resumed_bit_for_bit(space: FBNetSpace, easy_source: SourceOf) -> None:
    source = easy_source(48)
    uninterrupted, first = (pretraining(space, source, init=1, settings=WILD) for _ in range(2))
    records = whole(uninterrupted)
    assert any(record.divergence is not None for record in records)
    for stop in range(1, 8):
        first.run_epoch()
        buffer = io.BytesIO()
        torch.save(first.state(), buffer)
        resumed = pretraining(space, source, init=2, settings=WILD)
        buffer.seek(0)
        resumed.load_state(torch.load(buffer, weights_only=True))
        assert [repr(record) for record in whole(resumed)] == [repr(record) for record in records[stop:]], stop
        assert equal(uninterrupted, resumed), stop


def test_a_loss_that_never_is_finite_ends_the_training(space: FBNetSpace, easy_source: SourceOf) -> None:
    run = pretraining(space, easy_source(32), init=1, forward=scaled_by(lambda: math.nan))
    rates = [record.divergence.lr for record in (run.run_epoch() for _ in range(5)) if record.divergence is not None]
    assert rates == [0.15, 0.075, 0.0375, 0.01875, None]


def test_a_state_of_an_earlier_version_is_read(space: FBNetSpace, easy_source: SourceOf) -> None:
    first, second = (pretraining(space, easy_source(32), init=init) for init in (1, 2))
    first.run_epoch()
    state = first.state()
    del state["restarts"], state["good"]
    second.load_state(state)
    assert (second.restarts, second.epochs_done) == (0, 1)
    first.run_epoch()
    second.run_epoch()
    assert equal(first, second)


def test_the_classifier_of_a_wide_layer_takes_smaller_steps(
    space: FBNetSpace, easy_source: SourceOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A quarter of the step for four times the channels; other weights are not concerned."""
    settings = PretrainSettings(epochs=1, batch_size=16, lr=1e-3, weight_decay=0.0)
    changes = []
    for narrow in (space.last_channels, space.last_channels // 4):
        monkeypatch.setattr("dnas.pretraining.NARROW_CHANNELS", narrow)
        run = pretraining(space, easy_source(16), init=1, settings=settings)
        before = {name: value.clone() for name, value in run.supernet.named_parameters()}
        run.run_epoch()
        changes.append({name: value.detach() - before[name] for name, value in run.supernet.named_parameters()})
    plain, calm = changes
    torch.testing.assert_close(calm["classifier.weight"], plain["classifier.weight"] / 4, rtol=1e-2, atol=1e-7)
    torch.testing.assert_close(calm["stem.weight"], plain["stem.weight"], rtol=1e-2, atol=1e-7)


def test_weight_decay_spares_scales_and_shifts(space: FBNetSpace, easy_source: SourceOf) -> None:
    run = pretraining(space, easy_source(16), init=1)
    decayed, spared = run.optimizer.param_groups
    assert {p.ndim for p in decayed["params"]} == {2, 4}
    assert {p.ndim for p in spared["params"]} == {1}
    assert (decayed["weight_decay"], spared["weight_decay"]) == (SETTINGS.weight_decay, 0)


def test_sampled_paths_are_uniform(space: FBNetSpace) -> None:
    """Chances of each of nine operators at each of three layers, over 900 draws."""

    class Recorder(Supernet):
        def __init__(self) -> None:
            super().__init__(space)
            self.drawn: list[tuple[int, ...]] = []

        def forward_path(self, x_BCHW: Tensor, indices: tuple[int, ...]) -> Tensor:
            self.drawn.append(indices)
            return x_BCHW

        def forward_mixture(self, x_BCHW: Tensor, probs_LO: Tensor) -> Tensor:
            raise NotImplementedError

        def sub_network_state(self, indices: tuple[int, ...]) -> dict[str, Tensor]:
            raise NotImplementedError

    recorder, rng = Recorder(), np.random.default_rng(0)
    for _ in range(900):
        sampled_path(recorder, rng)(torch.zeros(1))
    for layer in np.array(recorder.drawn).T:
        assert np.abs(np.bincount(layer, minlength=9) - 100).max() < 45


@pytest.mark.parametrize(
    ("settings", "rule"),
    [
        ({"epochs": -1}, "`epochs >= 0` must hold for pre-training, but got -1"),
        ({"batch_size": 1}, r"`batch_size >= 2` must hold \(BatchNorm\), but got 1"),
        ({"passes": 0}, "`passes >= 1` must hold, but got 0"),
        ({"lr": 0.0}, "`lr > 0` must hold, but got 0.0"),
        ({"lr": math.nan}, "`lr > 0` must hold, but got nan"),
        ({"weight_decay": -0.1}, "`weight_decay >= 0` must hold, but got -0.1"),
        ({"warmup_fraction": 1.0}, r"`0 <= warmup_fraction < 1` must hold, but got 1.0"),
        ({"warmup_fraction": -0.1}, r"`0 <= warmup_fraction < 1` must hold, but got -0.1"),
        ({"label_smoothing": 1.0}, r"`0 <= label_smoothing < 1` must hold, but got 1.0"),
        ({"label_smoothing": -0.1}, r"`0 <= label_smoothing < 1` must hold, but got -0.1"),
    ],
)
def test_settings_that_make_no_sense_are_refused(settings: dict[str, Any], rule: str) -> None:
    with pytest.raises(ValueError, match=rule):
        PretrainSettings(**{"epochs": 1, **settings})


@pytest.mark.parametrize(
    ("operators", "largest"),
    [(("k3_e1", "k3_e6", "k5_e1", "skip"), "k3_e6"), (("k3_e6", "k5_e6"), "k5_e6"), (("k5_e1", "k5_e1_g2"), "k5_e1")],
)
def test_the_largest_operator_is_the_widest_then_has_the_largest_kernel(
    space: FBNetSpace, operators: tuple[str, ...], largest: str
) -> None:
    narrowed = dataclasses.replace(space, operators=operators)
    assert operators[largest_operator(narrowed)] == largest


def test_a_share_of_the_steps_trains_the_largest_architecture(space: FBNetSpace) -> None:
    torch.manual_seed(0)
    supernet, x_BCHW = build_supernet(space, "shared").eval(), torch.randn(4, *space.input_shape)
    whole = supernet.forward_path(x_BCHW, (largest_operator(space),) * space.num_layers)
    rng = np.random.default_rng(0)
    logits = [sampled_or_largest(0.5)(supernet, rng)(x_BCHW) for _ in range(200)]
    assert 70 <= sum(torch.equal(one, whole) for one in logits) <= 130
    assert all(torch.equal(sampled_or_largest(1.0)(supernet, rng)(x_BCHW), whole) for _ in range(5))


def test_what_a_weight_step_trains_follows_weight_sharing_and_share() -> None:
    assert weight_step_forward("shared", 0.0) is sampled_path
    assert weight_step_forward("separate", 0.5) is mixed_paths
    assert weight_step_forward("shared", 0.5) not in (sampled_path, mixed_paths)


@pytest.mark.parametrize("share", [-0.1, 1.1])
def test_a_share_of_the_largest_out_of_range_is_refused(share: float) -> None:
    with pytest.raises(ValueError, match="largest_share"):
        PretrainSettings(epochs=1, largest_share=share)
