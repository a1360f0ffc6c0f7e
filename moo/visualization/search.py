"""Pictures of how a front was found: the coefficients, the hypervolume, and one inner search."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from dnas.inner_search import ThetaResult
from dnas.losses import Coefficients
from moo.formatting import cost_label, percent, short
from moo.storage.archive import Costs, Entry, hypervolume_history
from moo.visualization.style import (
    BLUE,
    COLOUR_MAP,
    FAINT,
    GREEN,
    GREY,
    INK,
    VERMILION,
    dress,
    legend_marker,
    marker_of,
    new_figure,
    plain_log_ticks,
    provenance,
    spans_widely,
)

SMALLEST_AREA, LARGEST_AREA = 35.0, 420.0
"""Areas of the bubbles of the least and the most accurate trial, in square points."""


@dataclass(frozen=True)
class Bubble:
    """Coefficients, and the architecture that stands for it."""

    coefficients: Coefficients
    error: float
    """On the selection split, in [0, 1]."""
    costs: Costs


def coefficients_figure(bubbles: Sequence[Bubble]) -> Figure:
    """Which coefficients give which network: HANNA's bubble charts.

    Left: alpha and beta, coloured by latency. Middle: gamma and delta, coloured by energy. Right: latency against
    energy. The larger a bubble, the more accurate the architecture.
    """
    subtitle = "one bubble an architecture that stands for a trial; larger: lower error with inherited weights"
    figure = new_figure(14, 5.6, "Loss coefficients and the networks they give", subtitle)
    left, middle, right = figure.subplots(1, 3)
    latencies = [bubble.costs.latency_ms for bubble in bubbles]
    energies = [bubble.costs.energy_mj for bubble in bubbles]
    latency_label = cost_label("latency", "ms", (bubble.costs.latency_source for bubble in bubbles))
    energy_label = cost_label("energy per image", "mJ", (bubble.costs.energy_source for bubble in bubbles))
    alphas, betas = [b.coefficients.alpha for b in bubbles], [b.coefficients.beta for b in bubbles]
    gammas, deltas = [b.coefficients.gamma for b in bubbles], [b.coefficients.delta for b in bubbles]
    sources: tuple[list[str], list[str]] = (
        [bubble.costs.latency_source for bubble in bubbles],
        [bubble.costs.energy_source for bubble in bubbles],
    )
    dress(left, r"$\alpha$, weight of latency", r"$\beta$, exponent of latency")
    _coloured_bubbles(left, bubbles, alphas, betas, latencies, sources[0], latency_label)
    dress(middle, r"$\gamma$, weight of energy", r"$\delta$, exponent of energy")
    _coloured_bubbles(middle, bubbles, gammas, deltas, energies, sources[1], energy_label)
    dress(right, latency_label, energy_label)
    _bubbles(right, bubbles, latencies, energies, [BLUE] * len(bubbles), [provenance(b.costs) for b in bubbles])
    for axis_name, axis, values in (("x", right.xaxis, latencies), ("y", right.yaxis, energies)):
        if spans_widely(values):
            right.set(**{f"{axis_name}scale": "log"})
            plain_log_ticks(axis, values)
    figure.legend(
        handles=[*_size_handles(bubbles), *_marker_handles(bubbles)],
        loc="outside lower center",
        ncols=9,
        fontsize=9,
        frameon=False,
        handletextpad=0.8,
        borderpad=1.0,
    )
    return figure


def hypervolume_figure(
    entries: Sequence[Entry],
    reference_point: tuple[float, float, float],
    generations: Mapping[int, int],
    minutes: Mapping[int, float],
) -> Figure:
    """Hypervolume against the number of evaluated architectures, and against time.

    Args:
        entries: in the order of their trials.
        reference_point: error, latency in ms and energy in mJ.
        generations: generation of each trial id, to mark where generations begin.
        minutes: when each trial id ended, from the beginning of the run.
    """
    error, latency_ms, energy_mj = reference_point
    subtitle = (
        f"share of the box up to the reference point (error {percent(error)}, {short(latency_ms)} ms, "
        f"{short(energy_mj)} mJ) that is dominated;\nerrors with inherited weights, "
        "all costs as the cost table predicts them (modelled), "
        "so that early and late networks compare"
    )
    figure = new_figure(13, 5.2, "Growth of the front", subtitle)
    axes, timed = figure.subplots(1, 2, sharey=True)
    dress(axes, "architectures evaluated", "hypervolume (costs modelled)")
    history = hypervolume_history(entries, reference_point)
    numbers = np.arange(1, len(history) + 1)
    marker = "o" if len(history) <= 40 else None
    axes.plot(numbers, history, color=BLUE, linewidth=2.2, drawstyle="steps-post", marker=marker, markersize=4)
    starts = _generation_starts(entries, generations)
    for generation, number in starts[1:]:
        axes.axvline(number - 0.5, color=FAINT, linewidth=0.9, linestyle=(0, (4, 3)), zorder=1)
        axes.annotate(
            str(generation + 1), (number - 0.5, 0.02), xycoords=axes.get_xaxis_transform(), xytext=(3, 0),
            textcoords="offset points", fontsize=8.5, color=GREY,
        )  # fmt: skip
    handles = [Line2D([], [], color=BLUE, linewidth=2.2, label="hypervolume")]
    if len(starts) > 1:
        dashes = Line2D([], [], color=FAINT, linestyle=(0, (4, 3)), label="a generation begins (its number)")
        handles.append(dashes)
    if history:
        axes.set_ylim(0, 1.08 * max(*history, 1e-6))
        axes.annotate(
            f"{history[-1]:.4f}", (float(numbers[-1]), history[-1]), xytext=(0, 7), textcoords="offset points",
            ha="right", fontsize=10, fontweight="bold", color=BLUE,
        )  # fmt: skip
    axes.legend(handles=handles, fontsize=9, loc="center right", edgecolor="#DDDDDD")
    dress(timed, "minutes since the run began, preparations included", "")
    in_time = sorted(entries, key=lambda entry: minutes[entry.trial_id])
    timed.plot(
        [minutes[entry.trial_id] for entry in in_time], hypervolume_history(in_time, reference_point), color=BLUE,
        linewidth=2.2, drawstyle="steps-post", marker=marker, markersize=4,
    )  # fmt: skip
    timed.set_xlim(left=0)
    return figure


def theta_figure(theta: ThetaResult, operators: Sequence[str], *, trial_id: int, coefficients: Coefficients) -> Figure:
    """The course of one inner search: theta's probabilities at three steps, and the curves of what it minimises.

    Args:
        theta: the course of the search.
        operators: names of the candidates, in theta's order.
        trial_id: of the trial whose search it is.
        coefficients: of that trial.
    """
    c = coefficients
    subtitle = (
        rf"$\alpha$ = {short(c.alpha)}, $\beta$ = {short(c.beta)}, $\gamma$ = {short(c.gamma)}, "
        rf"$\delta$ = {short(c.delta)}; probability of each operator in each layer, most likely one framed"
    )
    steps = len(theta.records)
    layers = theta.probs_TLO.shape[1]
    height = 3.6 + max(2.4, 0.2 * layers + 1.0)
    figure = new_figure(13, height, f"How theta settled: the inner search of trial {trial_id}", subtitle)
    upper, lower = figure.subfigures(2, 1, squeeze=False, height_ratios=[height - 3.4, 2.5])[:, 0]
    columns = upper.subplots(1, 3, sharey=True, squeeze=False)[0]
    chosen = (0, (steps - 1) // 2, steps - 1)
    highest = float(max(theta.probs_TLO[step].max() for step in chosen))
    for axes, step in zip(columns, chosen, strict=True):
        image = axes.imshow(theta.probs_TLO[step], vmin=0, vmax=highest, cmap=COLOUR_MAP, aspect="auto")
        _frame_modes(axes, theta.probs_TLO[step])
        axes.set_title(f"after step {step + 1} of {steps}", fontsize=10.5, loc="left", color=INK)
        axes.set_xticks(range(len(operators)), operators, rotation=45, ha="right", rotation_mode="anchor", fontsize=8.5)
        spacing = 1 if layers <= 12 else 2
        axes.set_yticks(
            range(0, layers, spacing), [str(layer + 1) for layer in range(0, layers, spacing)], fontsize=8.5
        )
        axes.tick_params(length=0)
        for spine in axes.spines.values():
            spine.set_visible(False)
    columns[0].set_ylabel("layer", fontsize=10)
    bar = upper.colorbar(image, ax=list(columns), pad=0.01, aspect=22)
    bar.set_label("probability", fontsize=10)
    bar.ax.tick_params(labelsize=8.5)
    _draw_curves(lower.subplots(1, 3, squeeze=False)[0], theta)
    return figure


def _draw_curves(columns: Sequence[Axes] | npt.NDArray[np.object_], theta: ThetaResult) -> None:
    numbers = np.arange(1, len(theta.records) + 1)
    curves = (
        ("expected latency", "ms, modelled", VERMILION, [record.latency_ms for record in theta.records]),
        ("mean entropy of theta", "nats", GREEN, [record.entropy for record in theta.records]),
        ("cross-entropy", "nats", BLUE, [record.cross_entropy for record in theta.records]),
    )
    for axes, (name, unit, colour, values) in zip(columns, curves, strict=True):
        dress(axes, "theta step", f"{name} ({unit})")
        axes.yaxis.label.set_fontsize(9.5)
        axes.plot(numbers, values, color=colour, linewidth=1.9, marker="o" if len(values) == 1 else None)
        axes.set_ylim(0, 1.08 * max(*values, 1e-6))


def _frame_modes(axes: Axes, probs_LO: npt.NDArray[np.float32]) -> None:
    layers = np.arange(len(probs_LO))
    axes.scatter(probs_LO.argmax(-1), layers, marker="s", s=26, facecolors="none", edgecolors="white", linewidths=1.1)


def _coloured_bubbles(
    axes: Axes,
    bubbles: Sequence[Bubble],
    weights: Sequence[float],
    exponents: Sequence[float],
    costs: Sequence[float],
    origins: Sequence[str],
    label: str,
) -> None:
    scale = ScalarMappable(Normalize(min(costs, default=0), max(costs, default=1)), COLOUR_MAP)
    _bubbles(axes, bubbles, weights, exponents, list(scale.to_rgba(np.array(costs))), origins)
    axes.set_xscale("log")
    plain_log_ticks(axes.xaxis, weights)
    if axes.figure is not None:
        bar = axes.figure.colorbar(scale, ax=axes, location="top", pad=0.02, aspect=34)
        bar.set_label(label, fontsize=9.5)
        bar.ax.tick_params(labelsize=8.5)
        bar.outline.set_visible(False)


def _bubbles(
    axes: Axes,
    bubbles: Sequence[Bubble],
    x: Sequence[float],
    y: Sequence[float],
    colours: Sequence[object],
    origins: Sequence[str],
) -> None:
    areas = _areas([bubble.error for bubble in bubbles], bubbles)
    for origin in sorted(set(origins)):
        places = sorted((i for i, name in enumerate(origins) if name == origin), key=lambda i: -areas[i])
        axes.scatter(
            [x[place] for place in places],
            [y[place] for place in places],
            s=[areas[place] for place in places],
            color=[colours[place] for place in places],
            marker=marker_of(origin),
            edgecolors="white",
            linewidths=0.9,
            alpha=0.75,
        )
    axes.margins(0.09)


def _areas(errors: Sequence[float], bubbles: Sequence[Bubble]) -> list[float]:
    """Areas that fall linearly from the lowest error among the bubbles to the highest; all alike if these agree."""
    best, worst = min(bubble.error for bubble in bubbles), max(bubble.error for bubble in bubbles)
    if worst == best:
        return [(SMALLEST_AREA + LARGEST_AREA) / 2] * len(errors)
    return [SMALLEST_AREA + (LARGEST_AREA - SMALLEST_AREA) * (worst - error) / (worst - best) for error in errors]


def _size_handles(bubbles: Sequence[Bubble]) -> list[Line2D]:
    best, worst = min(bubble.error for bubble in bubbles), max(bubble.error for bubble in bubbles)
    errors = [best] if best == worst else [worst, (best + worst) / 2, best]
    return [
        legend_marker(f"accuracy {percent(1 - error)}", "o", FAINT, size=area**0.5)
        for error, area in zip(errors, _areas(errors, bubbles), strict=True)
    ]


def _marker_handles(bubbles: Sequence[Bubble]) -> list[Line2D]:
    origins = {str(source) for b in bubbles for source in (b.costs.latency_source, b.costs.energy_source)}
    origins |= {provenance(bubble.costs) for bubble in bubbles}
    return [legend_marker(origin, marker_of(origin), BLUE, size=8) for origin in sorted(origins)]


def _generation_starts(entries: Sequence[Entry], generations: Mapping[int, int]) -> list[tuple[int, int]]:
    """Each generation (from 0) with the number of its first architecture (from 1)."""
    starts: dict[int, int] = {}
    for number, entry in enumerate(entries, start=1):
        starts.setdefault(generations[entry.trial_id], number)
    return sorted(starts.items())
