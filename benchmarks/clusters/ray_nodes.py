"""Nodes of a Ray cluster on this machine, as `ray start` makes them, each with the Python that it is started by."""

from __future__ import annotations

import os
import secrets
import signal
import socket
import subprocess
import sysconfig
import time
import venv
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import moo

START_SECONDS = 120.0
STOP_SECONDS = 30.0
STORE_BYTES = 200_000_000
"""Of memory that the processes of a node share."""
_LONG = ("RAY_raylet_start_wait_time_s", "RAY_worker_register_timeout_seconds")
"""Waits of Ray that are short for a machine with two cores."""


def python_without_project(folder: Path) -> Path:
    """A virtual environment that has what this Python has installed, but not the project; returns its Python.

    Raises:
        ValueError: if it has the project all the same.
    """
    venv.create(folder, symlinks=True)
    installed = sysconfig.get_paths(vars={"base": str(folder), "platbase": str(folder)})["purelib"]
    # Only the folder: what a project that is installed in place adds to the path is in files that are not read there.
    (Path(installed) / "packages.pth").write_text(f"{sysconfig.get_paths()['purelib']}\n")
    python = folder / "bin" / "python"
    found = subprocess.run([python, "-c", "import ray, torch, moo"], cwd=folder, env=_environment({}), check=False,
                           capture_output=True, text=True)  # fmt: skip
    if f"No module named '{moo.__name__}'" not in found.stderr:
        raise ValueError(
            "The project must be installed in place, so that a Python without it can be made, but a second Python "
            f"says {found.stderr.strip().splitlines()[-1:] or 'nothing'}: run `pip install -e .`."
        )
    return python


@contextmanager
def cluster(pythons: Mapping[str, Path], folder: Path) -> Iterator[tuple[str, dict[str, str]]]:
    """A cluster with a node of one core for each Python, the first of them its head; it ends with the context.

    Args:
        pythons: by the name of their node.
        folder: for what the nodes print.

    Yields:
        Its address, and the variables of the environment with which a program joins it.

    Raises:
        RuntimeError: if a node does not come up.
    """
    variables = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}
    port = _free_port()
    started: list[subprocess.Popen[bytes]] = []
    try:
        for name, python in pythons.items():
            own = ["--address", f"127.0.0.1:{port}"]
            if not started:
                own = ["--head", "--port", str(port), "--ray-client-server-port", str(_free_port())]
                own += ["--include-dashboard", "false"]
            started.append(_start(python, own, variables, folder / f"{name}.log"))
        yield f"127.0.0.1:{port}", variables
    finally:
        for node in reversed(started):
            _stop(node)


def _start(python: Path, options: list[str], variables: Mapping[str, str], printed: Path) -> subprocess.Popen[bytes]:
    command = [str(python), "-c", "from ray.scripts.scripts import main; main()", "start", *options]
    command += ["--num-cpus", "1", "--object-store-memory", str(STORE_BYTES), "--disable-usage-stats", "--block"]
    with printed.open("wb") as file:
        node = subprocess.Popen(
            command, cwd=printed.parent, env=_environment(variables), stdin=subprocess.DEVNULL, stdout=file,
            stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip
    deadline = time.monotonic() + START_SECONDS
    while b"Ray runtime started" not in printed.read_bytes():
        if node.poll() is not None or time.monotonic() > deadline:
            _stop(node)
            raise RuntimeError(f"A Ray node did not come up; {printed} has what it printed.")
        time.sleep(0.2)
    return node


def _stop(node: subprocess.Popen[bytes]) -> None:
    """End a node and all its processes."""
    if node.poll() is None:
        node.send_signal(signal.SIGTERM)
        try:
            node.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            os.killpg(node.pid, signal.SIGKILL)
            node.wait()


def _environment(variables: Mapping[str, str]) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "RAY_"))}
    return kept | dict.fromkeys(_LONG, "120") | dict(variables)


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])
