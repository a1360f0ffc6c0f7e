from __future__ import annotations

from dataclasses import replace

import pytest

from moo.analysis.errors import ToldError, chosen_by_note, guessing_verdict, on_selection_split, share_text, told_error
from moo.storage.archive import Archive
from tests.moo.conftest import DATASET, EntryOf, TrainedOf

GUESSABLE = replace(DATASET, guessing_error=0.75, test_guessing_error=0.7)


def test_the_error_to_believe_is_that_on_the_test_split(entry_of: EntryOf, trained_of: TrainedOf) -> None:
    archive = Archive((1.0, 10.0, 10.0))
    archive.add(entry_of((0, 0, 0), 0.1))
    (point,) = archive.front()
    assert told_error(point, GUESSABLE) == ToldError(error=0.1, split="selection", images=30, guessing=0.75)
    archive.set_test_error("000", 0.2)
    (point,) = archive.front()
    assert told_error(point, GUESSABLE) == ToldError(error=0.2, split="test", images=40, guessing=0.7)
    assert told_error(point, None) == ToldError(error=0.2, split="test")
    archive.set_trained("000", trained_of("000", error=0.125))
    (point,) = archive.front()
    assert point.trained
    assert told_error(point, GUESSABLE).error == pytest.approx(0.125)


def test_better_than_guessing_is_a_whole_interval() -> None:
    told = on_selection_split(0.5, GUESSABLE)
    assert told.interval is not None
    assert told.interval.high == pytest.approx(0.6685, abs=1e-4)
    assert told.beats_guessing is True
    assert on_selection_split(0.6, GUESSABLE).beats_guessing is False
    assert on_selection_split(0.6, DATASET).beats_guessing is None
    assert on_selection_split(0.6, None).interval is None


def test_an_error_is_told_with_its_interval() -> None:
    assert on_selection_split(0.5, GUESSABLE).text == "50.0 % (33.2–66.8)"
    assert on_selection_split(0.1, GUESSABLE).accuracy_text == "90.0 % (74.4–96.5)"
    assert share_text(0.5, None) == "50.0 %"


def test_the_note_on_the_least_of_many_says_whether_the_test_split_was_read() -> None:
    assert chosen_by_note(["selection", "test"]).endswith("says what to expect.")
    assert chosen_by_note(["selection"]).endswith("the test split was not read yet.")


def test_what_is_said_of_a_run_no_better_than_guessing() -> None:
    text = guessing_verdict(on_selection_split(0.7, GUESSABLE))
    assert text.startswith("The best network is not better than always answering the commonest class: too few images")
    assert "selection split is 70.0 % (52.1–83.3); the commonest class errs in 75.0 %. Try more images" in text
    assert guessing_verdict(on_selection_split(0.1, GUESSABLE)) == ""
    assert guessing_verdict(on_selection_split(0.7, DATASET)) == ""
