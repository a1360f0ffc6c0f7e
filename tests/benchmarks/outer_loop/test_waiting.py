from __future__ import annotations

import json
import sys

import pytest

from benchmarks.outer_loop import waiting as bench
from benchmarks.outer_loop.efficiency import Searched
from benchmarks.outer_loop.stand_ins import Worked


def test_waiting_is_what_lies_between_generations() -> None:
    """Two workers, evaluations of a second: two rounds a generation, which begins 3 s after the end of the last."""
    config = bench.WaitingConfig(workers=2, seconds=1.0)
    starts = (0.0, 10.0, 15.0, 20.0)
    worked = [Worked(id=0, start=start + 3.0 + place // 2, seconds=1.0) for start in starts for place in range(4)]
    found = bench.waiting(Searched(tuple(worked), 25.0, 1.0, starts), config)
    assert found.waited_seconds == pytest.approx(3.0)
    assert found.busy == pytest.approx(4 / (2 * 5))
    assert found.stage_seconds == 25.0


@pytest.mark.slow
def test_quick_has_a_row_for_each_way(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "argv", ["waiting.py", "--quick", "--json"])
    bench.main()
    rows = json.loads(capsys.readouterr().out)["rows"]
    assert [row["way"] for row in rows] == ["when asked", "beside"]
    assert all(0 < row["median"]["busy"] <= 1 and len(row["turns"]) == 1 for row in rows)
