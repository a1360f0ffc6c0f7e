"""Texts of boards, data sets and files: whatever they are, report and card have the same structure."""

from __future__ import annotations

import dataclasses
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from markdown_it import MarkdownIt

from devices.measurement import Board
from moo.config import SearchConfig
from moo.report.card import baseline_card, card_markdown, front_card
from moo.report.html import report_html
from moo.report.report import report_markdown
from moo.storage.archive import Archive
from moo.storage.origin import MachineOrigin, RunOrigin, SearchDataset
from moo.storage.store import entries_of, new_store
from moo.visualization.labels import place_labels
from moo.visualization.style import dress, new_figure
from search_space.spaces import FBNetSpace
from tests.moo.conftest import DATASET, MeasurementOf, ResultOf, TrainedOf
from tests.moo.conftest import ORIGIN as RUN_ORIGIN

NASTY = [
    "screw\n```\n\n```python\nimport os; os.system('evil')\n```",
    "\x1b[31mred\x1b]8;;http://evil.example\x07link\x1b]8;;\x07",
    "\n\n# Heading\n\n- item\n",
    "[text](http://evil.example) ![picture](http://evil.example/x.png)",
    "<script>alert(1)</script> <http://evil.example> https://evil.example www.evil.example",
    "a | b || c\n| d | e |\n| --- | --- |",
    "`code` ``more` $x_1$ **bold** _slanted_ &lt;",
    "right\u202eto left\u2028line\u0085line\x00",
    '"]; import os; os.system("evil") #',
    "\\",
    "$\\frac{$",
    "]] [red]x[/red] [/]",
    "x" * 100_000,
]


def structure(markdown: str) -> list[str]:
    """What there is in a text besides text: headings, links, tables with their cells, code, breaks."""
    tokens = MarkdownIt("commonmark", {"html": True, "linkify": False}).enable("table").parse(markdown)
    found = []
    for token in tokens:
        for inner in (token, *(token.children or ())):
            if not inner.type.startswith("text"):
                found.append(f"{inner.type} {inner.attrs}")
    return found


def is_harmless(markdown: str) -> bool:
    return all(letter.isprintable() or letter == "\n" for letter in markdown) and len(markdown) < 60_000


def report_and_cards(
    folder: Path,
    text: str,
    space: FBNetSpace,
    result_of: ResultOf,
    trained_of: TrainedOf,
    measurement_of: MeasurementOf,
) -> list[str]:
    """The report of a run and the cards of two networks, in which all that others say is one text."""
    folder.mkdir()
    store, archive = new_store(folder / "search.sqlite"), Archive((0.75, 10.0, 10.0), data=DATASET)
    result = result_of(0, (0, 0, 0), (1, 2, 0))
    store.add_result(result, space)
    measurement = dataclasses.replace(
        measurement_of(0.5), board=text, os=text, runtime=text, date=text, energy_note=text, meter=text
    )
    for entry in entries_of(result, space):
        archive.add(entry)
        archive.set_measurement(entry.architecture.id, measurement)
        trained = trained_of(entry.architecture.id, measurement=measurement)
        archive.set_trained(trained.name, trained)
        store.set_trained(trained)
    baseline = dataclasses.replace(trained_of("mobile", baseline=True, measurement=measurement), name=text)
    store.set_trained(baseline)
    store.add_failure(result_of(1).trial, f"Traceback\nRuntimeError: {text}")
    store.add_event("measuring failed", architecture=text, reason=text)
    dataset: SearchDataset = dataclasses.replace(DATASET, classes=(text, *DATASET.classes[1:]), fingerprint=text)
    origin: RunOrigin = dataclasses.replace(
        RUN_ORIGIN,
        dataset=dataset,
        board=Board(name=text, model=text, os=text, runtime=text, clock_mhz=None, throttling_visible=False),
        machine=MachineOrigin(system=text, python=text),
        packages={text: text},
    )
    config = SearchConfig(dataset=text, from_run="\n# run\n")
    written = [report_markdown(archive, store, config, origin, space, [])]
    for card in (
        front_card(archive.entries[0], archive, space),
        baseline_card(baseline, space.graph(archive.entries[0].architecture.operators), archive),
    ):
        written.append(card_markdown(card, dataset, dataset=text))
    store.close()
    return written


@pytest.mark.parametrize("text", NASTY)
def test_texts_of_others_change_nothing_but_text(
    tmp_path: Path,
    space: FBNetSpace,
    result_of: ResultOf,
    trained_of: TrainedOf,
    measurement_of: MeasurementOf,
    text: str,
) -> None:
    makers: Any = (space, result_of, trained_of, measurement_of)
    plain = report_and_cards(tmp_path / "plain", "plain text", *makers)
    nasty = report_and_cards(tmp_path / "nasty", text, *makers)
    for expected, got in zip(plain, nasty, strict=True):
        assert is_harmless(got.replace(text, "") if len(text) > 1000 else got)
        fenced = ("fence ", "code_block ")
        assert [one for one in structure(got) if not one.startswith(fenced)] == [
            one for one in structure(expected) if not one.startswith(fenced)
        ]
        assert sum(one.startswith(fenced) for one in structure(got)) == sum(
            one.startswith(fenced) for one in structure(expected)
        )
        outside_blocks = re.sub(r"^```\w*\n.*?^```$", "", got.replace("\\`", ""), flags=re.DOTALL | re.MULTILINE)
        outside_code = re.sub(r"(`+)(?!`).+?(?<!`)\1(?!`)", "", outside_blocks)
        assert not re.search(r"https?://|www\.", outside_code)
        page = report_html(got, tmp_path)
        assert "<script" not in page
        assert "<a " not in page


@pytest.mark.parametrize("text", [text for text in NASTY if len(text) < 1000])
def test_the_classes_of_a_snippet_are_a_literal_and_harmless_when_printed(
    text: str, space: FBNetSpace, result_of: ResultOf
) -> None:
    archive = Archive((0.75, 10.0, 10.0))
    entry = entries_of(result_of(0, (0, 0, 0)), space)[0]
    archive.add(entry)
    card = card_markdown(
        front_card(entry, archive, space), dataclasses.replace(DATASET, classes=(text, *DATASET.classes[1:]))
    )
    snippet = re.findall(r"```python\n(.*?)\n```", card, re.S)[0]
    line = next(line for line in snippet.splitlines() if line.startswith("classes = "))
    code = f"import json\n{line}\nprint(json.dumps(classes))"
    told = subprocess.run([sys.executable, "-I", "-c", code], capture_output=True, text=True, check=True).stdout
    (first, *others) = json.loads(told)
    assert tuple(others) == DATASET.classes[1:]
    assert first.isprintable()


@pytest.mark.parametrize("text", NASTY)
def test_texts_in_pictures_are_no_mathematics(text: str) -> None:
    figure = new_figure(8, 6, text, text)
    axes = figure.subplots()
    axes.plot([0, 1], [0, 1])
    dress(axes, "x", "y")
    place_labels(axes, [(0.5, 0.5)], [text[:40]], avoid=[])
    figure.draw_without_rendering()
