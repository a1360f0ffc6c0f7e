"""The answer, with which the report begins: what the best network is worth, and three networks to choose from."""

from __future__ import annotations

from collections.abc import Callable

from evaluation.errors import ACCURACY_NAMES, GUESSES
from moo.analysis.choices import three_of
from moo.analysis.errors import INTERVALS, chosen_by_note, error_kind, told_error
from moo.analysis.representatives import distinct_front, verdict_of
from moo.formatting import cost, energy_error_note, error_text, many, table
from moo.storage.archive import Archive, OperatingPoint
from moo.storage.run_folder import RunFolder, file_name_for
from search_space.boundary.text import code, command_line
from search_space.counts import count
from search_space.spaces import FBNetSpace

MOST_ACCURATE_NOTE = (
    "The most accurate is that of the least error on the selection split; the test split, where another errs less "
    "here, chooses nothing."
)


def verdict(archive: Archive) -> str:
    """That the best network is no better than guessing, and what to try, or that none keeps the limits; else empty."""
    said = [verdict_of(archive)]
    if not archive.keeps_limits:
        said.append("No network keeps the limits that were given; the nearest is shown.")
    return "\n\n".join(f"**{text}**" for text in said if text)


def choices_section(archive: Archive, space: FBNetSpace, *, folder: RunFolder | None = None) -> str:
    """The most accurate network, the knee, and the fastest above chance, side by side; empty if the front is.

    Args:
        archive: of a run.
        space: that was searched.
        folder: of the run, whose files are named and measured; None where they are not looked at.
    """
    front = distinct_front(archive)
    if not front:
        return ""
    told = [told_error(point, archive.data) for point in front]
    choices = three_of([point.objectives for point in front], [error.beats_guessing for error in told])
    points = [front[choice.place] for choice in choices]
    rows = [(name, *(cell(point) for point in points)) for name, cell in _rows(archive, space, folder)]
    notes = [INTERVALS[error_kind(archive.data)]]
    notes.append(chosen_by_note(error.split for error in told))
    if min(told, key=lambda error: error.error) is not told[0]:
        notes.append(MOST_ACCURATE_NOTE)
    if note := energy_error_note(point.costs.energy_error for point in points):
        notes.append(note)
    if len(choices) < 3:
        number = many(len(choices), "network is", "networks are")
        notes.insert(0, f"Only {number} left to choose from: the others coincide or cannot be told apart.")
    head = ("", *(choice.name for choice in choices))
    return f"{table(head, rows)}\n\n{' '.join(notes)}"


def next_step(archive: Archive, run: str) -> str:
    """How the networks are trained for deployment, where they are not and are worth it; else empty.

    Args:
        archive: of a run.
        run: its folder.
    """
    if archive.is_retrained or not archive.front() or verdict_of(archive):
        return ""
    command = command_line(["python", "scripts/train_front.py", run])
    return f"Training them for deployment raises their accuracy: {code(command, most=len(command))}."


def _rows(
    archive: Archive, space: FBNetSpace, folder: RunFolder | None
) -> list[tuple[str, Callable[[OperatingPoint], str]]]:
    rows: list[tuple[str, Callable[[OperatingPoint], str]]] = [("network", lambda point: f"`{point.id}`")]
    if len(archive.configurations) > 1:
        rows.append(("runs with", lambda point: point.configuration.label))
    rows += [
        (ACCURACY_NAMES[error_kind(archive.data)], lambda point: _accuracy(archive, point)),
        ("weights", lambda point: "trained" if point.trained else "inherited, not trained yet"),
        ("latency", lambda point: cost(point.costs.latency_ms, "ms", point.costs.latency_source)),
        (archive.energy.label, _energy),
        ("parameters", lambda point: f"{count(space.graph(point.entry.architecture.operators)).params:,}"),
    ]
    if folder is not None:
        rows += [
            ("file", lambda point: _file(folder, point)),
            ("how to run it", lambda point: _card(folder, point)),
        ]
    return rows


def _accuracy(archive: Archive, point: OperatingPoint) -> str:
    told = told_error(point, archive.data)
    images = "" if told.images is None else f"{told.images:,} "
    mark = f", not better than {GUESSES[told.kind]}" if told.beats_guessing is False else ""
    return f"{told.accuracy_text} on {images}{told.split} images{mark}"


def _energy(point: OperatingPoint) -> str:
    costs = point.costs
    off = error_text([costs.energy_error]) if costs.energy_source == "modelled" else ""
    return f"{cost(costs.energy_mj, 'mJ', costs.energy_source)}{off}"


def _file(folder: RunFolder, point: OperatingPoint) -> str:
    name = file_name_for(point.configuration)
    path = folder.networks / point.id / name
    if not path.is_file():
        return "not written yet"
    return f"[{name}]({_relative(folder, point)}/{name}), {path.stat().st_size / 1000:,.0f} kB"


def _card(folder: RunFolder, point: OperatingPoint) -> str:
    is_there = (folder.networks / point.id / "card.md").is_file()
    return f"[card.md]({_relative(folder, point)}/card.md)" if is_there else "not written yet"


def _relative(folder: RunFolder, point: OperatingPoint) -> str:
    return (folder.networks / point.id).relative_to(folder.path).as_posix()
