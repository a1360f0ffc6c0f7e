"""The files that make the page: modules of JavaScript, styles, plotly; and the one document that loads them.

Modules import each other by names, as in `page/dom.js`, which the document's import map has: so the very same files
make a page that a server sends and one that is a single file.
"""

from __future__ import annotations

import base64
import hashlib
import html
import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path

import plotly
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

STATIC = Path(__file__).parent / "static"
PLOTLY = Path(plotly.__file__).parent / "package_data" / "plotly.min.js"
_TYPES = {".js": "text/javascript; charset=utf-8", ".css": "text/css; charset=utf-8", ".svg": "image/svg+xml"}
_FOREVER = "private, max-age=31536000, immutable"
_DOCUMENT = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{title}</title>
<link rel="icon" href="{icon}">
<link rel="stylesheet" href="{style}">
<script type="importmap">{imports}</script>
{early}<script type="module" src="{start}"></script>
</head>
<body>
<a class="skip" href="#content">Skip to content</a>
<header id="top"></header>
<main id="content" tabindex="-1"><p class="soft">Loading …</p></main>
<noscript><p>This page needs JavaScript.</p></noscript>
</body>
</html>
"""


@cache
def files() -> Mapping[str, Path]:
    """Those that may be asked for, by name."""
    own = {path.name: path for path in sorted(STATIC.iterdir()) if path.suffix in _TYPES}
    return {**own, "plotly.js": PLOTLY}


def modules() -> dict[str, Path]:
    """Modules of JavaScript, by the name by which they import each other."""
    return {f"page/{name}": path for name, path in files().items() if path.suffix == ".js" and path.parent == STATIC}


@cache
def version() -> str:
    """Differs where any of the files does, so that browsers may keep them."""
    digest = hashlib.sha256()
    for name, path in files().items():
        digest.update(f"{name} {path.stat().st_mtime_ns} {path.stat().st_size} ".encode())
    return digest.hexdigest()[:12]


@cache
def import_map() -> str:
    """As JSON within the document."""
    places = {name: f"/static/{version()}/{path.name}" for name, path in modules().items()}
    return json.dumps({"imports": places | {"page/plotly.js": f"/static/{version()}/plotly.js"}})


def inline_script_source() -> str:
    """The import map as a source of a content security policy."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(import_map().encode()).digest()).decode()}'"


def document(title: str = "Pareto fronts", *, charts: bool = False) -> str:
    """The document of every page: which page it is, its address says.

    Args:
        title: until a page has its own.
        charts: whether that page begins with charts, so that plotly is asked for at once, beside all modules.
    """
    place = f"/static/{version()}"
    early = [path.name for path in modules().values()] + ["plotly.js"] * charts
    return _DOCUMENT.format(
        title=html.escape(title),
        icon=f"{place}/icon.svg",
        style=f"{place}/page.css",
        imports=import_map(),
        start=f"{place}/main.js",
        early="".join(f'<link rel="modulepreload" href="{place}/{name}">\n' for name in early),
    )


@cache
def _content(path: Path) -> bytes:
    """Of a file, which is sent in one piece: in many, plotly takes half a second."""
    return path.read_bytes()


async def _file(request: Request) -> Response:
    path = files().get(request.path_params["name"])
    if path is None:
        raise HTTPException(404)
    headers = {"cache-control": _FOREVER, "content-type": _TYPES.get(path.suffix, "application/octet-stream")}
    return Response(_content(path), headers=headers)


def routes() -> list[Route]:
    """Of all files."""
    return [Route("/static/{version}/{name}", _file)]
