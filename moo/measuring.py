"""Measures networks on a board: in turns with the search where it shares this machine's cores, else beside it.

`Measurer.request` queues networks; a board of its own works through the queue in a thread, this machine waits until
`drain` is called, when no inner search runs.
"""

from __future__ import annotations

import queue
import threading
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from devices.device import Device, MeasurementError
from devices.measurement import Measurement

ATTEMPTS = 3


@dataclass(frozen=True)
class Request:
    """A network that is to be measured."""

    architecture_id: str
    model: Callable[[], bytes]
    """Makes the ONNX model when its turn comes."""


@dataclass(frozen=True)
class Measured:
    """A request that has ended."""

    architecture_id: str
    measurement: Measurement | None
    """None if the board could not measure it."""
    reason: str = ""
    """Why it could not be measured."""


class Measurer:
    """A queue of networks in front of one board."""

    def __init__(self, device: Device) -> None:
        self._device = device
        self._waiting: deque[Request] = deque()
        self._done: queue.SimpleQueue[Measured | Exception] = queue.SimpleQueue()
        self._changed = threading.Condition()
        self._busy = False
        self._closed = False
        self._thread: threading.Thread | None = None
        if not device.shares_host:
            self._thread = threading.Thread(target=self._work, name="measurer", daemon=True)
            self._thread.start()

    @property
    def waiting(self) -> int:
        """Networks that are queued or being measured."""
        return len(self._waiting) + self._busy

    def request(self, request: Request) -> None:
        """Queue a network."""
        with self._changed:
            self._waiting.append(request)
            self._changed.notify_all()

    def collect(self) -> Iterator[Measured]:
        """What has been measured since the last call; never waits. What went wrong in the thread is raised here."""
        while True:
            try:
                outcome = self._done.get_nowait()
            except queue.Empty:
                return
            if isinstance(outcome, Exception):
                raise outcome
            yield outcome

    def drain(self) -> Iterator[Measured]:
        """Measure, or wait for, all that is queued, and yield each as it ends."""
        while True:
            yield from self.collect()
            if self._thread is None:
                if not self._waiting:
                    return
                yield measure(self._device, self._waiting.popleft())
            else:
                with self._changed:
                    if not self._waiting and not self._busy and self._done.empty():
                        return
                    if self._done.empty():
                        self._changed.wait(timeout=0.2)

    def close(self) -> None:
        """Stop; what is queued is given up, what is being measured is waited for briefly."""
        with self._changed:
            self._closed = True
            self._waiting.clear()
            self._changed.notify_all()
        if self._thread is not None:
            self._thread.join(timeout=5)
        self._device.close()

    def _work(self) -> None:
        while True:
            with self._changed:
                while not self._waiting and not self._closed:
                    self._changed.wait()
                if self._closed:
                    return
                request = self._waiting.popleft()
                self._busy = True
            outcome: Measured | Exception
            try:
                outcome = measure(self._device, request)
            except Exception as error:
                outcome = error
            with self._changed:
                self._done.put(outcome)
                self._busy = False
                self._changed.notify_all()


def measure(device: Device, request: Request) -> Measured:
    """Measure one network, again where it failed or its times spread too widely.

    Of several measurements the fastest is kept: what other programs add to a run is never negative.
    """
    best: Measurement | None = None
    reason = ""
    for _ in range(ATTEMPTS):
        try:
            measurement = device.measure(request.model())
        except MeasurementError as error:
            reason = str(error)
            continue
        if best is None or measurement.latency_ms < best.latency_ms:
            best = measurement
        if measurement.reliable:
            break
    return Measured(request.architecture_id, best, "" if best else reason)
