"""Sections of the report on how a run went: board and conditions, cost, hypervolume, splits."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

import numpy as np

from devices.measurement import Board, Measurement
from evaluation.data.facts import numbers_text, used_text
from evaluation.data.wording import depth_text, resolution
from evaluation.errors import ERROR_NAMES
from moo.analysis.contributions import TrialSource, contributions, source_of
from moo.analysis.errors import error_kind
from moo.config import SearchConfig
from moo.formatting import distinct, many, percent, short, span, table
from moo.storage.archive import Archive
from moo.storage.origin import RunOrigin, SearchDataset, SplitSizes
from moo.storage.store import StoredTrial, StoreReader
from moo.storage.trained_network import TrainedNetwork
from moo.trials import ArchitectureTrial, CoefficientTrial, Trial, named
from search_space.boundary.text import code, last_line, markdown

NOTHING = "–"


def conditions(archive: Archive, board: Board | None = None) -> str:
    """Board, runtime, clock and dates of all measurements, of the search and of trained files; what a latency is."""
    searched = [measurement for entry in archive.entries for measurement in entry.measurements]
    networks = sum(len(entry.measurements) > 0 for entry in archive.entries)
    trained = [entry.trained for entry in archive.entries if entry.trained is not None]
    files = [file.measurement for network in trained for file in network.files if file.measurement is not None]
    columns = {
        "networks of the search": (
            searched,
            f"{many(len(searched), 'operating point', 'operating points')} of {many(networks, 'network', 'networks')}",
        ),
        "trained files": (
            files,
            f"{many(len(files), 'file', 'files')} of {many(len(trained), 'trained network', 'trained networks')}",
        ),
    }
    measured = {name: column for name, column in columns.items() if column[0]}
    if not measured:
        return (
            "Nothing was measured. All latencies and energies are modelled: sums of the entries of the cost table "
            "`cost_table.json`."
        )
    told = [_told(measurements, number) for measurements, number in measured.values()]
    names = list(dict.fromkeys(name for column in told for name in column))
    rows = [(name, *(column.get(name, NOTHING) for column in told)) for name in names]
    counting = (
        " A trained network has the costs of its file in the configuration in which that was measured." if files else ""
    )
    return (
        table(("", *measured), rows)
        + "\n\nA latency is the 5th percentile of single inferences at batch size 1: what other programs add to a run "
        "is never negative, so a low quantile stays at the network's own cost. Energy is that of one inference, above "
        "idle; where no meter is at hand, it is modelled from the latency. Networks that were not measured have "
        "predictions of the cost table, as the networks that were measured have corrected it; they are labelled "
        f"`modelled`.{counting}" + "".join(f"\n\n{markdown(note)}" for note in (() if board is None else board.notes))
    )


def _told(measurements: Sequence[Measurement], number: str) -> dict[str, str]:
    """What a column of the table of conditions says in each row.

    Args:
        measurements: at least one.
        number: how many they are, and of what.
    """
    return {
        "board": distinct(m.board for m in measurements),
        "runtime": distinct(m.runtime for m in measurements),
        "threads": distinct(str(m.threads) for m in measurements),
        "clock": distinct(_clock(m) for m in measurements),
        "precision": distinct(m.precision for m in measurements),
        "dates (UTC)": _dates([m.date for m in measurements]),
        "measured": number,
        "timed inferences each": span(m.runs for m in measurements),
        "spread too wide": f"{sum(not m.reliable for m in measurements)} of {len(measurements)} measurements",
        "source of latency": distinct(m.latency_source for m in measurements),
        "source of energy": distinct(m.energy_source for m in measurements),
        **_energy_notes(measurements),
    }


def _energy_notes(measurements: Sequence[Measurement]) -> dict[str, str]:
    """Why metered energies were not believed; nothing where none was in doubt."""
    notes = Counter(m.energy_note for m in measurements if m.energy_note)
    if not notes:
        return {}
    return {
        "energies in doubt": "; ".join(f"{number} times: {markdown(note)}" for note, number in sorted(notes.items()))
    }


def effort(archive: Archive, store: StoreReader, config: SearchConfig, origin: RunOrigin) -> str:
    """What the search, and training after it, took; and what failed."""
    trials = store.trials()
    failed = [stored for stored in trials.values() if stored.objectives is None]
    happened = [(kind, content) for _, kind, content in store.events()]
    not_measured = [content for kind, content in happened if kind == "measuring failed"]
    whole = [float(str(content["seconds"])) for kind, content in happened if kind == "finished"]
    seconds = sum(stored.seconds for stored in trials.values())
    rows = [
        *_pretraining(config, origin),
        ("coefficients searched on the supernet", _counted(trials.values(), CoefficientTrial)),
        *_directly_evaluated(config, trials.values()),
        ("architectures evaluated", f"{len(archive)}"),
        ("networks measured", f"{sum(len(entry.measurements) > 0 for entry in archive.entries)}"),
        (
            "inner searches and evaluations",
            f"{seconds:.0f} s in all workers: {_worker_hours(seconds, config.threads_per_worker, origin)}",
        ),
    ]
    if whole:
        rows.append(("from start, or last resumption, to end", f"{whole[-1]:.0f} s"))
    for name, networks in (
        ("training of networks of the search", store.trained(baselines=False)),
        ("training of baselines", store.trained(baselines=True)),
    ):
        if networks:
            rows.append((name, _training_time(networks)))
    lines = [
        f"- {named(stored.trial)} failed: {code(last_line(stored.traceback or '') or 'no traceback')}"
        for stored in failed
    ]
    lines += [
        f"- {code(item.get('architecture'))} was not measured: {markdown(item.get('reason'))}" for item in not_measured
    ]
    parts = (table(("", ""), rows), sources(archive, store, config), "\n".join(lines))
    return "\n\n".join(part for part in parts if part)


def adaptive_trials(store: StoreReader) -> str:
    """That trials were judged by what their networks do with early exits; empty if they were not."""
    found = store.adaptive_evaluations()
    if not found:
        return ""
    with_exits = sum(len(item.exits) > 0 for item in found.values())
    return (
        "Trials were judged by the best operating point of their networks with early exits, whose linear heads were "
        f"fitted to inherited weights: in {with_exits} of {len(found)} it has exits, in the others it is the network "
        "as it is. The front is that of networks without exits; `scripts/train_front.py` and then "
        "`scripts/adapt_front.py` go on from it."
    )


def _pretraining(config: SearchConfig, origin: RunOrigin) -> list[tuple[str, str]]:
    """How the supernet was trained, as far as the run knows."""
    settings, recipe = origin.pretraining, origin.recipe
    if settings is None or recipe is None:
        return []
    if config.from_run is not None and not recipe.warm_start:
        return [("supernet", f"that of {code(config.from_run)}, on the same images, not trained further")]
    start = f", from the supernet of {code(config.from_run)}, which has seen other images" if recipe.warm_start else ""
    passes, batch = settings.epochs * settings.passes, settings.batch_size
    text = f"{many(passes, 'pass', 'passes')} over the weights split in batches of {batch}, learning rate "
    return [("supernet", f"{text}{short(settings.lr)}, {recipe.augmentation} augmentation{start}")]


def _counted(trials: Iterable[StoredTrial], kind: type[Trial]) -> str:
    trials_of_kind = [stored for stored in trials if isinstance(stored.trial, kind)]
    return f"{len(trials_of_kind)}, of which {sum(stored.objectives is None for stored in trials_of_kind)} failed"


def _directly_evaluated(config: SearchConfig, trials: Iterable[StoredTrial]) -> list[tuple[str, str]]:
    """A row for each source of architectures that came of no inner search on the supernet."""
    of_source: dict[TrialSource, list[StoredTrial]] = {}
    for stored in trials:
        if isinstance(stored.trial, ArchitectureTrial):
            of_source.setdefault(source_of(stored.trial), []).append(stored)
    return [(_source_name(source, config), _counted(found, ArchitectureTrial)) for source, found in of_source.items()]


def _source_name(source: TrialSource, config: SearchConfig) -> str:
    proposer = "NSGA-II" if config.method == "architectures" else "a local search"
    return {
        "taken over": "architectures of another run",
        "supernet": "architectures of coefficients searched on the supernet",
        "coefficients": "architectures proposed by searches on the surrogate",
        "neighbours": f"architectures proposed by {proposer}",
    }[source]


def sources(archive: Archive, store: StoreReader, config: SearchConfig) -> str:
    """What each source of architectures added to the hypervolume, in the order of trials; empty where there is one."""
    source_of_trial = {stored.trial.id: source_of(stored.trial) for stored in store.trials().values()}
    entries = sorted(archive.entries, key=lambda entry: (entry.trial_id, entry.position))
    points = [np.array([entry.predicted_objectives]) for entry in entries]
    known: list[TrialSource] = [source_of_trial.get(entry.trial_id, "taken over") for entry in entries]
    made = contributions(known, points, np.array(archive.reference_point))
    if len(made) < 2:
        return ""
    rows = [
        (
            _source_name(source, config),
            str(one.evaluations),
            f"{one.hypervolume:.4f}",
            f"{1000 * one.hypervolume / one.evaluations:.3f}",
        )
        for source, one in made.items()
    ]
    heads = ("from", "architectures", "hypervolume added", "by one of them (thousandths)")
    shares = " Later generations take from each source as many as follow from what its architectures added."
    shares = " Later generations take from each source as many as follow from what its architectures added."
    return (
        table(heads, rows)
        + "\n\nWhat an architecture added to the hypervolume of those before it, in the order of trials: "
        "the first add most. As in the picture of its growth, errors are those with inherited weights, all costs "
        "modelled." + (shares if config.method == "dnas" and config.candidates == "both" else "")
    )


def hypervolume(archive: Archive) -> str:
    """The share of the box that the front dominates, and what the box is."""
    error, latency_ms, energy_mj = archive.reference_point
    name = ERROR_NAMES[error_kind(archive.data)]
    weights = "after training" if archive.is_retrained else "with inherited weights"
    return (
        f"The front dominates {archive.hypervolume():.4f} of the box from zero to the reference point: {name} "
        f"{percent(error)}, latency {short(latency_ms)} ms, energy {short(energy_mj)} mJ. Its errors are those "
        f"{weights}, its costs measured where there are measurements, else modelled. The reference point is the error "
        "of guessing, and the costs that the table predicts for the slowest and the most costly architecture. "
        "The picture of its growth has errors with inherited weights and predicted costs throughout, so that early and "
        "late networks compare."
    )


def pictures(data: SearchDataset, size: int) -> str:
    """What became of the pictures of the data set, as sentences; empty for runs that do not know.

    Args:
        data: the images of the run.
        size: height and width that networks take, in pixels.
    """
    facts, lines = data.facts, []
    if facts is not None:
        used = used_text(facts, test_images=data.images.test, omitted=data.omitted)
        texts = [f"Images: {used}", f"Of each class: {numbers_text(facts, data.classes)}"]
        texts += [f"Warning: {text}" for text in facts.warnings]
        lines += [f"{markdown(text, most=1500)}." for text in texts]
    if data.width is not None and data.height is not None:
        lines.append(f"Pictures: {resolution(data.width, data.height, data.resize, size)}.")
    if data.depth is not None:
        lines.append(f"Depth: {depth_text(data.depth)}.")
    if facts is None and data.omitted:
        lines.append(f"{many(data.omitted, 'picture', 'pictures')} that cannot be read were left out.")
    return "".join(f"{line}\n\n" for line in lines)


def splits(images: SplitSizes, *, trained: bool) -> str:
    """How many images each split has, and what they were used for.

    Args:
        images: of each split.
        trained: whether networks were trained after the search.
    """
    also = "; train networks for deployment" if trained else ""
    once = "read once, for the networks of the final front" + ("; and once for each trained file" if trained else "")
    rows = [
        (
            "weights",
            f"{images.weights:,}",
            f"train the supernet, and recalibrate BatchNorm before each evaluation{also}",
        ),
        ("theta", f"{images.theta:,}", f"search theta for each trial's coefficients{also}"),
        ("selection", f"{images.selection:,}", "compare architectures: all errors above that are not test errors"),
        ("test", f"{images.test:,}", once),
    ]
    return "No image is in two splits.\n\n" + table(("split", "images", "use"), rows)


def _worker_hours(seconds: float, threads: int, origin: RunOrigin) -> str:
    hours = seconds * threads / 3600
    if origin.packages.get("torch", "").endswith("+cpu"):
        return f"{short(hours)} CPU-hours"
    return f"{short(hours)} hours of CPU threads, with a GPU to each worker where the machine had one"


def _training_time(networks: Sequence[TrainedNetwork]) -> str:
    seconds = sum(network.seconds for network in networks)
    return f"{seconds:.0f} s for {len(networks)}, added up over networks ({short(seconds / 3600)} hours)"


def _clock(measurement: Measurement) -> str:
    return "not told by the board" if measurement.after.clock_mhz is None else f"{measurement.after.clock_mhz:.0f} MHz"


def _dates(values: Sequence[str]) -> str:
    first, last = min(values), max(values)
    return markdown(first) if first == last else f"{markdown(first)} to {markdown(last)}"
