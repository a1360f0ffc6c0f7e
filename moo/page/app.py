"""All routes of the page, guarded."""

from __future__ import annotations

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from moo.page import assets, board_view, coefficients_view, front_view, network_view, runs_view
from moo.page.guard import Guard
from moo.page.searches import routes as searches
from moo.page.settings import PageSettings

PAGES = ("/", "/new", "/runs/{run:path}")
"""Addresses of pages: one document, whose scripts show what the address says."""

CHARTS = ("", "front")
"""Pages of a run, as their addresses end, whose first sight is charts."""


async def _page(request: Request) -> Response:
    _, _, page = request.url.path.partition("/-/")
    return HTMLResponse(assets.document(charts="run" in request.path_params and page in CHARTS))


def page_app(settings: PageSettings) -> Starlette:
    """The application that a server runs."""
    routes = [
        *assets.routes(),
        *runs_view.routes(settings),
        *searches.routes(settings),
        *front_view.routes(settings),
        *network_view.routes(settings),
        *coefficients_view.routes(settings),
        *board_view.routes(settings),
        *(Route(path, _page) for path in PAGES),
    ]
    guard = Middleware(Guard, settings=settings, scripts=(assets.inline_script_source(),))
    return Starlette(routes=routes, middleware=[guard])
