"""The report of a run as Markdown: what was asked, what came out, under which conditions, and how to do it again."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields
from pathlib import PurePosixPath
from typing import Any

from devices.measurement import Measurement
from moo.archive import Archive, Entry
from moo.config import EXECUTION_SETTINGS, SearchConfig
from moo.plots import CAPTIONS
from moo.quantities import percent, short
from moo.store import Store
from search_space.counts import count
from search_space.spaces import FBNetSpace


def report_markdown(
    archive: Archive,
    store: Store,
    config: SearchConfig,
    origin: Mapping[str, Any],
    space: FBNetSpace,
    plots: Sequence[str],
) -> str:
    """The text of report.md.

    Args:
        archive: all evaluated architectures.
        store: of the same run.
        config: settings of the run.
        origin: what the run was made from, as in config.json.
        space: that was searched.
        plots: paths of the pictures, relative to the report.
    """
    front = archive.front()
    sections = (
        _question(archive, config, origin, space),
        "## The front\n\n" + _front_table(archive, front, space),
        _pictures(plots),
        "## Board and conditions\n\n" + _conditions(archive),
        "## What it cost to find\n\n" + _effort(archive, store),
        "## Hypervolume\n\n" + _hypervolume(archive),
        "## What the splits are for\n\n" + _splits(origin),
        "## How to do it again\n\n" + _again(config, origin),
    )
    return "\n\n".join(section for section in sections if section) + "\n"


def command_of(config: SearchConfig) -> str:
    """The command line that gives these settings; what a run finds hangs on nothing else."""
    words = ["python", "scripts/pareto_search.py"]
    always = ("dataset", "space", "seed")
    for field in fields(SearchConfig):
        value = getattr(config, field.name)
        if field.name in EXECUTION_SETTINGS or (field.name not in always and value == field.default):
            continue
        option = field.name.replace("_", "-")
        if isinstance(value, bool) and isinstance(field.default, bool):
            words.append(f"--{option}" if value else f"--no-{option}")
        elif field.name == "device":
            words += [word for board in config.device for word in (f"--{option}", board)]
        else:
            words += [f"--{option}", *(str(part) for part in (value if isinstance(value, tuple) else (value,)))]
    return shlex.join(words)


def _question(archive: Archive, config: SearchConfig, origin: Mapping[str, Any], space: FBNetSpace) -> str:
    board = origin.get("board")
    where = (
        f"on {board['name']} ({board['model']})" if board else "by the figures of a cost table (nothing was measured)"
    )
    return (
        f"# Pareto front of {space.name} on {config.dataset}\n\n"
        f"Which networks of the search space `{space.name}` ({space.num_architectures:,} architectures) classify "
        f"`{config.dataset}` with the lowest error for their latency and energy {where}? "
        f"Of {len(archive)} evaluated architectures, {_many(len(archive.front()), 'is', 'are')} dominated by none."
    )


def _front_table(archive: Archive, front: Sequence[Entry], space: FBNetSpace) -> str:
    names = ("network", "error, selection", "error, test", "latency", "energy per image", "MACs", "parameters")
    rows = []
    for entry in front:
        costs, counts, c = archive.costs(entry), count(space.graph(entry.architecture.operators)), entry.coefficients
        rows.append(
            (
                f"`{entry.architecture.id}`",
                percent(entry.error),
                "–" if entry.test_error is None else percent(entry.test_error),
                f"{short(costs.latency_ms)} ms ({costs.latency_source})",
                f"{short(costs.energy_mj)} mJ ({costs.energy_source})",
                f"{counts.macs:,}",
                f"{counts.params:,}",
                *(short(value) for value in (c.alpha, c.beta, c.gamma, c.delta)),
            )
        )
    note = (
        "Best accuracy first. Errors are those of networks with weights inherited from the supernet, not retrained. "
        "A digit of a network's name is the index of a layer's operator: "
        + ", ".join(f"{index} `{name}`" for index, name in enumerate(space.vocabulary))
        + ". Greek letters are the loss coefficients whose inner search gave the network: weight and exponent of "
        "latency (α, β) and of energy (γ, δ)."
    )
    return _table((*names, "α", "β", "γ", "δ"), rows) + "\n\n" + note


def _pictures(plots: Sequence[str]) -> str:
    if not plots:
        return ""
    pictures = []
    for path in plots:
        caption = CAPTIONS.get(PurePosixPath(path).stem, PurePosixPath(path).stem)
        pictures.append(f"![{caption}]({path})\n\n*{caption}*")
    return "## Pictures\n\n" + "\n\n".join(pictures)


def _conditions(archive: Archive) -> str:
    measurements = [entry.measurement for entry in archive.entries if entry.measurement is not None]
    if not measurements:
        return (
            "Nothing was measured. All latencies and energies are modelled: sums of the entries of the cost table "
            "`cost_table.json`."
        )
    rows = [
        ("board", _distinct(m.board for m in measurements)),
        ("runtime", _distinct(m.runtime for m in measurements)),
        ("threads", _distinct(str(m.threads) for m in measurements)),
        ("clock", _distinct(_clock(m) for m in measurements)),
        ("dates (UTC)", _span([m.date for m in measurements])),
        ("networks measured", f"{len(measurements)} of {len(archive)} evaluated"),
        ("timed inferences a network", _span_of_runs(measurements)),
        ("spread too wide", f"{sum(not m.reliable for m in measurements)} of {len(measurements)} measurements"),
        ("source of latency", _distinct(m.latency_source for m in measurements)),
        ("source of energy", _distinct(m.energy_source for m in measurements)),
    ]
    return (
        _table(("", ""), rows)
        + "\n\nA latency is the 5th percentile of single inferences at batch size 1: what other programs add to a run "
        "is never negative, so a low quantile stays at the network's own cost. Energy is that of one inference, above "
        "idle; where no meter is at hand, it is modelled from the latency. Networks that were not measured have "
        "predictions of the cost table, multiplied by the median ratio of measured to predicted; they are "
        "labelled `modelled`."
    )


def _effort(archive: Archive, store: Store) -> str:
    tuples = store.tuples()
    failed = {number: stored for number, stored in tuples.items() if stored.objectives is None}
    happened = [(kind, content) for _, kind, content in store.events()]
    not_measured = [content for kind, content in happened if kind == "measuring failed"]
    whole = [float(str(content["seconds"])) for kind, content in happened if kind == "finished"]
    rows = [
        ("tuples of coefficients", f"{len(tuples)}, of which {len(failed)} failed"),
        ("architectures evaluated", f"{len(archive)}"),
        ("networks measured", f"{sum(entry.measurement is not None for entry in archive.entries)}"),
        ("inner searches and evaluations", f"{sum(stored.seconds for stored in tuples.values()):.0f} s in all workers"),
    ]
    if whole:
        rows.append(("from start, or last resumption, to end", f"{whole[-1]:.0f} s"))
    lines = [f"- tuple {number} failed: `{_last_line(stored.traceback)}`" for number, stored in failed.items()]
    lines += [f"- `{item.get('architecture')}` was not measured: {item.get('reason')}" for item in not_measured]
    return "\n\n".join(part for part in (_table(("", ""), rows), "\n".join(lines)) if part)


def _hypervolume(archive: Archive) -> str:
    error, latency_ms, energy_mj = archive.reference_point
    return (
        f"The front dominates {archive.hypervolume():.4f} of the box from zero to the reference point: error "
        f"{percent(error)}, latency {short(latency_ms)} ms, energy {short(energy_mj)} mJ. Costs are measured ones "
        "where there are any, else modelled. The reference point is the error of guessing, and the costs that the "
        "table predicts for the slowest and the most costly architecture."
    )


def _splits(origin: Mapping[str, Any]) -> str:
    images = origin["dataset"]["images"]
    uses = {
        "weights": "train the supernet, and recalibrate BatchNorm before each evaluation",
        "theta": "search theta for each tuple of coefficients",
        "selection": "compare architectures: all errors above that are not test errors",
        "test": "read once, for the networks of the final front",
    }
    rows = [(name, f"{images[name]:,}", use) for name, use in uses.items()]
    return "No image is in two splits.\n\n" + _table(("split", "images", "use"), rows)


def _again(config: SearchConfig, origin: Mapping[str, Any]) -> str:
    packages = ", ".join(f"{name} {version}" for name, version in origin.get("packages", {}).items())
    machine = ", ".join(f"{name} {value}" for name, value in origin.get("machine", {}).items())
    versions = f"It was run with {packages or 'unknown packages'} on {machine or 'an unknown machine'}."
    return (
        f"```bash\n{command_of(config)}\n```\n\n{versions} What is searched hangs on the seed, the images and the cost "
        "table; a board that is profiled again gives a slightly different table. To start from this run's table, add "
        "`--cost-table` with the path of its `cost_table.json`."
    )


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


def _clock(measurement: Measurement) -> str:
    return "not told by the board" if measurement.after.clock_mhz is None else f"{measurement.after.clock_mhz:.0f} MHz"


def _distinct(values: Iterable[str]) -> str:
    return ", ".join(sorted(set(values)))


def _span(values: Sequence[str]) -> str:
    first, last = min(values), max(values)
    return first if first == last else f"{first} to {last}"


def _span_of_runs(measurements: Sequence[Measurement]) -> str:
    runs = [m.runs for m in measurements]
    return f"{min(runs):,}" if min(runs) == max(runs) else f"{min(runs):,} to {max(runs):,}"


def _many(number: int, one: str, more: str) -> str:
    return f"{number} {one if number == 1 else more}"


def _last_line(text: str | None) -> str:
    lines = (text or "").strip().splitlines()
    return lines[-1].replace("`", "'") if lines else "no traceback"
