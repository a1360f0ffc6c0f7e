"""How far the power model of a Raspberry Pi 4 is off published power and energy.

    python benchmarks/built_in_boards/power_models.py --csv mlperf_pi4.csv [--system PREFIX] [--quick] [--json]

The file has MLPerf Inference's single-stream results of boards with whole-board power, one network a line, with the
columns `system`, `model`, `valid`, `precision`, `mean_ms`, `avg_power_w`, `pre_window_min_w` and `post_window_min_w`.
Idle power is the mean of the last two; what is above it is compared with the model for four threads at 1500 MHz, and
energy is that times the published latency. Then each run is scaled by one factor, the geometric mean of published over
modelled power of all *other* runs of its group. The result does not depend on the machine.

Claims (v1.0, 104 runs): power above idle is off by 15 % on average. Under TensorFlow Lite it is off by 8 % after one
scale factor, and by 6 % (fp32) and 3 % (int8) after one for each precision.
"""

from __future__ import annotations

import csv
import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from benchmarks.options import BenchmarkConfig, check_at_least, read_config
from benchmarks.results import Column, TextTable, print_results
from devices.configuration import RuntimeConfiguration
from devices.energy.power_model import RASPBERRY_PI_4
from scripts.interface.command_line import run

if TYPE_CHECKING:
    from typing_extensions import Self

CONFIGURATION = RuntimeConfiguration(threads=4, frequency_mhz=1500)
"""How MLPerf's runs of a Raspberry Pi 4 were made; the threads are told by their latencies."""
COLUMNS = ("system", "model", "valid", "precision", "mean_ms", "avg_power_w", "pre_window_min_w", "post_window_min_w")

Array = npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, slots=True)
class PowerModelsConfig(BenchmarkConfig):
    """Compare the power model of a Raspberry Pi 4 with published runs."""

    csv: str
    """File of published runs; the header of this script has its columns."""
    system: str = "rpi4"
    """Beginning of the systems that are compared."""
    runs: int | None = None
    """How many runs of the file to compare, from its first on; all by default."""
    quick: bool = False
    """Ten runs."""

    def __post_init__(self) -> None:
        if self.runs is not None:
            check_at_least(self, runs=2)

    def quickened(self) -> Self:
        """Ten runs."""
        return dataclasses.replace(self, runs=10)


@dataclass(frozen=True, kw_only=True, slots=True)
class PublishedRun:
    """A network on a board with a meter."""

    system: str
    model: str
    precision: str
    latency_ms: float
    load_w: float
    idle_w: float

    @property
    def net_w(self) -> float:
        """Power above idle."""
        return self.load_w - self.idle_w


@dataclass(frozen=True, kw_only=True, slots=True)
class ComparedRun:
    """Published and modelled power above idle, and energy of one inference."""

    system: str
    model: str
    precision: str
    latency_ms: float
    idle_w: float
    published_w: float
    modelled_w: float
    published_mj: float
    modelled_mj: float
    error: float
    """Of modelled power, and so of energy, which are one for a published latency."""
    scaled_error: float
    """The same after a scale factor that the other runs give."""


@dataclass(frozen=True, kw_only=True, slots=True)
class GroupErrors:
    """Of several runs: mean and largest relative error of net power, and of energy with idle power."""

    runs: int
    scale: float
    """Geometric mean of published over modelled power."""
    mean: float
    largest: float
    mean_scaled: float
    largest_scaled: float
    gross: float
    """Mean error of energy with idle power, the idle power being the model's."""


def main() -> None:
    """Read, compare and print."""
    config = read_config(PowerModelsConfig)
    runs = read_runs(Path(config.csv).expanduser(), config.system)[: config.runs]
    compared = compare(runs)
    groups = {name: errors_of(members) for name, members in grouped(runs).items()}
    print_results(
        {"runs": [asdict(entry) for entry in compared], "groups": {name: asdict(e) for name, e in groups.items()}},
        [*_lines_of_runs(compared), "", *_lines_of_groups(groups)],
        as_json=config.json,
    )


def read_runs(path: Path, system: str) -> list[PublishedRun]:
    """Valid runs with power from a file.

    Raises:
        ValueError: if the file cannot be read, lacks a column, or has fewer than two such runs.
    """
    try:
        with path.open() as file:
            reader = csv.DictReader(file)
            missing = [name for name in COLUMNS if name not in (reader.fieldnames or ())]
            if missing:
                raise ValueError(f"`--csv` must have the columns {', '.join(COLUMNS)}, but {path} lacks {missing[0]}.")
            runs = [
                _run_of(row)
                for row in reader
                if row["system"].startswith(system) and row["valid"] == "True" and row["avg_power_w"]
            ]
    except OSError as error:
        raise ValueError(f"`--csv` must be a file of published runs, but {path} cannot be read: {error}.") from None
    if len(runs) < 2:
        raise ValueError(
            f"`--csv` must hold two valid runs with power of systems that begin with {system!r}, but {path} has "
            f"{len(runs)}: give another `--system`."
        )
    return runs


def compare(runs: Sequence[PublishedRun]) -> list[ComparedRun]:
    """Each run with the model's figures, and its error after a scale factor that the other runs give."""
    modelled_w = RASPBERRY_PI_4.net_w(CONFIGURATION)
    return [
        ComparedRun(
            system=run.system,
            model=run.model,
            precision=run.precision,
            latency_ms=run.latency_ms,
            idle_w=run.idle_w,
            published_w=run.net_w,
            modelled_w=modelled_w,
            published_mj=run.net_w * run.latency_ms,
            modelled_mj=modelled_w * run.latency_ms,
            error=modelled_w / run.net_w - 1,
            scaled_error=modelled_w * scale / run.net_w - 1,
        )
        for run, scale in zip(runs, _scales_without_each(runs), strict=True)
    ]


def errors_of(runs: Sequence[PublishedRun]) -> GroupErrors:
    """Errors over some runs, with a scale factor of their own."""
    compared = compare(runs)
    error, scaled = (np.abs([getattr(run, name) for run in compared]) for name in ("error", "scaled_error"))
    modelled_w = RASPBERRY_PI_4.net_w(CONFIGURATION)
    gross = [(modelled_w + RASPBERRY_PI_4.idle_w) / run.load_w - 1 for run in runs]
    return GroupErrors(
        runs=len(runs),
        scale=float(np.exp(_log_ratios(runs).mean())),
        mean=float(error.mean()),
        largest=float(error.max()),
        mean_scaled=float(scaled.mean()),
        largest_scaled=float(scaled.max()),
        gross=float(np.abs(gross).mean()),
    )


def grouped(runs: Sequence[PublishedRun]) -> Mapping[str, list[PublishedRun]]:
    """All runs, then those of each system, then of each precision within it, where there are two or more."""
    groups: dict[str, list[PublishedRun]] = {"all": list(runs)}
    for run_ in runs:
        groups.setdefault(run_.system, []).append(run_)
        groups.setdefault(f"{run_.system} {run_.precision}", []).append(run_)
    return {
        name: groups[name] for name in sorted(groups, key=lambda name: (name != "all", name)) if len(groups[name]) > 1
    }


def _run_of(row: Mapping[str, str]) -> PublishedRun:
    return PublishedRun(
        system=row["system"],
        model=row["model"],
        # The closed division leaves it empty; its ResNet-50 has the accuracy of fp32.
        precision=row["precision"] or "fp32",
        latency_ms=float(row["mean_ms"]),
        load_w=float(row["avg_power_w"]),
        idle_w=(float(row["pre_window_min_w"]) + float(row["post_window_min_w"])) / 2,
    )


def _log_ratios(runs: Sequence[PublishedRun]) -> Array:
    return np.log(np.array([run.net_w for run in runs]) / RASPBERRY_PI_4.net_w(CONFIGURATION))


def _scales_without_each(runs: Sequence[PublishedRun]) -> Array:
    ratios = _log_ratios(runs)
    scales: Array = np.exp((ratios.sum() - ratios) / (len(ratios) - 1))
    return scales


def _lines_of_runs(compared: Sequence[ComparedRun]) -> Iterator[str]:
    table = TextTable(
        Column(title="system", width=33, left=True),
        Column(title="network", width=39, left=True),
        Column(title="", width=4, left=True),
        Column(title="ms", width=7, form=".1f"),
        Column(title="W published", width=11, form=".2f"),
        Column(title="modelled", width=8, form=".2f"),
        Column(title="mJ published", width=12, form=".1f"),
        Column(title="modelled", width=8, form=".1f"),
        Column(title="error", width=7, form="+.1%"),
        Column(title="scaled", width=7, form="+.1%"),
    )
    yield table.head
    for run_ in compared:
        yield table.row(
            run_.system,
            run_.model,
            run_.precision,
            run_.latency_ms,
            run_.published_w,
            run_.modelled_w,
            run_.published_mj,
            run_.modelled_mj,
            run_.error,
            run_.scaled_error,
        )


def _lines_of_groups(groups: Mapping[str, GroupErrors]) -> Iterator[str]:
    table = TextTable(
        Column(title="power above idle", width=40, left=True),
        Column(title="runs", width=4),
        Column(title="error", width=6, form=".1%"),
        Column(title="largest", width=7, form=".1%"),
        Column(title="scale", width=6, form=".3f"),
        Column(title="error scaled", width=12, form=".1%"),
        Column(title="largest", width=7, form=".1%"),
        Column(title="with idle", width=9, form=".1%"),
    )
    yield table.head
    for name, e in groups.items():
        yield table.row(name, e.runs, e.mean, e.largest, e.scale, e.mean_scaled, e.largest_scaled, e.gross)


if __name__ == "__main__":
    run(main)
