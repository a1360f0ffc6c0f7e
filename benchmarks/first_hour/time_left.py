"""How good the time left is that a run told: estimate / truth, after a minute and at each quarter.

    python benchmarks/first_hour/time_left.py runs/first

It reads a run that has ended, from its last start or resumption on. Truth is the time from an estimate to the report.

Goal: from the first minute on, between a half and two.
"""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from tyro.conf import Positional

from benchmarks.results import Column, TextTable
from moo.storage.run_folder import RunFolder
from moo.storage.search_state import command_that_goes_on, read_state
from moo.storage.store import ESTIMATE, read_store
from scripts.interface.command_line import parse, run

AFTER_SECONDS = 60.0
QUARTERS = (0.25, 0.5, 0.75)
TABLE = TextTable(
    Column(title="after", width=16, left=True),
    Column(title="stage", width=20, left=True),
    Column(title="told, s", width=8, form=".0f"),
    Column(title="true, s", width=8, form=".0f"),
    Column(title="told / true", width=11, form=".2f"),
)


@dataclass(frozen=True)
class TimeLeftConfig:
    """Compare the times left that a run told with the truth."""

    run: Positional[str]
    """Folder of a run that has ended."""


@dataclass(frozen=True)
class Estimate:
    """What a run told of its end at some time."""

    stage: str
    at_seconds: float
    """From the start of the run."""
    told_seconds: float
    """That were left, as it was told."""
    true_seconds: float
    """That were left."""

    @property
    def ratio(self) -> float:
        """Told / true."""
        return self.told_seconds / self.true_seconds


def estimates_of(folder: RunFolder) -> list[Estimate]:
    """All estimates that a run kept since it was last started or resumed.

    Raises:
        ValueError: if it has not ended, or kept none.
    """
    if not read_state(folder).ended or not folder.report.exists():
        raise ValueError(
            f"a run must have ended, but {str(folder.path)!r} has not; go on with: {command_that_goes_on(folder)}"
        )
    with closing(read_store(folder.store)) as store:
        happened = store.events()
    starts = [place for place, (_, kind, _) in enumerate(happened) if kind in ("started", "resumed")]
    happened = happened[starts[-1] :]
    told = [(date, content) for date, kind, content in happened if kind == ESTIMATE]
    if not told:
        raise ValueError(f"a run must have kept estimates, but {str(folder.path)!r} is of an earlier version.")
    end = folder.report.stat().st_mtime
    return [
        Estimate(
            str(content["stage"]),
            float(str(content["elapsed_seconds"])),
            float(str(content["seconds_left"])),
            max(1.0, end - datetime.fromisoformat(date).timestamp()),
        )
        for date, content in told
    ]


def chosen(estimates: list[Estimate]) -> list[tuple[str, Estimate]]:
    """The estimates that are looked at: those that were told last at the times of interest."""
    total = estimates[0].at_seconds + estimates[0].true_seconds
    times = [("1 min", AFTER_SECONDS), *((f"{share:.0%} of the run", share * total) for share in QUARTERS)]
    found = []
    for name, at in sorted(times, key=lambda item: item[1]):
        before = [estimate for estimate in estimates if estimate.at_seconds <= at]
        if before and at < total:
            late = at - before[-1].at_seconds
            last = before[-1]
            found.append((name, Estimate(last.stage, at, last.told_seconds - late, last.true_seconds - late)))
    return found


def main() -> int:
    """Print the table."""
    config = parse(TimeLeftConfig)
    estimates = estimates_of(RunFolder(Path(config.run).expanduser()))
    print(TABLE.head)
    for name, estimate in chosen(estimates):
        print(TABLE.row(name, estimate.stage, estimate.told_seconds, estimate.true_seconds, estimate.ratio))
    late = [estimate.ratio for estimate in estimates if estimate.at_seconds >= AFTER_SECONDS]
    if late:
        print(f"from the first minute on: {min(late):.2f} to {max(late):.2f}, {len(late)} estimates")
    return 0


if __name__ == "__main__":
    run(main)
