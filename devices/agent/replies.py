"""The agent's replies as typed values."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timezone

from devices.channel import Reply
from devices.configuration import RuntimeConfiguration
from devices.energy.meter import MeteredEnergy
from devices.energy.power_model import PowerModel
from devices.errors import MeasurementError
from devices.measurement import Board, Conditions, Measurement

MAX_RELATIVE_IQR = 0.25
"""Interquartile range, as a fraction of the median, above which a measurement is not reliable."""


def board_from_reply(reply: Reply, *, name: str) -> Board:
    """The board that answered `describe`.

    Raises:
        MeasurementError: if the reply lacks a field.
    """
    machine = reply.fields.get("machine")
    cores = reply.optional_number("cores")
    frequencies = reply.numbers("frequencies_mhz") if "frequencies_mhz" in reply.fields else []
    return Board(
        name=name,
        model=reply.text("model"),
        os=reply.text("os"),
        runtime=reply.text("runtime"),
        machine=machine if isinstance(machine, str) else None,
        clock_mhz=reply.optional_number("clock_mhz"),
        cores=None if cores is None else int(cores),
        frequencies_mhz=tuple(int(mhz) for mhz in frequencies),
        throttling_visible=reply.fields.get("throttling_visible") is not False,
    )


def measurement_from_reply(
    reply: Reply,
    board: Board,
    configuration: RuntimeConfiguration,
    power_model: PowerModel,
    metered: MeteredEnergy | None = None,
    *,
    energy_note: str | None = None,
) -> Measurement:
    """The measurement that answered `measure`; without a meter, the energy is that of the power model.

    Args:
        reply: of the agent.
        board: that it runs on.
        configuration: how the network was run.
        power_model: of the board.
        metered: what a meter gave; if that is doubtful, its idle power alone is used.
        energy_note: why the energy is not measured, where a meter gave nothing at all.

    Raises:
        MeasurementError: if the reply lacks a field, or a latency is not a positive number.
    """
    latency_ms, median_ms, iqr_ms = (reply.number(key) for key in ("p5_ms", "median_ms", "iqr_ms"))
    if not latency_ms > 0:
        raise MeasurementError(f"a latency must be above 0 ms, but the agent sent {latency_ms}.")
    after = _conditions(reply.part("after"))
    modelled_mj = power_model.energy_mj(latency_ms, configuration, volts=after.volts)
    idle_w = power_model.idle_w if metered is None else metered.idle_w
    if metered is not None and metered.doubt is not None:
        energy_note, metered = metered.doubt, None
    measurement = Measurement(
        latency_ms=latency_ms,
        median_ms=median_ms,
        iqr_ms=iqr_ms,
        runs=int(reply.number("runs")),
        energy_mj=modelled_mj if metered is None else metered.net_mj,
        latency_source="measured",
        energy_source="modelled" if metered is None else "measured",
        board=board.label,
        os=board.os,
        runtime=board.runtime,
        threads=configuration.threads,
        frequency_mhz=configuration.frequency_mhz,
        precision=configuration.precision,
        before=_conditions(reply.part("before")),
        after=after,
        gross_energy_mj=modelled_mj + idle_w * latency_ms if metered is None else metered.gross_mj,
        energy_interval_mj=None if metered is None else metered.interval_mj,
        idle_w=idle_w,
        meter=None if metered is None else metered.meter,
        energy_error=power_model.relative_error if metered is None else None,
        energy_note=energy_note,
        date=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        reliable=iqr_ms <= MAX_RELATIVE_IQR * median_ms,
    )
    return replace(measurement, reliable=measurement.reliable and not measurement.throttled)


def span_from_reply(reply: Reply) -> tuple[float, float, int]:
    """Times of the board's monotonic clock around the timed runs, in s, and their number.

    Raises:
        MeasurementError: if the reply lacks one of them.
    """
    return reply.number("start_s"), reply.number("end_s"), int(reply.number("runs"))


def time_from_reply(reply: Reply) -> float:
    """The board's monotonic clock, in s, of the reply to `clock`.

    Raises:
        MeasurementError: if the reply lacks it.
    """
    return reply.number("time_s")


def _conditions(part: Reply) -> Conditions:
    governor = part.fields.get("governor")
    throttled = part.optional_number("throttled")
    return Conditions(
        clock_mhz=part.optional_number("clock_mhz"),
        temperature_c=part.optional_number("temperature_c"),
        governor=governor if isinstance(governor, str) else None,
        throttled=None if throttled is None else int(throttled),
        volts=part.optional_number("volts"),
    )
