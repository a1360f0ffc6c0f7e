"""Meters by name. `open_power_meter` opens one, `available_meters` says what this machine has."""

from __future__ import annotations

import functools
import importlib.util
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from devices.meters import hwmon, i2c, ina, ina228, nvml, plugs, pmic, rapl, um25c
from devices.meters.ina3221 import Ina3221
from devices.meters.power_meter import MeterError, PowerMeter
from devices.meters.spec import METER_NAMES, MeterSpec


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


def available_meters(
    *, devices: Path = i2c.DEVICES, powercap: Path = rapl.ROOT, hwmon_root: Path = hwmon.ROOT
) -> list[Availability]:
    """What this machine has, each meter at its default address; the network is not searched.

    Args:
        devices: folder of device files.
        powercap: folder of RAPL's zones.
        hwmon_root: folder of the kernel's sensors.
    """
    checks: dict[str, Callable[[], str]] = {
        **{name: functools.partial(_found_on_i2c, name, devices) for name in I2C_SENSORS},
        "hwmon": lambda: _found_by_the_kernel(hwmon_root),
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
    numbers = i2c.bus_numbers(devices)
    if not numbers:
        raise MeterError(
            f"there is no {devices}/i2c-*: only boards have it; switch it on with `sudo raspi-config nonint do_i2c 0`."
        )
    problem: MeterError | None = None
    for number in numbers:
        try:
            meter = open_power_meter(MeterSpec(name, f"{ina.DEFAULT_ADDRESS:#x},bus={number}"))
            return f"{_read_once(meter)}: address {ina.DEFAULT_ADDRESS:#x} of bus {number}"
        except MeterError as error:
            problem = problem or error
    assert problem is not None
    raise problem


def _found_by_the_kernel(root: Path) -> str:
    channels = hwmon.power_channels(root)
    if not channels:
        hwmon.chosen_channels("", (), root=root)
    return hwmon.choices(channels)


def _found_serial_ports(devices: Path) -> str:
    if importlib.util.find_spec("serial") is None:
        raise MeterError("UM25C meters need `pyserial`: install it with `pip install pyserial`.")
    ports = um25c.serial_ports(devices)
    if not ports:
        raise MeterError(f"there is no {devices}/rfcomm*, ttyUSB* or ttyACM*: plug a meter in, or run `rfcomm bind`.")
    options = ", ".join(f"`--meter um25c:{port}`" for port in ports)
    return f"serial ports: {options}; which of them is a meter shows when it is opened"


def _found_rails() -> str:
    if shutil.which(pmic.COMMAND) is None:
        raise MeterError("there is no `vcgencmd`: only a Raspberry Pi has it.")
    return f"{_read_once(pmic.Pmic(pmic.query_command()))}: rails of the power management chip, not the whole board"


def _read_once(meter: PowerMeter) -> str:
    meter.read()
    return "answers"


def _open_on_i2c(spec: MeterSpec) -> PowerMeter:
    number = spec.bus(i2c.DEFAULT_BUS)
    bus = i2c.open_bus(number)
    address, correction = spec.whole_number(ina.DEFAULT_ADDRESS), spec.correction()
    if spec.name == "ina228":
        return ina228.Ina228(
            bus,
            address=address,
            bus_number=number,
            correction=correction,
            shunt_ohm=spec.shunt_ohm(ina228.DEFAULT_SHUNT_OHM),
            adc_range=spec.adc_range(),
        )
    shunt_ohm = spec.shunt_ohm(ina.DEFAULT_SHUNT_OHM)
    if spec.name == "ina3221":
        return Ina3221(
            bus,
            address=address,
            bus_number=number,
            correction=correction,
            shunt_ohm=shunt_ohm,
            channels=spec.channels((1,)),
        )
    sensor = {"ina219": ina.Ina219, "ina226": ina.Ina226, "ina260": ina.Ina260}[spec.name]
    return sensor(bus, address=address, bus_number=number, correction=correction, shunt_ohm=shunt_ohm)


def _open_hwmon(spec: MeterSpec) -> PowerMeter:
    channels = hwmon.chosen_channels(spec.main_address, spec.channels(()), root=hwmon.ROOT)
    return hwmon.Hwmon(channels, correction=spec.correction())


I2C_SENSORS = ("ina219", "ina226", "ina228", "ina260", "ina3221")

_OPENERS: dict[str, Callable[[MeterSpec], PowerMeter]] = {
    **dict.fromkeys(I2C_SENSORS, _open_on_i2c),
    "hwmon": _open_hwmon,
    "pmic": lambda spec: pmic.Pmic(pmic.query_command(spec.main_address or pmic.COMMAND)),
    "rapl": lambda spec: rapl.Rapl(Path(spec.main_address) if spec.main_address else rapl.ROOT),
    "nvml": lambda spec: nvml.Nvml(nvml.open_library(), index=spec.whole_number(0)),
    "um25c": lambda spec: um25c.Um25c(um25c.open_port(spec.main_address), label=spec.main_address),
    "shelly": lambda spec: plugs.Shelly(spec.url),
    "tasmota": lambda spec: plugs.Tasmota(spec.url),
}
