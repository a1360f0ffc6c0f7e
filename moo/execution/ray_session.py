"""Ray started or joined once, and whether it is still there."""

from __future__ import annotations

import json
import logging
import os
import signal
import tempfile
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ray
import torch

from evaluation.accelerators import (
    APPLE,
    accelerator,
    allocator_environment,
    compute_deterministically,
    keep_to_share,
)
from moo.execution.cluster_address import HERE, check_address
from moo.execution.machinery import MachineryError
from moo.execution.nodes import Nodes, project_for_nodes
from moo.execution.ray_start import have_token, keep_token_private, own_ray_options
from search_space.boundary.machine import available_cpus
from search_space.boundary.text import one_line, reason_of

POLL_SECONDS = 0.2
RAY_ENVIRONMENT = {"RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0", "RAY_USAGE_STATS_ENABLED": "0"}
"""Workers without a GPU still see those of the machine; nothing is reported to Ray's makers."""
MOST_THREADS_BESIDE_A_GPU = 2
"""Of pre-training, which leaves the CPU little to compute there."""
VITAL = {"raylet": "raylet", "gcs_server": "GCS"}
"""Processes without which Ray is dead, as Ray calls them, and as its documentation does."""
_LOG = logging.getLogger(__name__)


class RayDiedError(MachineryError):
    """Ray itself died, or lost what was given to it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class RaySession:
    """A Ray that was started here, or joined."""

    is_own: bool
    """Whether it was started here, and ends with `close`."""
    is_joined: bool = False
    """Whether it is a cluster that was joined here, and is left with `close`."""
    dashboard_url: str | None = None
    """Address of its dashboard, if it has one and was started or joined here."""
    workers: int | None = None
    """Cores that it was started with at least, if it was started here."""
    run: Path | None = None
    """Folder of the run that it is for."""
    apple_gpu: bool = False
    """Whether it counts Apple's GPU, if it was started here."""

    def nodes(self) -> Nodes:
        """Its nodes that can do jobs: at least one."""
        nodes = Nodes(check_own=self.is_joined, check_others=not self.is_own)
        nodes.wait()
        return nodes

    @property
    def logs(self) -> Path:
        """Folder of the logs of Ray's processes on this machine."""
        node = ray._private.worker._global_node
        # A client of a cluster has no node here.
        return Path(tempfile.gettempdir() if node is None else node.get_logs_dir_path())

    @property
    def dead_part(self) -> str | None:
        """What of a Ray of this machine has died; None where it is well, or another machine's.

        Asked of the system, not of Ray: calls of a dead Ray hang for a minute, or end this process.
        """
        node = ray._private.worker._global_node
        dead = [] if node is None else [kind for kind, _ in node.dead_processes() if kind in VITAL]
        return VITAL[dead[0]] if dead else None

    def check(self) -> None:
        """Raise where Ray died.

        Raises:
            RayDiedError: naming what died.
        """
        if (part := self.dead_part) is not None:
            raise RayDiedError(f"Ray died (its {part}).")

    @contextmanager
    def checked(self) -> Iterator[None]:
        """Have what Ray raises because something died or was lost become `RayDiedError`; what jobs raise stays.

        Raises:
            RayDiedError: then, and where Ray is dead from the start.
        """
        self.check()
        try:
            yield
        except (ray.exceptions.RayError, ConnectionError) as error:
            self.check()
            if isinstance(error, ray.exceptions.RayTaskError) and not is_loss(error):
                raise
            raise RayDiedError(_death(error)) from None

    def anew(self) -> RaySession:
        """A Ray in the place of this one where it died; this one where it is well.

        Raises:
            MachineryError: if it was not started here, or cannot be started again.
        """
        part = self.dead_part
        if part is None:
            return self
        if not self.is_own:
            raise MachineryError(f"Ray died (its {part}), which was not started by this program: start it again.")
        dashboard = self.dashboard_url is not None
        try:
            self.close()
            session = join_ray(None, workers=self.workers, dashboard=dashboard, run=self.run, apple_gpu=self.apple_gpu)
        except Exception as error:
            raise MachineryError(f"Ray died (its {part}) and could not be started again ({error}).") from error
        _LOG.warning("Ray died (its %s) and was started again; nothing is lost.", part)
        return session

    def close(self) -> None:
        """End Ray if it was started here, leave it if it was joined here."""
        if self.is_own or self.is_joined:
            ray.shutdown()


def join_ray(
    address: str | None,
    *,
    workers: int | None,
    dashboard: bool,
    run: Path | None = None,
    apple_gpu: bool = False,
) -> RaySession:
    """Join the Ray that this process has already, else the cluster at an address, else start Ray on this machine.

    Args:
        address: of a cluster; None, or `local`, starts Ray on this machine.
        workers: jobs at the same time; a started Ray counts as many cores, if there are fewer.
        dashboard: whether a started Ray has its dashboard.
        run: folder of the run that it is for, which Ray's dashboard names.
        apple_gpu: whether a started Ray counts Apple's GPU where there is one, which Ray by itself does not.

    Raises:
        ValueError: if no cluster answers at that address.
        MachineryError: if none can be started.
    """
    if ray.is_initialized():
        return RaySession(is_own=False, run=run)
    if address == HERE:
        address = None
    check_address(address)
    computing = allocator_environment()
    gpus = None
    if apple_gpu and (found := accelerator(apple=True)) is not None and found.type == APPLE:
        # What it lacks is computed on the CPU.
        gpus, computing = 1, computing | {"PYTORCH_ENABLE_MPS_FALLBACK": "1"}
    for name, value in (RAY_ENVIRONMENT | computing).items():
        os.environ.setdefault(name, value)
    options: dict[str, Any] = {"address": address}
    if address is not None and not _is_job_with_project():
        options["runtime_env"] = project_for_nodes() | {"env_vars": computing}
    # Ray prints what its processes say of their deaths, pages of it, whatever `log_to_driver` is.
    ray._private.worker.print_to_stdstream = lambda data, *_, **__: _LOG.info("%s", data)
    try:
        if address is None:
            have_token()
            options = own_ray_options(workers=workers, dashboard=dashboard, gpus=gpus)
        if run is not None:
            options["job_config"] = ray.job_config.JobConfig(metadata={"run_folder": one_line(run)})
        with warnings.catch_warnings(), _own_answer_to_sigterm():
            warnings.simplefilter("ignore")
            context = ray.init(log_to_driver=False, logging_level=logging.ERROR, **options)
    except Exception as error:
        # Of what the system refuses to one of its processes, Ray raises anything.
        reason = reason_of(error, most=200)
        if address is None:
            raise MachineryError(
                f"Ray could not be started on this machine: {reason}. Look at `ulimit -a`, and at space and rights in "
                f"{tempfile.gettempdir()} and in {os.path.expanduser('~')}."
            ) from error
        raise ValueError(f"`--address` must be that of a running Ray cluster, but got {address!r}: {reason}") from None
    if address is None:
        keep_token_private()
    url = f"http://{context.dashboard_url}" if context.dashboard_url else None
    return RaySession(
        is_own=address is None,
        is_joined=address is not None,
        dashboard_url=url,
        workers=workers,
        run=run,
        apple_gpu=apple_gpu,
    )


def _is_job_with_project() -> bool:
    """Whether this is a job that was submitted with its working folder, which all its workers have."""
    with suppress(ValueError, AttributeError):
        submitted = json.loads(os.environ.get("RAY_JOB_CONFIG_JSON_ENV_VAR", ""))
        return bool(submitted.get("runtime_env", {}).get("working_dir"))
    return False


def is_loss(error: BaseException) -> bool:
    """Whether Ray lost what was given to it, the inputs of jobs say."""
    return isinstance(error, ray.exceptions.ObjectLostError | ray.exceptions.RaySystemError)


def _death(error: Exception) -> str:
    if is_loss(error):
        return f"Ray lost what was given to it ({type(error).__name__})."
    if isinstance(error, ray.exceptions.NodeDiedError):
        return "A machine of the Ray cluster died."
    if isinstance(error, ray.exceptions.WorkerCrashedError | ray.exceptions.OutOfMemoryError):
        return "A worker died: it was killed, as when memory runs out, or crashed."
    return f"Ray died ({type(error).__name__})."


def cores_of_node() -> int:
    """Cores that a worker may use where it has the node for itself: those that Ray counts there, if they are there."""
    own = ray.get_runtime_context().get_node_id()
    counted = next((node["Resources"].get("CPU", 0) for node in ray.nodes() if node["NodeID"] == own), 0)
    return max(1, min(available_cpus(), int(counted) or available_cpus()))


def worker_device() -> torch.device:
    """The GPU that Ray gave this worker, of whose memory it keeps to its share; else the CPU."""
    if not ray.get_gpu_ids() or (device := accelerator(apple=True)) is None:
        return torch.device("cpu")
    keep_to_share(device, float(ray.get_runtime_context().get_assigned_resources().get("GPU", 1)))
    return device


def pretraining_device(*, deterministic: bool, cores: int) -> torch.device:
    """Where this worker pre-trains, and how: with all of its cores, or beside a GPU with as many as have work there.

    Args:
        deterministic: whether a GPU computes the same again, bit for bit.
        cores: of this worker.
    """
    if deterministic:
        compute_deterministically()
    device = worker_device()
    torch.set_num_threads(cores if device.type == "cpu" else min(cores, MOST_THREADS_BESIDE_A_GPU))
    return device


@contextmanager
def _own_answer_to_sigterm() -> Iterator[None]:
    """Ray answers SIGTERM by an exit code of its own, and by a stack trace; what this process answered stays."""
    before, utils = signal.getsignal(signal.SIGTERM), ray._private.utils
    set_by_ray = utils.set_sigterm_handler
    utils.set_sigterm_handler = lambda handler: None
    try:
        yield
    finally:
        utils.set_sigterm_handler = set_by_ray
        if before is not None and threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, before)
