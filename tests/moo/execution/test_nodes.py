from __future__ import annotations

import importlib
import logging
import platform
from typing import Any

import pytest
import ray

from moo.execution import nodes
from moo.execution.machinery import MachineryError
from moo.execution.nodes import ClusterNode, Nodes, project_for_nodes

OWN = ClusterNode(id="aa", name="10.0.0.1 (head)", cpus=2, gpus=0, is_own=True)
OTHER = ClusterNode(id="bb", name="10.0.0.2 (other)", cpus=4, gpus=1, is_own=False)


class Answers:
    """Stands for Ray: what each node answers, once it does."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.up = [OWN]
        self.answers: dict[str, Any] = {}
        self.most: dict[str, float] | None = None
        monkeypatch.setattr(nodes, "LOOK_SECONDS", 0.0)
        monkeypatch.setattr(nodes, "nodes_up", lambda: self.up)
        monkeypatch.setattr(nodes, "_ask", lambda node: node.id)
        monkeypatch.setattr(ray, "wait", lambda asked, **_: ([one for one in asked if one in self.answers], []))
        monkeypatch.setattr(ray, "get", lambda reference: self.answers[reference])
        most = staticmethod(lambda resource: int((self.most or {}).get(resource, 0)))
        monkeypatch.setattr(Nodes, "_most", most)


@pytest.fixture
def answers(monkeypatch: pytest.MonkeyPatch) -> Answers:
    return Answers(monkeypatch)


def test_workers_follow_nodes_that_come_and_go(answers: Answers) -> None:
    found = Nodes(check_own=False, check_others=True)
    found.wait()
    assert (found.cpus, found.gpus, found.placement) == (2, 0, {})
    answers.up = [OWN, OTHER]
    found.look()
    assert (found.cpus, found.placement) == (2, {"label_selector": {"ray.io/node-id": "!in(bb)"}})
    answers.answers["bb"] = None
    found.look()
    assert (found.cpus, found.gpus, found.placement) == (6, 1, {})
    answers.up = [OWN]
    found.look()
    assert (found.cpus, found.gpus) == (2, 0)


def test_a_node_that_lacks_something_is_named_once_and_gets_nothing(
    answers: Answers, caplog: pytest.LogCaptureFixture
) -> None:
    answers.up, answers.answers["bb"] = [OWN, OTHER], "its Python lacks the package torch"
    found = Nodes(check_own=False, check_others=True)
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            found.look()
    assert [record.getMessage() for record in caplog.records] == [
        "Node 10.0.0.2 (other) gets no jobs: its Python lacks the package torch. Mend that, and have it join anew."
    ]
    assert (found.cpus, found.placement) == (2, {"label_selector": {"ray.io/node-id": "!in(bb)"}})


def test_where_no_node_can_do_jobs_the_search_ends_with_one_line(
    answers: Answers, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers.answers["aa"] = "it has Python 3.9.1 instead of 3.11.7"
    with pytest.raises(MachineryError, match="No node of the Ray cluster has what workers need"):
        Nodes(check_own=True, check_others=True).wait()
    monkeypatch.setattr(nodes, "FIRST_NODE_SECONDS", 0.0)
    answers.up = []
    with pytest.raises(MachineryError, match="No node with a CPU core came to the Ray cluster"):
        Nodes(check_own=True, check_others=True).wait()


def test_a_cluster_that_grows_on_demand_is_asked_for_all_that_it_may_have(answers: Answers) -> None:
    answers.up, answers.most = [], {"CPU": 32}
    found = Nodes(check_own=True, check_others=True)
    found.wait()
    assert found.cpus == 32


def test_a_node_says_what_it_lacks(monkeypatch: pytest.MonkeyPatch) -> None:
    own = platform.python_version()
    assert nodes._lacking(own) is None
    assert nodes._lacking("3.8.1") == f"it has Python {own} instead of 3.8.1"

    def fails(error: Exception) -> Any:
        def load(name: str) -> None:
            raise error

        return load

    monkeypatch.setattr(importlib, "import_module", fails(ModuleNotFoundError("no", name="torch")))
    assert nodes._lacking(own) == "its Python lacks the package torch"
    monkeypatch.setattr(importlib, "import_module", fails(OSError("libcudart.so: no\nsuch file")))
    assert nodes._lacking(own) == "its Python cannot import what workers need (libcudart.so: no such file)"


def test_what_goes_to_nodes_is_the_packages_that_workers_import() -> None:
    assert [path.rpartition("/")[2] for path in project_for_nodes()["py_modules"]] == list(nodes.PACKAGES)
