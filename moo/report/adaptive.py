"""The section of the report on early exits: what they gain, each operating point, and the oracle beside it.

Start with `adaptive_section`.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np

from moo.analysis.adaptation import (
    ENERGY_LABELS,
    EQUAL_ACCURACY,
    AdaptiveGains,
    AdaptiveResults,
    NetworkGain,
    gains_text,
)
from moo.formatting import cost, energy_error_note, error_text, many, percent, percent_within, short, table
from moo.report.selected_adaptive import policy_text
from moo.storage.adaptive_front import AdaptivePoint
from moo.storage.archive import Archive
from moo.storage.pareto import epsilon_front
from search_space.boundary.text import code, command_line

NOTHING = "–"


def adaptive_section(results: AdaptiveResults | None, archive: Archive, *, run: str, front_size: int = 24) -> str:
    """What early exits gain, and the operating points with them; empty where the run has none.

    Args:
        results: of adapting the run's networks.
        archive: of the run.
        run: its folder, for commands.
        front_size: points that are shown at most.
    """
    if results is None:
        return ""
    found = results.gains(archive)
    parts = []
    if found is not None:
        parts = [_gains(found, results), _networks(found, results)]
    shown = _shown(results.front, front_size)
    parts += [_points(shown, len(results.front)), _notes(results, shown), _choose(run)]
    return "\n\n".join(part for part in parts if part)


def _gains(found: AdaptiveGains, results: AdaptiveResults) -> str:
    rows = [
        (name, f"{volume:.4f}", NOTHING if ratio is None else f"{ratio:.3f}")
        for name, volume, ratio in (
            (f"networks as they are, {code(found.base.label)}", found.static, 1.0 if found.static else None),
            (f"with exits, {code(found.base.label)}", found.exits, found.exits_ratio),
            ("networks as they are, all configurations", found.configurations, found.configurations_ratio),
            ("with exits, all configurations", found.both, found.both_ratio),
        )
    ]
    text = f"{gains_text(found)}\n\n{table(('points', 'hypervolume', 'times the first'), rows)}"
    if not results.is_whole:
        text += "\n\nOnly the points of the front are known: what exits gain in one configuration is a lower bound."
    return text


def _networks(found: AdaptiveGains, results: AdaptiveResults) -> str:
    """The most accurate third one by one."""
    if not found.networks:
        return ""
    head = ("network", "error as it is", "latency as it is", "error with exits", "expected", "change", "worst case")
    rows = [
        (
            code(gain.id),
            percent(gain.static_error),
            f"{short(gain.static_latency_ms)} ms",
            percent(gain.error) if gain.pays else NOTHING,
            f"{short(gain.latency_ms)} ms" if gain.pays else NOTHING,
            f"{100 * gain.latency_change:+.1f} %" if gain.pays else "none",
            f"{100 * gain.worst_latency_change:+.1f} %" if gain.pays else "none",
        )
        for gain in found.networks
    ]
    return (
        f"The most accurate third of the networks in {code(found.base.label)}, each beside its quickest policy that "
        f"loses at most {100 * EQUAL_ACCURACY:g} percentage points of accuracy:\n\n{table(head, rows)}"
        f"{_no_gain(found.networks, {point.id for point in results.points if point.jointly_trained})}"
    )


def _no_gain(networks: Sequence[NetworkGain], jointly_trained: Collection[str]) -> str:
    without = [gain for gain in networks if not gain.pays]
    if not without:
        return ""
    names = ", ".join(code(gain.id) for gain in without)
    if any(gain.id in jointly_trained for gain in without):
        return (
            f"\n\nExits do not pay for {names}: no policy that was found is as accurate as the same weights without "
            "exits, and quicker. Weights that were trained on together with exits may be better than those of "
            "`model.onnx`: that is a gain of training, which a longer training of the network has as well."
        )
    return (
        f"\n\nExits do not pay for {names}: no policy that was found is as accurate and quicker. Deploy "
        f"{'it' if len(without) == 1 else 'them'} as {'it is' if len(without) == 1 else 'they are'}."
    )


def _shown(front: Sequence[AdaptivePoint], most: int) -> list[AdaptivePoint]:
    places = epsilon_front(np.array([point.objectives for point in front], np.float64), most)
    return [front[place] for place in places]


def _points(shown: Sequence[AdaptivePoint], number: int) -> str:
    head = [
        "network", "configuration", "leaves at (share of images)", "error", "test error", "expected latency",
        "worst case", f"expected {ENERGY_LABELS[shown[0].energy_kind]}",
    ]  # fmt: skip
    streamed, oracle = any(point.streamed for point in shown), any(point.exits for point in shown)
    head += ["streamed mean"] * streamed + ["oracle (a bound): error, latency"] * oracle
    rows = []
    for point in shown:
        row = [
            code(point.id),
            code(point.configuration.label),
            policy_text(point),
            percent_within(point.error, point.error_low, point.error_high),
            NOTHING if point.test_error is None else percent(point.test_error),
            cost(point.latency_ms, "ms", point.latency_source),
            cost(point.worst_latency_ms, "ms", point.latency_source),
            cost(point.energy_mj, "mJ", point.energy_source)
            + (error_text([point.energy_error]) if point.energy_source == "modelled" else ""),
        ]
        if streamed:
            row.append(NOTHING if point.streamed is None else cost(point.streamed.mean_latency_ms, "ms", "measured"))
        if oracle:
            bound = f"{percent(point.oracle_error)}, {short(point.oracle_latency_ms)} ms"
            row.append(bound if point.exits else NOTHING)
        rows.append(row)
    points = many(number, "operating point", "operating points")
    which = f"{len(shown)} of {points} that stand for all" if len(shown) < number else f"All {points}"
    if number == 1:
        which = "The one operating point"
    return f"{which}, best accuracy first:\n\n{table(head, rows)}"


def _notes(results: AdaptiveResults, shown: Sequence[AdaptivePoint]) -> str:
    notes = []
    if not any(point.exits for point in results.front):
        notes.append("**No point with exits is on the front: for these networks exits do not pay.**")
    else:
        notes.append(
            "An image leaves at the first exit whose largest softmax is above its threshold; thresholds were chosen on "
            "the selection split, whose errors are a little too low for that. An expected cost is the mean over the "
            "images of that split; the worst case is the longest way that an image can take. The oracle stops at the "
            "first exit that is right: it knows the labels, so that it is a bound and cannot be deployed."
        )
    if any("modelled" in (point.latency_source, point.energy_source) for point in shown):
        notes.append("Modelled costs were measured on no board.")
    if note := energy_error_note(point.energy_error for point in shown if point.energy_source == "modelled"):
        notes.append(note)
    if any(point.jointly_trained for point in shown):
        joint = {point.id for point in shown if point.jointly_trained}
        notes.append(
            f"{many(len(joint), 'network was', 'networks were')} trained on together with "
            f"{'its' if len(joint) == 1 else 'their'} exits, so that {'its' if len(joint) == 1 else 'their'} last exit "
            "may differ from the network as it is."
        )
    return " ".join(notes)


def _choose(run: str) -> str:
    command = command_line(["python", "scripts/select_network.py", run, "--adaptive"])
    return f"To choose among them: {code(command, most=len(command))}."
