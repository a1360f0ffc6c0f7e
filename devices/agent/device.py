"""A board that runs the agent, wherever it is: `AgentDevice` measures through a `Link`."""

from __future__ import annotations

import contextlib
import logging
import math
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Protocol, TypeVar

from devices.agent.replies import (
    board_from_reply,
    conditions_from_reply,
    measurement_from_reply,
    span_from_reply,
    streamed_from_reply,
    time_from_reply,
)
from devices.channel import Channel, DeclinedError, Peer, Reply
from devices.configuration import BASE, RuntimeConfiguration
from devices.energy.fitted_power import fitted_where_metered
from devices.energy.idle_baseline import IdlePower, kept_idle
from devices.energy.meter import MAX_RELATIVE_INTERVAL, EnergyMeter, MeteredEnergy, TooFewSamplesError
from devices.energy.power_model import PowerModel, power_model_of
from devices.errors import BoardRefusedError, BoardUnreachableError, MeasurementError
from devices.measurement import Board, Conditions, Measurement, MeasureSettings
from devices.models import Model, files_of
from devices.quantization import activations_for, is_quantized, quantized
from devices.runtimes import files_for, images_for
from devices.streaming import LONGEST_IMAGE_SECONDS, Images, Streamed, as_file, check_stream

Opened = TypeVar("Opened", bound="AgentDevice")

AGENT_PATH = Path(__file__).with_name("agent.py")
RUNTIMES_PATH = AGENT_PATH.with_name("agent_runtimes.py")
"""Beside the agent on each board."""
AGENT = Peer("the agent", remedy="raise `timeout_seconds`, or take a smaller network")

logger = logging.getLogger(__name__)

METERED_RUNS = 10**6
"""Most timed inferences of a metered run."""
METER_FAILURES = 2
"""Runs of a network in which the meter may fail, as if it was unplugged, until its energy is modelled."""
METERED_ATTEMPTS = 3
"""Runs of a network until its energy is beyond doubt; after them it is modelled."""
LEAST_LONGER, MOST_LONGER = 2.0, 8.0
"""How much longer the next one lasts, at least and at most."""
FITTED_MEASUREMENTS = 200
"""Latest metered networks that the board's power model is fitted to, for those whose energy stays in doubt."""
LONGEST_SECONDS = 60.0
"""Longest of them, unless the meter needs more for its samples."""

CONDITIONS_SECONDS = 10.0
"""Longest that a board takes to tell its state."""
SETTLE_SECONDS = 6.0
"""Time without load before idle power is measured: Raspberry Pi OS holds the top clock for up to 5 s."""


class Link(Protocol):
    """A way to a board."""

    def start(self) -> Channel:
        """A running agent, over a new connection.

        Raises:
            MeasurementError: if none can be started.
        """

    def placed(self, content: bytes) -> AbstractContextManager[str]:
        """Path of a file on the board, which lasts as long as the context; only while an agent runs.

        Raises:
            MeasurementError: if it cannot be put there.
        """

    def close(self) -> None:
        """Free what the link holds; no call may follow."""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Energy:
    """What a meter made of a run: an energy, or why there is none; neither without a meter."""

    metered: MeteredEnergy | None = None
    note: str | None = None
    failed: bool = False
    """Whether the meter gave nothing for another reason than that the run was short."""

    @property
    def doubt(self) -> float:
        """The interval as a share of the energy; infinite without one."""
        return math.inf if self.metered is None else self.metered.relative_interval


class AgentDevice:
    """Measures through the agent; calls from several threads take turns.

    The agent starts at first use. If it crashes, hangs or can no longer be reached, that call fails and the next one
    gets a new agent over a new connection.
    """

    def __init__(
        self,
        link: Link,
        settings: MeasureSettings,
        *,
        name: str,
        shares_host: bool,
        power_model: PowerModel | None = None,
        turns: Callable[[], AbstractContextManager[None]] | None = None,
    ) -> None:
        """A board; nothing is started yet.

        Args:
            link: the way to it.
            settings: how it measures.
            name: what it is called.
            shares_host: whether the agent runs on the cores that the search uses.
            power_model: for energies without a meter, by default that of the board's model.
            turns: waits until nobody else measures on this board, for as long as its context lasts; the board's clock
                is left to its governor after each. By default the board is ours.
        """
        self._turns = turns
        self._identity: tuple[str | None, ...] | None = None
        self._link = link
        self._settings = settings
        self._name = name
        self._shares_host = shares_host
        self._power_model = power_model
        self._meter: EnergyMeter | None = None
        self._lock = threading.RLock()
        self._channel: Channel | None = None
        self._clock_mhz: int | None = None
        self._clock_touched = False
        self._metered_before: deque[Measurement] = deque(maxlen=FITTED_MEASUREMENTS)
        self._noted = False
        self._doubted = False
        self._idle: IdlePower | None = None
        self._closed = threading.Event()

    @property
    def shares_host(self) -> bool:
        """Whether the agent runs on the cores that the search uses."""
        return self._shares_host

    @property
    def metered(self) -> bool:
        """Whether a meter is attached."""
        return self._meter is not None

    def attach_meter(self, meter: EnergyMeter | None) -> None:
        """Measure energy with a meter, which is closed with the device; with None, energy is modelled."""
        self._meter = meter
        self._idle = None
        self._metered_before.clear()

    def describe(self) -> Board:
        """The board and its runtime.

        Raises:
            MeasurementError: if the agent does not answer.
            BoardRefusedError: if another board answers than before: its measurements would not compare.
        """
        board = board_from_reply(self._request("describe"), name=self._name)
        identity = (board.model, board.machine, board.runtime, board.litert)
        self._identity = self._identity or identity
        if identity != self._identity:
            raise BoardRefusedError(
                f"{self._name} must stay the board that it was, {_listed(self._identity)}, but is now "
                f"{_listed(identity)}: connect that one again, or begin anew."
            )
        for note in board.notes if not self._noted else ():
            logger.warning(note)
        self._noted = True
        return board

    def measure(self, model: Model, configuration: RuntimeConfiguration = BASE) -> Measurement:
        """Cost of one inference of a serialised ONNX model, batch size 1.

        In int8 a model of one file is quantised, unless it already is; of a model in several files these run as they
        are. The measurement's precision is that of the files that ran, whatever was asked for.

        Args:
            model: a serialised ONNX model, or the files of one that run one after another.
            configuration: how it is run; the clock is set where it is another one than before.

        Raises:
            MeasurementError: if the agent crashes, hangs, or cannot run the model; if the board or the meter cannot be
                reached.
            BoardRefusedError: if the board lacks the cores, or cannot or may not set the clock.
        """
        board = self._checked(configuration)
        if configuration.precision == "int8" and isinstance(model, bytes):
            try:
                model = quantized(model, activations=activations_for(board.machine))
            except (ValueError, OSError) as error:
                # Of a full disk, too: it is made in a file.
                raise MeasurementError(str(error)) from None
        configuration = _as_run(files_of(model), configuration)
        files = _files_for(files_of(model), configuration)
        with self._lock, self._turn():
            self._open_channel()
            with self._afresh_after_errors():
                idle = None if self._meter is None else self._idle_power(board, self._meter)
            with self._afresh_after_errors(), self._placed(files) as paths:
                self._get_ready(board, configuration)
                if self._meter is None or idle is None:
                    reply, energy = self._timed(paths, configuration.threads), _Energy()
                else:
                    reply, energy = self._metered(paths, configuration.threads, self._meter, idle)
        power_model = self._power_model or power_model_of(
            board.model, shares_host=self._shares_host, clocks_mhz=board.frequencies_mhz
        )
        # One scale in one front: what other networks took on this very board.
        power_model = fitted_where_metered(self._metered_before, power_model)
        measurement = measurement_from_reply(
            reply, board, configuration, power_model, energy.metered, energy_note=energy.note
        )
        if measurement.energy_source == "measured":
            self._metered_before.append(measurement)
        if measurement.energy_note is not None and not self._doubted:
            self._doubted = True
            logger.warning(
                "an energy on %s is modelled, not measured: %s; others that are will say so in their measurements.",
                board.label,
                measurement.energy_note.rstrip("."),
            )
        return measurement

    def stream(
        self,
        segments: Sequence[bytes],
        thresholds: Sequence[float],
        images_NCHW: Images,
        configuration: RuntimeConfiguration = BASE,
        *,
        passes: int = 3,
    ) -> Streamed:
        """Run images through segments of a network until one is confident; see `StreamingDevice`.

        Raises:
            ValueError: if a number of these does not fit.
            MeasurementError: if the agent crashes, hangs, or cannot run the files; if the board cannot be reached.
            BoardRefusedError: if the board lacks the cores, or cannot or may not set the clock.
        """
        check_stream(segments, thresholds, images_NCHW, passes)
        board, configuration = self._checked(configuration), _as_run(segments, configuration)
        files = [*_files_for(segments, configuration), as_file(images_for(images_NCHW, configuration))]
        with self._lock, self._turn():
            self._open_channel()
            with self._afresh_after_errors(), self._placed(files) as (*paths, images):
                self._get_ready(board, configuration)
                reply = self._request(
                    "stream",
                    passes * len(images_NCHW) * LONGEST_IMAGE_SECONDS,
                    models=paths,
                    thresholds=[float(value) for value in thresholds],
                    images=images,
                    threads=configuration.threads,
                    passes=passes,
                )
        return streamed_from_reply(reply, board, configuration, images=len(images_NCHW), segments=len(segments))

    def conditions(self) -> Conditions:
        """See `devices.device.SensingDevice`; an agent of an earlier version tells nothing.

        Raises:
            MeasurementError: if the agent does not answer, within less time than a measurement has.
        """
        try:
            with self._lock, self._afresh_after_errors():
                longest = min(self._settings.timeout_seconds, CONDITIONS_SECONDS)
                return conditions_from_reply(self._open_channel().request("conditions", longest))
        except DeclinedError:
            return Conditions()

    def clock_seconds(self) -> float:
        """The board's monotonic clock now, in s, by which the times of a meter that is read elsewhere are aligned.

        Raises:
            MeasurementError: if the agent does not answer.
        """
        return time_from_reply(self._request("clock"))

    def close(self) -> None:
        """End the agent, close meter and link; closing twice does no harm.

        A measurement in another thread fails.
        """
        if self._closed.is_set():
            return
        self._closed.set()
        channel, self._channel = self._channel, None
        if channel is not None:
            channel.end()
        with self._lock:
            # A meter may be attached to the board, and is read through the link then.
            if self._meter is not None:
                self._meter.close()
            self._drop_channel()
            self._link.close()

    def __enter__(self: Opened) -> Opened:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @contextlib.contextmanager
    def _turn(self) -> Iterator[None]:
        if self._turns is None:
            yield
            return
        with self._turns():
            try:
                yield
            finally:
                if self._clock_touched and not self._closed.is_set():
                    # Others may measure now, or the search goes on.
                    with contextlib.suppress(MeasurementError):
                        self._set_clock(None)
                        # Where the agent was killed, the one that answers this has put it back.
                        self._request("clock")
                        self._clock_touched = False

    def _checked(self, configuration: RuntimeConfiguration) -> Board:
        """The board, if it has the cores and the clock."""
        board = self.describe()
        try:
            board.check(configuration)
        except ValueError as error:
            raise BoardRefusedError(str(error)) from None
        return board

    @contextlib.contextmanager
    def _placed(self, files: Sequence[bytes]) -> Iterator[list[str]]:
        """Paths of files on the board; one that comes twice is placed once."""
        with contextlib.ExitStack() as stack:
            paths = {content: stack.enter_context(self._link.placed(content)) for content in dict.fromkeys(files)}
            yield [paths[content] for content in files]

    def _get_ready(self, board: Board, configuration: RuntimeConfiguration) -> None:
        # A hot board may not keep a clock that it keeps when it is cool.
        self._cool_down(board)
        self._set_clock(configuration.frequency_mhz)

    def _cool_down(self, board: Board) -> None:
        settings = self._settings
        if settings.cooldown_seconds:
            limit_c = settings.max_temperature_c
            self._request(
                "cool",
                settings.cooldown_seconds,
                max_temperature_c=board.max_temperature_c if limit_c is None else limit_c,
                cooldown_seconds=settings.cooldown_seconds,
            )

    def _idle_power(self, board: Board, meter: EnergyMeter) -> IdlePower:
        """Idle power at the board's lowest clock, measured once for all configurations."""
        if self._idle is None:
            for mhz in board.frequencies_mhz:
                with contextlib.suppress(BoardRefusedError):
                    self._set_clock(mhz)
                    break
            else:
                # An idle board's governor goes to the lowest clock by itself.
                self._set_clock(None)
            self._closed.wait(SETTLE_SECONDS)
            self._idle = kept_idle(board.label, meter.idle())
        return self._idle

    def _metered(
        self, paths: Sequence[str], threads: int, meter: EnergyMeter, idle: IdlePower
    ) -> tuple[Reply, _Energy]:
        """A run that a meter reads along, repeated for longer while its energy is in doubt.

        A meter that fails once it has worked ends nothing: the latency stands, and the energy is modelled.
        """
        try:
            seconds = max(self._settings.metered_seconds, meter.seconds_needed)
        except BoardUnreachableError:
            raise
        except MeasurementError as error:
            return self._timed(paths, threads), _Energy(note=str(error), failed=True)
        best: tuple[Reply, _Energy] | None = None
        failures = 0
        for _ in range(METERED_ATTEMPTS):
            reply = self._timed(paths, threads, metered_seconds=seconds)
            energy = _energy_of(reply, meter, idle)
            failures += energy.failed
            if best is None or energy.doubt <= best[1].doubt:
                best = reply, energy
            if energy.doubt <= MAX_RELATIVE_INTERVAL or seconds >= LONGEST_SECONDS or failures == METER_FAILURES:
                break
            if energy.failed:
                continue
            # An interval narrows with the square root of the time.
            longer = min(MOST_LONGER, max(LEAST_LONGER, (energy.doubt / MAX_RELATIVE_INTERVAL) ** 2))
            seconds = min(longer * seconds, max(LONGEST_SECONDS, seconds))
        assert best is not None
        return best

    def _timed(self, paths: Sequence[str], threads: int, *, metered_seconds: float = 0.0) -> Reply:
        settings = self._settings
        return self._request(
            "measure",
            metered_seconds,
            models=list(paths),
            threads=threads,
            warmup_runs=settings.warmup_runs,
            min_runs=settings.min_runs,
            max_runs=max(settings.max_runs, METERED_RUNS) if metered_seconds else settings.max_runs,
            min_seconds=max(settings.min_seconds, metered_seconds),
        )

    def _request(self, command: str, more_seconds: float = 0.0, **settings: object) -> Reply:
        with self._lock, self._afresh_after_errors():
            return self._open_channel().request(command, self._settings.timeout_seconds + more_seconds, **settings)

    def _open_channel(self) -> Channel:
        if self._closed.is_set():
            raise MeasurementError("a closed device cannot measure: open a new one.")
        if self._channel is not None and not self._channel.alive:
            self._drop_channel()
        if self._channel is None:
            self._channel = self._link.start()
            self._clock_mhz = None
        return self._channel

    def _set_clock(self, frequency_mhz: int | None) -> None:
        self._open_channel()
        if frequency_mhz == self._clock_mhz:
            return
        self._clock_touched = True
        try:
            self._request("set_frequency", frequency_mhz=frequency_mhz)
        except DeclinedError as error:
            # The agent has left the clock to the governor again.
            self._clock_mhz = None
            raise BoardRefusedError(str(error)) from None
        self._clock_mhz = frequency_mhz

    @contextlib.contextmanager
    def _afresh_after_errors(self) -> Iterator[None]:
        try:
            yield
        except DeclinedError:
            raise
        except BaseException:
            # Also on Ctrl-C: a late reply must not answer the next request.
            self._drop_channel()
            raise

    def _drop_channel(self) -> None:
        if self._channel is not None:
            self._channel.end()
            self._channel = None


def _as_run(files: Sequence[bytes], configuration: RuntimeConfiguration) -> RuntimeConfiguration:
    """A configuration with the precision of the files that run in it."""
    return replace(configuration, precision="int8" if is_quantized(files) else "fp32")


def _files_for(files: Sequence[bytes], configuration: RuntimeConfiguration) -> Sequence[bytes]:
    """Files in the format of a configuration's runtime."""
    try:
        return files_for(files, configuration)
    except ValueError as error:
        runtime = "LiteRT" if configuration.runtime == "litert" else "ONNX Runtime"
        raise MeasurementError(f"{runtime} cannot run this model: {error}") from None


def _listed(identity: tuple[str | None, ...]) -> str:
    return ", ".join(part for part in identity if part is not None)


def _energy_of(reply: Reply, meter: EnergyMeter, idle: IdlePower) -> _Energy:
    """What the meter made of the run that a reply tells of."""
    span = span_from_reply(reply)
    try:
        return _Energy(metered=meter.energy(*span, idle=idle))
    except TooFewSamplesError as error:
        return _Energy(note=str(error))
    except BoardUnreachableError:
        raise
    except MeasurementError as error:
        # Unplugged, say, or a battery began to charge.
        return _Energy(note=str(error), failed=True)
