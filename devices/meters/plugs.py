"""Shelly and Tasmota smart plugs, over HTTP.

Their power now is read, not their energy counters, which move in steps of 3.6 J (Shelly, second generation) to 3.6 kJ:
a Pi takes 5 J a second.
Sources: https://shelly-api-docs.shelly.cloud/ (Gen1 `/meter/0`, Gen2 `Switch.GetStatus`),
https://tasmota.github.io/docs/Commands/ (`Status 8`, `Status 10`).
"""

from __future__ import annotations

import http.client
import json
import time
import urllib.request
from collections.abc import Callable

from devices.meters.power_meter import MeterError, Reading

TIMEOUT_S = 3.0
MOST_BYTES = 65536
"""Of a reply; a plug sends some hundred."""
MOST_W = 1e4
"""Of a plug: a socket gives 3.7 kW."""
WINDOW_S = 2.0
"""A plug averages over a second and tells the last result, which may be another second old."""

Fetch = Callable[[str], object]
"""The content of a URL, parsed as JSON; raises `OSError` or `ValueError`."""


class Shelly:
    """A Shelly plug or relay that meters power."""

    name = "shelly"
    period_s = 1.0
    window_s = WINDOW_S

    def __init__(self, url: str, *, fetch: Fetch | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        """Ask the plug for its generation.

        Raises:
            MeterError: if it does not answer like a Shelly.
        """
        self._url = url
        self._fetch = fetch or fetch_json
        self._clock = clock
        about = _ask(self._fetch, f"{self._url}/shelly", self.name)
        generation = about.get("gen", 1) if isinstance(about, dict) else 1
        self._path, self._key = ("/meter/0", "power") if generation == 1 else ("/rpc/Switch.GetStatus?id=0", "apower")
        self.step_w = 0.01 if generation == 1 else 0.1

    def read(self) -> Reading:
        """Power now.

        Raises:
            MeterError: if the plug does not answer, or reports no power.
        """
        start_s = self._clock()
        status = _ask(self._fetch, self._url + self._path, self.name)
        time_s = (start_s + self._clock()) / 2
        power_w = status.get(self._key) if isinstance(status, dict) else None
        if isinstance(status, dict) and status.get("is_valid") is False:
            power_w = None
        return Reading(time_s, _checked_power(power_w, status, self.name, self._url + self._path))


class Tasmota:
    """A plug with Tasmota firmware."""

    name = "tasmota"
    period_s = 1.0
    window_s = WINDOW_S

    PATHS = ("/cm?cmnd=Status%2010", "/cm?cmnd=Status%208")
    """`Status 10` of firmware since 5.13, `Status 8` of older."""

    def __init__(self, url: str, *, fetch: Fetch | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        self._url = url
        self._fetch = fetch or fetch_json
        self._clock = clock
        self.step_w = 1.0
        """As many decimals as it has shown: `WattRes` is 0 as a rule, 3 at most."""

    def read(self) -> Reading:
        """Power now, of the first outlet where there are several.

        Raises:
            MeterError: if the plug does not answer, or reports no power.
        """
        status: object = None
        for path in self.PATHS:
            start_s = self._clock()
            status = _ask(self._fetch, self._url + path, self.name)
            time_s = (start_s + self._clock()) / 2
            power_w = _tasmota_power(status)
            if power_w is not None:
                checked_w = _checked_power(power_w, status, self.name, self._url + path)
                self.step_w = min(self.step_w, _step_of(checked_w))
                return Reading(time_s, checked_w)
        return Reading(0.0, _checked_power(None, status, self.name, self._url + self.PATHS[-1]))


def fetch_json(url: str) -> object:
    """The JSON at a URL, bypassing any proxy: a plug is on the local network.

    Raises:
        OSError: if nothing answers in time, or answers with an error.
        ValueError: if it is not JSON.
    """
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), _NoRedirects())
    try:
        with opener.open(url, timeout=TIMEOUT_S) as reply:
            return json.loads(_body_of(reply))
    except http.client.HTTPException as error:
        raise OSError(f"a broken reply ({type(error).__name__})") from error
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """A plug that leads elsewhere is none: this machine asks nobody else for it."""

    def redirect_request(self, *request_and_reply: object) -> None:
        """None: the redirection is an error then."""


def _body_of(reply: http.client.HTTPResponse) -> bytes:
    """What a plug sends, all of it within the time limit, not only each part."""
    deadline_s, body = time.monotonic() + TIMEOUT_S, b""
    while chunk := reply.read1(MOST_BYTES):
        body += chunk
        if len(body) > MOST_BYTES or time.monotonic() > deadline_s:
            raise OSError(f"a reply that is longer than {MOST_BYTES} bytes, or takes longer than {TIMEOUT_S:g} s")
    return body


def _tasmota_power(status: object) -> object:
    if not isinstance(status, dict):
        return None
    sensors = status.get("StatusSNS")
    energy = sensors.get("ENERGY") if isinstance(sensors, dict) else status.get("StatusPWR")
    power = energy.get("Power") if isinstance(energy, dict) else None
    return power[0] if isinstance(power, list) and power else power


def _step_of(power_w: float) -> float:
    """Of the last decimal that a power is told with, down to a milliwatt."""
    return next(
        (step_w for step_w in (1.0, 0.1, 0.01) if abs(round(power_w / step_w) * step_w - power_w) < 1e-6), 0.001
    )


def _checked_power(power: object, status: object, name: str, url: str) -> float:
    if isinstance(power, bool) or not isinstance(power, (int, float)) or not abs(power) <= MOST_W:
        raise MeterError(
            f"the {name} plug must report a power at {url}, but got {ascii(status)[:80]}: only plugs that meter can be "
            "used."
        )
    return float(power)


def _ask(fetch: Fetch, url: str, name: str) -> object:
    try:
        return fetch(url)
    except (OSError, ValueError) as error:
        raise MeterError(
            f"the {name} plug must answer within {TIMEOUT_S:g} s at {url}, but got {str(error)[:80]!a}: make sure "
            "that it is plugged in, on this network, and has no password set."
        ) from error
