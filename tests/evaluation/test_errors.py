import numpy as np
import pytest
from sklearn.metrics import balanced_accuracy_score

from evaluation.errors import certain_images, guessing_error, share_of

LABELS = np.repeat([0, 1, 3], [110, 6, 2])
"""Class 2 has no image."""


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_a_balanced_error_is_that_of_scikit_learn(seed: int) -> None:
    rng = np.random.default_rng(seed)
    answers = np.where(rng.random(len(LABELS)) < 0.6, LABELS, rng.integers(4, size=len(LABELS)))
    answers = np.where(answers == 2, 0, answers)
    expected = balanced_accuracy_score(LABELS, answers)
    assert share_of(answers == LABELS, LABELS, "balanced") == pytest.approx(expected, abs=1e-12)
    assert share_of(answers != LABELS, LABELS, "balanced") == pytest.approx(1 - expected, abs=1e-12)
    assert share_of(answers != LABELS, LABELS, "plain") == np.count_nonzero(answers != LABELS) / len(LABELS)


def test_one_answer_is_guessing() -> None:
    for answer in (0, 1, 3):
        assert share_of(np.not_equal(LABELS, answer), LABELS, "balanced") == pytest.approx(2 / 3)
    assert guessing_error(LABELS, "balanced") == pytest.approx(2 / 3)
    assert share_of(LABELS != 0, LABELS, "plain") == pytest.approx(guessing_error(LABELS, "plain"))
    assert share_of(LABELS >= 0, LABELS, "balanced") == 1
    assert guessing_error(LABELS[:5], "balanced") == 0


@pytest.mark.parametrize("recalls", [(0.98, 0.7, 0.5), (0.9, 0.9, 0.9), (0.5, 1.0, 1.0), (1.0, 1.0, 0.3)])
def test_the_variance_is_at_most_that_on_the_certain_images(recalls: tuple[float, ...]) -> None:
    of_class, right = np.array([110, 6, 2]), np.array(recalls)
    variance = np.sum(right * (1 - right) / of_class) / 9
    share = right.mean()
    assert certain_images(LABELS, "balanced") == 6
    assert certain_images(LABELS, "plain") == 118
    assert variance <= share * (1 - share) / 6
