"""Idle power of a board, measured once and kept, so that all energies above idle compare. Start with `kept_idle`."""

from __future__ import annotations

import hashlib
import logging
import math
from dataclasses import asdict, dataclass
from pathlib import Path

from devices.cache import cache_folder
from devices.energy.mean_power import MeanPower, difference_w
from search_space.boundary.sealing import read_sealed_json, write_sealed_json
from search_space.boundary.text import reason_of

logger = logging.getLogger(__name__)

SAME = 0.02
"""Share of idle power by which it may differ from the kept one and still be the same."""


@dataclass(frozen=True, kw_only=True, slots=True)
class IdlePower:
    """Power of an idle board, as a meter saw it."""

    power: MeanPower
    meter: str
    """Name of the meter, as in `ina219`."""


def kept_idle(board: str, measured: IdlePower) -> IdlePower:
    """The idle power that all energies of a board are above: the kept one, if it still holds.

    A process measures idle power once. Where that agrees with what an earlier process kept, within 2 % or both 95 %
    intervals, the kept one is used, so that the energies of both compare. Otherwise the board has changed (another
    supply, a fan, a device on USB): the new one is kept, and a warning says so.

    Args:
        board: `Board.label`.
        measured: idle power now.
    """
    path = idle_path(board, measured.meter)
    kept = _read(path)
    if kept is not None:
        change_w, interval_w = difference_w(measured.power, kept)
        if abs(change_w) <= max(SAME * kept.mean_w, interval_w):
            return IdlePower(power=kept, meter=measured.meter)
        logger.warning(
            "idle power of %s was %.2f W when it was last measured and is %.2f W now: energies above idle from before "
            "and from now do not compare.",
            board,
            kept.mean_w,
            measured.power.mean_w,
        )
    try:
        write_sealed_json(path, {"board": board, "meter": measured.meter, **asdict(measured.power)})
    except OSError as error:
        logger.warning(
            "idle power of %s cannot be kept for other runs, whose energies may not compare: %s.",
            board,
            reason_of(error),
        )
    return measured


def idle_path(board: str, meter: str) -> Path:
    """Where the idle power of a board by a meter is kept: in `idle` in the cache folder."""
    digest = hashlib.sha256(f"{board}\0{meter}".encode()).hexdigest()[:12]
    return cache_folder() / "idle" / f"{meter}-{digest}.json"


def _read(path: Path) -> MeanPower | None:
    """What a file keeps; None if there is none, or it is damaged."""
    try:
        content = read_sealed_json(path, what="the idle power of a board", remedy="It is measured again.")
        kept = MeanPower(
            mean_w=float(content["mean_w"]),
            standard_error_w=float(content["standard_error_w"]),
            degrees_of_freedom=int(content["degrees_of_freedom"]),
            samples=int(content["samples"]),
        )
    except (OSError, ValueError, TypeError, KeyError, OverflowError, RecursionError):
        return None
    sound = math.isfinite(kept.mean_w) and 0 <= kept.standard_error_w < math.inf and kept.degrees_of_freedom >= 1
    return kept if sound else None
