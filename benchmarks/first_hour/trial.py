"""What the default search makes of data sets: its most accurate network against always answering the commonest class.

    python benchmarks/first_hour/trial.py photos --out runs/first_hour [--minutes 20] [--quick] [--json]

Runs the command as a user would, one data set after another; a folder that is there already is read, or resumed. The
network is chosen on the selection split; what is printed is its error on the test split.
"""

from __future__ import annotations

import dataclasses
import json
import math
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from benchmarks.options import BenchmarkConfig, read_config
from benchmarks.results import Column, TextTable, print_results
from moo.analysis.chance import wilson
from moo.storage.run_folder import RunFolder
from moo.storage.store import read_store
from scripts.interface.command_line import run

if TYPE_CHECKING:
    from typing_extensions import Self

SCRIPT = Path(__file__).parents[2] / "scripts" / "pareto_search.py"


@dataclass(frozen=True, kw_only=True, slots=True)
class TrialConfig(BenchmarkConfig):
    """Run the default search on data sets, and compare its most accurate network with guessing."""

    datasets: Annotated[tuple[str, ...], tyro.conf.Positional]
    """As for `--dataset` of pareto_search.py."""
    out: str
    """Folder for the runs."""
    minutes: float | None = None
    """Given to the search as `--minutes`; by default the search decides."""
    options: str = ""
    """Further options of the search, in one text."""

    def __post_init__(self) -> None:
        if not self.datasets:
            raise ValueError("at least one data set must be named, but got none.")
        if self.minutes is not None and not (math.isfinite(self.minutes) and self.minutes > 0):
            raise ValueError(f"`--minutes > 0` must hold, but got {self.minutes}.")

    def quickened(self) -> Self:
        """Hardly any training, nothing measured."""
        small = "--pretrain-epochs 1 --generations 1 --population 4 --no-measure --no-dashboard"
        return dataclasses.replace(self, options=f"{self.options} {small}")


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """What became of one data set."""

    dataset: str
    space: str
    pixels: int
    images: int
    """Of the weights split."""
    minutes: float
    """That the whole command took, over interruptions."""
    network: str
    """The most accurate on the selection split."""
    selection_error: float
    test_error: float
    test_low: float
    """Lower end of the 95 % interval of the error."""
    test_high: float
    test_images: int
    guessing_error: float
    """On the test split, of always answering the commonest class."""

    @property
    def points(self) -> float:
        """Accuracy above that of the commonest class, in points."""
        return 100 * (self.guessing_error - self.test_error)


def searched(config: TrialConfig, place: int) -> Row:
    """Search one of the data sets, or go on with it, and read what was found.

    Raises:
        ValueError: if the search ended with an error.
    """
    dataset = config.datasets[place]
    folder = RunFolder(Path(config.out).expanduser() / f"{place}-{Path(dataset).name}")
    if not folder.front.exists() or not _is_finished(folder):
        words = [sys.executable, str(SCRIPT)]
        words += ["--resume", str(folder.path)] if folder.config.exists() else _beginning(config, dataset, folder)
        ended = subprocess.run(words, stdout=sys.stderr, check=False)
        if ended.returncode:
            raise ValueError(f"a search must end well, but that of {dataset!r} ended with {ended.returncode}.")
    return _row(dataset, folder)


def _beginning(config: TrialConfig, dataset: str, folder: RunFolder) -> list[str]:
    minutes = [] if config.minutes is None else ["--minutes", f"{config.minutes:g}"]
    return ["--dataset", dataset, "--out", str(folder.path), *minutes, *config.options.split()]


def _is_finished(folder: RunFolder) -> bool:
    with closing(read_store(folder.store)) as store:
        return any(kind == "finished" for _, kind, _ in store.events())


def _row(dataset: str, folder: RunFolder) -> Row:
    _, origin = folder.read_config()
    data, best = origin.dataset, json.loads(folder.front.read_text())[0]
    interval = wilson(best["test_error"], data.images.test)
    assert data.test_guessing_error is not None, "every new run has it"
    with closing(read_store(folder.store)) as store:
        ended = [content["seconds"] for _, kind, content in store.events() if kind == "finished"]
    return Row(
        dataset=dataset,
        space=origin.space.name,
        pixels=origin.space.input_size,
        images=data.images.weights,
        minutes=sum(seconds for seconds in ended if isinstance(seconds, float)) / 60,
        network=best["architecture"]["id"],
        selection_error=best["error"],
        test_error=best["test_error"],
        test_low=interval.low,
        test_high=interval.high,
        test_images=data.images.test,
        guessing_error=data.test_guessing_error,
    )


def lines(rows: list[Row]) -> Iterator[str]:
    """The results as text: a line a data set."""
    table = TextTable(
        Column(title="data set", width=20, left=True),
        Column(title="space", width=18, left=True),
        Column(title="images", width=7),
        Column(title="minutes", width=8, form=".1f"),
        Column(title="selection", width=10, form=".1%"),
        Column(title="test", width=7, form=".1%"),
        Column(title="interval", width=17),
        Column(title="guessing", width=9, form=".1%"),
        Column(title="points above", width=12, form="+.1f"),
    )
    yield table.head
    for row in rows:
        yield table.row(
            Path(row.dataset).name,
            row.space,
            row.images,
            row.minutes,
            row.selection_error,
            row.test_error,
            f"{row.test_low:.1%} to {row.test_high:.1%}",
            row.guessing_error,
            row.points,
        )


def main() -> None:
    """Parse the options, search, print."""
    config = read_config(TrialConfig)
    rows = [searched(config, place) for place in range(len(config.datasets))]
    print_results([asdict(row) | {"points": row.points} for row in rows], lines(rows), as_json=config.json)


if __name__ == "__main__":
    run(main)
