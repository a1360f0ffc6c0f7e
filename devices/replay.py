"""A board for tests: latencies are recorded or computed, nothing runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from devices.energy.power_model import HOST_POWER_MODEL
from devices.errors import MeasurementError
from devices.measurement import Board, Measurement, model_key

REPLAY_DATE = "2000-01-01T00:00:00+00:00"
"""Date of every replayed measurement, so that replays are equal."""


class ReplayDevice:
    """Returns `latency_of(model)`; its measurements are labelled `modelled`."""

    def __init__(self, latency_of: Callable[[bytes], float], *, shares_host: bool = False) -> None:
        self._latency_of = latency_of
        self._shares_host = shares_host

    @property
    def shares_host(self) -> bool:
        """As given: whether this board is to be treated as if it used this machine's cores."""
        return self._shares_host

    def describe(self) -> Board:
        """A board that says that it is a replay."""
        return Board(name="replay", model="no board", os="none", runtime="none", threads=1, clock_mhz=None)

    def measure(self, model: bytes) -> Measurement:
        """The recorded or computed latency, with the energy of the nominal power model.

        Raises:
            MeasurementError: if `latency_of` raises `KeyError`, which is how a test makes the board fail.
        """
        try:
            latency_ms = self._latency_of(model)
        except KeyError as error:
            raise MeasurementError(f"no latency is recorded for this model: {error}.") from error
        board = self.describe()
        return Measurement(
            latency_ms=latency_ms,
            median_ms=latency_ms,
            iqr_ms=0.0,
            runs=1,
            energy_mj=HOST_POWER_MODEL.energy_mj(latency_ms, board.threads),
            latency_source="modelled",
            energy_source="modelled",
            board=board.label,
            os=board.os,
            runtime=board.runtime,
            threads=board.threads,
            date=REPLAY_DATE,
            reliable=True,
        )

    def close(self) -> None:
        """Nothing to free."""


def recorded(latencies_ms: Mapping[str, float]) -> Callable[[bytes], float]:
    """A `latency_of` for `ReplayDevice` from latencies by `model_key`."""
    return lambda model: latencies_ms[model_key(model)]
