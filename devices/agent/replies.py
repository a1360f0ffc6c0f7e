"""The agent's replies as typed values, within what a board can have measured.

A number that a measurement consists of must be plausible, else the measurement has failed; what goes with it (clock,
temperature, voltage) is unknown where it is not, as sensors break.
"""

from __future__ import annotations

import itertools
from dataclasses import replace
from datetime import datetime, timezone

from devices.channel import Reply
from devices.configuration import RuntimeConfiguration
from devices.energy.meter import MeteredEnergy
from devices.energy.power_model import PowerModel
from devices.measurement import Board, Conditions, Measurement
from devices.streaming import Streamed
from search_space.boundary.text import one_line

MAX_RELATIVE_IQR = 0.25
"""Interquartile range, as a fraction of the median, above which a measurement is not reliable."""
LATENCY_MS = (1e-3, 3.6e6)
"""From 1 us, a tenth of what a call of a runtime takes, to an hour, sixty times the default time limit."""
MOST_RUNS = 10**9
"""Timed inferences of one measurement: a million is what is asked for at most, unless settings say otherwise."""
CLOCK_MHZ = (1.0, 20_000.0)
"""The quickest processors run at 6 to 9 GHz."""
TEMPERATURE_C = (-60.0, 200.0)
"""Silicon works from -55 to 150 degrees."""
VOLTS = (0.1, 5.0)
"""Cores run at 0.6 to 1.5 V."""
MOST_CORES = 4096
MOST_CLOCKS = 256
"""Clocks that a board may list; a Raspberry Pi has 10 to 19."""
MOST_CLASSES = 100_000
"""That a network may tell apart: far more than any data set that is trained here."""
LATEST_S = 1e10
"""Of a monotonic clock, which begins when a board is booted: 300 years."""
SPARE = 1.02, 0.01
"""What a board's clock may run ahead of this machine's: 2 %, and 0.01 s; quartzes differ by 0.01 %."""
BELOW_P5 = 0.05
"""Share of the runs that may have been quicker than the 5th percentile."""


def board_from_reply(reply: Reply, *, name: str) -> Board:
    """The board that answered `describe`.

    Raises:
        MeasurementError: if the reply lacks a field, or has an impossible one.
    """
    machine, litert = reply.fields.get("machine"), reply.fields.get("litert")
    cores = None if reply.fields.get("cores") is None else reply.whole_within("cores", 1, MOST_CORES)
    frequencies = reply.numbers("frequencies_mhz") if "frequencies_mhz" in reply.fields else []
    in_range = all(CLOCK_MHZ[0] <= mhz <= CLOCK_MHZ[1] for mhz in frequencies)
    ascend = all(mhz < later for mhz, later in itertools.pairwise(frequencies))
    if not (in_range and ascend and len(frequencies) <= MOST_CLOCKS):
        raise reply.broken("ascending clocks `frequencies_mhz` that processors run at", frequencies)
    return Board(
        name=name,
        model=reply.text("model"),
        os=reply.text("os"),
        runtime=reply.text("runtime"),
        litert=one_line(litert, most=80) if isinstance(litert, str) else None,
        machine=one_line(machine, most=40) if isinstance(machine, str) else None,
        clock_mhz=reply.plausible("clock_mhz", *CLOCK_MHZ),
        cores=cores,
        frequencies_mhz=tuple(int(mhz) for mhz in frequencies),
        throttling_visible=reply.fields.get("throttling_visible") is not False,
        temperature_visible=reply.fields.get("temperature_visible") is not False,
    )


def conditions_from_reply(reply: Reply) -> Conditions:
    """The state that answered `conditions`; what is not told, or cannot be, is None."""
    return _conditions(reply)


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
        MeasurementError: if the reply lacks a field, or what it says cannot have been measured: latencies out of all
            range or order, or longer than the request took.
    """
    latency_ms = reply.number_within("p5_ms", *LATENCY_MS, "ms")
    median_ms = reply.number_within("median_ms", latency_ms, LATENCY_MS[1], "ms")
    iqr_ms = reply.number_within("iqr_ms", 0.0, LATENCY_MS[1], "ms")
    runs = reply.whole_within("runs", 1, MOST_RUNS)
    least_s = _least_seconds(latency_ms, runs)
    if least_s > _longest(reply.seconds):
        raise reply.broken(f"times that fit into the {reply.seconds:.3g} s that it took", f"{least_s:.3g} s of runs")
    after = _conditions(reply.part("after"))
    modelled_mj = power_model.energy_mj(latency_ms, configuration, volts=after.volts)
    idle_w = power_model.idle_w if metered is None else metered.idle_w
    if metered is not None and metered.doubt is not None:
        energy_note, metered = metered.doubt, None
    measurement = Measurement(
        latency_ms=latency_ms,
        median_ms=median_ms,
        iqr_ms=iqr_ms,
        runs=runs,
        energy_mj=modelled_mj if metered is None else metered.net_mj,
        latency_source="measured",
        energy_source="modelled" if metered is None else "measured",
        board=board.label,
        os=board.os,
        runtime=board.runtime_of(configuration),
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


def streamed_from_reply(
    reply: Reply, board: Board, configuration: RuntimeConfiguration, *, images: int, segments: int
) -> Streamed:
    """What came of a stream, by the reply to `stream`.

    Args:
        reply: of the agent.
        board: that it runs on.
        configuration: how the segments were run.
        images: that were asked for.
        segments: of the network.

    Raises:
        MeasurementError: if the reply lacks an image or has more, says that one left where there is no exit, or a class
            that is none; or if the latencies cannot have been measured.
    """
    latencies_ms = reply.numbers("latencies_ms")
    if len(latencies_ms) != images or not all(LATENCY_MS[0] <= one <= LATENCY_MS[1] for one in latencies_ms):
        raise reply.broken(f"{images} `latencies_ms` from {LATENCY_MS[0]:g} to {LATENCY_MS[1]:g} ms", latencies_ms)
    if sum(latencies_ms) / 1000 > _longest(reply.seconds):
        raise reply.broken(
            f"times that fit into the {reply.seconds:.3g} s that it took", f"{sum(latencies_ms) / 1000:.3g} s of images"
        )
    return Streamed(
        latencies_ms=tuple(latencies_ms),
        ways=_whole_numbers(reply, "ways", images, segments),
        classes=_whole_numbers(reply, "classes", images, MOST_CLASSES),
        latency_source="measured",
        board=board.label,
        configuration=configuration,
        before=_conditions(reply.part("before")),
        after=_conditions(reply.part("after")),
    )


def _whole_numbers(reply: Reply, key: str, count: int, choices: int) -> tuple[int, ...]:
    values = reply.numbers(key)
    if len(values) != count or not all(0 <= value < choices and value == int(value) for value in values):
        raise reply.broken(f"{count} whole numbers `{key}` from 0 to {choices - 1}", values)
    return tuple(int(value) for value in values)


def span_from_reply(reply: Reply) -> tuple[float, float, int]:
    """Times of the board's monotonic clock around the timed runs, in s, and their number.

    Raises:
        MeasurementError: if the reply lacks one of them, or they do not enclose the runs, or not fit into the request.
    """
    runs = reply.whole_within("runs", 1, MOST_RUNS)
    start_s, end_s = (reply.number_within(key, 0.0, LATEST_S, "s") for key in ("start_s", "end_s"))
    least_s = _least_seconds(reply.number_within("p5_ms", *LATENCY_MS, "ms"), runs)
    if not least_s <= _longest(end_s - start_s) or not 0 < end_s - start_s <= _longest(reply.seconds):
        raise reply.broken(
            f"`start_s` and `end_s` around {least_s:.3g} s of runs, within {reply.seconds:.3g} s", [start_s, end_s]
        )
    return start_s, end_s, runs


def time_from_reply(reply: Reply) -> float:
    """The board's monotonic clock, in s, of the reply to `clock`.

    Raises:
        MeasurementError: if the reply lacks it, or it is none.
    """
    return reply.number_within("time_s", 0.0, LATEST_S, "s")


def _least_seconds(latency_ms: float, runs: int) -> float:
    """What so many runs took at least, one after the other."""
    return (1 - BELOW_P5) * runs * latency_ms / 1000


def _longest(seconds: float) -> float:
    """What a board's clock may show for a time of this machine's."""
    return SPARE[0] * seconds + SPARE[1]


def _conditions(part: Reply) -> Conditions:
    governor = part.fields.get("governor")
    throttled = part.plausible("throttled", 0, 2**32 - 1)
    return Conditions(
        clock_mhz=part.plausible("clock_mhz", *CLOCK_MHZ),
        temperature_c=part.plausible("temperature_c", *TEMPERATURE_C),
        governor=one_line(governor, most=40) if isinstance(governor, str) else None,
        throttled=None if throttled is None else int(throttled),
        volts=part.plausible("volts", *VOLTS),
    )
