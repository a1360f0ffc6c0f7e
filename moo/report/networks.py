"""Sections of the report on networks: the front, its trained files, baselines beside it, trust in the supernet."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from devices.measurement import Measurement
from dnas.losses import Coefficients
from evaluation.errors import ERROR_NAMES, GUESSES
from moo.analysis.comparison import ModelRow, compared, models
from moo.analysis.errors import INTERVALS, chosen_by_note, error_kind, on_selection_split, on_test_split, told_error
from moo.analysis.networks import grouped, shown_points, unused_configurations
from moo.analysis.rank_correlation import trust_in_supernet
from moo.analysis.recipes import many_epochs, mixture
from moo.analysis.representatives import representatives
from moo.formatting import cost, distinct, energy_error_note, many, short, span, table
from moo.storage.archive import Archive, Costs, Entry, OperatingPoint, networks_of
from moo.storage.origin import SearchDataset
from moo.storage.trained_network import TrainedNetwork
from moo.visualization.training import points_lost
from search_space.boundary.text import code
from search_space.counts import count
from search_space.spaces import FBNetSpace

WANTED_PAIRS = 12
"""With fewer trained networks the interval of Kendall's tau is too wide to say much."""
NOTHING = "–"


def models_table(archive: Archive, baselines: Sequence[TrainedNetwork], *, front_size: int = 24) -> str:
    """Accuracy, latency and energy of the front and of baselines; empty if the front is.

    Args:
        archive: of a run.
        baselines: trained networks, measured or not.
        front_size: operating points that are shown at most, those of one network together.
    """
    rows = models(archive, baselines, front_size=front_size)
    if all(row.baseline for row in rows):
        return ""
    several = len(archive.configurations) > 1
    cells = [(_model(row, several=several), _top1(row, archive.data), *_cost_cells(row.costs)) for row in rows]
    note = f"{_top1_name(archive).capitalize()} accuracy is that on the test split."
    if any(row.trained for row in rows):
        note += " Of trained networks it is that of the very file in the precision of its row."
    if not all(row.trained for row in rows):
        note += " Networks with inherited weights are not trained yet: training usually raises their accuracy."
    note += " Behind each cost stands where it comes from; a modelled one was measured on no board."
    if error := energy_error_note(row.costs.energy_error for row in rows if row.costs is not None):
        note += f" {error}"
    return (
        table(("model", f"{_top1_name(archive)} accuracy", "latency", f"{archive.energy.label}, per image"), cells)
        + f"\n\n{note}"
    )


def _model(row: ModelRow, *, several: bool) -> str:
    configuration = f", {row.configuration.label}" if several else ""
    return f"{code(row.name)}{' (baseline)' * row.baseline}{configuration}"


def _top1_name(archive: Archive) -> str:
    return "balanced top-1" if error_kind(archive.data) == "balanced" else "top-1"


def _top1(row: ModelRow, data: SearchDataset | None) -> str:
    if row.top1 is None:
        return NOTHING
    return _accuracy(row.top1, data) + ", inherited weights" * (not row.trained)


def _accuracy(share: float, data: SearchDataset | None) -> str:
    """An accuracy on the test split with its interval."""
    return on_test_split(1 - share, data).accuracy_text


def front_table(archive: Archive, space: FBNetSpace, *, front_size: int = 24) -> str:
    """The front, best accuracy first, with sources of costs, exact counts, and a note on what the columns are.

    Args:
        archive: of a run.
        space: that was searched.
        front_size: operating points that are shown at most, those of one network together.
    """
    found = representatives(archive.front(), archive.data)
    front = [one.point for one in found]
    stands_for = {(one.point.id, one.point.configuration): len(one.others) for one in found}
    shown = grouped(shown_points(front, front_size))
    any_trained = any(point.entry.trained is not None for point in shown)
    error = ERROR_NAMES[error_kind(archive.data)]
    if any_trained:
        errors: tuple[str, ...] = (
            f"{error}, inherited", f"{error}, trained", f"{_top1_name(archive)}, test", *_top3_head(archive),
        )  # fmt: skip
    else:
        errors = (f"{error}, selection", f"{error}, test")
    several = len(archive.configurations) > 1
    rows = []
    for point in shown:
        entry, costs = point.entry, point.costs
        counts = count(space.graph(entry.architecture.operators))
        rows.append(
            (
                f"`{point.id}`",
                *([point.configuration.label] if several else []),
                *(_trained_cells(archive, point) if any_trained else _inherited_cells(archive, point)),
                *([_others(stands_for[point.id, point.configuration])] if any(stands_for.values()) else []),
                *_cost_cells(costs),
                *_other_energy(archive, costs),
                f"{counts.macs:,}",
                f"{counts.params:,}",
            )
        )
    head = (
        "network",
        *(["configuration"] if several else []),
        *errors,
        *(["stands for"] if any(stands_for.values()) else []),
        "latency",
        f"{archive.energy.label}, per image",
        _other_energy_head(archive),
        "MACs",
        "parameters",
    )
    left_out = ""
    if len(front) > len(shown):
        left_out = f" Of {len(front)} operating points these {len(shown)} stand for the front; `front.json` has all."
    note = (
        f"Best accuracy first, the points of one network together.{left_out} {_weights_note(archive)} A digit of a "
        "network's name is the index of a layer's operator: "
        + ", ".join(f"{index} `{name}`" for index, name in enumerate(space.vocabulary))
        + "."
    )
    note += f" {_chance_note(archive, shown, sum(stands_for.values()))}{_energy_note(shown)}"
    if several:
        note += (
            " A configuration is runtime (`ort` is ONNX Runtime), threads, clock where one is set, and precision; "
            "errors in int8 are those of the quantised network."
        )
    if archive.keeps_limits and (unused := unused_configurations(archive)):
        note += (
            f" No point of the front runs with {', '.join(unused)}: some point is at least as accurate, quick and "
            "economical as whatever these give."
        )
    if any(entry.coefficients is not None for entry in networks_of(shown)):
        note += f"\n\n{_coefficients_table(networks_of(shown))}"
    return table(head, rows) + "\n\n" + note


def _energy_note(points: Sequence[OperatingPoint]) -> str:
    """How far modelled energies may be off, after a blank."""
    note = energy_error_note(point.costs.energy_error for point in points)
    return f" {note}" if note else ""


def _coefficients_table(entries: Sequence[Entry]) -> str:
    found = [(entry, entry.coefficients) for entry in entries if entry.coefficients is not None]
    head = ("network", "searched for", "α", "β", "γ", "δ")
    rows = (
        (
            f"`{entry.architecture.id}`",
            NOTHING if entry.configuration is None else entry.configuration.label,
            *_coefficients(coefficients, 4),
        )
        for entry, coefficients in found
    )
    return (
        "Loss coefficients whose inner search gave each network: weight and exponent of latency (α, β) and of energy "
        "(γ, δ).\n\n" + table(head, rows)
    )


def _other_energy_head(archive: Archive) -> str:
    return "energy with idle power" if archive.energy.kind == "net" else "energy above idle"


def _other_energy(archive: Archive, costs: Costs) -> tuple[str]:
    """The kind of energy that was not minimised: with idle power, or above it."""
    other = costs.gross_mj if archive.energy.kind == "net" else costs.net_mj
    return (NOTHING if other is None else f"{short(other)} mJ ({costs.energy_source})",)


def _coefficients(coefficients: Coefficients | None, columns: int) -> tuple[str, ...]:
    if coefficients is None:
        return (NOTHING,) * columns
    return tuple(short(value) for value in dataclasses.astuple(coefficients))


def files_table(networks: Sequence[TrainedNetwork], data: SearchDataset | None = None) -> str:
    """The files of trained networks in both precisions; empty if there are none.

    Args:
        networks: of the search, then baselines.
        data: the images of the run.
    """
    rows = []
    for network in (network for network in networks if network.files):
        floats, integers = network.file("fp32"), network.file("int8")
        lost = points_lost(network)
        rows.append(
            (
                code(network.name),
                *(NOTHING if file is None else short(file.logits_difference) for file in (floats, integers)),
                *(NOTHING if file is None else _accuracy(file.top1, data) for file in (floats, integers)),
                NOTHING if lost is None else f"{lost:.1f}",
                *_cost_cells(None if floats is None else floats.measurement),
                *_cost_cells(None if integers is None else integers.measurement),
            )
        )
    if not rows:
        return ""
    head = (
        "network", "logits, fp32", "logits, int8", "top-1, fp32", "top-1, int8", "points lost", "latency, fp32",
        "energy, fp32", "latency, int8", "energy, int8",
    )  # fmt: skip
    return table(head, rows) + (
        "\n\nEach network was written as an ONNX file in fp32 and one in int8. Logits: the largest difference from "
        "PyTorch's over the images compared. Top-1 is the accuracy of the very file on the test split; points lost "
        "are percentage points of it that int8 lacks (below 0: it has more). Energies are those above idle."
        f"{_measured_on(networks)}"
    )


def baselines_section(archive: Archive, baselines: Sequence[TrainedNetwork]) -> str:
    """Baselines, and the front's best network within each one's latency; empty if there are no baselines."""
    if not baselines:
        return ""
    head = [
        "baseline",
        "MACs",
        "parameters",
        f"{ERROR_NAMES[error_kind(archive.data)]}, selection",
        f"{_top1_name(archive)}, test",
        *_top3_head(archive),
    ]
    precision = archive.base.precision
    head += [f"latency, {precision}", f"{archive.energy.label}, {precision}"]
    comparisons = compared(archive, baselines)
    rows = [
        [
            code(c.baseline.name),
            f"{c.baseline.macs:,}",
            f"{c.baseline.params:,}",
            _selection(archive, c.file.error),
            _accuracy(c.file.top1, archive.data),
            *_top3_cells(archive, c.baseline),
            *_cost_cells(c.costs),
        ]
        for c in comparisons
    ]
    if not archive.is_retrained:
        return table(head, rows) + (
            f"\n\n{_epochs(baselines)} {_files_note(archive)} They are not compared with the front before all of "
            "its networks are trained too: errors after training and with inherited weights say different things."
        )
    head += ["the front's best, as fast", "top-1 gained"]
    differences = []
    for c, row in zip(comparisons, rows, strict=True):
        if c.costs is None:
            row += [NOTHING, NOTHING]
        elif c.rival is None or c.gain is None:
            row += ["none is as fast", NOTHING]
        else:
            latency, energy = _cost_cells(c.rival.costs)
            differences.append(c.gain)
            row += [f"`{c.rival.id}`, {latency}, {energy}", f"{c.gain:+.1f} points"]
    front = [entry.trained for entry in networks_of(archive.front()) if entry.trained is not None]
    better, worse = (sum(sign * difference > 0 for difference in differences) for sign in (1, -1))
    verdict = (
        f"Within the latency of {many(len(differences), 'baseline', 'baselines')} the front has a network; it is more "
        f"accurate than {better} and less accurate than {worse} of them. "
        if differences
        else ""
    )
    return table(head, rows) + (
        f"\n\n{verdict}The front's network is the best that takes no more time, chosen by its error on the "
        f"selection split and compared on the test split. {_files_note(archive)} {_epochs(baselines)} "
        f"Of the front: {_epochs(front)} Accuracies compare like with like only where epochs and settings agree."
    )


def trust_section(archive: Archive) -> str:
    """How well errors with inherited weights foretold those after training; empty where it cannot be told."""
    correlation = trust_in_supernet(archive)
    if correlation is None:
        return ""
    text = (
        "Networks were chosen by their errors with inherited weights. Kendall's tau between these errors and those "
        f"after training (both by PyTorch, in fp32) is {correlation.tau:.2f} (95 % interval {correlation.low:.2f} to "
        f"{correlation.high:.2f}) over {correlation.count} trained networks: 1 is the same order, 0 none. These are "
        "mostly networks of the front, which differ less than all of the space do."
    )
    trained = [entry.trained for entry in archive.entries if entry.trained is not None]
    if correlation.count < len(trained):
        text += f" {mixture(trained)} Tau is that of the {correlation.count} trained alike, of {len(trained)} in all."
    if correlation.count < WANTED_PAIRS:
        text += f" At least {WANTED_PAIRS} networks are wanted for an interval that says much."
    return text


def _others(number: int) -> str:
    return many(number, "other", "others") if number else ""


def _chance_note(archive: Archive, shown: Sequence[OperatingPoint], merged: int) -> str:
    """What chance does to the errors, which points are merged, and which are no better than guessing."""
    notes = []
    if archive.data is not None:
        notes.append(INTERVALS[archive.data.error].removesuffix(".") + " (Wilson).")
        notes.append(chosen_by_note(told_error(point, archive.data).split for point in shown))
    if merged:
        test = "McNemar's test on the same images"
        if error_kind(archive.data) == "balanced":
            test = "Fisher's test on as many images as the intervals are made with"
        notes.append(
            f"{many(merged, 'point costs', 'points cost')} more than a point above and "
            f"{'is' if merged == 1 else 'are'} not significantly more accurate ({test}, "
            "one-sided at 5 %; `front.json` has all): the cheaper one stands for it."
        )
    told = [told_error(point, archive.data) for point in shown]
    if any(error.beats_guessing is False for error in told):
        notes.append(f"\\* Not better than {GUESSES[error_kind(archive.data)]}.")
    return " ".join(notes)


def _inherited_cells(archive: Archive, point: OperatingPoint) -> tuple[str, str]:
    mark = " \\*" if told_error(point, archive.data).beats_guessing is False else ""
    selection = on_selection_split(point.error, archive.data).text
    if point.test_error is None:
        return selection + mark, NOTHING
    return selection, on_test_split(point.test_error, archive.data).text + mark


def _trained_cells(archive: Archive, point: OperatingPoint) -> tuple[str, ...]:
    entry = point.entry
    inherited = archive.searched_error(entry, point.configuration)
    if entry.trained is None:
        return _selection(archive, inherited), NOTHING, NOTHING, *(NOTHING for _ in _top3_head(archive))
    file = entry.trained.file_for(point.configuration)
    mark = " \\*" if told_error(point, archive.data).beats_guessing is False else ""
    errors = (_selection(archive, inherited), _selection(archive, file.error))
    return *errors, _accuracy(file.top1, archive.data) + mark, *_top3_cells(archive, entry.trained)


def _top3_head(archive: Archive) -> tuple[str, ...]:
    """Top-3 is PyTorch's, in fp32; beside figures of int8 files it has no place."""
    in_fp32 = all(configuration.precision == "fp32" for configuration in archive.configurations)
    return ("top-3, test (PyTorch)",) if in_fp32 else ()


def _top3_cells(archive: Archive, network: TrainedNetwork) -> tuple[str, ...]:
    return tuple(_accuracy(network.top3, archive.data) for _ in _top3_head(archive))


def _files_note(archive: Archive) -> str:
    precisions = " and ".join(dict.fromkeys(one.precision for one in archive.configurations))
    return f"Errors after training and top-1 are those of the very {precisions} files."


def _weights_note(archive: Archive) -> str:
    trained = [entry.trained for entry in networks_of(archive.front()) if entry.trained is not None]
    if not trained:
        return "Errors are those of networks with weights inherited from the supernet, not retrained."
    note = (
        "Errors are on the selection split: with weights inherited from the supernet, and after training for "
        f"deployment. {_files_note(archive)} {_epochs(trained)} "
    )
    if mixed := mixture(trained):
        note += f"{mixed} "
    if archive.is_retrained:
        return note + "The front is that of the trained errors, among the trained networks."
    return note + "The front is that of the inherited errors, as not all of its networks are trained."


def _epochs(networks: Sequence[TrainedNetwork]) -> str:
    tuned = sum(network.fine_tuned for network in networks)
    start = (
        "from inherited weights"
        if tuned == len(networks)
        else "from random weights" + (f" ({tuned} of them from inherited ones)" if tuned else "")
    )
    return f"{many(len(networks), 'network', 'networks')} trained for {many_epochs(networks)}, {start}."


def _measured_on(networks: Sequence[TrainedNetwork]) -> str:
    measured = [file.measurement for network in networks for file in network.files if file.measurement is not None]
    if not measured:
        return ""
    threads = span(m.threads for m in measured)
    unreliable = sum(not m.reliable for m in measured)
    return (
        f" Costs are those of {distinct(m.board for m in measured)} under {distinct(m.runtime for m in measured)}, "
        f"threads: {threads}; the spread was too wide in {unreliable} of {len(measured)} measurements."
    )


def _cost_cells(costs: Costs | Measurement | None) -> tuple[str, str]:
    """Latency and energy, each with its source."""
    if costs is None:
        return "not measured", "not measured"
    return cost(costs.latency_ms, "ms", costs.latency_source), cost(costs.energy_mj, "mJ", costs.energy_source)


def _selection(archive: Archive, error: float | None) -> str:
    return NOTHING if error is None else on_selection_split(error, archive.data).text
