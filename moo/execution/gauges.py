"""Figures of a run for Prometheus and Grafana, by Ray's metrics, each with the run as its tag."""

from __future__ import annotations

import threading
from pathlib import Path

from ray.util.metrics import Gauge

from moo.execution.titles import run_title

REPEAT_SECONDS = 5.0
"""Ray forgets a figure 20 seconds after it was told, whether it still holds or not."""
TAG = "run"
GAUGES = {
    "hypervolume": "Hypervolume of the front",
    "front_points": "Operating points on the front",
    "architectures": "Architectures evaluated",
    "trials_running": "Trials that are running",
    "trials_waiting": "Trials of the generation that wait for a worker",
    "trials_ended": "Trials that have ended",
    "trials_failed": "Trials that have failed",
    "board_queue": "Networks that wait for a board",
    "board_celsius": "Temperature of a board in degrees Celsius at its last measurement",
    "boards_unreachable": "Boards that do not answer",
    "pretraining_loss": "Loss of the last epoch of pre-training",
    "seconds_left": "Estimated seconds until the run ends",
}
"""What is exported, and what it says; Prometheus has each as `ray_pareto_<name>`."""


class RunGauges:
    """The gauges of one run, until they are closed. They may be set while no Ray runs, too, and are exported by one."""

    def __init__(self, run: Path) -> None:
        """Make them.

        Args:
            run: the run folder.
        """
        self._tags = {TAG: run_title(run)}
        self._gauges: dict[str, Gauge] = {}
        self._values: dict[str, float] = {}
        self._alone, self._closed = threading.Lock(), threading.Event()
        self._repeating = threading.Thread(target=self._repeat, name="gauges", daemon=True)
        self._repeating.start()

    def set(self, name: str, value: float) -> None:
        """Set one.

        Args:
            name: of `GAUGES`.
            value: in the unit that its description names.
        """
        with self._alone:
            if name not in self._gauges:
                self._gauges[name] = Gauge(f"pareto_{name}", description=GAUGES[name], tag_keys=(TAG,))
            self._values[name] = value
            self._gauges[name].set(value, tags=self._tags)

    def close(self) -> None:
        """Let Ray forget them."""
        self._closed.set()
        self._repeating.join()

    def _repeat(self) -> None:
        while not self._closed.wait(REPEAT_SECONDS):
            with self._alone:
                for name, value in self._values.items():
                    self._gauges[name].set(value, tags=self._tags)
