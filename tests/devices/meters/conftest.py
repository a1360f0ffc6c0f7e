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


class FakeBus:
    """Registers of one sensor at 0x40, big-endian as on the wire."""

    def __init__(self, *, shunt: int = 0, bus: int = 0) -> None:
        self.registers = {0xFE: 0x5449, 0xFF: 0x2260, 0x00: 0x399F, 0x01: shunt, 0x02: bus}
        self.plugged = True

    def read_word_data(self, i2c_addr: int, register: int) -> int:
        self._check(i2c_addr)
        return _swapped(self.registers.get(register, 0))

    def write_word_data(self, i2c_addr: int, register: int, value: int) -> None:
        self._check(i2c_addr)
        self.registers[register] = _swapped(value)

    def _check(self, address: int) -> None:
        if address != 0x40 or not self.plugged:
            raise OSError(121, "Remote I/O error")


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


def _swapped(word: int) -> int:
    return int.from_bytes(word.to_bytes(2, "big"), "little")
