from __future__ import annotations

import queue
from pathlib import Path

import pytest

from moo.execution import gauges
from moo.execution.gauges import RunGauges

PATIENCE = 30.0


class HeardGauge:
    """Keeps what it is told, in order, of all gauges together."""

    told: queue.Queue[tuple[str, float]]

    def __init__(self, name: str, *, description: str, tag_keys: tuple[str, ...]) -> None:
        self._name = name

    def set(self, value: float, tags: dict[str, str]) -> None:
        assert tags == {"run": "photos"}
        self.told.put((self._name, value))


def test_a_figure_is_told_again_until_the_run_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ray forgets one that was told once, however long the next trial takes."""
    monkeypatch.setattr(gauges, "Gauge", HeardGauge)
    monkeypatch.setattr(gauges, "REPEAT_SECONDS", 0.001)
    told = HeardGauge.told = queue.Queue()
    run = RunGauges(Path("/runs/photos"))
    run.set("hypervolume", 0.25)
    for _ in range(3):
        assert told.get(timeout=PATIENCE) == ("pareto_hypervolume", 0.25)
    run.set("hypervolume", 0.5)
    while told.get(timeout=PATIENCE)[1] < 0.5:
        pass
    assert told.get(timeout=PATIENCE) == ("pareto_hypervolume", 0.5)
    run.close()
    count = told.qsize()
    assert not run._repeating.is_alive()
    assert told.qsize() == count
