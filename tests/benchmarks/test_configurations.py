from __future__ import annotations

import contextlib
import io
import json
from typing import Any

import numpy as np
import pytest

from benchmarks import configurations
from benchmarks.drawn_board import CLOCKS_MHZ, KINDS, DrawnBoard, works_of
from devices.configuration import RuntimeConfiguration
from search_space.counts import node_macs
from search_space.spaces import space_named

SPACE = space_named("fbnet-micro")
BOARD = DrawnBoard(np.random.SeedSequence(0), noise=0.01)
MODEL = configurations.model_of(SPACE, [0, 1, 2, 3, 4, 5, 6, 7])


def test_work_of_a_model_is_that_of_its_graph() -> None:
    graph = SPACE.graph(tuple(SPACE.operators[index] for index in range(8)))
    works = works_of(MODEL)
    assert sum(work.macs for work in works) == sum(node_macs(node) for node in graph.nodes)
    assert {KINDS[work.kind] for work in works} == set(KINDS)


def test_a_board_is_slower_at_lower_clocks_but_less_than_in_proportion() -> None:
    top, middle, low = (BOARD.latency_ms(MODEL, RuntimeConfiguration(frequency_mhz=mhz)) for mhz in CLOCKS_MHZ)
    assert top < middle < low < top * CLOCKS_MHZ[0] / CLOCKS_MHZ[2]
    governor = BOARD.latency_ms(MODEL, RuntimeConfiguration())
    assert governor == top


def test_a_measurement_repeats_and_is_off_by_a_little() -> None:
    four = RuntimeConfiguration(threads=4, precision="int8")
    measured = BOARD.measured_ms(MODEL, four)
    assert measured == BOARD.measured_ms(MODEL, four)
    assert measured != BOARD.latency_ms(MODEL, four)
    assert measured == pytest.approx(BOARD.latency_ms(MODEL, four), rel=0.05)


def test_boards_differ_in_how_networks_scale() -> None:
    other = DrawnBoard(np.random.SeedSequence(1), noise=0.0)
    gains = [
        board.latency_ms(MODEL, RuntimeConfiguration(threads=4)) / board.latency_ms(MODEL, RuntimeConfiguration())
        for board in (BOARD, other)
    ]
    assert abs(gains[0] - gains[1]) > 0.005


@pytest.fixture(scope="module")
def content() -> dict[str, Any]:
    """What the script writes of a quick turn."""
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(io.StringIO()) as out:
        patch.setattr("sys.argv", ["configurations.py", "--quick", "--json"])
        configurations.main()
    found: dict[str, Any] = json.loads(out.getvalue())
    return found


def test_configurations_are_predicted_within_the_goal(content: dict[str, Any]) -> None:
    rows = content["drawn"]
    assert len(rows) == 2 * len(configurations.DRAWN)
    assert (content["measured"], content["load_before_and_after"]) == ([], None)
    assert {row["way"] for row in rows} == {"profile", "ten networks", "lowest clock", "clock in between"}
    assert max(row["mean_error"] for row in rows) < 0.05
    assert np.mean([row["stated_error"] for row in rows]) > np.mean([row["mean_error"] for row in rows])


def test_people_get_means_by_way_and_the_worst(
    content: dict[str, Any], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def drawn(_space: object, _unseen: object, _config: object, number: int) -> list[configurations.Row]:
        rows = [configurations.Row(**row) for row in content["drawn"]]
        return [row for row in rows if row.board == f"drawn {number + 1}"]

    monkeypatch.setattr(configurations, "drawn_rows", drawn)
    monkeypatch.setattr("sys.argv", ["configurations.py", "--quick"])
    configurations.main()
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "2 drawn boards, 18 configurations each, 20 unseen networks"
    assert lines[1] == configurations.TABLE.head
    assert [line.startswith("mean of all") for line in lines[2:6]] == [True] * 4
    assert lines[6].startswith("drawn ")
