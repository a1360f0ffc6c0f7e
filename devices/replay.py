"""A board for tests: latencies are recorded or computed, nothing runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from inspect import signature

import numpy as np

from devices.configuration import BASE, RuntimeConfiguration
from devices.energy.power_model import HOST_POWER_MODEL, PowerModel
from devices.errors import MeasurementError
from devices.measurement import LEAST_LITERT, Board, Conditions, Measurement, model_key
from devices.models import Model, files_of
from devices.streaming import Images, Streamed, check_stream

REPLAY_DATE = "2000-01-01T00:00:00+00:00"
"""Date of every replayed measurement, so that replays are equal."""


Run = Callable[[Images], Sequence[Images]]
"""From the input of a file to its outputs, the batch first."""


class ReplayDevice:
    """Returns `latency_of(model)`; its measurements are labelled `modelled`."""

    def __init__(
        self,
        latency_of: Callable[..., float],
        *,
        shares_host: bool = False,
        cores: int | None = None,
        frequencies_mhz: tuple[int, ...] = (),
        power_model: PowerModel = HOST_POWER_MODEL,
        runs: Callable[[bytes], Run] | None = None,
    ) -> None:
        """A board.

        Args:
            latency_of: latency in ms of a model, or of a model in a configuration; a model in several files is a tuple.
            shares_host: whether this board is to be treated as if it used this machine's cores.
            cores: that it says it has.
            frequencies_mhz: clocks that it says can be set.
            power_model: gives energies.
            runs: what runs a file of a stream; by default ONNX Runtime.
        """
        self._latency_of = latency_of
        self._by_configuration = len(signature(latency_of).parameters) > 1
        self._shares_host = shares_host
        self._cores = cores
        self._frequencies_mhz = frequencies_mhz
        self._power_model = power_model
        self._runs = in_onnx_runtime if runs is None else runs

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
            litert=f"a replay of litert {LEAST_LITERT}.0",
            clock_mhz=None,
            cores=self._cores,
            frequencies_mhz=self._frequencies_mhz,
        )

    def measure(self, model: Model, configuration: RuntimeConfiguration = BASE) -> Measurement:
        """The recorded or computed latency, with the energy of the power model.

        Raises:
            MeasurementError: if `latency_of` raises `KeyError`, which is how a test makes the board fail.
        """
        try:
            latency_ms = self._latency_ms(model, configuration)
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
            runtime=board.runtime_of(configuration),
            threads=configuration.threads,
            frequency_mhz=configuration.frequency_mhz,
            precision=configuration.precision,
            date=REPLAY_DATE,
            reliable=True,
        )

    def stream(
        self,
        segments: Sequence[bytes],
        thresholds: Sequence[float],
        images_NCHW: Images,
        configuration: RuntimeConfiguration = BASE,
        *,
        passes: int = 3,
    ) -> Streamed:
        """Where images leave when the segments run, and the recorded or computed latency of each way.

        Raises:
            ValueError: if a number of these does not fit.
            MeasurementError: if `latency_of` raises `KeyError`.
        """
        check_stream(segments, thresholds, images_NCHW, passes)
        left = _left(segments, thresholds, images_NCHW, self._runs)
        taken = sorted({way for way, _ in left})
        latencies_ms = {way: self.measure(segments[: way + 1], configuration).latency_ms for way in taken}
        return Streamed(
            latencies_ms=tuple(latencies_ms[way] for way, _ in left),
            ways=tuple(way for way, _ in left),
            classes=tuple(found for _, found in left),
            latency_source="modelled",
            board=self.describe().label,
            configuration=configuration,
            before=Conditions(),
            after=Conditions(),
        )

    def _latency_ms(self, model: Model, configuration: RuntimeConfiguration) -> float:
        network = model if isinstance(model, bytes) else files_of(model)
        return self._latency_of(network, configuration) if self._by_configuration else self._latency_of(network)

    def close(self) -> None:
        """Nothing to free."""


def in_onnx_runtime(file: bytes) -> Run:
    """Runs a file on this machine's processor."""
    import onnxruntime

    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return lambda maps: list(session.run(None, {name: maps}))


def _left(
    segments: Sequence[bytes], thresholds: Sequence[float], images_NCHW: Images, runs: Callable[[bytes], Run]
) -> list[tuple[int, int]]:
    """The way and the class of each image."""
    limits = [*np.asarray(thresholds, np.float32), -np.inf]
    opened = [runs(file) for file in segments]
    left = []
    for image_CHW in images_NCHW:
        maps = image_CHW[None]
        for way, (run, limit) in enumerate(zip(opened, limits, strict=True)):
            outputs = run(maps)
            maps, scores_K = outputs[0], outputs[-1][0]
            if way == len(thresholds) or np.exp(-np.log(np.exp(scores_K - scores_K.max()).sum())) > limit:
                left.append((way, int(scores_K.argmax())))
                break
    return left


def recorded(latencies_ms: Mapping[str, float]) -> Callable[[Model], float]:
    """A `latency_of` for `ReplayDevice` from latencies by `model_key`."""
    return lambda model: latencies_ms[model_key(model)]
