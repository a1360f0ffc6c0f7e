"""How far the search of a run has come: `state.json`, beside the front that it belongs to."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from evaluation.work_folder import read_part
from moo.storage.run_folder import RunFolder
from search_space.boundary.records import record_from_json
from search_space.boundary.sealing import is_sealed, write_sealed_json
from search_space.boundary.text import command_line


@dataclass(frozen=True)
class SearchState:
    """Of a run whose front.json is there, or will be."""

    ended: bool
    """Whether the front is final, and its networks are handed out."""
    reached: str = ""
    """How far a search came that has not ended: `after generation 3 of 8`."""


def write_state(folder: RunFolder, state: SearchState) -> None:
    """Write the state of a run's search."""
    write_sealed_json(folder.state, {"search": asdict(state)})


def read_state(folder: RunFolder) -> SearchState:
    """The state of a run's search; runs of earlier versions wrote a front at their end alone.

    Raises:
        ValueError: if it cannot be read.
    """
    if not folder.state.exists():
        if folder.front.exists() and is_sealed(folder.config, what="the settings of a run"):
            raise ValueError(
                f"a run with a front must have its state, but {str(folder.state)!r} is missing. Restore it from a "
                f"copy, or have the run write both anew: {command_that_goes_on(folder)}"
            )
        return SearchState(ended=folder.front.exists(), reached="before its first front")
    return read_part(
        folder.state,
        "search",
        _state_from,
        rule="a state must be readable",
        remedy=f"Restore it from a copy, or have the run write it anew: {command_that_goes_on(folder)}",
    )


def _state_from(content: object) -> SearchState:
    return record_from_json(SearchState, content, where="search")


def command_that_goes_on(folder: RunFolder) -> str:
    """The command line that goes on with a run."""
    return command_line(["python", "scripts/pareto_search.py", "--resume", str(folder.path)])


def unfinished_note(folder: RunFolder) -> str:
    """That the search of a run has not ended, and how far it came, as sentences; empty if it has.

    Raises:
        ValueError: as `read_state`.
    """
    state = read_state(folder)
    if state.ended:
        return ""
    return (
        f"The search has not ended: this is its front {state.reached}. The files of its networks, and their errors on "
        "the test split, come at its end. It goes on with:"
    )
