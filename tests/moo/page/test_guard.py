from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.applications import Starlette
from starlette.routing import Route
from starlette.testclient import TestClient

from moo.page.app import page_app
from moo.page.settings import PageSettings
from tests.moo.page.conftest import client_of


def addresses(app: Starlette) -> Iterator[tuple[str, str]]:
    """All of an application, from its own routes: method and path."""
    for route in app.routes:
        assert isinstance(route, Route)
        path = route.path
        for name in route.param_convertors:
            path = path.replace(f"{{{name}:path}}", "some/run").replace(f"{{{name}}}", "1")
        for method in route.methods or ():
            yield method, path


def test_no_route_answers_without_the_token(tmp_path: Path) -> None:
    settings = PageSettings(runs=tmp_path)
    client, found = client_of(settings, let_in=False), list(addresses(page_app(settings)))
    assert len(found) > 4
    for method, path in [*found, ("GET", "/nothing")]:
        assert client.request(method, path).status_code == 403, (method, path)
        assert client.request(method, path, headers={"cookie": "pareto_page=1"}).status_code == 403, (method, path)
    assert client.get("/", params={"token": "wrong"}).status_code == 403


def test_the_token_is_changed_for_a_cookie_and_stays_in_no_address(tmp_path: Path) -> None:
    settings = PageSettings(runs=tmp_path)
    client = client_of(settings, let_in=False)
    answer = client.get("/new", params={"token": settings.token, "a": "b"}, follow_redirects=False)
    assert (answer.status_code, answer.headers["location"]) == (303, "/new?a=b")
    cookie = answer.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=strict" in cookie
    assert settings.token not in cookie
    assert client.get("/new").status_code == 200
    answer = client.get(f"http://127.0.0.1:8500//elsewhere/x?token={settings.token}", follow_redirects=False)
    assert answer.headers["location"] == "/elsewhere/x"


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example:8500", "", "[::2]:8500"])
def test_other_hosts_are_refused(client: TestClient, host: str) -> None:
    assert client.get("/", headers={"host": host}).status_code == 400


@pytest.mark.parametrize("host", ["localhost:9000", "127.0.0.1", "LOCALHOST"])
def test_through_a_tunnel_the_port_may_be_another(client: TestClient, host: str) -> None:
    # The client of these tests sends cookies to one host alone.
    cookies = "; ".join(f"{name}={value}" for name, value in client.cookies.items())
    assert client.get("/", headers={"host": host, "cookie": cookies}).status_code == 200


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"origin": "http://evil.example"}, 403),
        ({}, 403),
        ({"origin": "null"}, 403),
        ({"origin": "http://127.0.0.1:8500", "content-type": "text/plain"}, 415),
        ({"origin": "http://127.0.0.1:8500", "content-type": "application/json", "content-length": "99999999"}, 413),
    ],
)
def test_only_the_page_itself_may_send(client: TestClient, headers: dict[str, str], status: int) -> None:
    assert client.post("/api/runs", content=b"{}", headers=headers).status_code == status


def test_browsers_load_nothing_from_elsewhere(client: TestClient) -> None:
    policy = client.get("/").headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; script-src 'self' 'sha256-")
    assert "http" not in policy
    assert "'unsafe-eval'" not in policy
