"""The report's table of a run's networks beside what one would use otherwise. Start with `comparison_section`."""

from __future__ import annotations

from collections.abc import Sequence

from evaluation.errors import ACCURACY_NAMES
from moo.analysis.alternatives import Candidate, alternatives, verdict
from moo.analysis.errors import error_kind
from moo.formatting import cost, energy_error_note, table
from moo.storage.archive import Archive
from moo.storage.trained_network import TrainedNetwork
from search_space.boundary.text import code, markdown
from search_space.spaces import FBNetSpace


def comparison_section(archive: Archive, baselines: Sequence[TrainedNetwork], space: FBNetSpace) -> str:
    """The verdict, and a row for each network; empty where there is nothing to compare.

    Args:
        archive: of a run.
        baselines: trained networks, measured or not.
        space: that was searched.
    """
    candidates = alternatives(archive, baselines, space)
    if not baselines or not any(candidate.of_run for candidate in candidates):
        return ""
    accuracy_name = ACCURACY_NAMES[error_kind(archive.data)]
    head = (
        "network", "what it is", f"{accuracy_name}, test (95 % interval)", "latency",
        f"{archive.energy.label}, per image", "parameters", "pixels", "runs with", "how it was trained",
    )  # fmt: skip
    rows = [
        (
            code(one.name),
            one.role,
            accuracy(one),
            "not measured" if one.costs is None else cost(one.costs.latency_ms, "ms", one.costs.latency_source),
            "not measured" if one.costs is None else cost(one.costs.energy_mj, "mJ", one.costs.energy_source),
            f"{one.params:,}",
            f"{one.pixels} x {one.pixels}",
            markdown(one.configuration),
            markdown(one.how),
        )
        for one in candidates
    ]
    notes = [
        "Latency is that of the network alone, on the same board for all; larger images take longer to prepare, too.",
        energy_error_note(one.costs.energy_error for one in candidates if one.costs is not None),
    ]
    return f"**{verdict(candidates)}**\n\n{table(head, rows)}\n\n" + " ".join(note for note in notes if note)


def accuracy(candidate: Candidate) -> str:
    """Accuracy with its interval, and where it is of another split than the test split, which."""
    split = "" if candidate.error.split == "test" else f" ({candidate.error.split} split)"
    return candidate.error.accuracy_text + split
