from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from moo.execution.cluster_address import check_address

COMMAND = ["python", "scripts/pareto_search.py", "--dataset", "a b", "--address=x", "--address", "x", "--workers", "2"]


@pytest.fixture
def silent_port() -> Iterator[int]:
    """One that takes connections and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


@pytest.fixture(autouse=True)
def no_address(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setattr("moo.execution.cluster_address.ANSWER_SECONDS", 0.3)


@pytest.mark.parametrize("address", ["ray://head:10001", "RAY://me@head", "ray://head", "http://head:8265/", "auto"])
def test_what_ray_client_cannot_do_is_refused_with_the_command_that_does_it(
    address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if address == "auto":
        monkeypatch.setenv("RAY_ADDRESS", "ray://head:10001")
    with pytest.raises(ValueError) as refused:
        check_address(address, COMMAND)
    assert str(refused.value).endswith(
        ": ray job submit --address http://head:8265 --working-dir . -- python scripts/pareto_search.py "
        "--dataset 'a b' --workers 2 --address auto"
    )


@pytest.mark.parametrize("address", [None, "local"])
def test_this_machine_alone_is_always_there(address: str | None) -> None:
    check_address(address)


@pytest.mark.parametrize("address", ["", " ", "head", "head:", ":6379", "head:0", "head:65536", "head:\u0663", "x://y"])
def test_an_address_that_is_none_is_refused(address: str) -> None:
    with pytest.raises(ValueError, match=r"^`--address` must be `auto` or `host:port`, but got .*`ray start` printed"):
        check_address(address)


@pytest.mark.parametrize(
    ("place", "reason"),
    [
        ("127.0.0.1:1", "Connection refused"),
        ("[::1]:1", "(Connection refused|Cannot assign|Address family|unreachable)"),
        ("no.such.host.invalid:6379", ""),
        ("\x1b[31m\n:6379", ""),
        ("127.0.0.1:{silent}", "(Deadline Exceeded|something else listens there)"),
    ],
)
def test_a_cluster_that_does_not_answer_is_told_at_once_in_one_line(place: str, reason: str, silent_port: int) -> None:
    with pytest.raises(ValueError, match=rf"^`--address` must be that of a running Ray .*{reason}.* `--address local`"):
        check_address(place.format(silent=silent_port))


def test_a_cluster_that_left_its_address_behind_is_named_with_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:1")
    with pytest.raises(ValueError, match=r"at 'auto' none answers \(127\.0\.0\.1:1\): Connection refused"):
        check_address("auto")
