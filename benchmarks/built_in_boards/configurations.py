"""How the runtime configurations of a built-in board trade energy for latency, for one network.

    python benchmarks/built_in_boards/configurations.py [--board pi4|pi5] [--space NAME] [--architecture NETWORK]
        [--out FOLDER] [--quick] [--json]

Costs are those of the built-in tables, so everything is modelled but the Raspberry Pi 4's base; it takes seconds. With
`--out` a picture is drawn: net and gross energy against latency, best configurations joined.

Claims (`pi5`, FBNet-A in the shapes of `fbnet-cifar`): Spearman of latency and net energy over clocks and threads -0.93
in fp32; 1500 MHz saves 38 % of net energy and costs 18 % more gross energy than 2400 MHz, with one thread.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from scipy.stats import spearmanr

from benchmarks.options import BenchmarkConfig, read_config
from benchmarks.results import Column, TextTable, print_results, write_results
from devices.configuration import PRECISIONS, RuntimeConfiguration
from devices.cost_tables.raspberry_pi import BUILT_IN_BOARDS, built_in_tables
from moo.storage.pareto import non_dominated
from moo.visualization.style import (
    BLUE,
    GREEN,
    GREY,
    VERMILION,
    dress,
    legend_marker,
    new_figure,
    plain_log_ticks,
)
from scripts.interface.command_line import run
from search_space.architectures import parse_architecture
from search_space.spaces import space_named

if TYPE_CHECKING:
    from typing_extensions import Self

COLOURS = {1: BLUE, 2: GREEN, 4: VERMILION}
"""By number of threads."""
SHAPES = ("o", "s", "D")
"""By clock, the top one first."""
PICTURE = "configurations.png"


@dataclass(frozen=True, kw_only=True, slots=True)
class ConfigurationsConfig(BenchmarkConfig):
    """Latency and energy of one network in all configurations of a built-in board."""

    board: Literal["pi4", "pi5"] = "pi5"
    """The built-in board."""
    space: str = "fbnet-cifar"
    """A space of the FBNet family."""
    architecture: str = "fbnet-a"
    """The network: a published one by name, or as an architecture is written elsewhere."""
    out: str | None = None
    """Folder for `results.json` and a picture."""

    def quickened(self) -> Self:
        """As it is: it takes seconds anyway."""
        return self


@dataclass(frozen=True, kw_only=True, slots=True)
class OperatingPoint:
    """The network in one configuration."""

    configuration: RuntimeConfiguration
    latency_ms: float
    net_mj: float
    gross_mj: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Summary:
    """How far latency and energy go together."""

    spearman_net: dict[str, float]
    """Rank correlation of latency and net energy by precision, and over all points."""
    spearman_gross: dict[str, float]
    """The same of gross energy."""
    net_range: float
    """Highest over lowest net energy."""
    lowest_clock_net: float
    """Net energy at the lowest clock over that at the top clock, one thread in fp32."""
    lowest_clock_gross: float
    """The same of gross energy."""


def main() -> None:
    """Compute, print and draw."""
    config = read_config(ConfigurationsConfig)
    points = operating_points(config)
    summary = summary_of(points)
    content = {
        "board": config.board,
        "space": config.space,
        "architecture": config.architecture,
        "points": [{**asdict(point), "configuration": point.configuration.label} for point in points],
        "summary": asdict(summary),
    }
    print_results(content, _lines(points, summary), as_json=config.json)
    write_results(config.out, content, {PICTURE: lambda: picture(points, config)})


def operating_points(config: ConfigurationsConfig) -> list[OperatingPoint]:
    """The network in each configuration, the base first.

    Raises:
        ValueError: if the space is none of the FBNet family, or the architecture does not fit it.
    """
    space = space_named(config.space)
    architecture = parse_architecture(space, config.architecture)
    indices = [space.operators.index(name) for name in architecture.operators]
    idle_w = BUILT_IN_BOARDS[config.board].power.idle_w
    points = []
    for table in built_in_tables(config.board, space):
        latency_ms, net_mj = table.latency_of(indices), table.energy_of(indices)
        points.append(
            OperatingPoint(
                configuration=table.configuration,
                latency_ms=latency_ms,
                net_mj=net_mj,
                gross_mj=net_mj + idle_w * latency_ms,
            )
        )
    return points


def summary_of(points: Sequence[OperatingPoint]) -> Summary:
    """Correlations and ratios over the points, whose first is the base."""
    groups: dict[str, list[OperatingPoint]] = {
        precision: [p for p in points if p.configuration.precision == precision] for precision in PRECISIONS
    }
    groups["all"] = list(points)
    alone = [p for p in points if p.configuration.threads == 1 and p.configuration.precision == "fp32"]
    lowest = min(alone, key=lambda point: point.configuration.frequency_mhz or 0)
    net = [point.net_mj for point in points]
    return Summary(
        spearman_net={name: _spearman(group, "net_mj") for name, group in groups.items()},
        spearman_gross={name: _spearman(group, "gross_mj") for name, group in groups.items()},
        net_range=max(net) / min(net),
        lowest_clock_net=lowest.net_mj / points[0].net_mj,
        lowest_clock_gross=lowest.gross_mj / points[0].gross_mj,
    )


def picture(points: Sequence[OperatingPoint], config: ConfigurationsConfig) -> Figure:
    """Net energy on the left and gross energy on the right, both against latency."""
    figure = new_figure(
        10.0, 4.8, "One network, all configurations of a board",
        f"{config.architecture} in {config.space} on the built-in {config.board}, modelled; "
        "lines join what no other configuration of that precision beats",
    )  # fmt: skip
    panels = figure.subplots(1, 2)
    for axes, name, title in zip(panels, ("net_mj", "gross_mj"), ("above idle", "with idle power"), strict=True):
        dress(axes, "latency (ms)", "energy (mJ)")
        axes.set_title(title, fontsize=10, loc="left")
        axes.set_xscale("log")
        axes.set_yscale("log")
        for precision in PRECISIONS:
            _draw_points(axes, [point for point in points if point.configuration.precision == precision], name)
        plain_log_ticks(axes.xaxis, axes.get_xlim())
        plain_log_ticks(axes.yaxis, axes.get_ylim())
    figure.legend(handles=_legend(points), fontsize=8.5, frameon=False, loc="outside right center")
    return figure


def _draw_points(axes: Axes, points: Sequence[OperatingPoint], name: str) -> None:
    values = np.array([(point.latency_ms, getattr(point, name)) for point in points])
    best = sorted(non_dominated(values), key=lambda index: values[index, 0])
    axes.plot(values[best, 0], values[best, 1], color=GREY, linewidth=1.0, zorder=1)
    clocks = _clocks(points)
    for point, (latency_ms, energy_mj) in zip(points, values.tolist(), strict=True):
        configuration = point.configuration
        colour = COLOURS[configuration.threads]
        axes.plot(
            latency_ms,
            energy_mj,
            marker=SHAPES[clocks.index(configuration.frequency_mhz or 0)],
            markersize=7,
            color=colour,
            markerfacecolor=colour if configuration.precision == "int8" else "white",
        )


def _clocks(points: Sequence[OperatingPoint]) -> list[int]:
    return sorted({point.configuration.frequency_mhz or 0 for point in points}, reverse=True)


def _legend(points: Sequence[OperatingPoint]) -> list[Line2D]:
    threads = [legend_marker(f"{n} thread{'s' if n > 1 else ''}", "o", colour) for n, colour in COLOURS.items()]
    clocks = [legend_marker(f"{mhz} MHz", shape, GREY) for mhz, shape in zip(_clocks(points), SHAPES, strict=True)]
    hollow = Line2D([], [], linestyle="", marker="o", markersize=7, color=GREY, markerfacecolor="white", label="fp32")
    return [*threads, *clocks, hollow, legend_marker("int8", "o", GREY)]


def _spearman(points: Sequence[OperatingPoint], name: str) -> float:
    return float(spearmanr([p.latency_ms for p in points], [getattr(p, name) for p in points]).statistic)


def _lines(points: Sequence[OperatingPoint], summary: Summary) -> list[str]:
    table = TextTable(
        Column(title="configuration", width=21, left=True),
        Column(title="ms", width=8, form=".2f"),
        Column(title="net mJ", width=8, form=".2f"),
        Column(title="gross mJ", width=8, form=".2f"),
    )
    rows = [table.row(p.configuration.label, p.latency_ms, p.net_mj, p.gross_mj) for p in points]
    correlations = [
        f"Spearman of latency and {energy} energy: {', '.join(f'{name} {value:.2f}' for name, value in found.items())}"
        for energy, found in (("net", summary.spearman_net), ("gross", summary.spearman_gross))
    ]
    return [
        table.head,
        *rows,
        "",
        *correlations,
        f"highest over lowest net energy: {summary.net_range:.2f}",
        f"lowest against top clock, one thread, fp32: net {summary.lowest_clock_net - 1:+.0%}, "
        f"gross {summary.lowest_clock_gross - 1:+.0%}",
    ]


if __name__ == "__main__":
    run(main)
