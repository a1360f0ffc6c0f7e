"""A board for tests: latencies are recorded or computed, nothing runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from inspect import signature

from devices.configuration import BASE, RuntimeConfiguration
from devices.energy.power_model import HOST_POWER_MODEL, PowerModel
from devices.errors import MeasurementError
from devices.measurement import Board, Measurement, model_key

REPLAY_DATE = "2000-01-01T00:00:00+00:00"
"""Date of every replayed measurement, so that replays are equal."""


class ReplayDevice:
    """Returns `latency_of(model)`; its measurements are labelled `modelled`."""

    def __init__(
        self,
        latency_of: Callable[[bytes], float] | Callable[[bytes, RuntimeConfiguration], float],
        *,
        shares_host: bool = False,
        cores: int | None = None,
        frequencies_mhz: tuple[int, ...] = (),
        power_model: PowerModel = HOST_POWER_MODEL,
    ) -> None:
        """A board.

        Args:
            latency_of: latency in ms of a model, or of a model in a configuration.
            shares_host: whether this board is to be treated as if it used this machine's cores.
            cores: that it says it has.
            frequencies_mhz: clocks that it says can be set.
            power_model: gives energies.
        """
        self._latency_of = latency_of
        self._by_configuration = len(signature(latency_of).parameters) > 1
        self._shares_host = shares_host
        self._cores = cores
        self._frequencies_mhz = frequencies_mhz
        self._power_model = power_model

    @property
    def shares_host(self) -> bool:
        """As given: whether this board is to be treated as if it used this machine's cores."""
        return self._shares_host

    @property
    def metered(self) -> bool:
        """Nothing is metered."""
        return False

    def describe(self) -> Board:
        """A board that says that it is a replay."""
        return Board(
            name="replay",
            model="no board",
            os="none",
            runtime="none",
            clock_mhz=None,
            cores=self._cores,
            frequencies_mhz=self._frequencies_mhz,
        )

    def measure(self, model: bytes, configuration: RuntimeConfiguration = BASE) -> Measurement:
        """The recorded or computed latency, with the energy of the power model.

        Raises:
            MeasurementError: if `latency_of` raises `KeyError`, which is how a test makes the board fail.
        """
        try:
            arguments = (model, configuration) if self._by_configuration else (model,)
            latency_ms = self._latency_of(*arguments)
        except KeyError as error:
            raise MeasurementError(f"no latency is recorded for this model: {error}.") from error
        board = self.describe()
        energy_mj = self._power_model.energy_mj(latency_ms, configuration)
        return Measurement(
            latency_ms=latency_ms,
            median_ms=latency_ms,
            iqr_ms=0.0,
            runs=1,
            energy_mj=energy_mj,
            gross_energy_mj=energy_mj + self._power_model.idle_w * latency_ms,
            idle_w=self._power_model.idle_w,
            energy_error=self._power_model.relative_error,
            latency_source="modelled",
            energy_source="modelled",
            board=board.label,
            os=board.os,
            runtime=board.runtime,
            threads=configuration.threads,
            frequency_mhz=configuration.frequency_mhz,
            precision=configuration.precision,
            date=REPLAY_DATE,
            reliable=True,
        )

    def close(self) -> None:
        """Nothing to free."""


def recorded(latencies_ms: Mapping[str, float]) -> Callable[[bytes], float]:
    """A `latency_of` for `ReplayDevice` from latencies by `model_key`."""
    return lambda model: latencies_ms[model_key(model)]
