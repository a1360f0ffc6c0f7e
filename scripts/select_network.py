"""Choose an operating point of a run's front: three to choose from, the most accurate within limits, or the knee.

Examples:
    python scripts/select_network.py runs/first --max-latency-ms 5 --max-energy-mj 20 --threads 1 2
    python scripts/select_network.py runs/first --adaptive --max-latency-ms 5 --worst-case
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, NoReturn

from tyro.conf import Positional, arg

from devices.configuration import BY_NAME, Precision, RuntimeName
from moo.analysis.adaptive_selection import read_adaptive_candidates
from moo.analysis.selection import (
    ConfigurationFilter,
    Limits,
    Point,
    best_within,
    excesses,
    in_configurations,
    knee,
    nearest_to,
    read_front,
    three_choices,
)
from moo.report.selected import PointTexts, static_texts, table_lines
from moo.report.selected_adaptive import adaptive_texts
from moo.storage.run_folder import RunFolder
from moo.storage.search_state import command_that_goes_on, unfinished_note
from scripts.interface.command_line import parse, run
from scripts.interface.help_pages import SELECT_NETWORK
from search_space.boundary.reading import local_path


@dataclass(frozen=True, kw_only=True, slots=True)
class SelectConfig:
    """Choose an operating point of a run's front: the most accurate within limits, the knee, or one of three.

    An operating point is a network in a runtime configuration. Without limits and `--knee`, three are shown: the most
    accurate, the knee and the fastest above chance. The exit code is 1 where no point is within the limits.
    """

    run: Positional[str]
    """Folder of a run that has ended."""
    max_latency_ms: float | None = None
    """Latency in ms that the point may have at most."""
    max_energy_mj: float | None = None
    """Energy in mJ that the point may need at most, of the kind that the run minimised."""
    max_error: Annotated[str | None, arg(metavar="PERCENT")] = None
    """Error on the selection split that the point may have at most, in per cent: 12.5; below 1 with its sign: 0.5%."""
    knee: bool = False
    """Instead of limits: the point where the front bulges most towards the ideal."""
    adaptive: bool = False
    """Choose among networks with early exits (`adapt_front.py`), by the latency and energy to expect."""
    worst_case: bool = False
    """With `--adaptive`: choose by the latency of the longest way that an image can take."""
    threads: tuple[int, ...] = ()
    """Choose among points with these numbers of threads; by default with any."""
    frequency_mhz: tuple[int, ...] = ()
    """Choose among points with these clocks of the cores in MHz; by default with any."""
    precision: tuple[Precision, ...] = ()
    """Choose among points of these precisions; by default of any."""
    runtime: tuple[RuntimeName, ...] = ()
    """Choose among points under these runtimes; by default under any."""
    json: bool = False
    """Print JSON instead of text; where none is within the limits, the nearest one and what it exceeds."""

    def __post_init__(self) -> None:
        limits = self.limits
        if self.knee and not limits.is_empty:
            raise ValueError(
                "only one of `--knee` and the limits `--max-latency-ms`, `--max-energy-mj` and `--max-error` may be "
                "given, but got both."
            )
        if self.worst_case and not self.adaptive:
            raise ValueError("`--worst-case` must stand with `--adaptive`, but got it alone: add `--adaptive`.")

    @property
    def limits(self) -> Limits:
        """The three limits."""
        max_error = None if self.max_error is None else share_of(self.max_error)
        return Limits(self.max_latency_ms, self.max_energy_mj, max_error)

    @property
    def wanted(self) -> ConfigurationFilter:
        """The configurations that are chosen from."""
        return ConfigurationFilter(
            threads=self.threads,
            frequencies_mhz=self.frequency_mhz,
            precisions=self.precision,
            runtimes=tuple(BY_NAME[name] for name in self.runtime),
        )


def share_of(text: str) -> float:
    """A percentage as a share in (0, 1].

    Raises:
        ValueError: if it is none, or may be meant as a share: below 1 it must have its sign.
    """
    number = text.strip().removesuffix("%").strip()
    try:
        value = float(number)
    except ValueError:
        raise ValueError(f"`--max-error` must be a number of per cent, as in 12.5, but got {text!r}.") from None
    if not 0 < value <= 100:
        raise ValueError(f"`0 < --max-error <= 100` must hold (per cent), but got {text!r}.")
    if value < 1 and "%" not in text:
        raise ValueError(
            f"`--max-error` is in per cent, but got {text!r}, which may be a share: write {100 * value:g} for a share, "
            f"or {number}% if you mean so little."
        )
    return value / 100


def main() -> int:
    """Parse the options, choose, print."""
    config = parse(SelectConfig, page=SELECT_NETWORK)
    run_folder = RunFolder(local_path(config.run))
    if config.adaptive:
        candidates = read_adaptive_candidates(run_folder.path, worst_case=config.worst_case)
        return _choose(candidates, adaptive_texts(run_folder, worst_case=config.worst_case), config, run_folder)
    return _choose(read_front(run_folder.path), static_texts(run_folder), config, run_folder)


def _choose(points: Sequence[Point], texts: PointTexts[Point], config: SelectConfig, run: RunFolder) -> int:
    front = in_configurations(points, config.wanted)
    if note := unfinished_note(run):
        sys.stderr.write(f"{note} {command_that_goes_on(run)}\n")
    if not config.knee and config.limits.is_empty:
        return _three(front, texts, as_json=config.json)
    chosen = knee(front) if config.knee else best_within(front, config.limits)
    shown = chosen or nearest_to(front, config.limits)
    exceeded = excesses(shown, config.limits)
    if config.json:
        content = {
            "qualifies": chosen is not None,
            "network": texts.facts(shown),
            "exceeded": [*map(texts.excess_facts, exceeded)],
        }
        print(json.dumps(content, indent=2))
    elif chosen is not None:
        print(texts.text(chosen))
    if chosen is None:
        reasons = ", ".join(texts.excess(excess) for excess in exceeded)
        identifier = shown.key[0]
        nearest = identifier if shown.configuration is None else f"{identifier} in {shown.configuration.label}"
        sys.stderr.write(f"No point of {len(front)} is within the limits; the nearest, {nearest}, has {reasons}.\n")
    return 0 if chosen else 1


def _three(front: Sequence[Point], texts: PointTexts[Point], *, as_json: bool) -> int:
    """Print the three to choose from."""
    choices = three_choices(front)
    if as_json:
        content = [{"choice": name, "network": texts.facts(point)} for name, point in choices]
        print(json.dumps({"choices": content}, indent=2))
        return 0
    for line in table_lines([("", *texts.rows), *((name, *texts.cells(point)) for name, point in choices)]):
        print(line)
    for name, point in choices:
        print(f"{name}: {texts.place(point)}")
    best = choices[0][1]
    if best.beats_guessing is False:
        print(f"The best network is not better than {texts.guess(best)}: too few images or too short.")
    return 0


def command() -> NoReturn:
    """The console command of this script."""
    run(main)


if __name__ == "__main__":
    command()
