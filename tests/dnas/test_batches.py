import itertools

import numpy as np
import pytest

from dnas.batches import endless_draws
from tests.dnas.conftest import SourceOf


def test_batches_go_on_for_ever_and_are_whole(easy_source: SourceOf) -> None:
    """A last batch of one image cannot be normalised by its own statistics where the map is 1 x 1."""
    draws = endless_draws(easy_source(33), 8, np.random.default_rng(0))
    assert [len(draw) for draw in itertools.islice(draws, 10)] == [8] * 10


def test_each_pass_has_its_own_order(easy_source: SourceOf) -> None:
    one, other = itertools.islice(endless_draws(easy_source(16), 16, np.random.default_rng(0)), 2)
    assert not np.array_equal(one.rows_B, other.rows_B)
    assert np.array_equal(np.sort(one.rows_B), np.sort(other.rows_B))


def test_fewer_images_than_a_batch_are_refused(easy_source: SourceOf) -> None:
    with pytest.raises(ValueError, match="at least 8 images, a whole batch, but got 7"):
        next(endless_draws(easy_source(7), 8, np.random.default_rng(0)))
