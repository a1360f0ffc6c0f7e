"""Meters by name. `open_power_meter` opens one, `available_meters` says what this machine has."""

from __future__ import annotations

import importlib.util
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from devices.meters import ina, nvml, plugs, pmic, rapl, um25c
from devices.meters.power_meter import MeterError, PowerMeter
from devices.meters.spec import METER_NAMES, MeterSpec

SERIAL_PORTS = ("rfcomm*", "ttyUSB*", "ttyACM*")


@dataclass(frozen=True)
class Availability:
    """Whether a meter can be used on this machine."""

    name: str
    available: bool
    reason: str
    """What was found, or what is missing and how to get it."""


def open_power_meter(spec: MeterSpec) -> PowerMeter:
    """A meter that is attached to this machine.

    Raises:
        MeterError: if it cannot be opened.
    """
    return _OPENERS[spec.name](spec)


def available_meters(*, devices: Path = Path("/dev"), powercap: Path = rapl.ROOT) -> list[Availability]:
    """What this machine has, each meter at its default address; the network is not searched.

    Args:
        devices: folder of device files.
        powercap: folder of RAPL's zones.
    """
    checks: dict[str, Callable[[], str]] = {
        "ina219": lambda: _found_on_i2c("ina219", devices),
        "ina226": lambda: _found_on_i2c("ina226", devices),
        "um25c": lambda: _found_serial_ports(devices),
        "pmic": _found_rails,
        "rapl": lambda: f"{_read_once(rapl.Rapl(powercap))}: processor packages and their memory",
        "nvml": lambda: f"{_read_once(nvml.Nvml(nvml.open_library()))}: GPU 0",
    }
    return [_availability(name, checks.get(name)) for name in METER_NAMES]


def _availability(name: str, check: Callable[[], str] | None) -> Availability:
    if check is None:
        reason = f"is on the network: give its address, as in {name}:http://192.168.1.20"
        return Availability(name, available=False, reason=reason)
    try:
        return Availability(name, available=True, reason=check())
    except MeterError as error:
        return Availability(name, available=False, reason=str(error))


def _found_on_i2c(name: str, devices: Path) -> str:
    numbers = sorted(int(path.name[4:]) for path in devices.glob("i2c-*") if path.name[4:].isdigit())
    if not numbers:
        raise MeterError(f"there is no {devices}/i2c-*: only boards have it; switch it on with `sudo raspi-config`.")
    problem: MeterError | None = None
    for number in numbers:
        try:
            meter = _open_ina(MeterSpec(name, f"{ina.DEFAULT_ADDRESS:#x},bus={number}"))
            return f"{_read_once(meter)}: address {ina.DEFAULT_ADDRESS:#x} of bus {number}"
        except MeterError as error:
            problem = problem or error
    assert problem is not None
    raise problem


def _found_serial_ports(devices: Path) -> str:
    if importlib.util.find_spec("serial") is None:
        raise MeterError("UM25C meters need `pyserial`: install it with `pip install pyserial`.")
    ports = sorted(str(path) for pattern in SERIAL_PORTS for path in devices.glob(pattern))
    if not ports:
        raise MeterError(f"there is no {devices}/rfcomm*, ttyUSB* or ttyACM*: plug a meter in, or run `rfcomm bind`.")
    return f"serial ports {', '.join(ports)}; which of them is a meter shows when it is opened"


def _found_rails() -> str:
    if shutil.which(pmic.COMMAND) is None:
        raise MeterError("there is no `vcgencmd`: only a Raspberry Pi has it.")
    return f"{_read_once(pmic.Pmic(pmic.query_command()))}: rails of the power management chip, not the whole board"


def _read_once(meter: PowerMeter) -> str:
    meter.read()
    return "answers"


def _open_ina(spec: MeterSpec) -> PowerMeter:
    sensor = ina.Ina219 if spec.name == "ina219" else ina.Ina226
    bus = ina.open_bus(spec.bus(ina.DEFAULT_BUS))
    address = spec.whole_number(ina.DEFAULT_ADDRESS)
    return sensor(bus, address=address, shunt_ohm=spec.shunt_ohm(ina.DEFAULT_SHUNT_OHM))


_OPENERS: dict[str, Callable[[MeterSpec], PowerMeter]] = {
    "ina219": _open_ina,
    "ina226": _open_ina,
    "um25c": lambda spec: um25c.Um25c(um25c.open_port(spec.main_address), label=spec.main_address),
    "pmic": lambda spec: pmic.Pmic(pmic.query_command(spec.main_address or pmic.COMMAND)),
    "rapl": lambda spec: rapl.Rapl(Path(spec.main_address) if spec.main_address else rapl.ROOT),
    "nvml": lambda spec: nvml.Nvml(nvml.open_library(), index=spec.whole_number(0)),
    "shelly": lambda spec: plugs.Shelly(spec.url),
    "tasmota": lambda spec: plugs.Tasmota(spec.url),
}
