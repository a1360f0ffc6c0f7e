"""The page from another machine, through a real `ssh -L` to another port, as docs/page.md says."""

from __future__ import annotations

import http.client
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import expect

from moo.page.settings import PageSettings
from scripts.interface.search_program import search_program
from tests.devices.conftest import SSHD, LoopbackBoard
from tests.moo.page.conftest import Opened, Served, serving
from tests.moo.page.searches.conftest import until

SSH = shutil.which("ssh")


@contextmanager
def tunnel(machine: LoopbackBoard, port: int) -> Iterator[int]:
    """`ssh -L` to a port of a machine; gives the port on this side."""
    assert SSH is not None
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        near = probe.getsockname()[1]
    options = ["BatchMode=yes", "IdentitiesOnly=yes", "ExitOnForwardFailure=yes"]
    options += [f"UserKnownHostsFile={machine.known_hosts}", f"IdentityFile={machine.key}"]
    command = [SSH, "-N", "-F", "none", "-p", str(machine.port), "-L", f"{near}:127.0.0.1:{port}"]
    for option in options:
        command += ["-o", option]
    with subprocess.Popen([*command, f"{machine.user}@127.0.0.1"]) as child:
        try:
            until(lambda: child.poll() is not None or _listens(near))
            assert child.poll() is None
            yield near
        finally:
            child.kill()


def _listens(port: int) -> bool:
    with closing(socket.socket()) as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[LoopbackBoard]:
    """Another machine, as SSH sees it."""
    if SSHD is None or SSH is None:
        pytest.skip("needs sshd and ssh: `apt-get install openssh-server openssh-client`")
    machine = LoopbackBoard(tmp_path)
    try:
        yield machine
    finally:
        machine.stop()


@pytest.mark.slow
def test_the_page_works_through_ssh_at_another_port(opened: Opened, machine: LoopbackBoard, tmp_path: Path) -> None:
    (tmp_path / "runs").mkdir()
    settings = PageSettings(runs=tmp_path / "runs", program=search_program())
    with serving(settings) as served, tunnel(machine, int(served.origin.rpartition(":")[2])) as port:
        window = opened(Served(settings, f"http://127.0.0.1:{port}/?token={settings.token}"))
        expect(window.page.get_by_text("There is no run yet.")).to_be_visible()
        page = window.go("/new")
        # The form is checked by what the page posts to where it came from.
        page.get_by_label("--population").fill("5")
        expect(page.get_by_label("command line")).to_contain_text("--population 5")
        window.assert_quiet()

        (cookie,) = window.page.context.cookies()
        given = {"cookie": f"{cookie.get('name')}={cookie.get('value')}", "content-type": "application/json"}
        own, other = f"http://127.0.0.1:{port}", served.origin

        def posted(host: str, origin: str) -> int:
            with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=20)) as connection:
                headers = given | {"host": host, "origin": origin}
                connection.request("POST", "/api/searches/check", body=b'{"settings": {}}', headers=headers)
                return connection.getresponse().status

        assert posted(f"127.0.0.1:{port}", own) == 200
        assert posted(f"localhost:{port}", f"http://localhost:{port}") == 200
        # Another site, another port of this machine, and a name that somebody else lets point to it.
        assert posted(f"127.0.0.1:{port}", "http://evil.example") == 403
        assert posted(f"127.0.0.1:{port}", other) == 403
        assert posted(f"evil.example:{port}", f"http://evil.example:{port}") == 400
