from pathlib import Path

import pytest

from benchmarks.emulated_boards.documented import DocumentedConfig, _small, documented_commands
from benchmarks.emulated_boards.root_files import _board, accounts
from benchmarks.emulated_boards.systems import BOARDS


def test_the_document_tells_every_step_in_order() -> None:
    commands = documented_commands()
    assert list(commands) == ["setup_board", "profile_device", "pareto_search"]
    assert all("ssh://pi@raspberrypi.local" in words for words in commands.values())


def test_only_the_address_and_the_amount_differ_from_the_document() -> None:
    words = list(_small("profile_device", documented_commands()["profile_device"], "ssh://a@b:1"))
    assert Path(words[1]).name == "profile_device.py"
    assert words[2:8] == ["--device", "ssh://a@b:1", "--space", "small.yaml", "--out", "pi4.json"]
    assert "--meter" not in words


@pytest.mark.parametrize("name", BOARDS)
def test_a_board_has_the_files_that_its_system_has(name: str) -> None:
    system, files = BOARDS[name], _board(BOARDS[name])
    assert files["proc/device-tree/model"].startswith("Raspberry Pi")
    assert ("usr/bin/vcgencmd" in files) == (system.firmware != "missing")
    assert accounts(system)["passwd"].endswith(f"{system.shell}\n")


def test_boards_that_are_not_there_are_refused() -> None:
    with pytest.raises(ValueError, match="must be among .*pi5-trixie"):
        DocumentedConfig(folder="x", boards=("pi6",))
