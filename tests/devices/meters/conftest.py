"""What tests of meters share: fakes of their hardware."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace

import pytest

StartPlug = Callable[[Callable[[str], object]], str]
"""Starts a plug that gives some content by path, and returns its URL; None is an error, bytes are sent as they are."""

RANGE_UJ = 262_143_328_850
"""Where RAPL's counters start again at 0."""


class NVMLError(Exception):
    pass


class FakeDriver:
    """Two GPUs; the first has an energy counter."""

    def __init__(self) -> None:
        self.energy_mj = 5_000
        self.power_mw = 61_500
        self.fallen = False
        self.library = SimpleNamespace(
            NVMLError=NVMLError,
            nvmlInit=lambda: None,
            nvmlDeviceGetHandleByIndex=self._handle,
            nvmlDeviceGetTotalEnergyConsumption=self._energy,
            nvmlDeviceGetPowerUsage=self._power,
        )

    def _handle(self, index: int) -> int:
        if index > 1:
            raise NVMLError("Invalid Argument")
        return index

    def _energy(self, handle: int) -> int:
        if handle == 1 or self.fallen:
            raise NVMLError("Not Supported")
        return self.energy_mj

    def _power(self, handle: int) -> int:
        if self.fallen:
            raise NVMLError("GPU is lost")
        return self.power_mw


def make_zone(tree: Path, zone: str, name: str, energy_uj: int = 1_000_000) -> Path:
    """A counter in a powercap tree."""
    folder = tree / zone
    folder.mkdir()
    (folder / "name").write_text(f"{name}\n")
    (folder / "max_energy_range_uj").write_text(f"{RANGE_UJ}\n")
    (folder / "energy_uj").write_text(f"{energy_uj}\n")
    return folder


def make_sensor(tree: Path, number: int, name: str, *, device: str = "", **files: int | str) -> Path:
    """A sensor of the kernel in a hwmon tree, attached as `1-0040` or the like; files by name."""
    folder = tree / f"hwmon{number}"
    folder.mkdir()
    for file, content in {"name": name, **files}.items():
        (folder / file).write_text(f"{content}\n")
    if device:
        place = tree / "devices" / device
        place.mkdir(parents=True)
        (folder / "device").symlink_to(place)
    return folder


def make_command(folder: Path, script: str) -> str:
    """A `vcgencmd` that runs a script."""
    path = folder / "vcgencmd"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return str(path)


@pytest.fixture
def start_plug() -> Iterator[StartPlug]:
    servers = []

    def start(content_of: Callable[[str], object]) -> str:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                content = content_of(self.path)
                self.send_response(404 if content is None else 200)
                self.end_headers()
                self.wfile.write(content if isinstance(content, bytes) else json.dumps(content).encode())

            def log_message(self, *arguments: object) -> None:
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        servers.append(server)
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        return f"http://127.0.0.1:{server.server_port}"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()
