from __future__ import annotations

import json
import re
from pathlib import Path

from dnas.losses import Coefficients
from dnas.pretraining import PretrainRecord
from moo import events
from moo.execution.gauges import GAUGES
from moo.search.gauges import GaugeListener
from moo.trials import CoefficientTrial

GRAFANA = Path(__file__).parents[3] / "docs" / "grafana.json"


class Kept(dict[str, float]):
    """Gauges that are looked at."""

    def set(self, name: str, value: float) -> None:
        assert name in GAUGES
        self[name] = value


def test_gauges_follow_a_search() -> None:
    kept = Kept()
    tell = GaugeListener(kept)
    trial = CoefficientTrial(0, 0, Coefficients(0.1, 1.0, 0.1, 1.0))
    tell(events.PretrainEpoch(PretrainRecord(epoch=1, loss=2.5, accuracy=0.1, lr=0.1), 3))
    tell(events.GenerationStarted(1, trials=5, already_done=1))
    tell(events.TrialStarted(trial))
    tell(events.TrialStarted(trial))
    tell(events.TrialFailed(trial, "broken"))
    tell(events.FrontChanged(front=(), hypervolume=0.25, evaluations=7, trials=2))
    tell(events.BoardUnreachable("pi", "no route"))
    assert kept == {
        "pretraining_loss": 2.5, "trials_running": 1, "trials_waiting": 2, "trials_ended": 2, "trials_failed": 1,
        "hypervolume": 0.25, "front_points": 0, "architectures": 7, "boards_unreachable": 1,
    }  # fmt: skip
    tell(events.BoardBack("pi"))
    assert kept["boards_unreachable"] == 0


def test_grafana_shows_what_is_exported() -> None:
    dashboard = json.loads(GRAFANA.read_text())
    shown = {
        name
        for panel in dashboard["panels"]
        for target in panel["targets"]
        for name in re.findall(r"ray_pareto_(\w+)\{", target["expr"])
    }
    assert shown == set(GAUGES)
    assert len({panel["id"] for panel in dashboard["panels"]}) == len(dashboard["panels"])
