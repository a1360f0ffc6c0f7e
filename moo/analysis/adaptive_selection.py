"""Points of an adaptive front as `moo.analysis.selection` chooses among them. Start with `read_adaptive_candidates`."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from devices.configuration import RuntimeConfiguration
from moo.analysis.selection import PointKey
from moo.storage.adaptive_front import AdaptivePoint, read_adaptive_front
from moo.storage.run_folder import RunFolder
from search_space.boundary.text import command_line


@dataclass(frozen=True, kw_only=True, slots=True)
class AdaptiveCandidate:
    """A point of front_adaptive.json to choose, by its expected latency or by that of the worst case."""

    point: AdaptivePoint
    number: int
    """Place among the points of its network with exits, in the order of the front, from 0: `run.py --point`."""
    worst_case: bool = False
    """Whether latencies are those of the longest way that an image can take."""
    beats_guessing: bool | None = None
    """Whether its interval lies below the error of always answering the commonest class; None if that is unknown."""

    @property
    def id(self) -> str:
        """Of its architecture."""
        return self.point.id

    @property
    def key(self) -> PointKey:
        """What names it."""
        return self.id, f"{self.point.configuration.label} {self.number}"

    @property
    def same_as(self) -> PointKey | None:
        """None: points of one network differ by image, not by chance."""
        return None

    @property
    def configuration(self) -> RuntimeConfiguration:
        """How it is run."""
        return self.point.configuration

    @property
    def error(self) -> float:
        """On the selection split."""
        return self.point.error

    @property
    def latency_ms(self) -> float:
        """Expected, or of the worst case."""
        return self.point.worst_latency_ms if self.worst_case else self.point.latency_ms

    @property
    def energy_mj(self) -> float:
        """Expected."""
        return self.point.energy_mj


def read_adaptive_candidates(run: Path, *, worst_case: bool = False) -> tuple[AdaptiveCandidate, ...]:
    """The points in the front_adaptive.json of a run folder, in its order.

    Args:
        run: its folder.
        worst_case: whether they are chosen by the latency of the longest way that an image can take.

    Raises:
        ValueError: if the folder is none, was not adapted, or its front is damaged.
    """
    folder = RunFolder(run)
    if not run.is_dir():
        raise ValueError(f"a run folder must be given, but {str(run)!r} is no folder.")
    if not folder.adaptive_front.exists():
        command = command_line(["python", "scripts/adapt_front.py", str(run)])
        raise ValueError(
            f"`--adaptive` needs a run whose networks have early exits, but {str(run)!r} holds no "
            f"{folder.adaptive_front.name}: make them by `{command}`."
        )
    guessing = _guessing_error(folder)
    numbers: Counter[str] = Counter()
    candidates = []
    for point in read_adaptive_front(folder.adaptive_front):
        beats = None if guessing is None or point.error_high is None else point.error_high < guessing
        candidates.append(
            AdaptiveCandidate(point=point, number=numbers[point.id], worst_case=worst_case, beats_guessing=beats)
        )
        numbers[point.id] += bool(point.exits)
    return tuple(candidates)


def _guessing_error(folder: RunFolder) -> float | None:
    """Error of always answering the commonest class on the selection split; None where the run's settings are not."""
    if not folder.config.exists():
        return None
    return folder.read_config()[1].dataset.guessing_error
