"""Energy from a meter that samples power in a process of its own. Start with `open_meter`.

The formulas, and how exact they are, are in docs/meters.md.
"""

from __future__ import annotations

import itertools
import logging
import math
import re
import time
from collections.abc import Callable

from devices.channel import Channel, Reply
from devices.energy.idle_baseline import IdlePower
from devices.energy.mean_power import difference_w, mean_power
from devices.energy.meter import MeteredEnergy, TooFewSamplesError
from devices.energy.meter_process import start_meter_process
from devices.errors import MeasurementError
from devices.meters.catalogue import open_power_meter
from devices.meters.power_meter import MeterError
from devices.meters.sampling import RING_SAMPLES, Description
from devices.meters.server import MAX_AHEAD_SECONDS, MAX_SAMPLES
from devices.meters.spec import MeterSpec

logger = logging.getLogger(__name__)

MIN_SAMPLES = 20
"""Fewest samples of a run."""
MIN_READINGS = 8
"""Fewest of them that differ from the one before: the others repeat what a slow meter read last."""
MIN_IDLE_SAMPLES = 20
"""Fewest samples that idle power is a mean of."""
IDLE_ATTEMPTS = 6
"""How often idle power is measured until it is steady."""
STEADY = 0.02
"""Share of idle power by which its second half may differ from its first one."""
LEAST_IDLE_W = 0.01
"""What any board draws."""
IDLE_SECONDS = 5.0
"""Time that idle power is a mean of, unless that is too short for the meter."""
SPARE = 1.3
"""Margin on the time in which samples should come: meters are slower than their period at times."""
ROUND_TRIPS = 8
"""How often a clock is asked for its time; the quickest answer counts."""
REPLY_SECONDS = 20.0
"""Time that a server has to answer, beyond what it is told to wait for."""
MOST_REPLIES = 2 * RING_SAMPLES // MAX_SAMPLES
"""To one question for samples: twice what a server needs to send all that it keeps."""
PERIOD_S, WINDOW_S = (1e-5, 10.0), (0.0, 10.0)
"""The slowest meters, plugs, have a period of 1 s and a window of 2."""
LATEST_S = 1e10
"""Of a monotonic clock, which begins when a machine is booted: 300 years."""
LARGEST_W = 1e4
"""Three times what a socket gives."""
LARGEST_STEP_W = 10.0
CLOCK_SPARE_S = 0.5
"""By which a clock may step while it is asked for its time, as by that of the network."""
_NAME = re.compile(r"[a-z0-9][a-z0-9_.-]{0,39}")


class SampledMeter:
    """An `EnergyMeter`. The server starts at first use; after an error, the next call gets a new one."""

    def __init__(
        self,
        start: Callable[[], Channel],
        *,
        agent_clock: Callable[[], float] = time.monotonic,
        idle_seconds: float | None = None,
    ) -> None:
        """Nothing is started yet.

        Args:
            start: starts `devices.meters.server`, wherever it runs.
            agent_clock: the monotonic clock that runs are timed with, in s; by default that of this machine.
            idle_seconds: time that idle power is a mean of, by default 5 s, or the time of 20 samples if longer.

        Raises:
            ValueError: if `idle_seconds` is not above 0.
        """
        if idle_seconds is not None and not idle_seconds > 0:
            raise ValueError(f"`idle_seconds > 0` must hold, but got {idle_seconds=}: omit it for the default.")
        self._start = start
        self._agent_clock = agent_clock
        self._idle_seconds = idle_seconds
        self._server: Channel | None = None
        self._closed = False

    @property
    def seconds_needed(self) -> float:
        """Least duration of a run, in s, for the meter to take enough samples of it.

        Raises:
            MeasurementError: if the meter does not answer.
        """
        meter = self._describe()
        return SPARE * MIN_SAMPLES * meter.period_s + 2 * meter.guard_s

    def idle(self) -> IdlePower:
        """Power from now on for some time, in which the board is left idle, and again until it is steady.

        Raises:
            MeasurementError: if the meter does not answer, gives too few samples, or sees a board that draws nothing.
        """
        for _ in range(IDLE_ATTEMPTS):
            idle, change_w = self._idle_once()
            if change_w == 0:
                return idle
        logger.warning(
            "idle power by %s is not steady: it changed by %.2f W within one of %d measurements in a row, of %.2f W in "
            "the mean; end other programs on the board, as energies above idle are uncertain by that.",
            idle.meter,
            change_w,
            IDLE_ATTEMPTS,
            idle.power.mean_w,
        )
        return idle

    def _idle_once(self) -> tuple[IdlePower, float]:
        """Idle power, and by how much its second half differs from the first one; 0 where it is steady."""
        meter = self._describe()
        seconds = self._idle_seconds or max(IDLE_SECONDS, SPARE * MIN_IDLE_SAMPLES * meter.period_s)
        since_s = self._meter_clock() + meter.guard_s
        name, times_s, powers_w = self._samples(since_s, since_s + seconds)
        if len(times_s) < MIN_IDLE_SAMPLES:
            raise MeasurementError(
                f"idle power needs {MIN_IDLE_SAMPLES} samples, but {name} gave {len(times_s)} in {seconds:.1f} s: "
                f"let the board idle for {SPARE * MIN_IDLE_SAMPLES * meter.period_s:.1f} s."
            )
        power = mean_power(times_s, powers_w, step_w=meter.step_w)
        if not power.mean_w > LEAST_IDLE_W:
            raise MeasurementError(
                f"an idle board must draw power, but {name} sees {power.mean_w:.3f} W: see whether the board is fed "
                "past it, or whether another channel or meter is meant."
            )
        half = len(times_s) // 2
        first, second = (
            mean_power(times_s[part], powers_w[part], step_w=meter.step_w) for part in (slice(half), slice(half, None))
        )
        change_w, interval_w = difference_w(second, first)
        steady = abs(change_w) <= max(STEADY * power.mean_w, interval_w)
        return IdlePower(power=power, meter=name), 0.0 if steady else change_w

    def energy(self, start_s: float, end_s: float, runs: int, *, idle: IdlePower) -> MeteredEnergy:
        """Energy of one of `runs` inferences between two times of the agent's clock, in s.

        Args:
            start_s: when the first inference began.
            end_s: when the last one ended.
            runs: their number.
            idle: power of the idle board, which the net energy is above.

        Raises:
            MeasurementError: if the meter does not answer.
            TooFewSamplesError: if it gave too few samples in that time.
            ValueError: if the run lasted no time or had no inference.
        """
        if not (end_s > start_s and runs >= 1):
            raise ValueError(f"`start_s < end_s` and `runs >= 1` must hold, but got {start_s=}, {end_s=}, {runs=}.")
        offset_s, uncertainty_s = self.clock_offset()
        meter = self._describe()
        # Samples this close to either end of the run may belong to what came before or after it.
        guard_s = meter.guard_s + uncertainty_s
        since_s, until_s = start_s + offset_s + guard_s, end_s + offset_s - guard_s
        name, times_s, powers_w = self._samples(since_s, max(since_s, until_s))
        if len(times_s) < MIN_SAMPLES:
            lasted_s, needed_s = end_s - start_s, SPARE * MIN_SAMPLES * meter.period_s + 2 * guard_s
            raise TooFewSamplesError(
                f"a metered run needs {MIN_SAMPLES} samples, but {name} gave {len(times_s)} in {lasted_s:.2f} s: let a "
                f"run last {needed_s:.1f} s."
            )
        busy = mean_power(times_s, powers_w, step_w=meter.step_w)
        if not meter.step_w and busy.samples < MIN_READINGS:
            raise TooFewSamplesError(
                f"a metered run needs {MIN_READINGS} readings that are new, but {name} gave {busy.samples} among "
                f"{len(times_s)} in {end_s - start_s:.2f} s: it renews its figures too rarely for this run."
            )
        net_w, interval_w = difference_w(busy, idle.power)
        mj_per_w = 1000 * (end_s - start_s) / runs
        return MeteredEnergy(
            net_mj=net_w * mj_per_w,
            gross_mj=busy.mean_w * mj_per_w,
            interval_mj=interval_w * mj_per_w,
            idle_w=idle.power.mean_w,
            meter=name,
            samples=busy.samples,
        )

    def clock_offset(self) -> tuple[float, float]:
        """What to add to the agent's times to get the meter's, and how far that may be off, in s.

        Raises:
            MeasurementError: if the meter or the agent does not answer.
        """
        meter_s, meter_error_s = _clock_lead(self._meter_clock)
        agent_s, agent_error_s = _clock_lead(self._agent_clock)
        return meter_s - agent_s, meter_error_s + agent_error_s

    def close(self) -> None:
        """End the server; closing twice does no harm."""
        self._closed = True
        self._drop()

    def _meter_clock(self) -> float:
        return self._request("clock").number_within("time_s", 0.0, LATEST_S, "s")

    def _describe(self) -> Description:
        reply = self._request("describe")
        period_s = reply.number_within("period_s", *PERIOD_S, "s")
        told = reply.fields.get("window_s") is not None
        return Description(
            _name_of(reply),
            period_s,
            reply.number_within("window_s", *WINDOW_S, "s") if told else period_s,
            reply.plausible("step_w", 0.0, LARGEST_STEP_W) or 0.0,
        )

    def _samples(self, since_s: float, until_s: float) -> tuple[str, list[float], list[float]]:
        times_s: list[float] = []
        powers_w: list[float] = []
        # A server waits no longer, whatever its clock says.
        wait_s = min(max(0.0, until_s - self._meter_clock()), MAX_AHEAD_SECONDS)
        latest_s = since_s
        for _ in range(MOST_REPLIES):
            reply = self._request("samples", wait_s, since_s=latest_s, until_s=until_s)
            new_s, new_w = reply.numbers("times_s"), reply.numbers("powers_w")
            if len(new_s) != len(new_w):
                raise MeasurementError(
                    f"a meter must send a power for each time, but sent {len(new_w)} for {len(new_s)}."
                )
            name = _name_of(reply)
            times_s += new_s
            powers_w += new_w
            if not new_s or reply.fields.get("more") is not True:
                break
            # Times are sent in whole microseconds.
            latest_s = new_s[-1] + 1e-6
            if not latest_s <= until_s + 1e-6 or len(times_s) > RING_SAMPLES:
                break
        else:
            raise MeasurementError(
                f"a meter must send its samples at once, but {name} had more after {MOST_REPLIES} replies."
            )
        if any(later <= earlier for earlier, later in itertools.pairwise(times_s)):
            raise MeasurementError(f"the times of a meter's samples must ascend, but those of {name} do not.")
        if times_s and not since_s - 1e-6 <= times_s[0] <= times_s[-1] <= until_s + 1e-6:
            raise MeasurementError(f"a meter must send samples of the time asked for, but {name} sent others.")
        if any(abs(power_w) > LARGEST_W for power_w in powers_w):
            raise MeasurementError(
                f"the power of a board must be below {LARGEST_W:g} W, but {name} sent {max(powers_w, key=abs):g} W."
            )
        return name, times_s, powers_w

    def _request(self, command: str, more_seconds: float = 0.0, **settings: float) -> Reply:
        if self._closed:
            raise MeasurementError("a closed meter cannot measure: open a new one.")
        if self._server is None:
            self._server = self._start()
        try:
            return self._server.request(command, REPLY_SECONDS + more_seconds, **settings)
        except BaseException:
            # Also on Ctrl-C: a late reply must not answer the next request.
            self._drop()
            raise

    def _drop(self) -> None:
        server, self._server = self._server, None
        if server is not None:
            server.end()


def local_meter(
    spec: MeterSpec, *, agent_clock: Callable[[], float] = time.monotonic, idle_seconds: float | None = None
) -> SampledMeter:
    """A meter that is attached to this machine; its server starts at first use."""
    return SampledMeter(lambda: start_meter_process(spec), agent_clock=agent_clock, idle_seconds=idle_seconds)


def open_meter(
    text: str,
    *,
    agent_clock: Callable[[], float] = time.monotonic,
    start_on_board: Callable[[MeterSpec], Channel] | None = None,
    idle_seconds: float | None = None,
) -> SampledMeter | None:
    """The meter that `--meter` names, or None for `none`.

    `auto` is RAPL if the board is this machine and has it, else None.

    Args:
        text: `none`, `auto`, or `NAME[:ADDRESS][@board|@here]`.
        agent_clock: the board's monotonic clock, in s.
        start_on_board: starts a meter's server on the board; None if the board is this machine.
        idle_seconds: as for `SampledMeter`.

    Raises:
        ValueError: if there is no such meter.
    """
    choice = text.strip().lower()
    if choice == "none":
        return None
    spec = MeterSpec("rapl") if choice == "auto" else MeterSpec.parse(text)
    if choice == "auto" and (start_on_board is not None or not _opens(spec)):
        return None
    if spec.place == "board" and start_on_board is not None:
        start = start_on_board
        return SampledMeter(lambda: start(spec), agent_clock=agent_clock, idle_seconds=idle_seconds)
    return local_meter(spec, agent_clock=agent_clock, idle_seconds=idle_seconds)


def _opens(spec: MeterSpec) -> bool:
    try:
        open_power_meter(spec)
    except MeterError:
        return False
    return True


def _name_of(reply: Reply) -> str:
    """The name of a meter, which files are named by, too."""
    name = reply.text("name")
    if _NAME.fullmatch(name) is None:
        raise reply.broken("the `name` of a meter", name)
    return name


def _clock_lead(clock: Callable[[], float]) -> tuple[float, float]:
    """By how much a clock is ahead of this process's, and how far that may be off, in s.

    Raises:
        MeasurementError: if it does not go as a clock does: each answer lies between its question and the next one.
    """
    leads, least, most = [], -math.inf, math.inf
    for _ in range(ROUND_TRIPS):
        asked_s = time.monotonic()
        answer_s = clock()
        answered_s = time.monotonic()
        leads.append(((answered_s - asked_s) / 2, answer_s - (asked_s + answered_s) / 2))
        least, most = max(least, answer_s - answered_s), min(most, answer_s - asked_s)
    if least > most + CLOCK_SPARE_S:
        raise MeasurementError(f"the clock of a board or meter must go evenly, but jumped by {least - most:.3g} s.")
    error_s, lead_s = min(leads)
    return lead_s, error_s
