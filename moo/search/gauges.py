"""A search's figures as gauges, for dashboards. A listener of `moo.events`."""

from __future__ import annotations

from typing import Protocol

from moo import events


class Gauges(Protocol):
    """Where figures go, as `moo.execution.gauges.RunGauges`."""

    def set(self, name: str, value: float) -> None:
        """Set one by its name."""


class GaugeListener:
    """Sets gauges as events come."""

    def __init__(self, gauges: Gauges) -> None:
        """Count from nothing.

        Args:
            gauges: what is set.
        """
        self._gauges = gauges
        self._asked = self._running = self._ended = self._failed = 0
        self._unreachable: set[str] = set()

    def __call__(self, event: events.Event) -> None:
        """Take in one event."""
        match event:
            case events.PretrainEpoch(record):
                self._gauges.set("pretraining_loss", record.loss)
            case events.GenerationStarted(_, trials, already_done):
                self._asked += trials
                self._ended += already_done
                self._count()
            case events.TrialStarted():
                self._running += 1
                self._count()
            case events.TrialFinished() | events.TrialFailed():
                self._running -= 1
                self._ended += 1
                self._failed += isinstance(event, events.TrialFailed)
                self._count()
            case events.FrontChanged():
                self._gauges.set("hypervolume", event.hypervolume)
                self._gauges.set("front_points", len(event.front))
                self._gauges.set("architectures", event.evaluations)
            case events.NetworkMeasured(_, measurement, waiting):
                self._gauges.set("board_queue", waiting)
                if measurement.after.temperature_c is not None:
                    self._gauges.set("board_celsius", measurement.after.temperature_c)
            case events.BoardUnreachable(device):
                self._unreachable.add(device)
                self._gauges.set("boards_unreachable", len(self._unreachable))
            case events.BoardBack(device):
                self._unreachable.discard(device)
                self._gauges.set("boards_unreachable", len(self._unreachable))
            case events.TimeEstimated():
                self._gauges.set("seconds_left", event.seconds_left)

    def _count(self) -> None:
        self._gauges.set("trials_running", self._running)
        self._gauges.set("trials_waiting", max(0, self._asked - self._ended - self._running))
        self._gauges.set("trials_ended", self._ended)
        self._gauges.set("trials_failed", self._failed)
