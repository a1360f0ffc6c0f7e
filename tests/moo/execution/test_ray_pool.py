from __future__ import annotations

import pytest
import ray

from moo.execution.ray_session import join_ray, share


@pytest.mark.parametrize("available", range(1, 9))
@pytest.mark.parametrize("workers", range(1, 33))
def test_the_shares_of_all_workers_fit_and_each_lies_on_one_device(available: int, workers: int) -> None:
    part = share(available, workers)
    assert 0 < part <= 1
    assert int(1 / part + 1e-9) * available >= workers
    assert share(0, workers) == 0


@pytest.mark.slow
def test_a_ray_that_was_started_here_ends_with_its_session_and_a_joined_one_goes_on() -> None:
    own = join_ray(None, workers=1, dashboard=False)
    joined = join_ray(None, workers=1, dashboard=False)
    assert (own.is_own, joined.is_own) == (True, False)
    assert own.dashboard_url is None
    joined.close()
    assert ray.is_initialized()
    own.close()
    own.close()
    assert not ray.is_initialized()
