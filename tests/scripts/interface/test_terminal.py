"""Whatever others say, the terminal shows text: no colours, no links, no further lines."""

from __future__ import annotations

import io
from dataclasses import replace
from typing import Any

import pytest
from rich.console import Console

from moo import events
from scripts.interface.live_view import LiveView
from scripts.interface.terminal import plain, plain_lines, say
from scripts.interface.training_view import TrainingView
from tests.moo.report.test_outside_text import NASTY
from tests.scripts.interface.test_live_view import MEASUREMENT, STARTED, job


def told(view: type[LiveView] | type[TrainingView], happened: list[Any]) -> str:
    output = io.StringIO()
    shown = view(Console(file=output, width=200))
    for event in happened:
        shown(event)
    return output.getvalue()


@pytest.mark.parametrize("view", [LiveView, TrainingView])
def test_events_with_texts_of_others_show_as_many_lines(
    view: type[LiveView] | type[TrainingView],
) -> None:
    def happened(text: str) -> list[Any]:
        return [
            replace(STARTED, folder=text, description=(("data set", text), ("board", text))),
            events.TrialFailed(job(1), f"Traceback\n  {text}"),
            events.MeasuringFailed(text, text),
            events.BoardBack(text),
            events.BoardUnreachable(text, text),
            events.NetworkMeasured(text, replace(MEASUREMENT, board=text), 1),
            events.TrainingFailed(text, text),
            events.PretrainedMissing(text, text),
        ]

    for text in NASTY[:-1]:
        output = told(view, happened(text))
        assert all(letter.isprintable() or letter == "\n" for letter in output)
        lines = 0 if view is TrainingView else len(text.splitlines()) - 1
        assert abs(output.count("\n") - told(view, happened("plain")).count("\n")) <= lines + 2


def test_markup_is_shown_as_it_is() -> None:
    output = io.StringIO()
    console = Console(file=output, width=200)
    texts = ("[red]x[/red]", "[/]", "\\", "[link=http://evil.example]x[/link]", "a\\[b]")
    for text in texts:
        console.print(f"[green]{plain(text)}[/]", highlight=False)
        say(console, text)
    assert output.getvalue().splitlines() == [
        line
        for text in ("[red]x[/red]", "[/]", "\\", "[link=http://evil.example]x[/link]", "a\\[b]")
        for line in (text,) * 2
    ]


def test_columns_and_indents_stay() -> None:
    output = io.StringIO()
    say(Console(file=output, width=20), "one   two\x1b[2J", "  three")
    assert output.getvalue() == "one   two\ufffd[2J\n  three\n"
    assert plain_lines("a\n  b\x07").splitlines() == ["a", "  b\ufffd"]
