"""The report as one self-contained web page: no script, nothing that a browser would fetch."""

from __future__ import annotations

import base64
import html
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from markdown_it import MarkdownIt
from markdown_it.token import Token

_TYPES = {".png": "image/png", ".jpg": "image/jpeg", ".jpeg": "image/jpeg"}
_STYLE = """
:root { color-scheme: light dark; --ink: #1c1c1e; --soft: #5c5c61; --page: #fff; --line: #dcdce0; --tint: #f5f6f8;
  --link: #0059a8; }
@media (prefers-color-scheme: dark) { :root { --ink: #e8e8ea; --soft: #a6a6ad; --page: #17181a; --line: #3a3b40;
  --tint: #202226; --link: #7cb8f2; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--page); color: var(--ink);
  font: 1rem/1.6 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif; }
main { max-width: 76rem; margin: 0 auto; padding: 2rem 1.25rem 4rem; }
h1, h2 { line-height: 1.25; text-wrap: balance; overflow-wrap: anywhere; }
h1 { font-size: 1.7rem; margin: 0 0 1rem; }
h2 { font-size: 1.25rem; margin: 2.75rem 0 0.75rem; padding-top: 0.75rem; border-top: 1px solid var(--line); }
p, ul { max-width: 44rem; overflow-wrap: anywhere; }
p:has(> img) { max-width: none; margin-bottom: 0.25rem; }
p > em:only-child { color: var(--soft); font-size: 0.9rem; }
img { max-width: 100%; height: auto; background: #fff; border: 1px solid var(--line); border-radius: 6px; }
a { color: var(--link); }
code { font: 0.9em/1.5 ui-monospace, SFMono-Regular, Menlo, Consolas, monospace; background: var(--tint);
  padding: 0.1em 0.3em; border-radius: 4px; }
pre { background: var(--tint); border: 1px solid var(--line); border-radius: 6px; padding: 0.75rem 1rem;
  overflow-x: auto; }
pre code { padding: 0; background: none; }
.scroll { overflow-x: auto; margin: 1rem 0; }
table { border-collapse: collapse; font-size: 0.9rem; font-variant-numeric: tabular-nums; }
th, td { text-align: left; padding: 0.35rem 0.65rem; border-bottom: 1px solid var(--line); white-space: nowrap; }
th { color: var(--soft); font-weight: 600; vertical-align: bottom; white-space: normal; min-width: 5.5rem; }
tbody tr:nth-child(even) { background: var(--tint); }
thead:not(:has(th:not(:empty))) { display: none; }
thead:not(:has(th:not(:empty))) + tbody td { white-space: normal; }
@media (max-width: 40rem) { main { padding: 1.25rem 1rem 3rem; } h1 { font-size: 1.4rem; } }
@media print { :root { --ink: #000; --soft: #444; --page: #fff; --line: #bbb; --tint: #f3f3f3; }
  main { max-width: none; padding: 0; } h2 { break-after: avoid; } img, tr { break-inside: avoid; }
  p:has(> img) { break-after: avoid; } table { font-size: 7pt; } th, td { padding: 0.15rem 0.3rem; min-width: 0; }
  .scroll { overflow: visible; } pre { white-space: pre-wrap; } }
"""
_SAFETY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"


def report_html(markdown: str, folder: Path) -> str:
    """The page.

    Args:
        markdown: text of report.md. HTML in it is shown, not obeyed.
        folder: that its pictures are relative to. A PNG or JPEG file within is embedded; of any other picture, and of
            one on the web, the caption is shown instead.
    """
    parser = MarkdownIt("commonmark", {"html": False}).enable("table")
    tokens = parser.parse(markdown)

    def image(_: Any, inline: Sequence[Token], place: int, *__: Any) -> str:
        token = inline[place]
        data = _embedded(str(token.attrGet("src") or ""), folder)
        text = html.escape(token.content)
        return f"<em>{text}</em>" if data is None else f'<img src="{data}" alt="{text}">'

    parser.add_render_rule("image", image)
    # Focusable, so that a table can be scrolled with the keyboard.
    parser.add_render_rule("table_open", lambda *_: '<div class="scroll" tabindex="0"><table>\n')
    parser.add_render_rule("table_close", lambda *_: "</table></div>\n")
    body = parser.renderer.render(tokens, parser.options, {})
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{_SAFETY}">\n'
        f"<title>{html.escape(_title(tokens))}</title>\n<style>{_STYLE}</style>\n</head>\n"
        f"<body>\n<main>\n{body}</main>\n</body>\n</html>\n"
    )


def _title(tokens: Sequence[Token]) -> str:
    """Text of the first heading."""
    headings = (tokens[place + 1].content for place, token in enumerate(tokens) if token.type == "heading_open")
    return next(headings, "Report")


def _embedded(source: str, folder: Path) -> str | None:
    """A picture as a data URI; None if it is no picture file within the folder."""
    path = (folder / source).resolve()
    kind = _TYPES.get(path.suffix.lower())
    if kind is None or not path.is_relative_to(folder.resolve()) or not path.is_file():
        return None
    return f"data:{kind};base64,{base64.b64encode(path.read_bytes()).decode()}"
