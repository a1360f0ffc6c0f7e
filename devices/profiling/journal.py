"""A board that remembers: what it has measured before is read from a file instead of being measured again.

This is how a profile can be interrupted and resumed, and how the profile of a board is found again later.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path

from devices.cache import cache_folder
from devices.configuration import BASE, RuntimeConfiguration
from devices.device import Device
from devices.measurement import Board, Measurement, MeasureSettings, model_key
from search_space.boundary.reading import parse_json, read_bytes
from search_space.boundary.sealing import sealed, unsealed
from search_space.boundary.writing import check_can_write, check_no_links
from search_space.spaces import SearchSpace

MOST_BYTES = 2**31
"""Of a file of measurements."""


class JournaledDevice:
    """Keeps each measurement in a file, one JSON line each, and gives it again for the same model.

    A model that is asked for repeatedly gets its first measurement first, its second one second, and is measured again
    when the file has no more. A line that was cut or damaged is ignored, and measured again.
    """

    def __init__(self, device: Device, path: Path, known: Iterable[tuple[str, Measurement]]) -> None:
        """A board with its past.

        Args:
            device: the board.
            path: where its measurements are kept.
            known: those that are there, in order, with the `model_key` of each.
        """
        self._device = device
        self._path = path
        self._known: dict[str, list[Measurement]] = defaultdict(list)
        self._asked: Counter[str] = Counter()
        for key, measurement in known:
            self._known[_key_of(key, measurement.configuration)].append(measurement)

    @classmethod
    def open(cls, device: Device, path: Path) -> JournaledDevice:
        """A board that knows what a file holds, which need not exist yet.

        Raises:
            ValueError: if the file cannot be read or written to, or its folder holds links.
        """
        check_no_links(path.parent, what="the folder of measurements that are kept")
        check_can_write(path.parent, what="the measurements that are kept")
        return cls(device, path, _lines_of(path))

    @property
    def shares_host(self) -> bool:
        """As the board says."""
        return self._device.shares_host

    @property
    def metered(self) -> bool:
        """As the board says."""
        return self._device.metered

    def describe(self) -> Board:
        """As the board says; `MeasurementError` if it does not answer."""
        return self._device.describe()

    def measure(self, model: bytes, configuration: RuntimeConfiguration = BASE) -> Measurement:
        """What the file has for this model, or else a new measurement, which the file then has too.

        Raises:
            MeasurementError: if the board could not measure it.
        """
        key = _key(model, configuration)
        place = self._asked[key]
        if place == len(self._known[key]):
            measurement = self._device.measure(model, configuration)
            line = json.dumps(sealed({"model": model_key(model), "measurement": measurement.to_json()}))
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with self._path.open("a") as file:
                # A line that a crash has cut has no newline: begin with one.
                file.write("\n" + line)
                file.flush()
                os.fsync(file.fileno())
            # As the file gives it back: a resumed profile has nothing else.
            self._known[key].append(Measurement.from_json(json.loads(line)["measurement"]))
        self._asked[key] += 1
        return self._known[key][place]

    def close(self) -> None:
        """Free the board."""
        self._device.close()


def profile_path(board: Board, space: SearchSpace, settings: MeasureSettings) -> Path:
    """Where the measurements of a profile are kept: one file for each board, runtime and space.

    It is in `profiles` in `devices.cache.cache_folder()`.
    """
    identity = {
        **asdict(board),
        "clock_mhz": None,
        "throttling_visible": True,
        "space": repr(space),
        "settings": asdict(settings),
    }
    digest = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:12]
    name = "".join(letter if letter.isalnum() else "-" for letter in f"{board.name}-{space.name}")
    return cache_folder() / "profiles" / f"{name}-{digest}.jsonl"


def measurements_kept(board: Board, space: SearchSpace, settings: MeasureSettings) -> Counter[str]:
    """How many measurements of a profile were made before, by the label of their configuration."""
    known = _lines_of(profile_path(board, space, settings))
    return Counter(measurement.configuration.label for _, measurement in known)


def _key(model: bytes, configuration: RuntimeConfiguration) -> str:
    return _key_of(model_key(model), configuration)


def _key_of(key: str, configuration: RuntimeConfiguration) -> str:
    return f"{key} {configuration.label}"


def _lines_of(path: Path) -> list[tuple[str, Measurement]]:
    found: list[tuple[str, Measurement]] = []
    if not path.exists():
        return found
    try:
        text = read_bytes(path, what="the file of measurements that are kept", most=MOST_BYTES)
    except ValueError as error:
        raise ValueError(f"{error} Remove it to measure again.") from None
    for line in text.splitlines():
        try:
            content = unsealed(parse_json(line))
            measurement = Measurement.from_json(content["measurement"])
            found.append((str(content["model"]), measurement))
        except (ValueError, KeyError, TypeError, AttributeError, OverflowError):
            continue
    return found
