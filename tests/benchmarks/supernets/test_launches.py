from pathlib import Path

import pytest

from benchmarks.supernets.launches import KINDS, LaunchesConfig, timed

ROOT = Path(__file__).parents[3]


@pytest.mark.thorough
@pytest.mark.slow
def test_a_version_is_timed_against_itself() -> None:
    ratios = timed(LaunchesConfig(space="fbnet-micro", threads=1, rounds=1), ROOT)
    assert list(ratios) == list(KINDS)
    assert all(0.1 < ratio.cpu < 10 for ratio in ratios.values())


def test_another_version_must_be_one(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="`--against` must be a folder with a version of this project"):
        timed(LaunchesConfig(), tmp_path)
