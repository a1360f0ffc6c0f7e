"""What is asked of searches, by address."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from moo.page.answers import NotThereError, answering, as_json, taking
from moo.page.folders import Runs
from moo.page.searches.estimate import estimate
from moo.page.searches.form import form_json, read_form
from moo.page.searches.starting import Launches
from moo.page.searches.states import tail_of
from moo.page.searches.stream import Tail, event_stream
from moo.page.settings import PageSettings
from moo.storage.run_folder import RunFolder
from search_space.boundary.text import one_line

RUN_LOG = "run.log"
MOST_LOG_BYTES = 2**15
MOST_LINES = 200
MOST_REPORT_BYTES = 2**26
_REPORT_POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; img-src data:; sandbox allow-popups; frame-ancestors 'none'"
)
"""Of a report, which may have come from elsewhere with its run: it runs nothing, and asks for nothing."""


def routes(settings: PageSettings) -> list[Route]:
    """Of the form, of starting, going on with and stopping searches, and of what happens in them."""
    launches, tails = Launches(settings), dict[str, Tail]()

    def checked(request: Request, content: Any) -> Any:
        form = read_form(content, settings)
        name, command = launches.command_of(form)
        return {"name": name, "command": command, "estimate": estimate(form.config, Runs(settings.runs))}

    def started(request: Request, content: Any) -> Any:
        return {"name": launches.start(read_form(content, settings))}

    def stopped(request: Request, content: Any) -> Any:
        launches.stop(_run_of(request))
        return {}

    def resumed(request: Request, content: Any) -> Any:
        launches.resume(_run_of(request))
        return {}

    def state(request: Request) -> Any:
        found = launches.state(_run_of(request))
        report = _report_of(launches.path_of(_run_of(request)))
        return {"state": found.state, "detail": found.detail, "report": report.is_file() and not report.is_symlink()}

    async def reported(request: Request) -> Response:
        try:
            path = _report_of(launches.path_of(_run_of(request)))
        except NotThereError as error:
            return as_json({"error": one_line(error.args[0])}, status=404)
        content = await run_in_threadpool(tail_of, path, MOST_REPORT_BYTES)
        if not content:
            return as_json({"error": "this run has no report yet"}, status=404)
        return Response(content, media_type="text/html", headers={"content-security-policy": _REPORT_POLICY})

    def log(request: Request) -> Any:
        name = _run_of(request)
        content = tail_of(launches.path_of(name) / RUN_LOG, MOST_LOG_BYTES).decode(errors="replace")
        return {"lines": _lines(content), "said": _lines(launches.log(name))}

    async def happening(request: Request) -> Response:
        name = _run_of(request)
        try:
            folder = launches.path_of(name)
        except NotThereError as error:
            return as_json({"error": one_line(error.args[0])}, status=404)
        tail = tails.get(name)
        if tail is None:
            is_ending = getattr(request.app.state, "is_ending", lambda: False)
            tail = tails[name] = Tail(folder, lambda: launches.state(name), is_ending)
        had = request.headers.get("last-event-id") or request.query_params.get("from", "")
        place = int(had) if had.isascii() and had.isdigit() and len(had) < 16 else 0

        async def frames() -> Any:
            tail.join()
            try:
                async for frame in event_stream(tail, place):
                    yield frame
            finally:
                if tail.leave():
                    tails.pop(name, None)

        return StreamingResponse(frames(), media_type="text/event-stream", headers={"x-accel-buffering": "no"})

    one = "/api/runs/{run:path}/-"
    return [
        Route("/api/form", answering(lambda request: form_json(settings, request.query_params.get("from", "")))),
        Route("/api/searches/check", taking(checked), methods=["POST"]),
        Route("/api/searches", taking(started), methods=["POST"]),
        Route(f"{one}/stop", taking(stopped), methods=["POST"]),
        Route(f"{one}/resume", taking(resumed), methods=["POST"]),
        Route(f"{one}/state", answering(state)),
        Route(f"{one}/report", reported),
        Route(f"{one}/log", answering(log)),
        Route(f"{one}/events", happening),
    ]


def _report_of(folder: Path) -> Path:
    return RunFolder(folder).report.with_suffix(".html")


def _run_of(request: Request) -> str:
    return str(request.path_params["run"])


def _lines(content: str) -> list[str]:
    return [one_line(line, most=2000) for line in content.splitlines()[-MOST_LINES:]]
