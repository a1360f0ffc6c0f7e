"""Whether a Ray cluster answers at an address, asked before anything else is done. Importing this is quick."""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Sequence
from typing import Any

from search_space.boundary.text import command_line, one_line, shown

ANSWER_SECONDS = 3.0
"""In which a cluster answers, if there is one."""
NODE_SECONDS = 8.0
"""In which a node of this machine is found: its processes are looked for, which takes long on a busy one."""
HERE = "local"
"""An address that stands for a Ray of this machine alone, as none does: it takes back that of a resumed run."""
_DASHBOARD_PORT = 8265


def check_address(address: str | None, command: Sequence[str] = ()) -> None:
    """Check that a program of this machine can join the cluster at an address, within seconds.

    A token that this machine has is used from now on, where the cluster asks for one.

    Args:
        address: as `--address` takes it; None and `local` are no cluster's.
        command: program and arguments of the command that is to join it.

    Raises:
        ValueError: if no cluster answers, or if it cannot be joined from here, with what to do instead.
    """
    if address in (None, HERE):
        return
    place = _place(str(address))
    if "://" in place:
        raise ValueError(_of_a_client(str(address), place, command))
    if place == "auto":
        place = _found_here(str(address))
    host, port = _host_and_port(str(address), place)
    _check_answer(str(address), host, port)
    _check_node(str(address), f"{host}:{port}")


def _place(address: str) -> str:
    """An address, or that of the environment which stands for `auto`, as Ray reads it."""
    return os.environ.get("RAY_ADDRESS") or address if address == "auto" else address


def _of_a_client(address: str, place: str, command: Sequence[str]) -> str:
    where = "" if address == place else f" from RAY_ADDRESS: {shown(place)}"
    rule = f"`--address` must be `auto` or `host:port`, but got {shown(address)}{where}"
    scheme, _, rest = place.partition("://")
    if scheme.lower() not in ("ray", "http", "https"):
        return f"{rule}: give the address that `ray start` printed."
    host, why = rest.partition("/")[0].rpartition("@")[2], "that is its dashboard's"
    if scheme.lower() == "ray":
        host = f"{host.rpartition(':')[0] if ':' in host else host}:{_DASHBOARD_PORT}"
        why = "Ray Client does not pass on results as they come"
    submit = ["ray", "job", "submit", "--address", f"http://{one_line(host)}", "--working-dir", ".", "--"]
    return (
        f"{rule}: {why}, so run the command on the cluster, in a copy of this folder and with all other paths as they "
        f"are there: {command_line([*submit, *_joining_from_within(command)])}"
    )


def _joining_from_within(command: Sequence[str]) -> list[str]:
    """A command as a job of the cluster has it."""
    words, kept = list(command) or ["python", "PROGRAM"], []
    while words:
        word = words.pop(0)
        if word == "--address":
            del words[:1]
        elif not word.startswith("--address="):
            kept.append(word)
    return [*kept, "--address", "auto"]


def _found_here(address: str) -> str:
    from ray._private import services

    try:
        return str(services.get_ray_address_from_environment(address, None))
    except (ConnectionError, OSError):
        raise ValueError(
            "`--address auto` must find a Ray cluster that this machine is a node of, but found none: begin one with "
            "`ray start --head`, join one with `ray start --address=HOST:6379`, or omit --address."
        ) from None


def _host_and_port(address: str, place: str) -> tuple[str, int]:
    host, _, port = place.rpartition(":")
    if not host or not (port.isascii() and port.isdigit() and 0 < int(port[:6]) < 2**16):
        raise ValueError(
            f"`--address` must be `auto` or `host:port`, but got {shown(address)}: give the address that `ray start` "
            "printed, with its port (6379 by default)."
        )
    return host, int(port)


def _check_answer(address: str, host: str, port: int) -> None:
    """Ask whether it is alive, at first without a token."""
    absent = (
        f"`--address` must be that of a running Ray cluster, but at {shown(address)} none answers"
        f"{'' if address == f'{host}:{port}' else f' ({one_line(host)}:{port})'}"
    )
    remedy = "look at `ray status` there, or give `--address local` for this machine alone"
    try:
        socket.create_connection((host.strip("[]"), port), timeout=ANSWER_SECONDS).close()
    except (OSError, UnicodeError) as error:
        raise ValueError(f"{absent}: {one_line(getattr(error, 'strerror', None) or error)}; {remedy}.") from None
    import grpc
    import ray

    try:
        version = _version_at(host, port)
    except grpc.RpcError as error:
        if error.code() is grpc.StatusCode.UNAUTHENTICATED:
            raise ValueError(
                f"A token must go with `--address {one_line(address)}`, but this machine has none, or another one: "
                "run `ray get-auth-token` on the head node, and here `export RAY_AUTH_MODE=token RAY_AUTH_TOKEN=...`."
            ) from None
        other = (grpc.StatusCode.UNIMPLEMENTED, grpc.StatusCode.UNAVAILABLE)
        reason = "something else listens there" if error.code() in other else one_line(error.details())
        raise ValueError(f"{absent}: {reason}; give the address that `ray start` printed, or {remedy}.") from None
    if version and version != ray.__version__:
        raise ValueError(
            f"Ray must be of one version on all machines, but the cluster at {shown(address)} has {one_line(version)} "
            f"and this machine {ray.__version__}: run `pip install 'ray[default]=={one_line(version)}'` here."
        )


def _version_at(host: str, port: int) -> str:
    """Ray's version there; with the token of this machine where one is asked for."""
    import grpc
    from ray._private.authentication import authentication_token_setup

    try:
        return _alive(f"{host}:{port}")
    except grpc.RpcError as error:
        if error.code() is not grpc.StatusCode.UNAUTHENTICATED:
            raise
        # Ray itself uses one only for `auto`, and then warns that it does.
        logging.getLogger(authentication_token_setup.__name__).setLevel(logging.ERROR)
        if not authentication_token_setup.maybe_enable_token_auth_if_token_available(warn_if_disabled=False):
            raise
    return _alive(f"{host}:{port}")


def _alive(place: str) -> str:
    from ray._private.grpc_utils import init_grpc_channel
    from ray.core.generated import gcs_service_pb2, gcs_service_pb2_grpc

    # Not by a proxy for the web, which answers for hosts that are not there.
    channel: Any = init_grpc_channel(place, [("grpc.enable_http_proxy", 0)])
    try:
        stub = gcs_service_pb2_grpc.NodeInfoGcsServiceStub(channel)
        return str(stub.CheckAlive(gcs_service_pb2.CheckAliveRequest(), timeout=ANSWER_SECONDS).ray_version)
    finally:
        channel.close()


def _check_node(address: str, place: str) -> None:
    """A program joins a cluster through the node that its machine is."""
    import ray
    from ray._private import services

    try:
        services.get_node_to_connect_for_driver(ray._raylet.GcsClient(address=place), timeout_seconds=NODE_SECONDS)
    except (RuntimeError, ConnectionError, OSError):
        raise ValueError(
            f"This machine must be a node of the cluster at {shown(address)}, but is none: run "
            f"`ray start --address={one_line(place)}` here first, or send the command there by `ray job submit`."
        ) from None
