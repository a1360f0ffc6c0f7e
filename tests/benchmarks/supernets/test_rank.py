from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from benchmarks.supernets import rank as bench
from benchmarks.supernets.inherited import Inherited, inherited_accuracies
from benchmarks.supernets.ranked_networks import RankedNetworks, networks_at_random
from benchmarks.supernets.trained_alone import trained_accuracies
from evaluation.splits import Splits
from tests.benchmarks.conftest import SPACE

TRAINED = [0.2, 0.6, 0.4, 0.8]


@pytest.fixture
def networks(splits: Splits) -> RankedNetworks:
    """Four random ones."""
    return networks_at_random(SPACE, splits, 4, seed=0)


def config(folder: Path, **settings: Any) -> bench.SupernetRankConfig:
    return bench.SupernetRankConfig(dataset="digits", out=str(folder), **settings)


def test_a_supernet_that_agrees_has_a_tau_of_one() -> None:
    row = bench.row_of("shared", Inherited(7, 2.0, [0.1, 0.3, 0.2, 0.4]), TRAINED)
    assert row.tau is not None
    assert row.tau.tau == 1
    assert row.rank_of_best == 1
    assert row.mean_inherited == pytest.approx(0.25)


def test_the_rank_of_its_best_counts_all_that_were_trained_to_more() -> None:
    row = bench.row_of("shared", Inherited(7, 2.0, [0.4, 0.3, 0.2, 0.1]), TRAINED)
    assert row.tau is not None
    assert row.tau.tau == pytest.approx(-2 / 3)
    assert row.rank_of_best == 4


def test_equal_accuracies_have_no_ranking() -> None:
    row = bench.row_of("shared", Inherited(7, 2.0, [0.1] * 4), TRAINED)
    assert row.tau is None
    lines = list(bench.lines_of(bench.SupernetRankConfig(), [row]))
    assert "none" in lines[1]


def test_a_benchmark_is_resumed_with_its_settings_alone(tmp_path: Path, networks: RankedNetworks) -> None:
    begun = config(tmp_path / "rank", epochs=3)
    bench.begin(begun, networks)
    bench.begin(replace(begun, threads=7, json=True), networks)
    with pytest.raises(ValueError, match="must be resumed as it was begun, with epochs=3.* and got epochs=4"):
        bench.begin(replace(begun, epochs=4), networks)


def test_another_folder_is_refused(tmp_path: Path, networks: RankedNetworks) -> None:
    (tmp_path / "notes.txt").touch()
    with pytest.raises(ValueError, match="`--out` must be a new folder or one of this benchmark"):
        bench.begin(config(tmp_path), networks)


def test_what_is_known_already_is_neither_trained_nor_pretrained(tmp_path: Path, networks: RankedNetworks) -> None:
    known = {item.id: accuracy for item, accuracy in zip(networks.architectures, TRAINED, strict=True)}
    trained = trained_accuracies(
        tmp_path, replace(networks, known=known), epochs=1, seed=0, processes=1, show=lambda *_: None
    )
    assert trained == TRAINED
    path = tmp_path / "inherited-shared.json"
    form = bench.RANKED_FORMS["shared"]
    found, again = (
        inherited_accuracies(path, form, networks, seconds=seconds, seed=0, on_share=lambda share: None)
        for seconds in (0.2, 1e9)
    )
    assert again == found
    assert len(found.accuracies) == 4
    assert found.seconds >= 0.2


def test_the_picture_has_a_panel_for_each_supernet() -> None:
    inherited = {name: Inherited(7, 2.0, [0.1, 0.3, 0.2, 0.4]) for name in bench.RANKED_FORMS}
    rows = {name: bench.row_of(name, found, TRAINED) for name, found in inherited.items()}
    figure = bench.picture(bench.SupernetRankConfig(dataset="digits"), rows, TRAINED, inherited)
    assert [axes.get_title(loc="left").splitlines()[0] for axes in figure.axes] == list(bench.RANKED_FORMS)


@pytest.mark.parametrize(
    ("settings", "rule"),
    [
        ({"architectures": 2}, "`--architectures >= 3` must hold, but got 2"),
        ({"supernet_seconds": 0.0}, "`--supernet-seconds > 0` must hold, but got 0.0"),
        ({"epochs": 0}, "`--epochs > 0` must hold, but got 0"),
    ],
)
def test_options_that_make_no_sense_are_refused(settings: dict[str, Any], rule: str) -> None:
    with pytest.raises(ValueError, match=rule):
        bench.SupernetRankConfig(**settings)
