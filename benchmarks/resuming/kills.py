"""The real commands, killed at random instants of all their stages, resumed, and compared with uninterrupted ones.

    python benchmarks/resuming/kills.py --kills 40 --seed 1 --out runs/kills

Each command is run once undisturbed. Then chains of kills follow, command after command: kill, resume, kill again in
the same stage or a later one. A kill is SIGKILL to all processes, to the script alone, to a Ray worker, to raylet or to
the agent of this machine, or SIGTERM or Ctrl-C. Boards are replayed: they measure, but say what the network gives.

Goal: every chain ends equal to the uninterrupted command, nothing that had ended is done again, no process is left.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import count
from pathlib import Path

import numpy as np

from benchmarks.options import BenchmarkConfig, check_at_least, read_config
from benchmarks.progress import progress_bars
from benchmarks.results import Column, TextTable, print_results, write_results
from benchmarks.resuming.chains import Chain, Workshop
from benchmarks.resuming.commands import COMMANDS, Command
from benchmarks.resuming.processes import Kind
from scripts.interface.command_line import run

TABLE = TextTable(
    Column(title="command", width=20, left=True),
    Column(title="chains", width=6),
    Column(title="kills", width=5),
    Column(title="equal", width=5),
    Column(title="done again", width=10),
    Column(title="orphans", width=7),
)
COUNTS = TextTable(
    Column(title="", width=22, left=True),
    Column(title="kills", width=5),
    Column(title="told how to go on", width=17),
)


@dataclass(frozen=True, kw_only=True, slots=True)
class KillsConfig(BenchmarkConfig):
    """Kill the commands again and again, and see whether they end as if they had not been killed."""

    kills: int = 40
    """Kills in all."""
    each: int = 3
    """Kills of a chain."""
    seed: int = 0
    """Chooses stages, instants and kinds."""
    only: tuple[str, ...] = ()
    """Commands that are killed; by default all."""
    out: str
    """Folder to work in; commands that have ended undisturbed in it are not run again."""

    def __post_init__(self) -> None:
        check_at_least(self, kills=1, each=1, seed=0)
        names = [command.name for command in COMMANDS]
        if unknown := [name for name in self.only if name not in names]:
            raise ValueError(f"`--only` must name {', '.join(names)}, but got {unknown[0]!r}.")

    def quickened(self) -> KillsConfig:
        """Three kills of one command."""
        return replace(self, kills=3, only=self.only or ("random",))


def kinds_of(command: Command, each: int, rng: np.random.Generator) -> Iterator[list[Kind]]:
    """Kinds of the kills of one chain after the other: all that the command has, equally often."""
    waiting: list[Kind] = []
    while True:
        while len(waiting) < each:
            waiting += [command.kinds[place] for place in rng.permutation(len(command.kinds))]
        yield waiting[:each]
        waiting = waiting[each:]


def chains_of(config: KillsConfig) -> Iterator[Chain]:
    """Chains, command after command, until there were enough kills."""
    workshop = Workshop(Path(config.out))
    rng = np.random.default_rng(config.seed)
    commands = [command for command in COMMANDS if not config.only or command.name in config.only]
    kinds = {command.name: kinds_of(command, config.each, rng) for command in commands}
    killed = 0
    for number in count():
        command = commands[number % len(commands)]
        chain = workshop.chain(command, next(kinds[command.name]), rng, number=number)
        killed += len(chain.kills)
        yield chain
        if killed >= config.kills:
            return


def content(chains: Sequence[Chain]) -> dict[str, object]:
    """All chains as plain values."""
    return {"chains": [asdict(chain) for chain in chains]}


def lines(chains: Sequence[Chain]) -> Iterator[str]:
    """What became of the chains by command, and the kills by kind and stage."""
    yield TABLE.head
    for name in dict.fromkeys(chain.command for chain in chains):
        yield _row(name, [chain for chain in chains if chain.command == name])
    yield _row("all", chains)
    kills = [kill for chain in chains for kill in chain.kills]
    for values in ([kill.kind for kill in kills], [kill.stage for kill in kills]):
        yield ""
        yield COUNTS.head
        for value, number in sorted(Counter(values).items()):
            told = sum(kill.says_how for kill, one in zip(kills, values, strict=True) if one == value)
            yield COUNTS.row(value, number, told)


def _row(name: str, chains: Sequence[Chain]) -> str:
    return TABLE.row(
        name,
        len(chains),
        sum(len(chain.kills) for chain in chains),
        sum(chain.is_equal for chain in chains),
        sum(len(chain.lost) for chain in chains),
        sum(len(chain.orphans) for chain in chains),
    )


def main() -> int:
    """Kill, compare, print and write; returns 1 if a chain did not end as it should."""
    config = read_config(KillsConfig)
    chains: list[Chain] = []
    with progress_bars() as show:
        for chain in chains_of(config):
            chains.append(chain)
            show("kills", sum(len(chain.kills) for chain in chains), config.kills)
            write_results(config.out, content(chains), {})
            for trouble in (*chain.different, *chain.orphans, chain.failed):
                if trouble:
                    sys.stderr.write(f"{len(chains) - 1:03d} {chain.command}: {trouble}\n")
    print_results(content(chains), lines(chains), as_json=config.json)
    return int(any(not chain.is_equal or chain.lost or chain.orphans for chain in chains))


if __name__ == "__main__":
    run(main)
