"""The power model of one board, fitted to networks that a meter measured on it. Start with `fitted_power_model`.

N measurements.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import product

import numpy as np
import numpy.typing as npt

from devices.configuration import RuntimeConfiguration
from devices.energy.power_model import PowerModel
from devices.measurement import Measurement

Array = npt.NDArray[np.float64]

LEAST_MEASUREMENTS = 4
"""Metered networks that a model is fitted to."""


def corners_of(configurations: Iterable[RuntimeConfiguration]) -> tuple[RuntimeConfiguration, ...]:
    """The configurations that tell a board's coefficients best: lowest and top clock, with fewest and most threads.

    Args:
        configurations: of which they are chosen, those of the base's runtime and precision; the governor's clock counts
            as the top one.

    Returns:
        Four, or fewer where there is one clock or one number of threads; the base first.
    """
    ordered = sorted(configurations)
    base = ordered[0]
    alike = [item for item in ordered if (item.runtime, item.precision) == (base.runtime, base.precision)]
    clocks = sorted({item.frequency_mhz for item in alike}, key=lambda mhz: (mhz is not None, -(mhz or 0)))
    threads = sorted({item.threads for item in alike})
    ends = product({threads[0], threads[-1]}, {clocks[0], clocks[-1]})
    corners = {replace(base, threads=number, frequency_mhz=mhz) for number, mhz in ends}
    return tuple(sorted(corners & set(alike)))


def fitted_power_model(measurements: Sequence[Measurement], prior: PowerModel) -> PowerModel:
    """A board's own coefficients, from the energies that a meter measured; `corners_of` says where it is best done.

    With P the net energy over the latency, c0 and c1 minimise the sum of ((c0 + c1 n) s / P - 1)^2, where
    s = (f / f0) (V / V0)^2. It is linear in both. Voltages are those that the board told, else those of the prior,
    corrected by the ratio of the two at the clocks where both are known. With one number of threads, the split between
    c0 and c1 cannot be told, and is the prior's.

    Args:
        measurements: of any networks, in any configurations; those whose energy was not measured are passed over.
        prior: the model of such boards, which gives what cannot be told.

    Returns:
        A model whose `relative_error` is the standard deviation of what the fit leaves, without the meter's own error.

    Raises:
        ValueError: if fewer than four energies were measured, or they give no power above 0.
    """
    metered = [item for item in measurements if item.energy_source == "measured" and item.energy_mj > 0]
    if len(metered) < LEAST_MEASUREMENTS:
        raise ValueError(
            f"a power model needs {LEAST_MEASUREMENTS} measured energies, but got {len(metered)}: meter more networks."
        )
    clocks = [item.frequency_mhz for item in metered if item.frequency_mhz is not None]
    frame = replace(
        prior,
        top_mhz=max(clocks) if prior.top_mhz is None and len(set(clocks)) > 1 else prior.top_mhz,
        volts=_volts(metered, prior),
    )
    power_w_N = np.array([item.energy_mj / item.latency_ms for item in metered])
    threads_N = np.array([float(item.threads) for item in metered])
    scale_N = np.array([_scale(item, frame) for item in metered])
    shared_w, thread_w = _coefficients(scale_N / power_w_N, threads_N, prior)
    left_N = (shared_w + thread_w * threads_N) * scale_N / power_w_N - 1
    freedom = max(1, len(metered) - (2 if len(set(threads_N.tolist())) > 1 else 1))
    idle_w = [item.idle_w for item in metered if item.idle_w is not None]
    meters = ", ".join(sorted({item.meter for item in metered if item.meter is not None}))
    return replace(
        frame,
        idle_w=float(np.median(idle_w)) if idle_w else prior.idle_w,
        shared_w=shared_w,
        thread_w=thread_w,
        relative_error=float(np.sqrt(np.sum(left_N**2) / freedom)),
        description=f"fitted to {len(metered)} networks metered on {metered[0].board}{f' by {meters}' * bool(meters)}",
    )


def fitted_where_metered(measurements: Iterable[Measurement], prior: PowerModel) -> PowerModel:
    """The fitted model where enough energies were measured, else the prior."""
    try:
        return fitted_power_model(list(measurements), prior)
    except ValueError:
        return prior


def _coefficients(inputs_N: Array, threads_N: Array, prior: PowerModel) -> tuple[float, float]:
    """c0 and c1, neither of them below 0, of (c0 + c1 n) x = 1."""
    ones_N = np.ones_like(inputs_N)
    if len(set(threads_N.tolist())) == 1:
        # The prior's split, scaled.
        own_N = inputs_N * (prior.shared_w + prior.thread_w * threads_N)
        factor = float(own_N @ ones_N / (own_N @ own_N))
        return factor * prior.shared_w, factor * prior.thread_w
    columns = np.stack([inputs_N, inputs_N * threads_N], axis=1)
    shared_w, thread_w = np.linalg.lstsq(columns, ones_N, rcond=None)[0].tolist()
    if shared_w < 0:
        shared_w, thread_w = 0.0, float(columns[:, 1] @ ones_N / (columns[:, 1] @ columns[:, 1]))
    if not thread_w > 0:
        raise ValueError(
            f"power must grow with the number of threads, but the metered networks give {thread_w:.3g} W for each: "
            "meter larger networks, which keep all threads busy."
        )
    return shared_w, thread_w


def _scale(item: Measurement, model: PowerModel) -> float:
    """(f / f0) (V / V0)^2 of a measurement."""
    unit = replace(model, shared_w=0.0, thread_w=1.0)
    return unit.net_w(item.configuration, volts=item.after.volts) / item.threads


def _volts(metered: Sequence[Measurement], prior: PowerModel) -> tuple[tuple[int, float], ...]:
    """The prior's voltages, drawn to those that the board told at the clocks that were set."""
    told: dict[int, list[float]] = {}
    for item in metered:
        if item.frequency_mhz is not None and item.after.volts is not None:
            told.setdefault(item.frequency_mhz, []).append(item.after.volts)
    if not told or (not prior.volts and len(told) < 2):
        return prior.volts
    clocks = sorted(told)
    board_v = [float(np.median(told[mhz])) for mhz in clocks]
    if not prior.volts:
        return tuple(zip(clocks, board_v, strict=True))
    ratios = [volts / prior.volts_at(mhz) for mhz, volts in zip(clocks, board_v, strict=True)]
    known = sorted({*clocks, *(mhz for mhz, _ in prior.volts)})
    return tuple((mhz, prior.volts_at(mhz) * float(np.interp(mhz, clocks, ratios))) for mhz in known)
