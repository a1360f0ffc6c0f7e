"""The agent's replies as typed values: the one edge where they are checked."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timezone

from devices.energy.meter import MeteredEnergy
from devices.energy.power_model import PowerModel
from devices.errors import MeasurementError
from devices.measurement import Board, Conditions, Measurement, MeasureSettings

MAX_RELATIVE_IQR = 0.25
"""Interquartile range as a part of the median above which a measurement is not reliable."""


def board_from_reply(reply: Mapping[str, object], *, name: str, settings: MeasureSettings) -> Board:
    """The board that answered `describe`.

    Raises:
        MeasurementError: if the reply lacks a field.
    """
    return Board(
        name=name,
        model=_text(reply, "model"),
        os=_text(reply, "os"),
        runtime=_text(reply, "runtime"),
        threads=settings.threads,
        clock_mhz=_optional_number(reply, "clock_mhz"),
        frequency_mhz=settings.frequency_mhz,
        precision=settings.precision,
    )


def measurement_from_reply(
    reply: Mapping[str, object],
    board: Board,
    settings: MeasureSettings,
    power_model: PowerModel,
    metered: MeteredEnergy | None = None,
) -> Measurement:
    """The measurement that answered `measure`; without a meter, the energy is that of the power model.

    Raises:
        MeasurementError: if the reply lacks a field, or a latency is not a positive number.
    """
    latency_ms, median_ms, iqr_ms = (_number(reply, key) for key in ("p5_ms", "median_ms", "iqr_ms"))
    if not latency_ms > 0:
        raise MeasurementError(f"a latency must be above 0 ms, but the agent sent {latency_ms}.")
    modelled_mj = power_model.energy_mj(latency_ms, settings.threads)
    measurement = Measurement(
        latency_ms=latency_ms,
        median_ms=median_ms,
        iqr_ms=iqr_ms,
        runs=int(_number(reply, "runs")),
        energy_mj=modelled_mj if metered is None else metered.net_mj,
        latency_source="measured",
        energy_source="modelled" if metered is None else "measured",
        board=board.label,
        os=board.os,
        runtime=board.runtime,
        threads=settings.threads,
        frequency_mhz=settings.frequency_mhz,
        precision=settings.precision,
        before=_conditions(reply, "before"),
        after=_conditions(reply, "after"),
        gross_energy_mj=None if metered is None else metered.gross_mj,
        energy_interval_mj=None if metered is None else metered.interval_mj,
        idle_w=None if metered is None else metered.idle_w,
        meter=None if metered is None else metered.meter,
        date=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        reliable=iqr_ms <= MAX_RELATIVE_IQR * median_ms,
    )
    return replace(measurement, reliable=measurement.reliable and not measurement.throttled)


def span_from_reply(reply: Mapping[str, object]) -> tuple[float, float, int]:
    """Times of the board's monotonic clock around the timed runs, in s, and their number.

    Raises:
        MeasurementError: if the reply lacks one of them.
    """
    return _number(reply, "start_s"), _number(reply, "end_s"), int(_number(reply, "runs"))


def time_from_reply(reply: Mapping[str, object]) -> float:
    """The board's monotonic clock, in s, of the reply to `clock`.

    Raises:
        MeasurementError: if the reply lacks it.
    """
    return _number(reply, "time_s")


def _conditions(reply: Mapping[str, object], key: str) -> Conditions:
    part = reply.get(key)
    if not isinstance(part, dict):
        return Conditions()
    governor = part.get("governor")
    throttled = _optional_number(part, "throttled")
    return Conditions(
        clock_mhz=_optional_number(part, "clock_mhz"),
        temperature_c=_optional_number(part, "temperature_c"),
        governor=governor if isinstance(governor, str) else None,
        throttled=None if throttled is None else int(throttled),
    )


def _text(reply: Mapping[str, object], key: str) -> str:
    value = reply.get(key)
    if not isinstance(value, str):
        raise MeasurementError(f"the agent's reply must have a text `{key}`, but got {value!r}.")
    return value


def _number(reply: Mapping[str, object], key: str) -> float:
    value = reply.get(key)
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise MeasurementError(f"the agent's reply must have a finite number `{key}`, but got {value!r}.")
    return float(value)


def _optional_number(reply: Mapping[str, object], key: str) -> float | None:
    return None if reply.get(key) is None else _number(reply, key)
