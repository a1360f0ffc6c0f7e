"""How `select_network.py --adaptive` tells of the points that are chosen. Start with `adaptive_texts`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from evaluation.errors import GUESSES
from moo.analysis.adaptive_selection import AdaptiveCandidate
from moo.formatting import error_text, percent, percent_within, short
from moo.report.selected import ENERGIES, PointTexts, file_text
from moo.storage.adaptive_front import FOLDER, AdaptivePoint
from moo.storage.run_folder import RunFolder, file_name_for
from search_space.boundary.text import command_line

_RUNNER = "run.py"
"""In the folder of a network's segments."""


def adaptive_texts(run: RunFolder, *, worst_case: bool) -> PointTexts[AdaptiveCandidate]:
    """What is said of points of front_adaptive.json.

    Args:
        run: whose files are named.
        worst_case: whether they are chosen by the latency of the worst case.
    """
    return PointTexts(
        rows=(
            "network", "configuration", "exits", "accuracy", "on the", "expected latency", "worst case", "energy",
        ),
        cells=_cells,
        text=lambda candidate: _text(candidate, run),
        facts=lambda candidate: _facts(candidate, run),
        place=lambda candidate: _place(candidate.point, run) if not candidate.point.exits else _command(candidate, run),
        guess=lambda _: GUESSES["plain"],
        latency="worst-case latency" if worst_case else "expected latency",
        latency_key="worst_latency_ms" if worst_case else "latency_ms",
    )  # fmt: skip


def policy_text(point: AdaptivePoint) -> str:
    """Which share of images leaves where: `layer 3 conv above 0.91 (62.0 %), end (38.0 %)`; `none` without exits."""
    if not point.exits:
        return "none"
    parts = [
        f"{exit_.label} above {threshold:.4g} ({percent(share)})"
        for exit_, threshold, share in zip(point.exits, point.thresholds, point.exit_shares, strict=False)
    ]
    return ", ".join([*parts, f"end ({percent(point.exit_shares[-1])})"])


def _cells(candidate: AdaptiveCandidate) -> tuple[str, ...]:
    point = candidate.point
    accuracy, split = _accuracy(point), "selection split"
    if point.test_error is not None:
        accuracy, split = percent(1 - point.test_error), "test split"
    return (
        point.id,
        point.configuration.label,
        _exits(point),
        accuracy + " !" * (candidate.beats_guessing is False),
        split,
        f"{short(point.latency_ms)} ms {point.latency_source}",
        f"{short(point.worst_latency_ms)} ms {point.latency_source}",
        f"{short(point.energy_mj)} mJ {point.energy_source}",
    )


def _exits(point: AdaptivePoint) -> str:
    if not point.exits:
        return "none"
    return f"{len(point.exits)}, taken by {percent(1 - point.exit_shares[-1])}"


def _accuracy(point: AdaptivePoint) -> str:
    ends = (None if end is None else 1 - end for end in (point.error_high, point.error_low))
    return percent_within(1 - point.error, *ends)


def _text(candidate: AdaptiveCandidate, run: RunFolder) -> str:
    point = candidate.point
    off = error_text([point.energy_error]) if point.energy_source == "modelled" else ""
    error = percent_within(point.error, point.error_low, point.error_high)
    lines = [
        f"network        {point.id}",
        f"configuration  {point.configuration.label}",
        f"exits          {policy_text(point)}",
        f"error          {error} (selection split, {point.configuration.precision})",
    ]
    if point.test_error is not None:
        lines.append(f"               {percent(point.test_error)} on the test split")
    if candidate.beats_guessing is False:
        lines.append(f"               not better than {GUESSES['plain']}")
    if point.exits:
        lines.append(f"               {percent(point.static_error)} where no image leaves early")
    worst = f", {short(point.worst_latency_ms)} ms in the worst case" if point.exits else ""
    lines.append(f"latency        {short(point.latency_ms)} ms{' expected' if point.exits else ''}{worst}, "
                 f"{point.latency_source}")  # fmt: skip
    lines.append(
        f"energy         {short(point.energy_mj)} mJ{' expected' if point.exits else ''}, {point.energy_source}{off}, "
        f"{ENERGIES[point.energy_kind]}"
    )
    if point.streamed is not None:
        streamed = point.streamed
        lines.append(
            f"streamed       {short(streamed.mean_latency_ms)} ms measured, the mean of {streamed.images} images"
        )
    lines.append(f"{'folder' if point.exits else 'file':<13}  {_place(point, run)}")
    if point.exits:
        lines.append(f"run it         {_command(candidate, run)}")
    return "\n".join(lines)


def _facts(candidate: AdaptiveCandidate, run: RunFolder) -> dict[str, Any]:
    """All that front_adaptive.json has of the point, and where its files are."""
    point, folder = candidate.point, _folder(candidate.point, run)
    file = run.networks / point.id / file_name_for(point.configuration)
    return point.to_json() | {
        "id": point.id,
        "number": candidate.number if point.exits else None,
        "beats_guessing": candidate.beats_guessing,
        "folder": str(folder) if point.exits and folder.is_dir() else None,
        "file": str(file) if not point.exits and file.is_file() else None,
        "command": _command(candidate, run) if point.exits else None,
    }


def _folder(point: AdaptivePoint, run: RunFolder) -> Path:
    return run.networks / point.id / FOLDER


def _place(point: AdaptivePoint, run: RunFolder) -> str:
    if not point.exits:
        return file_text(run.networks / point.id / file_name_for(point.configuration))
    folder = _folder(point, run)
    return f"{folder}{'' if folder.is_dir() else ' (not there: `adapt_front.py` writes it)'}"


def _command(candidate: AdaptiveCandidate, run: RunFolder) -> str:
    script = _folder(candidate.point, run) / _RUNNER
    return command_line(["python", str(script), "photo.jpg", "--point", str(candidate.number)])
