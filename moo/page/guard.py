"""Who may ask, and what browsers may load: token, host, origin, size of requests, and headers of answers.

The token of the printed address is changed for a cookie that no script can read and no other site can send. That keeps
out other users of the machine, other machines, and other sites that are open in the same browser.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Sequence
from urllib.parse import parse_qsl, urlencode

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import cookie_parser
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from moo.page.settings import PageSettings

MOST_BODY_BYTES = 65536
"""Of a request: forms are small."""
_COOKIE = "pareto_page"
_TOKEN = "token"
_READING = ("GET", "HEAD")
_DENIED = "Open the address that pareto_page.py printed: it has the token that lets you in.\n"


class Guard:
    """Passes on what may be asked, and adds headers to answers; an ASGI application around another."""

    def __init__(self, app: ASGIApp, *, settings: PageSettings, scripts: Sequence[str] = ()) -> None:
        """Guard an application.

        Args:
            app: what it guards.
            settings: with the token.
            scripts: those within pages, as sources of a content security policy: `'sha256-...'`.
        """
        self._app = app
        self._hosts = {host.lower() for host in settings.hosts}
        self._token = settings.token
        # A name of its own for each server: cookies are the same for all ports of a host.
        digest = hashlib.sha256(settings.token.encode()).hexdigest()
        self.cookie_name = f"{_COOKIE}_{digest[:8]}"
        self.cookie = hmac.new(settings.token.encode(), b"cookie", "sha256").hexdigest()
        sources = " ".join(("'self'", *scripts))
        self._headers = {
            "content-security-policy": (
                f"default-src 'none'; script-src {sources}; "
                "style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; connect-src 'self'; font-src 'self'; "
                "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
            ),
            "x-content-type-options": "nosniff",
            "referrer-policy": "no-referrer",
            "cross-origin-opener-policy": "same-origin",
            "cross-origin-resource-policy": "same-origin",
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or have the application do so."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":
            return

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in self._headers.items():
                    headers.setdefault(name, value)
                headers.setdefault("cache-control", "no-store")
            await send(message)

        refusal = self._refusal(scope)
        await (refusal or self._app)(scope, receive, with_headers)

    def _refusal(self, scope: Scope) -> Response | None:
        """The answer to what may not be asked as it is; None to what may."""
        headers = Headers(scope=scope)
        host = headers.get("host", "")
        if _name_of(host) not in self._hosts:
            return PlainTextResponse("Unknown host: open the page by the address that was printed.\n", status_code=400)
        asked = parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True)
        if scope["method"] in _READING and any(name == _TOKEN for name, _ in asked):
            return self._let_in(scope["path"], asked)
        # Starlette reads cookies as browsers send them.
        cookies = cookie_parser(headers.get("cookie", ""))
        if not _same(cookies.get(self.cookie_name, ""), self.cookie):
            return PlainTextResponse(_DENIED, status_code=403)
        if scope["method"] in _READING:
            return None
        if headers.get("origin", "").partition("://")[2].lower() != host.lower():
            return PlainTextResponse("Only the page itself may send this.\n", status_code=403)
        if headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
            return PlainTextResponse("JSON must be sent.\n", status_code=415)
        length = headers.get("content-length", "")
        if not (length.isascii() and length.isdigit() and len(length) < 10 and int(length) <= MOST_BODY_BYTES):
            return PlainTextResponse(f"At most {MOST_BODY_BYTES} bytes may be sent.\n", status_code=413)
        return None

    def _let_in(self, path: str, asked: Sequence[tuple[str, str]]) -> Response:
        """Change the right token for a cookie, at the same address without it."""
        given = next(value for name, value in asked if name == _TOKEN)
        if not _same(given, self._token):
            return PlainTextResponse(_DENIED, status_code=403)
        rest = urlencode([(name, value) for name, value in asked if name != _TOKEN])
        # Only ever this server: `//host` is another one's address.
        place = "/" + path.lstrip("/\\") + (f"?{rest}" if rest else "")
        answer = RedirectResponse(place, status_code=303)
        answer.set_cookie(self.cookie_name, self.cookie, httponly=True, samesite="strict", path="/")
        return answer


def _name_of(host: str) -> str:
    """Of a host header, the name without its port."""
    if host.startswith("["):
        return host.partition("]")[0].lower() + "]"
    return host.partition(":")[0].lower()


def _same(given: str, wanted: str) -> bool:
    return hmac.compare_digest(given.encode("utf-8", "replace"), wanted.encode())
