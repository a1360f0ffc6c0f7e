from __future__ import annotations

from pathlib import Path

import pytest

from moo.storage.run_folder import RunFolder
from moo.storage.search_state import SearchState, command_that_goes_on, read_state, unfinished_note, write_state


def test_the_state_of_a_search_comes_back_and_is_told_until_it_has_ended(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    state = SearchState(ended=False, reached="after generation 3 of 8 (24 trials)")
    write_state(folder, state)
    assert read_state(folder) == state
    assert "has not ended: this is its front after generation 3 of 8 (24 trials)." in unfinished_note(folder)
    write_state(folder, SearchState(ended=True))
    assert read_state(folder).ended
    assert unfinished_note(folder) == ""


def test_a_run_of_an_earlier_version_has_ended_if_it_has_a_front(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    assert not read_state(folder).ended
    folder.front.write_text("[]")
    assert read_state(folder).ended


def test_a_folder_with_blanks_is_quoted() -> None:
    assert command_that_goes_on(RunFolder(Path("my runs/a"))) == "python scripts/pareto_search.py --resume 'my runs/a'"


@pytest.mark.parametrize("content", ["{", "[]", '{"search": {"colour": 1}}'])
def test_a_broken_state_is_named(tmp_path: Path, content: str) -> None:
    (tmp_path / "state.json").write_text(content)
    with pytest.raises(ValueError, match=r"^a state must be readable, but '.*state.json' cannot be read"):
        read_state(RunFolder(tmp_path))
