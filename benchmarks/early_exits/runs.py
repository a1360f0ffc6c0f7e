"""A run whose networks have exits, made by the commands that users give. Start with `adapted_run`."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from moo.analysis.selection import FrontPoint, read_front
from moo.storage.run_folder import RunFolder
from moo.storage.search_state import read_state

SCRIPTS = Path(__file__).parents[2] / "scripts"


@dataclass(frozen=True, kw_only=True, slots=True)
class RunSize:
    """What is searched and trained."""

    dataset: str
    """As in pareto_search.py; so are the next two."""
    space: str
    device: str
    pretrain_epochs: int | None
    """Passes of pre-training; None as in pareto_search.py."""
    networks: int
    """Of the front that are trained, spread over it by their errors."""
    epochs: float
    """Passes that each is fine-tuned for, from the weights of the supernet."""


def adapted_run(path: Path, size: RunSize) -> RunFolder:
    """Search, train some networks of the front, and give them exits; what is done already is not done again.

    Raises:
        CalledProcessError: if a command fails; it has said why.
    """
    folder, fixed = RunFolder(path), ("--no-dashboard",)
    options = ["--dataset", size.dataset, "--space", size.space, "--device", size.device, *fixed]
    if size.pretrain_epochs is not None:
        options += ["--pretrain-epochs", str(size.pretrain_epochs)]
    if not folder.config.exists():
        _run("pareto_search", *options, "--out", str(path))
    elif not read_state(folder).ended:
        _run("pareto_search", "--resume", str(path))
    only = [word for name in spread_networks(read_front(path), size.networks) for word in ("--only", name)]
    _run("train_front", str(path), *only, "--fine-tune", "--epochs", f"{size.epochs:g}", *fixed)
    _run("adapt_front", str(path), *only, *fixed)
    return folder


def spread_networks(front: Sequence[FrontPoint], number: int) -> tuple[str, ...]:
    """Ids of networks of a front, evenly spread from the most accurate to the middle of it and no further.

    The less accurate half of a front are networks that hardly compute anything: an exit would find nothing to save.

    Args:
        front: best accuracy first.
        number: of networks, at most.
    """
    names = list(dict.fromkeys(point.id for point in front))
    half = names[: max(1, -(-len(names) // 2))]
    places = np.linspace(0, len(half) - 1, min(number, len(half))).round().astype(int)
    return tuple(dict.fromkeys(half[place] for place in places))


def _run(script: str, *words: str) -> None:
    subprocess.run([sys.executable, str(SCRIPTS / f"{script}.py"), *words], check=True)
