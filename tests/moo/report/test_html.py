from __future__ import annotations

from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from moo.report.html import report_html

MARKDOWN = """# Front of `tiny` on {name}

| network | error |
| --- | --- |
| `012` | 1 % |

![The front.](plots/front.png)

*The front.*

```bash
python scripts/pareto_search.py --dataset '{name}'
```
"""
HOSTILE = "<script>alert(1)</script><img src=http://evil/x.png onerror=alert(1)>"


class Page(HTMLParser):
    """Tags with their attributes, and all text."""

    def __init__(self, text: Any) -> None:
        super().__init__()
        self.tags, self.text = [], ""  # type: ignore[var-annotated]
        self.feed(text)

    def handle_starttag(self, tag: Any, attrs: Any) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: Any) -> None:
        self.text += data

    def attributes(self, tag: Any) -> Any:
        return [attributes for name, attributes in self.tags if name == tag]


@pytest.fixture
def folder(tmp_path: Path) -> Any:
    (tmp_path / "run" / "plots").mkdir(parents=True)
    Image.new("RGB", (4, 4)).save(tmp_path / "run" / "plots" / "front.png")
    Image.new("RGB", (4, 4)).save(tmp_path / "secret.png")
    return tmp_path / "run"


def test_the_page_holds_title_table_and_embedded_pictures(folder: Any) -> None:
    page = Page(report_html(MARKDOWN.format(name="digits"), folder))
    names = [name for name, _ in page.tags]
    for tag in ("title", "h1", "table", "th", "td", "pre"):
        assert tag in names
    assert page.text.strip().startswith("Front of `tiny` on digits")
    (picture,) = page.attributes("img")
    assert picture["src"].startswith("data:image/png;base64,")
    assert picture["alt"] == "The front."
    assert {"class": "scroll", "tabindex": "0"} in page.attributes("div")


def test_nothing_is_fetched_and_no_script_runs(folder: Any) -> None:
    markdown = MARKDOWN.format(name="digits") + "\n![far](https://example.org/x.png)\n"
    page = Page(report_html(markdown, folder))
    assert not {"script", "link", "iframe", "object"} & {name for name, _ in page.tags}
    for tag, attributes in page.tags:
        assert not attributes.get("src", "data:").startswith(("http", "//", "file"))
        assert tag == "a" or "href" not in attributes
    assert "url(" not in report_html(markdown, folder)


def test_hostile_text_is_shown_and_not_obeyed(folder: Any) -> None:
    page = Page(report_html(MARKDOWN.format(name=HOSTILE), folder))
    assert not page.attributes("script")
    assert len(page.attributes("img")) == 1
    assert page.text.count("<script>alert(1)</script>") == 3
    assert not any(name.startswith("on") for _, attributes in page.tags for name in attributes)


@pytest.mark.parametrize("source", ["plots/missing.png", "../secret.png", "plots", "data:text/html,x", "plots/a.svg"])
def test_pictures_that_are_not_in_the_folder_give_their_captions(folder: Any, source: str) -> None:
    page = Page(report_html(f"# R\n\n![A caption]({source})\n", folder))
    assert not page.attributes("img")
    assert "A caption" in page.text


def test_a_report_without_heading_has_a_title(folder: Any) -> None:
    assert "<title>Report</title>" in report_html("text", folder)
