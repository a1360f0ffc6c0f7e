from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from devices.configuration import RuntimeConfiguration
from moo.storage.adaptive_front import AdaptivePoint, read_adaptive_front, write_adaptive_front
from search_space.exits import Exit
from tests.moo.adaptive_points import STREAMED, adaptive_point, random_points, static_point

QUICK = RuntimeConfiguration(threads=4, frequency_mhz=1500, precision="int8")
POINTS = (
    adaptive_point(0.1, 5.0, test_error=0.11, streamed=STREAMED, gross_energy_mj=20.0, jointly_trained=True),
    adaptive_point(0.2, 2.0, exits=2, configuration=QUICK, latency_source="measured", energy_kind="gross"),
    static_point(0.3, 1.0, error_low=None, error_high=None, energy_error=None),
)


def changed_file(path: Path, **changed: Any) -> Path:
    """A front whose first point has other values, without a seal."""
    items = [point.to_json() for point in POINTS]
    path.write_text(json.dumps([items[0] | changed, *items[1:]]))
    return path


def test_points_are_read_back_best_accuracy_first(tmp_path: Path) -> None:
    path = tmp_path / "front_adaptive.json"
    write_adaptive_front(path, POINTS[::-1])
    assert read_adaptive_front(path) == POINTS
    first = json.loads(path.read_text())[0]
    assert first["architecture"] == {"space": "tiny", "id": "000", "operators": ["k3_e1", "k3_e1", "k3_e1"]}
    assert first["configuration"]["label"] == "ort 1t fp32"
    assert (first["exits"], first["thresholds"]) == ([{"layer": 0, "head": "linear"}], [0.9])
    assert first["streamed"]["mean_latency_ms"] == STREAMED.mean_latency_ms


@pytest.mark.parametrize("seed", range(4))
def test_whatever_points_there_are_they_are_read_back(tmp_path: Path, seed: int) -> None:
    points = random_points(seed, 20)
    write_adaptive_front(tmp_path / "front.json", points)
    assert sorted(read_adaptive_front(tmp_path / "front.json"), key=repr) == sorted(points, key=repr)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"thresholds": (1.5,)}, "thresholds must be from 0 to 1"),
        ({"thresholds": (float("nan"),)}, "thresholds must be from 0 to 1"),
        ({"thresholds": ()}, "`thresholds` must have 1 values for 1 exits, but has 0"),
        ({"exit_shares": (1.0,)}, "`exit_shares` must have 2 values for 1 exits, but has 1"),
        ({"exit_shares": (0.5, 0.4)}, "`exit_shares` must come to 1, but come to 0.9"),
        ({"path_latency_ms": (1.0,)}, "`path_latency_ms` must have 2 values"),
        ({"path_energy_mj": (1.0, 2.0, 3.0)}, "`path_energy_mj` must have 2 values"),
        ({"segment_params": ()}, "`segment_params` must have 2 values"),
        ({"exits": (Exit(3, "conv"),)}, "ascending layers, each at one of its own below 3"),
        ({"energy_kind": "free"}, "`energy_kind` must be one of net, gross, period"),
        ({"latency_source": "guessed"}, "sources of measured, modelled, published"),
        ({"energy_source": "guessed"}, "sources of measured, modelled, published"),
        *(
            ({name: value}, f"`{name}` must be a number of at least 0")
            for name in ("error", "static_error", "oracle_error", "latency_ms", "worst_latency_ms", "energy_mj")
            for value in (-0.1, float("nan"), float("inf"), True)
        ),
    ],
)
def test_every_rule_of_a_point_is_checked(changed: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        replace(POINTS[0], **changed)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"error": "0.1"}, "a number"),
        ({"error": None}, "error"),
        ({"thresholds": [2]}, "thresholds must be from 0 to 1"),
        ({"exits": [{"layer": 0, "head": "tree"}]}, "head"),
        ({"exits": [{"layer": 0}]}, "head` must be there, but is missing\\. Restore"),
        ({"exits": [{"layer": -1, "head": "linear"}]}, "layer"),
        ({"configuration": {"threads": 0}}, "threads"),
        ({"architecture": {"space": "tiny", "id": "../up", "operators": ["skip"]}}, "names a folder of the run"),
        ({"streamed": {"images": 3}}, "streamed"),
        ({"energy_kind": "free"}, "energy_kind"),
        ({"images": 1.5}, "a whole number"),
    ],
)
def test_a_point_that_is_none_is_named(tmp_path: Path, changed: dict[str, Any], message: str) -> None:
    path = changed_file(tmp_path / "front.json", **changed)
    with pytest.raises(ValueError, match=message) as caught:
        read_adaptive_front(path)
    assert "point 1 of" in str(caught.value)
    assert str(path) in str(caught.value)
    assert "have adapt_front.py write it anew" in str(caught.value)


def test_keys_of_others_are_passed_over_and_seals_may_be_absent(tmp_path: Path) -> None:
    assert read_adaptive_front(changed_file(tmp_path / "front.json", note="mine")) == POINTS


@pytest.mark.parametrize("content", ["", "{}", "[]", "[1]", "null", "[{}]", "not JSON"])
def test_what_is_no_front_is_refused(tmp_path: Path, content: str) -> None:
    path = tmp_path / "front.json"
    path.write_text(content)
    with pytest.raises(ValueError, match=r"front\.json.*have adapt_front.py write it anew"):
        read_adaptive_front(path)


def test_a_front_that_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="none.json"):
        read_adaptive_front(tmp_path / "none.json")


def test_any_changed_byte_is_named_or_does_no_harm(tmp_path: Path) -> None:
    path = tmp_path / "front.json"
    write_adaptive_front(path, POINTS)
    whole = path.read_bytes()
    harmless, places = 0, range(0, len(whole), 7)
    for place in places:
        damaged = bytearray(whole)
        damaged[place] ^= 1 << (place % 7)
        path.write_bytes(damaged)
        found, said = read_or_refused(path)
        assert found in (POINTS, None), f"byte {place}"
        assert found or str(path) in said
        harmless += found == POINTS
    assert harmless < len(places) / 2, "only white space may change"


def read_or_refused(path: Path) -> tuple[Any, str]:
    try:
        return read_adaptive_front(path), ""
    except ValueError as error:
        return None, str(error)


def test_any_cut_is_named(tmp_path: Path) -> None:
    path = tmp_path / "front.json"
    write_adaptive_front(path, POINTS)
    whole = path.read_bytes()
    for length in range(0, len(whole) - 2, 97):
        path.write_bytes(whole[:length])
        with pytest.raises(ValueError, match="front.json"):
            read_adaptive_front(path)


def test_a_point_has_the_objectives_that_it_is_chosen_by() -> None:
    point = POINTS[0]
    assert (point.id, point.objectives) == ("000", (0.1, 5.0, 8.0))
    assert AdaptivePoint.from_json(json.loads(json.dumps(point.to_json()))) == point
