"""The server's end."""

from __future__ import annotations

import asyncio
import http.client
import logging
import threading
from contextlib import suppress
from pathlib import Path

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from moo.page import server as servers
from moo.page.server import HOST, is_worth_telling, listening, page_server
from moo.page.settings import PageSettings


def test_an_answer_that_is_cut_off_by_the_end_is_no_error(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    asked = threading.Event()

    async def answer(request: Request) -> Response:
        asked.set()
        await asyncio.sleep(600)
        return Response()

    monkeypatch.setattr(servers, "page_app", lambda _: Starlette(routes=[Route("/", answer)]))
    found = listening(0)
    server = page_server(PageSettings(runs=tmp_path))
    server.config.timeout_graceful_shutdown = 0
    thread = threading.Thread(target=server.run, kwargs={"sockets": [found]}, daemon=True)
    thread.start()

    def ask() -> None:
        connection = http.client.HTTPConnection(HOST, found.getsockname()[1])
        with suppress(OSError, http.client.HTTPException):
            connection.request("GET", "/")
            connection.getresponse()

    asking = threading.Thread(target=ask, daemon=True)
    asking.start()
    assert asked.wait(20)
    server.should_exit = True
    thread.join(20)
    asking.join(20)
    assert not thread.is_alive()
    assert not capfd.readouterr().err


def test_other_errors_are_told() -> None:
    error = ValueError("wrong")
    assert is_worth_telling(
        logging.makeLogRecord({"msg": "Exception in ASGI application", "exc_info": (ValueError, error, None)})
    )
    assert is_worth_telling(logging.makeLogRecord({"msg": "Invalid HTTP request received."}))
