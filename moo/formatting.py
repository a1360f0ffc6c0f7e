"""Numbers as people read them, with units and where they come from; tables and lists in Markdown."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from devices.measurement import SOURCES, Source, largest_error
from search_space.boundary.text import markdown


def short(value: float) -> str:
    """A number with three significant digits and, from 0.0001 to a million, no exponent."""
    if value == 0:
        return "0"
    if not 1e-4 <= abs(value) < 1e6:
        return f"{value:.2e}"
    decimals = max(0, 2 - math.floor(math.log10(abs(value))))
    return f"{value:.{decimals}f}"


def percent(share: float) -> str:
    """A share in [0, 1] as a percentage with a decimal, or three significant digits where it is tiny: `12.3 %`."""
    return f"{_hundredths(share)} %"


def percent_within(share: float, low: float | None = None, high: float | None = None) -> str:
    """The same with the interval that it lies in, where there is one: `12.3 % (9.1–16.4)`."""
    if low is None or high is None:
        return percent(share)
    return f"{percent(share)} ({_hundredths(low)}–{_hundredths(high)})"


def _hundredths(share: float) -> str:
    return short(100 * share) if 0 < share < 1e-3 else f"{100 * share:.1f}"


def duration(seconds: float) -> str:
    """A time as people say it: `45 s`, `2 min 10 s`, `3 h 05 min`."""
    whole = max(0, round(seconds))
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def size_text(size_bytes: int) -> str:
    """A size as people say it: `512 B`, `12.3 kB`, `1.20 MB`."""
    if size_bytes < 1e3:
        return f"{size_bytes} B"
    return f"{short(size_bytes / 1e3)} kB" if size_bytes < 1e6 else f"{short(size_bytes / 1e6)} MB"


def cost(value: float, unit: str, source: Source) -> str:
    """A latency or an energy with where it comes from: `3.20 ms (measured)`."""
    return f"{short(value)} {unit} ({source})"


def sources_text(sources: Iterable[Source]) -> str:
    """The sources that occur, each once: `measured and modelled`."""
    present = set(sources)
    return " and ".join(source for source in SOURCES if source in present)


def cost_label(quantity: str, unit: str, sources: Iterable[Source], errors: Iterable[float | None] = ()) -> str:
    """Label of an axis or a column: `latency (ms, measured)`, `energy above idle (mJ, modelled ± 25 %)`.

    Args:
        quantity: what is shown.
        unit: of it.
        sources: of what is shown.
        errors: how far modelled ones may be off, as fractions.
    """
    text = sources_text(sources)
    if "modelled" in text:
        text += error_text(errors)
    return f"{quantity} ({', '.join(part for part in (unit, text) if part)})"


def error_text(errors: Iterable[float | None]) -> str:
    """How far modelled costs may be off, after a blank: ` ± 25 %`; nothing where that is not known."""
    error = largest_error(errors)
    return "" if error is None else f" ± {100 * error:.0f} %"


def energy_error_note(errors: Iterable[float | None]) -> str:
    """The same as a sentence; empty where no energy is modelled, or it is not known."""
    error = largest_error(errors)
    if error is None:
        return ""
    if error >= 1:
        return "Modelled energies are those of nominal figures: their order of magnitude, no more."
    return f"Modelled energies are those of a power model, right within about {100 * error:.0f} %."


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table with a line for the head and for each row.

    Args:
        head: of the columns, in Markdown.
        rows: cells in Markdown: texts of others as `search_space.boundary.text` makes them.
    """
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


def distinct(values: Iterable[str]) -> str:
    """Each text once, in alphabetical order, as Markdown."""
    return ", ".join(markdown(value) for value in sorted(set(values)))


def span(values: Iterable[float], form: str = ",") -> str:
    """The least and the greatest number, or the only one: `3 to 12`.

    Args:
        values: at least one.
        form: format of a number.
    """
    known = sorted(values)
    low, high = (format(value, form) for value in (known[0], known[-1]))
    return low if low == high else f"{low} to {high}"


def many(number: int, one: str, more: str) -> str:
    """A number with the word that agrees with it."""
    return f"{number} {one if number == 1 else more}"
