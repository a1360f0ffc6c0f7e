"""JSON that is sent to the page, and one line for what cannot be answered."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from search_space.boundary.reading import parse_json
from search_space.boundary.text import one_line

Handler = Callable[[Request], Awaitable[Response]]


class NotThereError(LookupError):
    """What is asked for is not there; its text says so in one line."""


def as_json(content: Any, *, status: int = 200) -> Response:
    """An answer; numbers that are none become null, as JSON has no other way."""
    return Response(
        json.dumps(_finite(content), ensure_ascii=False, separators=(",", ":"), allow_nan=False),
        status_code=status,
        media_type="application/json",
    )


def answering(work: Callable[[Request], Any]) -> Handler:
    """A handler that does work which reads files beside the server's loop, and sends what it gives as JSON.

    What is not there gives 404, what is damaged or not allowed 422, each with one line as `error`.
    """

    async def handler(request: Request) -> Response:
        try:
            return as_json(await run_in_threadpool(work, request))
        except NotThereError as error:
            return as_json({"error": one_line(error.args[0])}, status=404)
        except ValueError as error:
            return as_json({"error": one_line(error)}, status=422)

    return handler


def taking(work: Callable[[Request, Any], Any]) -> Handler:
    """The same for work on what was sent as JSON, which is given plain values."""

    async def handler(request: Request) -> Response:
        body = await request.body()
        return await answering(lambda request: work(request, parse_json(body)))(request)

    return handler


def _finite(content: Any) -> Any:
    if isinstance(content, float):
        return content if content - content == 0 else None
    if isinstance(content, dict):
        return {str(name): _finite(value) for name, value in content.items()}
    if isinstance(content, list | tuple):
        return [_finite(value) for value in content]
    return content
