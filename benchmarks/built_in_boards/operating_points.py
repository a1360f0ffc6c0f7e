"""What runtime configurations add to the front of the networks that a run has evaluated.

    python benchmarks/built_in_boards/operating_points.py RUN [--boards pi5 pi4] [--quick] [--json]

RUN is a finished run folder; its errors are taken as they are, and the costs of its networks are those of the built-in
tables: modelled, but for the Raspberry Pi 4's base in the shapes of `fbnet-cifar`, which is published. Hypervolume is
relative to the base configuration (one thread, top clock, fp32), with two reference points: that of a run, which is the
error of guessing and the costs of the space's slowest architecture, and the worst error and costs on the base's own
front, a box without the region where nothing is to be gained. Points in int8 count where the run has evaluated the
network in int8. It takes seconds.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import numpy as np
import tyro
from scipy.stats import spearmanr

from benchmarks.options import BenchmarkConfig, read_config
from benchmarks.results import Column, TextTable, print_results
from devices.configuration import RuntimeConfiguration
from devices.cost_tables.energy_objective import EnergyKind, EnergyObjective
from devices.cost_tables.family import CostTables
from devices.cost_tables.raspberry_pi import built_in_tables
from devices.measurement import Source
from moo.formatting import sources_text
from moo.storage.archive import reference_point_of
from moo.storage.pareto import Floats, hypervolume, non_dominated
from moo.storage.run_folder import RunFolder
from moo.storage.store import read_store
from moo.trials import EvaluatedArchitecture, Objectives
from scripts.interface.command_line import run

if TYPE_CHECKING:
    from typing_extensions import Self

KINDS: tuple[EnergyKind, ...] = ("net", "gross")


@dataclass(frozen=True, kw_only=True, slots=True)
class OperatingPointsConfig(BenchmarkConfig):
    """Hypervolume of operating points over that of the base configuration, for the networks of a run."""

    run: Annotated[str, tyro.conf.Positional]
    """Folder of a finished run."""
    boards: tuple[Literal["pi4", "pi5"], ...] = ("pi5", "pi4")
    """The built-in boards."""

    def quickened(self) -> Self:
        """As it is: it takes seconds anyway."""
        return self


@dataclass(frozen=True, kw_only=True, slots=True)
class Gain:
    """One board, one kind of energy, one set of configurations."""

    board: str
    energy: str
    configurations: str
    hypervolume: float
    """Over that of the base configuration alone, with the reference point of a run."""
    hypervolume_of_front: float
    """The same with the worst values of the base's front as the reference point."""
    points: int
    """On the front."""
    on_front: int
    """Configurations that have a point on the front."""
    spearman: float
    """Rank correlation of latency and energy on the front."""


TABLE = TextTable(
    Column(title="board", width=6, left=True),
    Column(title="energy", width=7, left=True),
    Column(title="configurations", width=26, left=True),
    Column(title="hypervolume / base", width=19, form=".3f"),
    Column(title="its front's box", width=16, form=".3f"),
    Column(title="points", width=8, form="d"),
    Column(title="configurations on front", width=24, form="d"),
    Column(title="Spearman", width=10, form=".2f"),
)


def main() -> None:
    """Compute and print."""
    config = read_config(OperatingPointsConfig)
    folder = RunFolder(Path(config.run).expanduser())
    _, origin = folder.read_config(option="RUN")
    with closing(read_store(folder.store)) as store:
        evaluated = store.evaluated(origin.space)
    gains, sources = [], list[Source]()
    for board in config.boards:
        tables = built_in_tables(board, origin.space)
        sources += [table.latency_source for table in tables] + [table.energy_source for table in tables]
        gains += [
            gain for kind in KINDS for gain in gains_of(board, evaluated, tables, kind, origin.dataset.reference_error)
        ]
    content = {"run": folder.path.name, "networks": len(evaluated), "gains": [asdict(gain) for gain in gains]}
    in_int8 = sum(item.quantized_error is not None for item in evaluated)
    said = f"{len(evaluated)} networks evaluated, {in_int8} of them in int8 too"
    lines = [f"{said}; costs are {sources_text(sources)}", TABLE.head]
    lines += [TABLE.row(*asdict(gain).values()) for gain in gains]
    print_results(content, lines, as_json=config.json)


def gains_of(
    board: str, evaluated: Sequence[EvaluatedArchitecture], tables: CostTables, kind: EnergyKind, guessing_error: float
) -> list[Gain]:
    """What sets of configurations add: clocks and threads in fp32, and int8 besides.

    Args:
        board: its name.
        evaluated: networks with their errors.
        tables: of the board, the base first.
        kind: of energy.
        guessing_error: of the data set.
    """
    energy = EnergyObjective(kind)
    base = CostTables([tables.base])
    reference = reference_point_of(base, guessing_error, energy)
    alone, _ = _front(evaluated, base, energy)
    # A little beyond, so that the extremes count.
    worst = np.array(alone).max(0) * (1 + 1e-6)
    floats = [one for one in tables.configurations if one.precision == "fp32"]
    sets = {"clocks and threads, fp32": tables.only(floats), "and int8": tables}
    gains = []
    for name, chosen in sets.items():
        points, configurations = _front(evaluated, chosen, energy)
        gains.append(
            Gain(
                board=board,
                energy=kind,
                configurations=name,
                hypervolume=_ratio(points, alone, np.array(reference)),
                hypervolume_of_front=_ratio(points, alone, worst),
                points=len(points),
                on_front=len(Counter(configurations)),
                spearman=float(spearmanr([p[1] for p in points], [p[2] for p in points]).statistic),
            )
        )
    return gains


def _ratio(points: Sequence[Objectives], before: Sequence[Objectives], reference_M: Floats) -> float:
    return hypervolume(np.array(points), reference_M) / hypervolume(np.array(before), reference_M)


def _front(
    evaluated: Sequence[EvaluatedArchitecture], tables: CostTables, energy: EnergyObjective
) -> tuple[list[Objectives], list[RuntimeConfiguration]]:
    points: list[Objectives] = []
    configurations = []
    for table in tables:
        for item in evaluated:
            error = item.quantized_error if table.precision == "int8" else item.error
            if error is not None:
                latency_ms, net_mj = table.latency_of(item.indices), table.energy_of(item.indices)
                points.append((error, latency_ms, energy.energy_mj(net_mj, latency_ms, table.idle_w)))
                configurations.append(table.configuration)
    places = non_dominated(np.array(points))
    return [points[place] for place in places], [configurations[place] for place in places]


if __name__ == "__main__":
    run(main)
