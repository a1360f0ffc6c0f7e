"""Choose one network of a run's front: the most accurate within limits, or the knee.

Example:
    python scripts/select_network.py runs/first --max-latency-ms 5 --max-energy-mj 20
"""

from __future__ import annotations

import json
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NoReturn

from tyro.conf import Positional

from moo.analysis.selection import Excess, FrontNetwork, Limits, best_within, excesses, knee, nearest_to, read_front
from moo.formatting import percent, short
from moo.storage.run_folder import RunFolder
from scripts.command_line import parse, run


@dataclass(frozen=True, kw_only=True, slots=True)
class SelectConfig:
    """Choose one network of a run's front: the most accurate within limits, or the knee.

    The exit code is 1 where no network is within the limits.
    """

    run: Positional[str]
    """Folder of a run that has ended."""
    max_latency_ms: float | None = None
    """Latency in ms that the network may have at most."""
    max_energy_mj: float | None = None
    """Energy in mJ that the network may need at most."""
    max_error: float | None = None
    """Error on the selection split that the network may have at most, in (0, 1]."""
    knee: bool = False
    """Instead of limits: the network where the front bulges most towards the ideal."""
    json: bool = False
    """Print JSON instead of text; where none is within the limits, the nearest one and what it exceeds."""

    def __post_init__(self) -> None:
        if self.knee == (not self.limits.is_empty):
            raise ValueError(
                "either `--knee` or at least one of `--max-latency-ms`, `--max-energy-mj` and `--max-error` must be "
                f"given, but got {'both' if self.knee else 'neither'}."
            )

    @property
    def limits(self) -> Limits:
        """The three limits."""
        return Limits(self.max_latency_ms, self.max_energy_mj, self.max_error)


def main() -> int:
    """Parse the options, choose, print."""
    config = parse(SelectConfig)
    front = read_front(Path(config.run))
    chosen = knee(front) if config.knee else best_within(front, config.limits)
    shown = chosen or nearest_to(front, config.limits)
    folder = RunFolder(Path(config.run)).networks / shown.id
    exceeded = excesses(shown, config.limits)
    if config.json:
        facts = asdict(shown) | {"folder": str(folder) if folder.is_dir() else None}
        content = {"qualifies": chosen is not None, "network": facts, "exceeded": [*map(asdict, exceeded)]}
        print(json.dumps(content, indent=2))
    elif chosen is not None:
        print(_text(chosen, folder))
    if chosen is None:
        reasons = ", ".join(_excess_text(excess) for excess in exceeded)
        sys.stderr.write(f"No network of {len(front)} is within the limits; the nearest, {shown.id}, has {reasons}.\n")
    return 0 if chosen else 1


def _text(network: FrontNetwork, folder: Path) -> str:
    missing = "" if folder.is_dir() else " (not there: the run has not written its files)"
    return (
        f"network  {network.id}\n"
        f"error    {percent(network.error)} (selection split, {network.error_source} weights)\n"
        f"latency  {short(network.latency_ms)} ms {network.latency_source}\n"
        f"energy   {short(network.energy_mj)} mJ {network.energy_source}\n"
        f"folder   {folder}{missing}"
    )


def _excess_text(excess: Excess) -> str:
    name, _, unit = excess.quantity.partition("_")
    unit = {"ms": " ms", "mj": " mJ"}.get(unit, "")
    value, limit = (f"{short(number)}{unit}" if unit else percent(number) for number in (excess.value, excess.limit))
    return f"{name} {value} where {limit} is allowed (+{short(100 * excess.ratio)} %)"


def command() -> NoReturn:
    """The console command of this script."""
    run(main)


if __name__ == "__main__":
    command()
