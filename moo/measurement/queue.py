"""Measures networks on boards: in turns with the search where a board shares this machine's cores, else beside it.

`Measurer.request` queues networks; boards of their own work through the queue, each in a thread; this machine waits
until `drain` is called, when no inner search runs. What a board that went away leaves unmeasured waits for its return.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from devices.configuration import BASE, RuntimeConfiguration
from devices.device import Device, SensingDevice
from devices.errors import BoardUnreachableError, MeasurementError
from devices.measurement import Measurement, model_key
from devices.models import Model
from moo.events import BoardBack, BoardConditions, BoardEvent, BoardUnreachable
from moo.storage.record import RunRecord

ATTEMPTS = 3
RETRY_SECONDS = (2.0, 60.0)
"""Shortest and longest pause before a board that did not answer is asked again; each is twice the one before."""
LOOK_SECONDS = 3.0
"""Pause after which a board without work is asked for its state, and so whether it is still there.

It is less than SSH takes to give up a dead connection, so that a question is on its way then, and fails at that moment.
"""
LOOKS_TOLD = 3
"""Of so many looks at a board, one is told: what they find changes slowly."""


@dataclass(frozen=True)
class Request:
    """A network that is to be measured."""

    network: str
    """Architecture id; of a trained network's file, `<id>/<precision>`."""
    model: Callable[[], Model]
    """Makes the ONNX model when its turn comes: a file, or several that run one after another."""
    configuration: RuntimeConfiguration = BASE
    is_file: bool = False
    """Whether it is the very file that is handed out."""


@dataclass(frozen=True)
class Measured:
    """A board measured a network."""

    network: str
    measurement: Measurement
    file: str | None = None
    """`model_key` of the file or files, where the request was for these."""


@dataclass(frozen=True)
class NotMeasured:
    """A board could not measure a network."""

    network: str
    reason: str
    configuration: RuntimeConfiguration = BASE


MeasurerReport = Measured | NotMeasured | BoardEvent


class Measurer:
    """A queue of networks in front of one or several equal boards."""

    def __init__(
        self,
        devices: Sequence[Device],
        *,
        names: Sequence[str] | None = None,
        retry_seconds: tuple[float, float] = RETRY_SECONDS,
        look_seconds: float = LOOK_SECONDS,
        looks_told: int = LOOKS_TOLD,
    ) -> None:
        """Make a queue that nothing works through yet; `start_measurer` returns one that is started.

        Args:
            devices: the boards; either one that shares this machine's cores, or any number that do not.
            names: what the boards are called in reports.
            retry_seconds: shortest and longest pause before a board that did not answer is asked again.
            look_seconds: pause after which a board without work is asked for its state.
            looks_told: one of so many such states in a row is told.
        """
        self._devices = tuple(devices)
        self._look_seconds = look_seconds
        self._looks_told = looks_told
        self._retry_seconds = retry_seconds
        self._waiting: deque[Request] = deque()
        self._done: deque[MeasurerReport | Exception] = deque()
        self._changed = threading.Condition()
        self._busy = 0
        self._down: set[str] = set()
        self._in_vain_since: float | None = None
        self._closed = False
        self._names = names = names or [f"board {number + 1}" for number in range(len(self._devices))]
        self._threads = [
            threading.Thread(target=self._work, args=(name, device), name="measurer", daemon=True)
            for name, device in zip(names, self._devices, strict=True)
            if not device.shares_host
        ]

    def start(self) -> None:
        """Start a thread for each board that does not share this machine's cores."""
        for thread in self._threads:
            thread.start()

    @property
    def shares_host(self) -> bool:
        """Whether measuring and searching must take turns."""
        return not self._threads

    @property
    def waiting(self) -> int:
        """Networks that are queued or being measured."""
        return len(self._waiting) + self._busy

    def request(self, request: Request) -> None:
        """Queue a network."""
        with self._changed:
            self._waiting.append(request)
            self._changed.notify_all()

    def collect(self) -> Iterator[MeasurerReport]:
        """What has happened since the last call; never waits. What went wrong in a thread is raised here."""
        while True:
            try:
                outcome = self._done.popleft()
            except IndexError:
                return
            if isinstance(outcome, Exception):
                raise outcome
            yield outcome

    def board_events(self) -> list[BoardEvent]:
        """What has happened to the boards themselves since the last call, which `collect` then leaves out."""
        with self._changed:
            found = [one for one in self._done if isinstance(one, BoardEvent)]
            rest = [one for one in self._done if not isinstance(one, BoardEvent)]
            self._done.clear()
            self._done.extend(rest)
        return found

    def drain(self, patience_seconds: float = float("inf")) -> Iterator[MeasurerReport]:
        """Measure, or wait for, all that is queued, and yield each as it ends.

        Args:
            patience_seconds: how long to wait while no board answers, in this call and those before it together;
                what is queued then stays so.
        """
        while True:
            yield from self.collect()
            if not self._threads:
                if not self._waiting:
                    return
                outcome = self._measured_here(self._waiting.popleft())
                yield from (outcome, *_conditions_of(self._names[0], outcome))
                continue
            with self._changed:
                if not self._waiting and not self._busy and not self._done:
                    return
                if self._waited_in_vain() > patience_seconds and not self._done:
                    return
                if not self._done:
                    self._changed.wait(timeout=0.2)

    def close(self) -> None:
        """Stop; what is queued is given up, what is being measured is waited for briefly."""
        with self._changed:
            self._closed = True
            self._waiting.clear()
            self._changed.notify_all()
        for thread in self._threads:
            if thread.is_alive():
                thread.join(timeout=5)
        for device in self._devices:
            device.close()

    def _measured_here(self, request: Request) -> Measured | NotMeasured:
        """A network measured by this machine, which does not go away: what it refuses now is not waited for."""
        try:
            return measure(self._devices[0], request)
        except BoardUnreachableError as error:
            return NotMeasured(request.network, str(error), request.configuration)

    def _waited_in_vain(self) -> float:
        """Seconds since somebody first waited while no board answered; 0 while one answers."""
        if len(self._down) < len(self._threads):
            return 0.0
        if self._in_vain_since is None:
            self._in_vain_since = time.monotonic()
        return time.monotonic() - self._in_vain_since

    def _work(self, name: str, device: Device) -> None:
        shortest, longest = self._retry_seconds
        pause, looks = shortest, 0
        while True:
            with self._changed:
                patience = self._look_seconds if isinstance(device, SensingDevice) else None
                is_idle = False
                while not (self._waiting or self._closed or is_idle):
                    is_idle = not self._changed.wait(timeout=patience)
                if self._closed:
                    return
                if not is_idle:
                    request = self._waiting.popleft()
                    self._busy += 1
            if is_idle:
                looks += 1
                self._look_at(name, device, told=looks % self._looks_told == 0)
                continue
            looks = 0
            outcome: Measured | NotMeasured | Exception | None = None
            went_away = ""
            try:
                outcome = measure(device, request)
            except BoardUnreachableError as error:
                went_away = str(error)
            except Exception as error:
                outcome = error
            with self._changed:
                self._busy -= 1
                if outcome is not None:
                    self._back(name)
                    self._done.append(outcome)
                    self._done.extend(_conditions_of(name, outcome))
                    pause = shortest
                else:
                    if not self._closed:
                        self._waiting.appendleft(request)
                    self._away(name, went_away)
                self._changed.notify_all()
                if outcome is None:
                    self._changed.wait_for(lambda: self._closed, timeout=pause)
                    pause = min(2 * pause, longest)

    def _look_at(self, name: str, device: Device, *, told: bool) -> None:
        """Ask a board without work for its state, which is told or not; that it is gone or back always is."""
        assert isinstance(device, SensingDevice)
        try:
            found: BoardConditions | Exception | None = BoardConditions.of(name, device.conditions())
        except MeasurementError as error:
            with self._changed:
                if isinstance(error, BoardUnreachableError) and not self._closed:
                    self._away(name, str(error))
            return
        except Exception as error:
            found = error
        with self._changed:
            self._back(name)
            if found is not None and (told or isinstance(found, Exception)):
                self._done.append(found)

    def _away(self, name: str, reason: str) -> None:
        if name not in self._down:
            self._down.add(name)
            self._done.append(BoardUnreachable(name, reason))

    def _back(self, name: str) -> None:
        self._in_vain_since = None
        if name in self._down:
            self._down.remove(name)
            self._done.append(BoardBack(name))


def start_measurer(
    devices: Sequence[Device],
    *,
    names: Sequence[str] | None = None,
    retry_seconds: tuple[float, float] = RETRY_SECONDS,
) -> Measurer:
    """A `Measurer` whose boards are at work; its caller closes it."""
    measurer = Measurer(devices, names=names, retry_seconds=retry_seconds)
    measurer.start()
    return measurer


def _conditions_of(name: str, outcome: Measured | NotMeasured | Exception) -> list[BoardConditions]:
    """The state that a measurement left a board in, where it tells any."""
    if not isinstance(outcome, Measured):
        return []
    found = BoardConditions.of(name, outcome.measurement.after)
    return [] if found is None else [found]


def keep_board_event(record: RunRecord, event: BoardEvent) -> None:
    """Keep that a board went away or came back."""
    match event:
        case BoardUnreachable(device, reason):
            record.add_event("board unreachable", board=device, reason=reason)
        case BoardBack(device):
            record.add_event("board back", board=device)


def measure(device: Device, request: Request) -> Measured | NotMeasured:
    """Measure one network, again where it failed, the board throttled, or the times spread too widely.

    Of several measurements the fastest is kept: what other programs add to a run is never negative. One during which
    the board throttled is never kept.

    Raises:
        BoardUnreachableError: if the board does not answer.
    """
    best: Measurement | None = None
    reason, model = "", request.model()
    for _ in range(ATTEMPTS):
        try:
            measurement = device.measure(model, request.configuration)
        except BoardUnreachableError:
            raise
        except MeasurementError as error:
            reason = str(error)
            continue
        if measurement.throttled:
            reason = "the board throttled during every attempt: cool it, or give it a stronger supply."
            continue
        if best is None or measurement.latency_ms < best.latency_ms:
            best = measurement
        if measurement.reliable:
            break
    if best is None:
        return NotMeasured(request.network, reason, request.configuration)
    return Measured(request.network, best, model_key(model) if request.is_file else None)
