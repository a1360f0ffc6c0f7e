"""A board that remembers: what it has measured before is read from a file instead of being measured again.

This is how a profile can be interrupted and resumed, and how the profile of a board is found again later.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import os
import stat
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from devices.cache import cache_folder
from devices.configuration import BASE, RuntimeConfiguration
from devices.device import Device
from devices.measurement import Board, Measurement, MeasureSettings, model_key
from devices.models import Model
from devices.turns import Turns
from search_space.boundary.reading import parse_json
from search_space.boundary.sealing import sealed, unsealed
from search_space.boundary.text import reason_of
from search_space.boundary.writing import NO_LINK, append_line, check_can_write, check_no_links
from search_space.spaces import SearchSpace

logger = logging.getLogger(__name__)

MOST_BYTES = 2**31
"""Of a file of measurements."""


class JournaledDevice:
    """Keeps each measurement in a file, one JSON line each, and gives it again for the same model.

    A model that is asked for repeatedly gets its first measurement first, its second one second, and is measured again
    when the file has no more. A line that was cut or damaged is ignored, and measured again. Of two programs with the
    same file, one measures at a time, and the other one reads what it has measured.
    """

    def __init__(self, device: Device, path: Path) -> None:
        """A board that knows nothing yet; `open` returns one that knows its past.

        Args:
            device: the board.
            path: where its measurements are kept.
        """
        self._device = device
        self._path = path
        self._turns = Turns(what="profiles the same board")
        self._read_to = _Place()
        self._known: dict[str, list[Measurement]] = defaultdict(list)
        self._asked: Counter[str] = Counter()
        self._warned: set[str] = set()

    @classmethod
    def open(cls, device: Device, path: Path) -> JournaledDevice:
        """A board that knows what a file holds, which need not exist yet.

        Raises:
            ValueError: if the file cannot be read or written to, or its folder holds links.
        """
        check_no_links(path.parent, what="the folder of measurements that are kept")
        check_can_write(path.parent, what="the measurements that are kept (PI_PARETO_NAS_CACHE)")
        journaled = cls(device, path)
        journaled._learn()
        return journaled

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

    def measure(self, model: Model, configuration: RuntimeConfiguration = BASE) -> Measurement:
        """What the file has for this model, or else a new measurement, which the file then has too.

        Raises:
            MeasurementError: if the board could not measure it.
        """
        key = _key(model, configuration)
        place = self._asked[key]
        if place == len(self._known[key]):
            with self._turn():
                self._learn()
                if place == len(self._known[key]):
                    measurement = self._device.measure(model, configuration)
                    self._keep(model, measurement)
                    if place == len(self._known[key]):
                        self._known[key].append(measurement)
        self._asked[key] += 1
        return self._known[key][place]

    def close(self) -> None:
        """Free the board."""
        self._turns.close()
        self._device.close()

    @contextlib.contextmanager
    def _turn(self) -> Iterator[None]:
        """Be the only one who measures for this file."""
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            lock = os.open(self._path.with_suffix(".lock"), os.O_RDWR | os.O_CREAT | NO_LINK, 0o600)
        except OSError as error:
            self._warn(f"profiles of other programs are not waited for: {reason_of(error)}")
            yield
            return
        with os.fdopen(lock, "r+b") as file:
            self._turns.wait(file)
            yield

    def _learn(self) -> None:
        """Know what was appended to the file since it was last read, by whomever."""
        found, self._read_to = _lines_after(self._read_to, self._path)
        for key, measurement in found:
            configuration = measurement.configuration
            if configuration.runtime == "litert" and measurement.runtime != self._device.describe().litert:
                # The file is that of a version of ONNX Runtime; LiteRT was another one then.
                continue
            self._known[_key_of(key, configuration)].append(measurement)

    def _keep(self, model: Model, measurement: Measurement) -> None:
        line = json.dumps(sealed({"model": model_key(model), "measurement": measurement.to_json()})).encode()
        try:
            append_line(self._path, line)
        except OSError as error:
            self._warn(f"the profile goes on, but its measurements are no longer kept: {reason_of(error)}")
        else:
            # What is read again is what another run will go by.
            self._learn()

    def _warn(self, reason: str) -> None:
        if reason not in self._warned:
            self._warned.add(reason)
            logger.warning("%s.", reason)


def profile_path(board: Board, space: SearchSpace, settings: MeasureSettings) -> Path:
    """Where the measurements of a profile are kept: one file for each board, runtime and space.

    It is in `profiles` in `devices.cache.cache_folder()`.
    """
    identity = {
        **{name: value for name, value in asdict(board).items() if name != "litert"},
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
    known, _ = _lines_after(_Place(), profile_path(board, space, settings))
    return Counter(measurement.configuration.label for _, measurement in known)


def _key(model: Model, configuration: RuntimeConfiguration) -> str:
    return _key_of(model_key(model), configuration)


def _key_of(key: str, configuration: RuntimeConfiguration) -> str:
    return f"{key} {configuration.label}"


@dataclass(frozen=True)
class _Place:
    """Up to where a file was read."""

    inode: int = 0
    bytes_read: int = 0


def _lines_after(place: _Place, path: Path) -> tuple[list[tuple[str, Measurement]], _Place]:
    """The measurements in a file after a place, each with its `model_key`, and where they end.

    Raises:
        ValueError: if the file cannot be read.
    """
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | NO_LINK)
    except FileNotFoundError:
        return [], place
    except OSError as error:
        raise ValueError(_unreadable(path, reason_of(error))) from None
    status = os.fstat(handle)
    if not stat.S_ISREG(status.st_mode):
        os.close(handle)
        raise ValueError(_unreadable(path, "it is no file"))
    with open(handle, "rb") as file:
        # Another one was put in its place, or it was cut: all of it is new.
        same = status.st_ino == place.inode and status.st_size >= place.bytes_read
        file.seek(place.bytes_read if same else 0)
        # No more memory than there is to read.
        text = file.read(max(0, min(MOST_BYTES, status.st_size - file.tell())))
        end = file.tell()
    found: list[tuple[str, Measurement]] = []
    for line in text.split(b"\n"):
        if not line:
            continue
        try:
            content = unsealed(parse_json(line))
            measurement = Measurement.from_json(content["measurement"])
            _check(measurement)
            found.append((str(content["model"]), measurement))
        except (ValueError, KeyError, TypeError, AttributeError, OverflowError):
            continue
    return found, _Place(status.st_ino, end)


def _check(measurement: Measurement) -> None:
    """Check what a board measures: lines of earlier versions have no seal."""
    least = min(measurement.latency_ms, measurement.median_ms)
    if not (least > 0 and measurement.iqr_ms >= 0 and measurement.runs >= 1 and measurement.configuration.label):
        raise ValueError("no board measures that")


def _unreadable(path: Path, reason: str) -> str:
    return (
        f"the file of measurements that are kept must be readable, but {str(path)!r} is not: {reason}. Remove it to "
        "measure again."
    )
