"""Pictures of how a front was found: the hypervolume, and one inner search."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from dnas.inner_search import ThetaResult
from dnas.losses import Coefficients
from moo.formatting import percent, short
from moo.storage.archive import Entry
from moo.storage.pareto import growing_hypervolume
from moo.trials import Objectives
from moo.visualization.style import (
    BLUE,
    COLOUR_MAP,
    FAINT,
    GREEN,
    GREY,
    INK,
    VERMILION,
    dress,
    new_figure,
)

MOST_GENERATIONS = 20
"""Beginnings that are marked; of more each second, fifth, tenth and so on."""
_STEPS = tuple(digit * 10**power for power in range(9) for digit in (1, 2, 5))


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
    numbers = range(1, len(history) + 1)
    marker = "o" if len(history) <= 40 else None
    _draw_steps(axes, numbers, history, marker)
    starts = _generation_starts(entries, generations)
    each = next(step for step in _STEPS if (len(starts) - 1) / step <= MOST_GENERATIONS)
    for generation, number in starts[1:]:
        if (generation + 1) % each:
            continue
        axes.axvline(number - 0.5, color=FAINT, linewidth=0.9, linestyle=(0, (4, 3)), zorder=1)
        axes.annotate(
            str(generation + 1), (number - 0.5, 0.02), xycoords=axes.get_xaxis_transform(), xytext=(3, 0),
            textcoords="offset points", fontsize=8.5, color=GREY,
        )  # fmt: skip
    handles = [Line2D([], [], color=BLUE, linewidth=2.2, label="hypervolume")]
    if len(starts) > 1:
        which = "its number" if each == 1 else f"its number; 1 of {each} is marked"
        handles.append(Line2D([], [], color=FAINT, linestyle=(0, (4, 3)), label=f"a generation begins ({which})"))
    if history:
        axes.set_ylim(0, 1.08 * max(*history, 1e-6))
        axes.annotate(
            f"{history[-1]:.4f}", (float(numbers[-1]), history[-1]), xytext=(0, 7), textcoords="offset points",
            ha="right", fontsize=10, fontweight="bold", color=BLUE,
        )  # fmt: skip
    axes.legend(handles=handles, fontsize=9, loc="center right", edgecolor="#DDDDDD")
    dress(timed, "minutes since the run began, preparations included", "")
    in_time = sorted(entries, key=lambda entry: minutes[entry.trial_id])
    _draw_steps(
        timed, [minutes[entry.trial_id] for entry in in_time], hypervolume_history(in_time, reference_point), marker
    )
    timed.set_xlim(left=0)
    return figure


def hypervolume_history(entries: Iterable[Entry], reference_point: Objectives) -> list[float]:
    """Hypervolume after each evaluated architecture, in the order given.

    Each counts with the predictions of the cost table of its trial's configuration.
    """
    points = (np.array([entry.predicted_objectives]) for entry in entries)
    return growing_hypervolume(points, np.array(reference_point))


def _draw_steps(axes: Axes, x: Sequence[float], history: Sequence[float], marker: str | None) -> None:
    """A curve of steps; of a long one, whose points are not marked, the places where it rises, and both ends."""
    places = [
        place
        for place, value in enumerate(history)
        if marker or place in (0, len(history) - 1) or value != history[place - 1]
    ]
    axes.plot(
        [x[place] for place in places], [history[place] for place in places], color=BLUE, linewidth=2.2,
        drawstyle="steps-post", marker=marker, markersize=4,
    )  # fmt: skip


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


def _generation_starts(entries: Sequence[Entry], generations: Mapping[int, int]) -> list[tuple[int, int]]:
    """Each generation (from 0) with the number of its first architecture (from 1)."""
    starts: dict[int, int] = {}
    for number, entry in enumerate(entries, start=1):
        starts.setdefault(generations[entry.trial_id], number)
    return sorted(starts.items())
