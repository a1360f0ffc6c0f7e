"""explore.html: the Front page as one file, which needs neither a server nor a network. Start with `write_explore`."""

from __future__ import annotations

import base64
import hashlib
import html
import json
import logging
from collections.abc import Mapping
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from moo.storage.run_folder import RunFolder
from search_space.boundary.text import one_line
from search_space.boundary.writing import write_atomically

STATIC = Path(__file__).parents[1] / "page" / "static"
"""The modules of the page: those of the Front page make this one, too."""
MODULES = ("chart.js", "choosing.js", "dom.js", "front.js", "numbers.js", "panes.js")
START = 'import { explore } from "page/front.js";\nexplore();\n'
_LOGGER = logging.getLogger(__name__)
_DOCUMENT = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{title}</title>
<link rel="icon" href="data:,">
<style>{style}</style>
<script type="importmap">{imports}</script>
</head>
<body>
<a class="skip" href="#content">Skip to content</a>
<header id="top"></header>
<main id="content" tabindex="-1"><p class="soft">Loading …</p></main>
<noscript><p>This page needs JavaScript.</p></noscript>
<script id="data" type="application/json">{data}</script>
<script>{plotly}</script>
<script type="module">{start}</script>
</body>
</html>
"""


def write_explore(folder: RunFolder, content: Mapping[str, Any]) -> None:
    """Write explore.html of a run; a search does not end where that cannot be done.

    Args:
        folder: of the run.
        content: what `moo.report.explored.explored` gave.
    """
    try:
        write_atomically(folder.explore, explore_html(content))
    except OSError as error:
        _LOGGER.warning("explore.html could not be written: %s", one_line(error))


def explore_html(content: Mapping[str, Any]) -> bytes:
    """The page: a few MB, nearly all of which is plotly.

    Args:
        content: what `moo.report.explored.explored` gave.
    """
    text = json.dumps(content, separators=(",", ":"), ensure_ascii=False)
    imports, plotly = _import_map(), _plotly()
    sources = " ".join(_source(script) for script in (imports, plotly, START))
    policy = (
        f"default-src 'none'; script-src {sources} data:; style-src 'unsafe-inline'; img-src data: blob:; "
        "base-uri 'none'; form-action 'none'"
    )
    return _DOCUMENT.format(
        policy=policy,
        title=html.escape(f"Front · {content.get('run', '')}"),
        style=_style(),
        imports=imports,
        # Within a script only `<` can end it.
        data=text.replace("<", "\\u003c"),
        plotly=plotly,
        start=START,
    ).encode()


@cache
def _import_map() -> str:
    """Modules as addresses that hold their text; plotly is there already when one asks for it."""
    places = {f"page/{name}": _as_address((STATIC / name).read_bytes()) for name in MODULES}
    return json.dumps({"imports": places | {"page/plotly.js": _as_address(b"export {};")}})


@cache
def _style() -> str:
    return (STATIC / "page.css").read_text()


@cache
def _plotly() -> str:
    """As the package holds it, which is not imported: that would take longer than writing the page."""
    spec = find_spec("plotly")
    assert spec is not None, "the project depends on plotly"
    assert spec.origin is not None, "plotly is a package of files"
    text = (Path(spec.origin).parent / "package_data" / "plotly.min.js").read_text()
    # What would end the script, or begin a comment in it, may stand in its texts.
    return text.replace("</script", "<\\/script").replace("<!--", "<\\!--")


def _as_address(script: bytes) -> str:
    return f"data:text/javascript;base64,{base64.b64encode(script).decode()}"


@cache
def _source(script: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}'"
