"""Listening: where, and what is printed then."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Callable

import uvicorn

from moo.page.app import page_app
from moo.page.settings import PageSettings

HOST = "127.0.0.1"
"""Of this machine alone: others come through `ssh -L`."""


def listening(port: int) -> socket.socket:
    """A socket that listens on this machine alone.

    Args:
        port: 0 for any that is free.

    Raises:
        ValueError: if the port is taken.
    """
    found = socket.socket()
    found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        found.bind((HOST, port))
        # From now on who asks waits for an answer, though it takes a moment until the server gives one.
        found.listen()
    except OSError as error:
        found.close()
        raise ValueError(f"`--port` must be free, but {port} is not ({error.strerror}): choose another.") from None
    return found


def address_of(found: socket.socket, settings: PageSettings) -> str:
    """What to open in a browser."""
    return f"http://{HOST}:{found.getsockname()[1]}/?token={settings.token}"


def is_worth_telling(record: logging.LogRecord) -> bool:
    """Whether it is more than that an answer was cut off, as whoever ends the server wants its end, not the answer."""
    error = record.exc_info[1] if record.exc_info else None
    return not (isinstance(error, asyncio.CancelledError) or str(record.msg).startswith("Cancel "))


def page_server(settings: PageSettings) -> uvicorn.Server:
    """A server whose `run(sockets=[...])` serves until it is told to end."""
    app = page_app(settings)
    options = uvicorn.Config(
        app, log_level="warning", access_log=False, server_header=False, timeout_graceful_shutdown=2,
        lifespan="off", ws="none", loop="asyncio", http="h11",
    )  # fmt: skip
    logging.getLogger("uvicorn.error").addFilter(is_worth_telling)
    server = uvicorn.Server(options)
    # Streams end by themselves then, as they would otherwise never.
    app.state.is_ending = lambda: server.should_exit
    return server


def serve(settings: PageSettings, *, port: int, say: Callable[[str], None]) -> None:
    """Serve until interrupted.

    Args:
        settings: of the page.
        port: to listen on.
        say: is given the address as soon as it answers.

    Raises:
        ValueError: if the port is taken.
    """
    found = listening(port)
    say(address_of(found, settings))
    page_server(settings).run(sockets=[found])
