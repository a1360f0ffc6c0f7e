import itertools

import numpy as np
import pytest

from dnas.batches import endless_batches
from tests.dnas.conftest import SourceOf


def test_batches_go_on_for_ever_and_are_whole(easy_source: SourceOf) -> None:
    """A last batch of one image cannot be normalised by its own statistics where the map is 1 x 1."""
    batches = endless_batches(easy_source(33), 8, np.random.default_rng(0))
    assert [len(labels_B) for _, labels_B in itertools.islice(batches, 10)] == [8] * 10


def test_each_pass_has_its_own_order(easy_source: SourceOf) -> None:
    batches = list(itertools.islice(endless_batches(easy_source(16), 16, np.random.default_rng(0)), 2))
    assert not np.array_equal(batches[0][1], batches[1][1])
    assert np.array_equal(np.sort(batches[0][1]), np.sort(batches[1][1]))


def test_fewer_images_than_a_batch_are_refused(easy_source: SourceOf) -> None:
    with pytest.raises(ValueError, match="at least 8 images, a whole batch, but got 7"):
        next(endless_batches(easy_source(7), 8, np.random.default_rng(0)))
