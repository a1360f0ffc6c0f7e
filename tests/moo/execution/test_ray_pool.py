from __future__ import annotations

import pytest

from moo.execution.ray_pool import share


@pytest.mark.parametrize("available", range(1, 9))
@pytest.mark.parametrize("workers", range(1, 33))
def test_the_shares_of_all_workers_fit_and_each_lies_on_one_device(available: int, workers: int) -> None:
    part = share(available, workers)
    assert 0 < part <= 1
    assert int(1 / part + 1e-9) * available >= workers
    assert share(0, workers) == 0
