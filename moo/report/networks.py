"""Sections of the report on networks: the front, its trained files, baselines beside it, trust in the supernet."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from devices.configuration import Precision
from dnas.losses import Coefficients
from moo.analysis.comparison import compared
from moo.analysis.networks import measured_costs
from moo.analysis.rank_correlation import trust_in_supernet
from moo.analysis.recipes import many_epochs, mixture
from moo.formatting import distinct, many, percent, short, span, table
from moo.storage.archive import Archive, Entry
from moo.storage.trained_network import TrainedNetwork
from moo.visualization.training import points_lost
from search_space.counts import count
from search_space.spaces import FBNetSpace

WANTED_PAIRS = 12
"""With fewer trained networks the interval of Kendall's tau is too wide to say much."""
NOTHING = "–"


def front_table(archive: Archive, space: FBNetSpace) -> str:
    """The front, best accuracy first, with sources of costs, exact counts, and a note on what the columns are."""
    front = archive.front()
    any_trained = any(entry.trained is not None for entry in front)
    if any_trained:
        errors: tuple[str, ...] = ("error, inherited", "error, trained", "top-1, test", *_top3_head(archive))
    else:
        errors = ("error, selection", "error, test")
    greek = ("α", "β", "γ", "δ") if any(entry.coefficients is not None for entry in front) else ()
    rows = []
    for entry in front:
        costs, counts = archive.costs(entry), count(space.graph(entry.architecture.operators))
        rows.append(
            (
                f"`{entry.architecture.id}`",
                *(_trained_cells(archive, entry) if any_trained else (percent(entry.error), _share(entry.test_error))),
                f"{short(costs.latency_ms)} ms ({costs.latency_source})",
                f"{short(costs.energy_mj)} mJ ({costs.energy_source})",
                f"{counts.macs:,}",
                f"{counts.params:,}",
                *_coefficients(entry.coefficients, len(greek)),
            )
        )
    head = ("network", *errors, "latency", "energy per image", "MACs", "parameters", *greek)
    note = (
        f"Best accuracy first. {_weights_note(archive)} A digit of a network's name is the index of a layer's "
        "operator: " + ", ".join(f"{index} `{name}`" for index, name in enumerate(space.vocabulary)) + "."
    )
    if greek:
        note += (
            " Greek letters are the loss coefficients whose inner search gave the network: weight and exponent of "
            "latency (α, β) and of energy (γ, δ)."
        )
    return table(head, rows) + "\n\n" + note


def _coefficients(coefficients: Coefficients | None, columns: int) -> tuple[str, ...]:
    if coefficients is None:
        return (NOTHING,) * columns
    return tuple(short(value) for value in dataclasses.astuple(coefficients))


def files_table(networks: Sequence[TrainedNetwork]) -> str:
    """The files of trained networks in both precisions; empty if there are none.

    Args:
        networks: of the search, then baselines.
    """
    rows = []
    for network in (network for network in networks if network.files):
        floats, integers = network.file("fp32"), network.file("int8")
        lost = points_lost(network)
        rows.append(
            (
                f"`{network.name}`",
                *(NOTHING if file is None else short(file.logits_difference) for file in (floats, integers)),
                *(NOTHING if file is None else percent(file.top1) for file in (floats, integers)),
                NOTHING if lost is None else f"{lost:.2f}",
                *(_latency(network, precision) for precision in ("fp32", "int8")),
            )
        )
    if not rows:
        return ""
    head = (
        "network", "logits, fp32", "logits, int8", "top-1, fp32", "top-1, int8", "points lost", "latency, fp32",
        "latency, int8",
    )  # fmt: skip
    return table(head, rows) + (
        "\n\nEach network was written as an ONNX file in fp32 and one in int8. Logits: the largest difference from "
        "PyTorch's over the images compared. Top-1 is the accuracy of the very file on the test split; points lost "
        "are percentage points of it that int8 lacks (below 0: it has more)."
        f"{_measured_on(networks)}"
    )


def baselines_section(archive: Archive, baselines: Sequence[TrainedNetwork]) -> str:
    """Baselines, and the front's best network within each one's latency; empty if there are no baselines."""
    if not baselines:
        return ""
    head = ["baseline", "MACs", "parameters", "error, selection", "top-1, test", *_top3_head(archive)]
    head.append(f"latency, {archive.precision}")
    comparisons = compared(archive, baselines)
    rows = [
        [
            f"`{c.baseline.name}`",
            f"{c.baseline.macs:,}",
            f"{c.baseline.params:,}",
            percent(c.file.error),
            percent(c.file.top1),
            *_top3_cells(archive, c.baseline),
            _latency(c.baseline, archive.precision),
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
            latency = archive.costs(c.rival).latency_ms
            differences.append(c.gain)
            row += [f"`{c.rival.architecture.id}`, {short(latency)} ms", f"{c.gain:+.2f} points"]
    front = [entry.trained for entry in archive.front() if entry.trained is not None]
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


def _trained_cells(archive: Archive, entry: Entry) -> tuple[str, ...]:
    if entry.trained is None:
        return percent(entry.error), NOTHING, NOTHING, *(NOTHING for _ in _top3_head(archive))
    file = entry.trained.file_in(archive.precision)
    return percent(entry.error), percent(file.error), percent(file.top1), *_top3_cells(archive, entry.trained)


def _top3_head(archive: Archive) -> tuple[str, ...]:
    """Top-3 is PyTorch's, in fp32; beside figures of int8 files it has no place."""
    return ("top-3, test (PyTorch)",) if archive.precision == "fp32" else ()


def _top3_cells(archive: Archive, network: TrainedNetwork) -> tuple[str, ...]:
    return tuple(percent(network.top3) for _ in _top3_head(archive))


def _files_note(archive: Archive) -> str:
    return f"Errors after training and top-1 are those of the very {archive.precision} files."


def _weights_note(archive: Archive) -> str:
    trained = [entry.trained for entry in archive.front() if entry.trained is not None]
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
        f" Latencies are those of {distinct(m.board for m in measured)} under {distinct(m.runtime for m in measured)}, "
        f"threads: {threads}; the spread was too wide in {unreliable} of {len(measured)} measurements."
    )


def _latency(network: TrainedNetwork, precision: Precision) -> str:
    costs = measured_costs(network, precision)
    return "not measured" if costs is None else f"{short(costs.latency_ms)} ms ({costs.latency_source})"


def _share(value: float | None) -> str:
    return NOTHING if value is None else percent(value)
