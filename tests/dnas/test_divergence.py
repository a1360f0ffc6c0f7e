import math

import pytest

from dnas.divergence import MOST_RESTARTS, Divergence, divergence


def found(loss: float, *, restarts: int = 0, warm: bool = True, classes: int = 7) -> Divergence | None:
    return divergence(loss, epoch=3, classes=classes, lr=0.3, restarts=restarts, warm=warm)


def test_a_loss_far_above_that_of_guessing_is_a_divergence_which_halves_the_rate() -> None:
    expected = Divergence(epoch=3, loss=22.7, guessing=math.log(7), lr=0.15)
    assert found(22.7) == expected
    assert str(expected) == "diverged in epoch 3 (loss 22.7; guessing has 1.95): again with a learning rate of 0.15"


@pytest.mark.parametrize("classes", [2, 7, 1000])
def test_a_loss_near_that_of_guessing_is_none(classes: int) -> None:
    assert found(math.log(classes) + 0.2, classes=classes) is None
    assert found(1.3 * math.log(classes) + 0.3, classes=classes) is not None


@pytest.mark.parametrize("loss", [math.inf, math.nan])
def test_a_loss_that_is_not_finite_is_one_at_any_time(loss: float) -> None:
    divergence = found(loss, warm=False)
    assert divergence is not None
    assert divergence.lr == 0.15


def test_losses_of_the_warm_up_may_be_high() -> None:
    assert found(22.7, warm=False) is None


def test_after_the_last_restart_only_what_is_not_finite_ends_the_training() -> None:
    assert found(22.7, restarts=MOST_RESTARTS - 1) is not None
    assert found(22.7, restarts=MOST_RESTARTS) is None
    ended = found(math.nan, restarts=MOST_RESTARTS)
    assert ended is not None
    assert ended.lr is None
    assert str(ended).endswith("guessing has 1.95): given up")
