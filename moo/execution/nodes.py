"""Nodes of a Ray cluster that can do jobs: the project goes to all, and each says what it lacks before it gets one."""

from __future__ import annotations

import importlib
import logging
import platform
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from moo.execution.machinery import MachineryError
from search_space.boundary.text import one_line, reason_of

LOOK_SECONDS = 2.0
"""Between two looks at which nodes there are."""
FIRST_NODE_SECONDS = 900.0
"""In which there is a node that can do jobs: machines of a cloud take minutes to come up."""
PACKAGES = ("search_space", "devices", "dnas", "evaluation", "moo")
"""Of the project, those that workers import."""
NEEDED = ("moo.execution.ray_backend", "moo.execution.ray_trainer")
_ROOT = Path(__file__).parents[2]
_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True, slots=True)
class ClusterNode:
    """A machine of a cluster."""

    id: str
    name: str
    """Its address, and the name of its machine."""
    cpus: int
    gpus: int
    is_own: bool
    """Whether this program runs there."""


class Nodes:
    """Those that are up and have what workers need."""

    def __init__(self, *, check_own: bool, check_others: bool) -> None:
        """Look for nodes; `look` does so again.

        Args:
            check_own: whether this machine's node is asked what it lacks.
            check_others: whether the others are.
        """
        self._checks = {True: check_own, False: check_others}
        self._asked: dict[Any, ClusterNode] = {}
        self._found: dict[str, bool] = {}
        """Whether a node can do jobs, of those that have answered."""
        self._up: list[ClusterNode] = []
        self._looked = float("-inf")

    def look(self) -> None:
        """See which nodes came, went or answered; does nothing shortly after the last look."""
        if time.monotonic() < self._looked + LOOK_SECONDS:
            return
        self._looked = time.monotonic()
        self._up = nodes_up()
        for node in self._up:
            if node.id not in self._found and node not in self._asked.values():
                if self._checks[node.is_own]:
                    self._asked[_ask(node)] = node
                else:
                    self._found[node.id] = True
        self._hear()

    def wait(self) -> None:
        """Wait for a node that can do jobs.

        Raises:
            MachineryError: if none does within a quarter of an hour, or all that there are lack something.
        """
        start, said = time.monotonic(), False
        while not self.usable:
            self.look()
            if self._asked:
                ray.wait(list(self._asked), num_returns=1, timeout=0.2)
                self._hear()
            elif not self.usable:
                if self.others_unfit and self._most("CPU") <= 0:
                    raise MachineryError("No node of the Ray cluster has what workers need; see above what each lacks.")
                if time.monotonic() > start + FIRST_NODE_SECONDS:
                    raise MachineryError(
                        f"No node with a CPU core came to the Ray cluster within {FIRST_NODE_SECONDS / 60:.0f} min: "
                        "look at `ray status`."
                    )
                if not said and time.monotonic() > start + 10:
                    _LOG.warning("waiting for a node of the Ray cluster with CPU cores (see `ray status`)")
                    said = True
                # What is asked for is what brings machines to a cluster that grows on demand.
                if self._most("CPU") > 0:
                    return
                time.sleep(0.2)

    @property
    def usable(self) -> list[ClusterNode]:
        """Those with CPU cores that can do jobs."""
        return [node for node in self._up if node.cpus and self._found.get(node.id, False)]

    @property
    def others_unfit(self) -> bool:
        """Whether there are nodes that lack something."""
        return any(not self._found.get(node.id, True) for node in self._up)

    @property
    def cpus(self) -> int:
        """CPU cores of usable nodes; of a cluster that grows on demand, as many as it may have."""
        return max(sum(node.cpus for node in self.usable), self._most("CPU"))

    @property
    def gpus(self) -> int:
        """GPUs likewise."""
        return max(sum(node.gpus for node in self.usable), self._most("GPU"))

    @property
    def machines(self) -> list[tuple[int, int]]:
        """CPU cores and GPUs of each usable node."""
        return [(node.cpus, node.gpus) for node in self.usable]

    @property
    def placement(self) -> dict[str, Any]:
        """Options of a task or actor that keep it off nodes which lack something, or have not answered yet."""
        unfit = [node.id for node in self._up if not self._found.get(node.id, False)]
        return {"label_selector": {"ray.io/node-id": f"!in({','.join(unfit)})"}} if unfit else {}

    def _hear(self) -> None:
        """Take in what nodes answered."""
        if not self._asked:
            return
        ready, _ = ray.wait(list(self._asked), num_returns=len(self._asked), timeout=0)
        for reference in ready:
            node = self._asked.pop(reference)
            try:
                lacks = ray.get(reference)
            except (ray.exceptions.NodeDiedError, ray.exceptions.TaskUnschedulableError):
                continue
            except ray.exceptions.RayError as error:
                lacks = _last_line(error)
            self._found[node.id] = lacks is None
            if lacks is not None:
                _LOG.warning("Node %s gets no jobs: %s. Mend that, and have it join anew.", node.name, lacks)

    @staticmethod
    def _most(resource: str) -> int:
        """What a cluster that grows on demand may have; 0 of others."""
        most = ray._private.state.state.get_max_resources_from_cluster_config()
        # What has no limit is told as a very large number.
        return min(int((most or {}).get(resource, 0)), 10_000)


def nodes_up() -> list[ClusterNode]:
    """The nodes of the cluster that are up."""
    own = ray.get_runtime_context().get_node_id()
    return [
        ClusterNode(
            id=node["NodeID"],
            name=one_line(f"{node['NodeManagerAddress']} ({node['NodeManagerHostname']})"),
            cpus=int(node["Resources"].get("CPU", 0)),
            gpus=int(node["Resources"].get("GPU", 0)),
            is_own=node["NodeID"] == own,
        )
        for node in ray.nodes()
        if node["Alive"]
    ]


def project_for_nodes() -> dict[str, Any]:
    """The runtime environment in which nodes without the project have it, as this program does."""
    return {"py_modules": [str(_ROOT / name) for name in PACKAGES], "excludes": ["__pycache__", "*.pyc"]}


def _ask(node: ClusterNode) -> Any:
    place = NodeAffinitySchedulingStrategy(node.id, soft=False)
    return _lacks.options(scheduling_strategy=place, name=f"check of {node.name}").remote(platform.python_version())


def _lacking(python: str) -> str | None:
    """What the node lacks on which this runs, as a clause; None where nothing."""
    own = platform.python_version()
    if own.split(".")[:2] != python.split(".")[:2]:
        return f"it has Python {own} instead of {python}"
    for name in NEEDED:
        try:
            importlib.import_module(name)
        except ModuleNotFoundError as error:
            return f"its Python lacks the package {one_line(error.name)}"
        except Exception as error:
            return f"its Python cannot import what workers need ({reason_of(error)})"
    return None


def _last_line(error: BaseException) -> str:
    """The last line of what Ray says, where the reason stands."""
    lines = [line for line in str(error).splitlines() if line.strip()]
    return one_line(lines[-1]).rstrip(".") if lines else type(error).__name__


_lacks: Any = cast(Any, ray.remote(num_cpus=0, max_retries=0)(_lacking))
