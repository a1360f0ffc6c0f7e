"""Opens a board by its name."""

from __future__ import annotations

from devices.agent.host import HostDevice
from devices.agent.ssh import SshDevice
from devices.agent.ssh_address import BoardAddress, SshOptions
from devices.cost_tables.table_names import BUILT_IN_NAMES
from devices.device import Device
from devices.energy.sampled_meter import open_meter
from devices.measurement import MeasureSettings

DEVICE_NAMES = ("host", "ssh://[USER@]HOST[:PORT]")


def is_device_name(name: str) -> bool:
    """Whether a name is that of a board, reached or not."""
    return name == "host" or name.startswith("ssh://")


def open_device(name: str, settings: MeasureSettings, *, meter: str = "none") -> Device:
    """A board by name; nothing is started before its first use.

    Args:
        name: one of `DEVICE_NAMES`.
        settings: how it measures.
        meter: what meters its energy: `ina219`, say, `auto` or `none` (docs/meters.md), with which it is modelled.

    Raises:
        ValueError: if there is no such board or meter.
    """
    if name == "host":
        host = HostDevice(settings)
        host.attach_meter(open_meter(meter))
        return host
    if name.startswith("ssh://"):
        board = SshDevice(BoardAddress.parse(name), settings, SshOptions.from_environment())
        board.attach_meter(open_meter(meter, agent_clock=board.clock_seconds, start_on_board=board.start_meter))
        return board
    raise ValueError(
        f"`--device` must be one of {', '.join(DEVICE_NAMES)}, but got {name!r}: use `--device host`. Built-in boards "
        f"({', '.join(BUILT_IN_NAMES)}) and table files are for searches, which need no profile of them."
    )
