"""What is refused, each in one line, before anything is lost."""

from __future__ import annotations

import json
import shutil
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from moo.adaptation.config import AdaptFrontConfig
from moo.adaptation.training import backbones
from moo.deployment.finished_run import FinishedRun, record_of
from moo.storage.adaptive_front import read_adaptive_front
from search_space.boundary.sealing import read_sealed_json, write_sealed_json
from search_space.exits import candidate_exits
from tests.moo.adaptation.conftest import Adapt


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"max_exits": 0}, "`--max-exits >= 1` must hold, but got 0"),
        ({"max_exits": -1}, "`--max-exits >= 1` must hold, but got -1"),
        ({"max_exits": 9}, "`--max-exits <= 8` must hold, but got 9"),
        ({"max_slowdown": -0.1}, r"`--max-slowdown >= 0` must hold, in per cent, but got -0\.1"),
        ({"max_slowdown": float("inf")}, "`--max-slowdown >= 0` must hold, in per cent, but got inf"),
        ({"images": -1}, "`--images >= 0` must hold, but got -1"),
        ({"images": 5001}, "`--images <= 5000` must hold, but got 5001"),
        ({"exit_epochs": 0.0}, "`--exit-epochs > 0` must hold, but got 0"),
        ({"exit_epochs": float("nan")}, "`--exit-epochs > 0` must hold, but got nan"),
        ({"joint_epochs": -1.0}, "`--joint-epochs >= 0` must hold, but got -1"),
        ({"workers": 0}, "`--workers >= 1` must hold, but got 0"),
        ({"threads": (0,)}, "`threads` must be a whole number of at least 1"),
        ({"threads": (2, 2)}, "each value of `--threads` must be given once"),
        ({"period_ms": 5.0}, "`--period-ms` must be given with `--energy period`"),
        ({"energy": "period"}, "`--period-ms` must be given with `--energy period`"),
    ],
)
def test_options_out_of_range(options: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        AdaptFrontConfig(run="run", **options)


def test_a_run_that_is_not_trained(finished: FinishedRun, adapted: Adapt) -> None:
    with pytest.raises(ValueError, match=r"must be trained to get exits, but .* python scripts/train_front.py .*run$"):
        adapted(finished)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"only": ("999",)}, "`--only` must name trained networks of the run, which are .*, but got '999'"),
        ({"threads": (4,)}, r"`--threads` must be of the configurations .* ort 1t fp32, .*, but got 4"),
        ({"frequency_mhz": (600,)}, r"`--frequency-mhz` must be of the configurations .*, but got 600"),
    ],
)
def test_what_the_run_does_not_have(trained_run: FinishedRun, adapted: Adapt, options: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        adapted(trained_run, **options)
    assert not (trained_run.folder.path / "adaptations").exists()


def with_exits(run: FinishedRun) -> Path:
    """The folder of a network that was deployed with exits."""
    return next(path.parents[1] for path in sorted(run.folder.path.glob("adaptations/*/deployed/result.json")))


@pytest.mark.thorough
@pytest.mark.slow
def test_changed_settings_are_refused_unless_all_begins_anew(adapted_run: FinishedRun, adapted: Adapt) -> None:
    before = adapted_run.folder.adaptive_front.read_bytes()
    with pytest.raises(ValueError, match=r"begun with exit_epochs=1.0 and got exit_epochs=2.0; omit `--exit-epochs`"):
        adapted(adapted_run, exit_epochs=2.0)
    with pytest.raises(
        ValueError, match=r"with joint_epochs=1.0 and got joint_epochs=0; omit `--joint-epochs`, or add"
    ):
        adapted(adapted_run, joint_epochs=0)
    assert adapted_run.folder.adaptive_front.read_bytes() == before
    adapted(adapted_run, joint_epochs=0, fresh=True)
    assert not any(point.jointly_trained for point in adapted(adapted_run, joint_epochs=0).front)


@pytest.mark.thorough
@pytest.mark.slow
def test_other_settings_of_the_search_need_no_training(adapted_run: FinishedRun, adapted: Adapt) -> None:
    found = adapted(adapted_run, threads=(1,), precision=("fp32",), energy="gross")
    assert {point.configuration.label for point in found.front} == {"ort 1t fp32"}
    for point in found.front:
        assert point.gross_energy_mj == pytest.approx(point.energy_mj)
        assert point.energy_kind == "gross"


@pytest.mark.parametrize(
    "name",
    [
        "exits/weights.safetensors",
        "exits/outcomes_selection_int8.safetensors",
        "deployed/segment_0.onnx",
        "deployed/weights.safetensors",
    ],
)
def test_damaged_and_foreign_files_are_refused(adapted_run: FinishedRun, adapted: Adapt, name: str) -> None:
    path = with_exits(adapted_run) / name
    content = path.read_bytes()
    path.write_bytes(content[:-1])
    with pytest.raises(ValueError, match=r"must be whole.*add `--fresh` to train its exits anew"):
        adapted(adapted_run)
    path.unlink()
    with pytest.raises(ValueError, match=r"`--fresh` to train its exits anew"):
        adapted(adapted_run)


def test_adaptations_of_another_network_are_refused(adapted_run: FinishedRun, adapted: Adapt) -> None:
    first, second = sorted(adapted_run.folder.path.glob("adaptations/*"))[:2]
    shutil.rmtree(second)
    shutil.copytree(first, second)
    with pytest.raises(ValueError, match=f"those in '.*{second.name}' are of another network"):
        adapted(adapted_run)


def test_segments_that_do_not_belong_together_are_refused(adapted_run: FinishedRun, adapted: Adapt) -> None:
    folder = with_exits(adapted_run) / "deployed"
    (folder / "segment_0.onnx").write_bytes((folder / "segment_0_int8.onnx").read_bytes())
    with pytest.raises(ValueError, match="belong together, but .*segment_0.onnx' is damaged, or another network's"):
        adapted(adapted_run)


def test_exits_of_weights_that_were_trained_anew_since_are_refused(adapted_run: FinishedRun, adapted: Adapt) -> None:
    path = with_exits(adapted_run) / "exits/config.json"
    content = read_sealed_json(path, what="a config", remedy="")
    content["made_with"]["weights"] = "sha256-" + "0" * 64
    write_sealed_json(path, content)
    with pytest.raises(ValueError, match="are of other weights: the network was trained anew since"):
        adapted(adapted_run)


def test_a_lost_config_is_refused(adapted_run: FinishedRun, adapted: Adapt) -> None:
    (with_exits(adapted_run) / "exits/config.json").unlink()
    with pytest.raises(ValueError, match=r"must have a config.json to go on, but has none"):
        adapted(adapted_run)


def test_a_network_without_its_files_is_refused(trained_run: FinishedRun, adapted: Adapt) -> None:
    with closing(record_of(trained_run)) as record:
        name = record.archive.front()[0].id
    trained_run.folder.training(name).result.unlink()
    with pytest.raises(ValueError, match=r"has no result.json; make them anew: python scripts/train_front.py"):
        adapted(trained_run)


@pytest.mark.thorough
def test_a_network_that_is_too_short_stays_as_it_is(
    trained_run: FinishedRun, adapted: Adapt, monkeypatch: pytest.MonkeyPatch
) -> None:
    with closing(record_of(trained_run)) as record:
        name = record.archive.front()[0].id
    candidates = candidate_exits

    def none_of_it(space: Any, operators: Any, shares: Any) -> Any:
        if space.graph(operators) == space.graph(short):
            raise ValueError("a network must have a layer that ends at 20% to 90% of its latency.")
        return candidates(space, operators, shares)

    with closing(record_of(trained_run)) as record:
        short = record.archive[name].architecture.operators
    monkeypatch.setattr(backbones, "candidate_exits", none_of_it)
    with pytest.raises(ValueError, match=f"{name}: a network must have a layer"):
        adapted(trained_run, only=(name,))
    told: list[Any] = []
    found = adapted(trained_run, told=told)
    assert told[0].passed_over[0][0] == name
    assert all(not point.exits for point in found.front if point.id == name)


def test_thresholds_out_of_range_are_refused(adapted_run: FinishedRun, adapted: Adapt) -> None:
    path = adapted_run.folder.adaptive_front
    items = json.loads(path.read_text())
    changed = next(item for item in items if item["exits"])
    changed["thresholds"][0] = 1.5
    del changed["seal"]
    path.write_text(json.dumps(items))
    with pytest.raises(ValueError, match="thresholds must be from 0 to 1"):
        read_adaptive_front(path)
