import pytest

from benchmarks.supernets.paths import PathsConfig, Timing, timed, trained_for_equal_time

TIMING = Timing(over_one_thread=0.6, limit=0.5, over_threads=0.5, cpu_over_one_thread=1.1, path_ms=1.0, difference=0.0)


@pytest.mark.thorough
@pytest.mark.slow
def test_processes_have_the_weights_of_one() -> None:
    timing = timed(PathsConfig(space="fbnet-micro", paths=3, batch=8, steps=2, rounds=1))
    assert timing.difference == 0
    assert 0.05 < timing.over_one_thread < 20
    assert timing.path_ms > 0


@pytest.mark.thorough
@pytest.mark.slow
def test_equal_time_is_more_epochs_where_steps_are_quicker() -> None:
    config = PathsConfig(space="fbnet-micro", paths=2, epochs=1, factors=(1.0,), seeds=1, architectures=1)
    one, several = trained_for_equal_time(config, TIMING, "digits")
    assert [(item.paths, item.epochs) for item in (one, several)] == [(1, 1), (2, 2)]
    assert all(0 < item.accuracy < 1 for item in (one, several))
