"""What docs/boards.md tells to type, on emulated boards, up to a first front: set-up, profile, search.

    python benchmarks/emulated_boards/documented.py --folder FOLDER [--boards pi5-trixie ...] [--json]

It takes root, qemu-user-static and openssh-server, and up to half an hour a board. Commands are those of the document
but for the board's address, a space and images as small as they can be, and few measurements; what a message tells to
do is done once. Emulated latencies are no figures of a board, and none is shown.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from benchmarks.emulated_boards.root_files import build
from benchmarks.emulated_boards.server import EmulatedBoard, missing
from benchmarks.emulated_boards.systems import BOARDS, EmulatedSystem
from benchmarks.options import BenchmarkConfig, read_config
from benchmarks.results import Column, TextTable, print_results
from scripts.interface.command_line import run
from search_space.boundary.text import last_line

if TYPE_CHECKING:
    from typing_extensions import Self

PROJECT = Path(__file__).parents[2]
DOCUMENT = PROJECT / "docs" / "boards.md"
STEPS = ("setup_board", "profile_device", "pareto_search")
SPACE = """\
name: small
input_size: 8
stem: {channels: 8, stride: 1}
stages: [{channels: 8, layers: 2, stride: 1}]
last_channels: 8
operators: [k3_e1, k5_e3, skip]
"""
SMALL = {
    "setup_board": "",
    "profile_device": "--networks 3 --passes 1 --configurations base",
    "pareto_search": "--population 4 --generations 1 --samples 1 --theta-steps 2 --pretrain-epochs 1 --theta-batch 8 "
    "--pretrain-batch 16 --no-dashboard",
}
"""What is added to each command."""
STEP_SECONDS = 3600.0


@dataclass(frozen=True, kw_only=True, slots=True)
class DocumentedConfig(BenchmarkConfig):
    """Type what docs/boards.md says, on emulated boards."""

    folder: str
    """For packages, root folders and results: 1.5 GB."""
    boards: tuple[str, ...] = tuple(BOARDS)
    """Which of them."""
    again: bool = False
    """Keep the root folders that are there, set up or not."""

    def __post_init__(self) -> None:
        unknown = [name for name in self.boards if name not in BOARDS]
        if unknown:
            raise ValueError(f"`--boards` must be among {', '.join(BOARDS)}, but got {', '.join(unknown)}.")

    def quickened(self) -> Self:
        """One board."""
        return replace(self, boards=self.boards[:1])


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """How far one board came."""

    board: str
    works: bool
    """Up to a front."""
    told: str
    """What a message told to do, and was done."""
    ended: str
    """The step that failed and its message; empty if none did."""
    said: tuple[str, ...]
    """What set-up told of the board."""


def documented_commands() -> dict[str, list[str]]:
    """The first command of each step in the document, by its script."""
    commands: dict[str, list[str]] = {}
    for line in DOCUMENT.read_text().replace("\\\n", " ").splitlines():
        found = re.match(r" {4}python scripts/(\w+)\.py ", line)
        if found is not None and found.group(1) in STEPS:
            commands.setdefault(found.group(1), shlex.split(line))
    return commands


def walk(name: str, folder: Path, *, again: bool = False) -> Outcome:
    """Type everything on one board.

    Args:
        name: of the board.
        folder: as for the script.
        again: whether its root folder is kept.
    """
    system = BOARDS[name]
    place = folder / name
    root = place / "root" if again and (place / "root").exists() else build(system, place)
    work = place / "work"
    _make_inputs(work)
    with EmulatedBoard(system, root, place / "keys") as board:
        _trust(board, system)
        environment = {**os.environ, "HOME": str(board.home), "PYTHONPATH": str(PROJECT)}
        environment.pop("SSH_AUTH_SOCK", None)
        told, said = "", tuple[str, ...]()
        for step, words in documented_commands().items():
            command = list(_small(step, words, f"ssh://{system.user}@127.0.0.1:{board.port}"))
            done = _typed(step, command, work, environment)
            export = re.search(r"`export (BOARD_FOLDER=(\S+))`", done.stdout)
            if done.returncode != 0 and export is not None:
                told, environment["BOARD_FOLDER"] = export.group(1), export.group(2)
                done = _typed(step, command, work, environment)
            if done.returncode != 0:
                reason = f"{step}: {last_line(done.stdout)}"
                return Outcome(board=name, works=False, told=told, ended=reason, said=said)
            if step == "setup_board":
                said = tuple(line.strip() for line in done.stdout.splitlines() if re.match(r"  \w|note: ", line))
    fronts = list(work.glob("runs/*/front.json"))
    return Outcome(board=name, works=bool(fronts), told=told, ended="" if fronts else "no front was written", said=said)


def _small(step: str, words: list[str], address: str) -> Iterator[str]:
    stands = {"ssh://pi@raspberrypi.local": address, "fbnet-cifar": "small.yaml", "cifar10": "images"}
    yield sys.executable
    yield str(PROJECT / words[1])
    for word, before in zip(words[2:], words[1:], strict=False):
        if "--meter" not in (word, before):
            yield stands.get(word, word)
    yield from SMALL[step].split()


def _typed(
    step: str, command: list[str], work: Path, environment: Mapping[str, str]
) -> subprocess.CompletedProcess[str]:
    start_s = time.monotonic()
    done = subprocess.run(
        command,
        cwd=work,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        timeout=STEP_SECONDS,
    )
    with (work / "log").open("a") as log:
        log.write(f"$ {shlex.join(command)}\n{done.stdout}\n= {done.returncode}, {time.monotonic() - start_s:.0f} s\n")
    return done


def _make_inputs(work: Path) -> None:
    rng = np.random.default_rng(0)
    for colour in range(3):
        folder = work / "images" / f"class_{colour}"
        folder.mkdir(parents=True, exist_ok=True)
        for number in range(30):
            pixels_HWC = rng.integers(0, 120, (8, 8, 3), dtype=np.uint8)
            pixels_HWC[..., colour] = 250
            Image.fromarray(pixels_HWC).save(folder / f"{number}.png")
    (work / "small.yaml").write_text(SPACE)


def _trust(board: EmulatedBoard, system: EmulatedSystem) -> None:
    """As the document says: the board's own key, by ssh-keyscan."""
    scan = ["ssh-keyscan", "-T", "120", "-t", "ed25519", "-p", str(board.port), "127.0.0.1"]
    keys = subprocess.run(scan, capture_output=True, text=True, check=True).stdout
    if not keys:
        raise RuntimeError(f"the emulated board of {system.user} shows no host key")
    (board.home / ".ssh" / "known_hosts").write_text(keys)


def main() -> None:
    """Walk through the boards, print how far each came."""
    config = read_config(DocumentedConfig)
    lacks = missing()
    if lacks is not None:
        raise ValueError(f"boards can be emulated on Debian with what that takes, but {lacks}.")
    outcomes = []
    for name in config.boards:
        outcomes.append(walk(name, Path(config.folder).resolve(), again=config.again))
        print(f"{name}: {outcomes[-1].ended or 'a front'}", file=sys.stderr, flush=True)
    print_results([asdict(outcome) for outcome in outcomes], _lines(outcomes), as_json=config.json)


def _lines(outcomes: list[Outcome]) -> Iterator[str]:
    table = TextTable(
        Column(title="board", width=16, left=True),
        Column(title="works", width=5, left=True),
        Column(title="what it took besides, or where it ended", width=60, left=True),
    )
    yield table.head
    for outcome in outcomes:
        yield table.row(outcome.board, "yes" if outcome.works else "no", outcome.ended or outcome.told)
    yield f"{sum(outcome.works for outcome in outcomes)} of {len(outcomes)} reach a front"


if __name__ == "__main__":
    run(main)
