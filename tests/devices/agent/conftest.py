"""What tests of the agent share: the files of a fake board's system, and its firmware."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from devices.agent import agent


@pytest.fixture
def fake_system(tmp_path: Path) -> Path:
    """Root of a fake board: two clusters of cores that may run at 600 to 1500 MHz, and go by themselves."""
    for name in ("policy0", "policy4"):
        policy = tmp_path / "sys/devices/system/cpu/cpufreq" / name
        policy.mkdir(parents=True)
        (policy / "scaling_available_frequencies").write_text("600000 1000000 1500000 \n")
        (policy / "cpuinfo_min_freq").write_text("600000\n")
        (policy / "cpuinfo_max_freq").write_text("1500000\n")
        (policy / "scaling_min_freq").write_text("600000\n")
        (policy / "scaling_max_freq").write_text("1500000\n")
    (tmp_path / "sys/devices/system/cpu/cpu0").mkdir()
    (tmp_path / "sys/devices/system/cpu/cpu0/cpufreq").symlink_to("../cpufreq/policy0")
    (tmp_path / "sys/class/thermal/thermal_zone0").mkdir(parents=True)
    return tmp_path


def limits_of(board: Path) -> list[int]:
    files = sorted(board.glob("sys/devices/system/cpu/cpufreq/policy*/scaling_m??_freq"))
    return [int(file.read_text()) for file in files]


FREE = [1500000, 600000, 1500000, 600000]


def agent_of(root: Path, **options: Any) -> agent.Agent:
    return agent.Agent(root, agent.Clocks(root), **options)


class Firmware:
    """A `vcgencmd` in a folder that a test may put on the path."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()

    def says(self, **answers: str) -> None:
        """Answer these questions, and no others; a blank in a question is written as two underscores."""
        cases = [f'"{question.replace("__", " ")}") echo "{answer}";;' for question, answer in answers.items()]
        self.runs(f'case "$*" in {" ".join(cases)} *) echo "error=1"; exit 255;; esac')

    def runs(self, script: str) -> None:
        (self.folder / "vcgencmd").write_text(f"#!/bin/sh\n{script}\n")
        (self.folder / "vcgencmd").chmod(0o755)

    def denied(self) -> None:
        """As for a user outside of the group `video`."""
        self.runs('echo "Can\'t open device file: /dev/vcio"; echo "Try creating a device file"; exit 255')


@pytest.fixture
def firmware(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Firmware:
    firmware = Firmware(tmp_path / "bin")
    monkeypatch.setenv("PATH", f"{firmware.folder}{os.pathsep}{os.environ['PATH']}")
    return firmware
