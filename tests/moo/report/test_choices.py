from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from moo.config import SearchConfig
from moo.report.choices import choices_section, next_step, verdict
from moo.report.report import report_markdown
from moo.storage.archive import Archive
from moo.storage.run_folder import RunFolder
from moo.storage.store import new_store
from search_space.spaces import FBNetSpace
from tests.moo.conftest import DATASET, ORIGIN, EntryOf, TrainedOf

MANY = replace(
    DATASET, images=replace(DATASET.images, selection=2000, test=2000), guessing_error=0.75, test_guessing_error=0.7
)


def archive_of(entry_of: EntryOf, data: Any = MANY) -> Archive:
    """Four networks, each dearer and more accurate than the one before; the fastest is no better than guessing."""
    archive = Archive((1.0, 10.0, 20.0), data=data)
    figures = {(0, 0, 0): (0.74, 1.0), (0, 0, 1): (0.4, 2.0), (1, 1, 1): (0.15, 3.0), (1, 2, 1): (0.1, 9.0)}
    for indices, (error, latency_ms) in figures.items():
        archive.add(entry_of(indices, error, latency_ms, 2 * latency_ms))
        archive.set_test_error(archive.entries[-1].architecture.id, error + 0.02)
    return archive


def cells_of(text: str) -> dict[str, list[str]]:
    lines = [line.strip("|").split(" | ") for line in text.splitlines() if line.startswith("| ")]
    return {name.strip(): [cell.strip() for cell in cells] for name, *cells in lines}


def test_three_networks_stand_side_by_side(entry_of: EntryOf, space: FBNetSpace, tmp_path: Path) -> None:
    archive, folder = archive_of(entry_of), RunFolder(tmp_path)
    best, knee, fast, _ = archive.front()
    (folder.networks / best.id).mkdir(parents=True)
    (folder.networks / best.id / "model.onnx").write_bytes(bytes(45_600))
    (folder.networks / best.id / "card.md").touch()
    cells = cells_of(text := choices_section(archive, space, folder=folder))
    assert cells[""] == ["most accurate", "knee", "fastest above chance"]
    assert cells["network"] == [f"`{point.id}`" for point in (best, knee, fast)]
    assert cells["accuracy"][0] == "88.0 % (86.5–89.4) on 2,000 test images"
    assert cells["weights"] == ["inherited, not trained yet"] * 3
    assert cells["latency"] == ["9.00 ms (modelled)", "3.00 ms (modelled)", "2.00 ms (modelled)"]
    assert cells["file"] == [f"[model.onnx](front/{best.id}/model.onnx), 46 kB", "not written yet", "not written yet"]
    assert cells["how to run it"] == [f"[card.md](front/{best.id}/card.md)", "not written yet", "not written yet"]
    assert "Networks were chosen by their errors on the selection split" in text
    assert "file" not in cells_of(choices_section(archive, space))


def test_another_that_errs_less_on_the_test_split_is_not_the_choice(entry_of: EntryOf, space: FBNetSpace) -> None:
    archive = archive_of(entry_of)
    best, knee, *_ = archive.front()
    assert "chooses nothing" not in choices_section(archive, space)
    archive.set_test_error(best.id, 0.2)
    text = choices_section(archive, space)
    assert cells_of(text)["network"][:2] == [f"`{best.id}`", f"`{knee.id}`"]
    assert "where another errs less here, chooses nothing." in text


def test_fewer_are_left_where_they_cannot_be_told_apart(entry_of: EntryOf, space: FBNetSpace) -> None:
    few = replace(DATASET, guessing_error=0.75, test_guessing_error=0.7)
    text = choices_section(archive_of(entry_of, few), space)
    assert "left to choose from: the others coincide or cannot be told apart." in text
    assert choices_section(Archive((1.0, 1.0, 1.0)), space) == ""


def test_a_run_no_better_than_guessing_begins_with_that(
    entry_of: EntryOf, space: FBNetSpace, tmp_path: Path, trained_of: TrainedOf
) -> None:
    archive, store = archive_of(entry_of), new_store(tmp_path / "search.sqlite")
    plots = ["plots/front_latency_error.png", "plots/theta.png"]
    report = report_markdown(archive, store, SearchConfig(), ORIGIN, space, plots)
    assert verdict(archive) == ""
    assert report.splitlines()[2].startswith("![Error against latency")
    assert report.index("## Networks to choose from") < report.index("## Beside what") < report.index("theta.png")
    assert report.count("front_latency_error.png") == 1
    unfinished = report_markdown(archive, store, SearchConfig(), ORIGIN, space, plots, note="**Not ended.**")
    assert not any(script in unfinished for script in ("train_front", "compare_baselines"))
    hopeless = archive_of(entry_of, replace(MANY, test_guessing_error=0.1))
    report = report_markdown(hopeless, store, SearchConfig(), ORIGIN, space, plots)
    store.close()
    assert report.splitlines()[2].startswith("**The best network is not better than always answering the commonest")
    assert "88.0 % (86.5–89.4) on 2,000 test images, not better than always" in choices_section(hopeless, space)
    assert next_step(hopeless, "runs/a") == ""
    assert next_step(archive, "runs/a").endswith("`python scripts/train_front.py runs/a`.")


@pytest.mark.parametrize("trained", [True, False])
def test_weights_are_named(entry_of: EntryOf, space: FBNetSpace, trained_of: TrainedOf, *, trained: bool) -> None:
    archive = Archive((1.0, 10.0, 20.0), data=MANY)
    archive.add(entry_of((0, 0, 0), 0.3))
    if trained:
        archive.set_trained("000", trained_of("000", error=0.125))
    cells = cells_of(choices_section(archive, space))
    assert cells["weights"] == ["trained" if trained else "inherited, not trained yet"]
    assert cells["accuracy"][0].startswith("87.5 %" if trained else "70.0 % (68.0–72.0) on 2,000 selection images")
    assert (next_step(archive, "RUN") == "") == trained
