"""A meter's server as a process of this machine, and what another machine needs to run one."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from devices.channel import Peer, ProcessChannel
from devices.meters.spec import MeterSpec

ROOT = Path(__file__).parents[2]


def start_meter_process(spec: MeterSpec, *, command: Sequence[str] | None = None) -> ProcessChannel:
    """Start the server of a meter.

    Args:
        spec: the meter.
        command: what to run instead of this project's server.

    Raises:
        MeasurementError: if it cannot be started.
    """
    return ProcessChannel.start(command or [sys.executable, *server_arguments(spec)], peer_of(spec), folder=ROOT)


def peer_of(spec: MeterSpec) -> Peer:
    """What errors call the server of a meter."""
    return Peer(f"the meter {spec.text}", remedy="plug it in again")


def server_arguments(spec: MeterSpec) -> list[str]:
    """What Python is to run, in the folder that `server_files` were put in."""
    return ["-m", "devices.meters.server", spec.text]


def server_files() -> list[Path]:
    """The files that a board needs in order to read a meter, relative to the folder that holds the packages."""
    meters = sorted((ROOT / "devices" / "meters").glob("*.py"))
    return [Path("devices/__init__.py"), *(path.relative_to(ROOT) for path in meters)]
