"""The commands that are killed, each so small that it ends within a minute, and the stages that they go through."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.resuming.processes import Kind

SCRIPTS = Path(__file__).parents[2] / "scripts"
SPACE = """\
name: small
input_size: 8
classes: 10
stem: {channels: 8, stride: 1}
stages:
  - {channels: 8, layers: 1, stride: 1}
  - {channels: 16, layers: 2, stride: 2}
last_channels: 16
operators: [k3_e1, k3_e6, skip]
"""
SPACE_FILE = "small.yaml"
ARCHITECTURES = (
    "pareto_search.py", "--dataset", "digits", "--space", SPACE_FILE, "--samples", "1", "--pretrain-epochs", "2",
    "--workers", "2", "--no-dashboard", "--population", "4", "--generations", "2",
)  # fmt: skip
SEARCH = (*ARCHITECTURES, "--theta-steps", "8")
MODEL = ("--device", "pi4", "--threads", "1", "--precision", "fp32", "int8")
PLAIN = ("--device", "pi4", "--threads", "1", "--precision", "fp32")
BOARD = ("--device", "host", "--meter", "none", "--threads", "1", "--precision", "fp32", "int8")
FIXED = ("--alpha", "0.2", "0.2", "--beta", "1", "1", "--gamma", "0.1", "0.1", "--delta", "1", "1")
ANYHOW: tuple[Kind, ...] = ("group", "script", "terminate", "interrupt")
UNDER_RAY: tuple[Kind, ...] = (*ANYHOW, "worker", "raylet")
STAGES = (
    (re.compile(r"^starting: elapsed", re.M), "starting"),
    (re.compile(r"^profiling: elapsed|measurements, about \d+ min", re.M), "profiling"),
    (re.compile(r"^pre-training", re.M), "pre-training"),
    (re.compile(r"^search \d+/\d+ generation 1\b", re.M), "generation 1"),
    (re.compile(r"^search \d+/\d+ generation 2\b", re.M), "generation 2"),
    (re.compile(r"^search \d+/\d+ generation 3\b", re.M), "generation 3"),
    (re.compile(r"^evaluating in int8: elapsed", re.M), "int8 evaluation"),
    (re.compile(r"^measuring: elapsed", re.M), "measuring"),
    (re.compile(r"^delivering: elapsed", re.M), "delivery"),
    (re.compile(r"^\d+ at a time, |^epoch 1 of", re.M), "training"),
    (re.compile(r": test top-1 ", re.M), "training, later"),
)
"""What a command prints when a stage begins."""
EVALUATION = re.compile(r"^(trial \d+:|architecture \d+:|pre-training \d+/|epoch \d+ of)", re.M)
"""What it prints when something has ended that must never be done again."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Command:
    """A command that is killed and goes on."""

    name: str
    first: tuple[str, ...]
    """Script and options."""
    out: str = "--out"
    """Option that names the folder; empty if it is the first argument."""
    resume: str = "--resume"
    """Option that goes on in the folder; empty if the same command does."""
    base: str | None = None
    """Command whose finished folder it works in, or starts from by `--from`."""
    kinds: tuple[Kind, ...] = UNDER_RAY
    is_file: bool = False
    """Whether it writes a file instead of a folder."""

    def argv(self, folder: Path, base: Path | None, *, resumed: bool) -> list[str]:
        """What comes after `python` to begin, or to go on.

        Args:
            folder: where it writes.
            base: what it starts from, for `--from`.
            resumed: whether it was begun.
        """
        script, *options = self.first
        start = ["-m", "benchmarks.resuming.replayed", str(SCRIPTS / script)]
        if resumed and self.resume:
            return [*start, self.resume, str(folder)]
        named = [self.out, str(folder)] if self.out else [str(folder)]
        if self.is_file:
            named = [self.out, str(folder / "table.json")]
        return [*start, *named, *options, *(["--from", str(base)] if base is not None and self.out else [])]


COMMANDS: Sequence[Command] = (
    Command(
        name="dnas", first=(*SEARCH, *MODEL, "--generations", "3", "--supernet-generations", "2"),
    ),
    Command(name="board", first=(*SEARCH, *BOARD, "--supernet-generations", "1"), kinds=(*UNDER_RAY, "agent")),
    Command(name="random", first=(*SEARCH, *PLAIN, "--method", "random")),
    Command(name="grid", first=(*SEARCH, *PLAIN, "--method", "grid")),
    Command(name="architectures", first=(*ARCHITECTURES, *MODEL, "--method", "architectures")),
    Command(name="asynchronous", first=(*SEARCH, *PLAIN, "--method", "random", "--asynchronous")),
    Command(name="independent", first=(*SEARCH, *PLAIN, "--method", "random", "--independent", "--generations", "1")),
    Command(name="one trial", first=(*SEARCH, *MODEL, *FIXED, "--population", "1", "--generations", "1")),
    Command(
        name="from", base="dnas",
        first=(
            "pareto_search.py", "--workers", "2", "--no-dashboard", "--population", "4", "--generations", "2",
            "--device", "pi5", "--threads", "1", "--precision", "fp32", "int8",
        ),
    ),
    Command(
        name="train_front", base="dnas", out="", resume="",
        first=("train_front.py", "--epochs", "4", "--workers", "2", "--no-dashboard", "--no-measure"),
    ),
    Command(
        name="compare_baselines", base="dnas", out="", resume="",
        first=(
            "compare_baselines.py", "--epochs", "2", "--workers", "2", "--no-dashboard", "--no-measure",
            "--pretrained", "none", "--only", "mobilenet-v2-0.35", "--only", "mobilenet-v2-0.5",
        ),
    ),
    Command(
        name="train_architecture", kinds=ANYHOW,
        first=(
            "train_architecture.py", "--dataset", "digits", "--space", SPACE_FILE,
            "--architecture", "k3_e1,k3_e6,k3_e1", "--epochs", "6",
        ),
    ),
    Command(
        name="profile_device", kinds=(*ANYHOW, "agent"), is_file=True, resume="",
        first=(
            "profile_device.py", "--device", "host", "--meter", "none", "--space", SPACE_FILE, "--threads", "1",
            "--precision", "fp32", "--passes", "2", "--networks", "12",
        ),
    ),
)  # fmt: skip
