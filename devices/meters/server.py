"""The process that reads one meter: `python -m devices.meters.server ina219:0x40`.

Requests arrive on stdin, one JSON object a line; a reply repeats the `id`. Times are those of this machine's monotonic
clock.
    {"id": 1, "command": "describe"}                                 {"name", "period_s", "window_s", "step_w"}
    {"id": 2, "command": "clock"}                                    {"time_s"}
    {"id": 3, "command": "samples", "since_s": 9.5, "until_s": 11}   {"times_s", "powers_w", "more", and those}
    {"command": "quit"}
`samples` waits until the time is over; `more` says that only the first samples were sent. A request that fails gets
{"id", "ok": false, "error"}. The process ends with stdin, or after 3 s without a line with `--heartbeat-seconds 3`.
`--list` prints the meters that this machine has, as JSON.
"""

from __future__ import annotations

import json
import math
import os
import select
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from typing import Any, Protocol

from devices.meters.catalogue import available_meters, open_power_meter
from devices.meters.power_meter import Reading
from devices.meters.sampling import Description, Sampler
from devices.meters.spec import MeterSpec

MAX_SAMPLES = 500
"""Samples in one reply: some channels limit the length of a line."""

LONGEST_LINE = 2**16
"""Bytes of a request; what is longer is no client of ours, and ends the process."""

MAX_AHEAD_SECONDS = 120.0
"""How far ahead the end of a time may lie."""

Reply = dict[str, Any]


class Source(Protocol):
    """What has the samples of a meter: a `Sampler`."""

    def describe(self) -> Description:
        """The meter."""

    def window(self, since_s: float, until_s: float) -> list[Reading]:
        """The samples of a time, in order; waits until it is over."""


def answer(line: str, sampler: Source, *, clock: Callable[[], float] = time.monotonic) -> Reply | None:
    """The reply to one line, or None if the process is to end."""
    request_id = None
    try:
        request = json.loads(line)
        if not isinstance(request, dict):
            raise ValueError(f"a request must be a JSON object, but got {line.strip()!r}")
        request_id = request.get("id")
        command = request.get("command")
        if command == "quit":
            return None
        if command == "clock":
            return {"id": request_id, "ok": True, "time_s": clock()}
        if command == "describe":
            return {"id": request_id, "ok": True, **sampler.describe()._asdict()}
        if command == "samples":
            return {"id": request_id, "ok": True, **samples(request, sampler, clock=clock)}
        raise ValueError(f"`command` must be describe, clock, samples or quit, but got {command!r}")
    except Exception as error:
        return {"id": request_id, "ok": False, "error": (str(error) or type(error).__name__)[:1000]}


def samples(request: Reply, sampler: Source, *, clock: Callable[[], float] = time.monotonic) -> Reply:
    """Samples of a time; see the docstring of the module.

    Raises:
        MeterError: if the meter fails or hangs.
        ValueError: if the request lacks a time, or has one that makes no sense.
    """
    since_s, until_s = _time(request, "since_s"), _time(request, "until_s")
    latest_s = clock() + MAX_AHEAD_SECONDS
    if not since_s <= until_s <= latest_s:
        raise ValueError(f"`since_s <= until_s <= {latest_s:.1f}` must hold, but got {since_s} and {until_s}")
    found = sampler.window(since_s, until_s)
    return {
        **sampler.describe()._asdict(),
        "times_s": [round(reading.time_s, 6) for reading in found[:MAX_SAMPLES]],
        "powers_w": [round(reading.power_w, 6) for reading in found[:MAX_SAMPLES]],
        "more": len(found) > MAX_SAMPLES,
    }


def main() -> None:
    """Read the meter that the command line names, and answer requests until `quit` or the end of stdin."""
    if sys.argv[1:] == ["--list"]:
        print(json.dumps([asdict(entry) for entry in available_meters()]))
        return
    heartbeat_seconds = 0.0
    if sys.argv[2:3] == ["--heartbeat-seconds"] and len(sys.argv) == 4:
        heartbeat_seconds = float(sys.argv.pop())
        sys.argv.pop()
    if len(sys.argv) != 2:
        sys.exit("error: one meter must be named, as in `python -m devices.meters.server ina219:0x40`.")
    try:
        spec = MeterSpec.parse(sys.argv[1])
    except ValueError as error:
        sys.exit(f"error: {error}")
    sampler = Sampler(lambda: open_power_meter(spec))
    for line in _lines(heartbeat_seconds):
        reply = answer(line, sampler)
        if reply is None:
            break
        try:
            print(json.dumps(reply), flush=True)
        except BrokenPipeError:
            break


def _lines(heartbeat_seconds: float) -> Iterator[str]:
    """Lines of stdin that are not empty, until it ends or is silent for this long; 0 waits forever."""
    rest = b""
    while select.select([0], [], [], heartbeat_seconds or None)[0]:
        chunk = os.read(0, 65536)
        if not chunk:
            return
        *whole, rest = (rest + chunk).split(b"\n")
        if len(rest) > LONGEST_LINE:
            return
        for line in whole:
            if line.strip():
                yield line.decode("utf-8", "replace")


def _time(request: Reply, name: str) -> float:
    value = request.get(name)
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise ValueError(f"`{name}` must be a time in s, but got {value!r}")
    return value


if __name__ == "__main__":
    main()
