"""Sections of the report on networks: the front, its trained files, baselines beside it, trust in the supernet."""

from __future__ import annotations

from collections.abc import Sequence

from devices.measurement import Precision
from moo.archive import Archive, Entry
from moo.front_networks import measured_costs, precision_of
from moo.markdown import distinct, many, span, table
from moo.quantities import percent, short
from moo.rank_correlation import trust_in_supernet
from moo.trained import TrainedNetwork
from moo.trained_plots import points_lost
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
        errors: tuple[str, ...] = ("error, inherited", "error, trained", "top-1, test", "top-3, test")
    else:
        errors = ("error, selection", "error, test")
    rows = []
    for entry in front:
        costs, counts, c = archive.costs(entry), count(space.graph(entry.architecture.operators)), entry.coefficients
        rows.append(
            (
                f"`{entry.architecture.id}`",
                *(_trained_cells(entry) if any_trained else (percent(entry.error), _share(entry.test_error))),
                f"{short(costs.latency_ms)} ms ({costs.latency_source})",
                f"{short(costs.energy_mj)} mJ ({costs.energy_source})",
                f"{counts.macs:,}",
                f"{counts.params:,}",
                *(short(value) for value in (c.alpha, c.beta, c.gamma, c.delta)),
            )
        )
    head = ("network", *errors, "latency", "energy per image", "MACs", "parameters", "α", "β", "γ", "δ")
    note = (
        f"Best accuracy first. {_weights_note(archive)} A digit of a network's name is the index of a layer's "
        "operator: "
        + ", ".join(f"{index} `{name}`" for index, name in enumerate(space.vocabulary))
        + ". Greek letters are the loss coefficients whose inner search gave the network: weight and exponent of "
        "latency (α, β) and of energy (γ, δ)."
    )
    return table(head, rows) + "\n\n" + note


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
    precision = precision_of(archive)
    head = ["baseline", "MACs", "parameters", "error, selection", "top-1, test", "top-3, test", f"latency, {precision}"]
    rows = [
        [
            f"`{network.name}`",
            f"{network.macs:,}",
            f"{network.params:,}",
            percent(network.error),
            percent(network.top1),
            percent(network.top3),
            _latency(network, precision),
        ]
        for network in baselines
    ]
    if not archive.is_retrained:
        return table(head, rows) + (
            f"\n\n{_epochs(baselines)} They are not compared with the front before all of its networks are "
            "trained too: errors after training and with inherited weights say different things."
        )
    head += ["the front's best, as fast", "top-1 gained"]
    differences = []
    for network, row in zip(baselines, rows, strict=True):
        rival = _best_within(archive, network, precision)
        if measured_costs(network, precision) is None:
            row += [NOTHING, NOTHING]
        elif rival is None or rival.trained is None:
            row += ["none is as fast", NOTHING]
        else:
            latency = archive.costs(rival).latency_ms
            differences.append(100 * (rival.trained.top1 - network.top1))
            row += [f"`{rival.architecture.id}`, {short(latency)} ms", f"{differences[-1]:+.2f} points"]
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
        f"selection split and compared on the test split. {_epochs(baselines)} Of the front: {_epochs(front)} "
        "Accuracies compare like with like only where epochs and settings agree."
    )


def trust_section(archive: Archive) -> str:
    """How well errors with inherited weights foretold those after training; empty where it cannot be told."""
    correlation = trust_in_supernet(archive)
    if correlation is None:
        return ""
    text = (
        f"Networks were chosen by their errors with inherited weights. Kendall's tau between these errors and those "
        f"after training is {correlation.tau:.2f} (95 % interval {correlation.low:.2f} to {correlation.high:.2f}) over "
        f"{correlation.count} trained networks: 1 is the same order, 0 none. These are mostly networks of the front, "
        "which differ less than all of the space do."
    )
    if correlation.count < WANTED_PAIRS:
        text += f" At least {WANTED_PAIRS} networks are wanted for an interval that says much."
    return text


def _trained_cells(entry: Entry) -> tuple[str, str, str, str]:
    if entry.trained is None:
        return percent(entry.error), NOTHING, NOTHING, NOTHING
    return percent(entry.error), percent(entry.trained.error), percent(entry.trained.top1), percent(entry.trained.top3)


def _weights_note(archive: Archive) -> str:
    trained = [entry.trained for entry in archive.front() if entry.trained is not None]
    if not trained:
        return "Errors are those of networks with weights inherited from the supernet, not retrained."
    note = (
        "Errors are on the selection split: with weights inherited from the supernet, and after training for "
        f"deployment. {_epochs(trained)} "
    )
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
    epochs = span((network.epochs for network in networks), ".3g")
    return f"{many(len(networks), 'network', 'networks')} trained for {epochs} epochs, {start}."


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


def _best_within(archive: Archive, baseline: TrainedNetwork, precision: Precision) -> Entry | None:
    """The front's network of least error that takes no longer; latencies of one source only are compared."""
    limit = measured_costs(baseline, precision)
    if limit is None:
        return None
    for entry in archive.front():
        costs = archive.costs(entry)
        if costs.latency_source == limit.latency_source and costs.latency_ms <= limit.latency_ms:
            return entry
    return None


def _share(value: float | None) -> str:
    return NOTHING if value is None else percent(value)
