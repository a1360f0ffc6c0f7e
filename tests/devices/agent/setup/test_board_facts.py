import shutil
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from devices.agent.setup.board_facts import PROBE, BoardFacts, in_sh
from devices.errors import BoardRefusedError

GOOD = BoardFacts(
    bits=64,
    machine="aarch64",
    python=(3, 11),
    venv=True,
    free_mb=20_000,
    i2c=True,
    firmware=True,
    throttled=0,
    glibc=36,
    system="Debian GNU/Linux 12 (bookworm)",
    folder="/home/pi/.pi-pareto-nas",
    spare="/var/tmp",
    memory_mb=3792,
    clock_settable=True,
    pmic=True,
)
PROBED = """Welcome to this board = good
machine=aarch64
system=Debian GNU/Linux 12 (bookworm)
bits=64
python=3 11
bits=64
libc=glibc 2.36
suits=yes
venv=yes
interpreter=python3
writable=yes
runs=yes
df=/dev/mmcblk0p2 30000000 9520000 20480000 32% /
folder=/home/pi/.pi-pareto-nas
spare=/var/tmp
memory_kb=3883008
i2c=yes
sudo=yes
temperature=yes
settable=yes
firmware=yes
vcgencmd=yes
throttled=throttled=0x0
pmic=yes
asked=yes
"""


def probed(**changes: str | None) -> BoardFacts:
    """Facts from other answers; None leaves one out."""
    lines = [line for line in PROBED.splitlines() if line.split("=")[0] not in changes]
    return BoardFacts.parse(
        "\n".join([*lines, *(f"{key}={value}" for key, value in changes.items() if value is not None)])
    )


def test_facts_are_read_from_the_probe() -> None:
    assert BoardFacts.parse(PROBED) == GOOD
    bare = BoardFacts.parse("bits=32\nmachine=armv7l\npython=\nthrottled=\n")
    assert (bare.bits, bare.python, bare.venv, bare.free_mb, bare.throttled) == (32, None, False, None, None)
    assert probed(throttled="0x50000").under_voltage


def test_another_answer_is_shown() -> None:
    with pytest.raises(BoardRefusedError, match="answered 'RouterOS v7'"):
        BoardFacts.parse("RouterOS v7\n")


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"bits": 32}, r"64-bit system, but this one runs a 32-bit one \(aarch64\).*Raspberry Pi OS Lite \(64-bit\)"),
        ({"machine": "riscv64"}, "must be aarch64 or x86_64, but this one is riscv64"),
        ({"musl": True, "system": "Alpine Linux v3.20"}, r"glibc, but this one \(Alpine Linux v3\.20\) has another"),
        ({"glibc": 24}, r"needs glibc 2\.27, but this one has 2\.24"),
        ({"python": None}, "run `sudo apt-get update && sudo apt-get install -y python3 python3-venv` there"),
        ({"venv": False, "sudo": False}, "run `apt-get update && apt-get install .*python3-venv` as root"),
        ({"python": (3, 7)}, r"needs Python 3\.9, but this one has 3\.7"),
        ({"free_mb": 100}, "600 MB of free space, but this one has 100"),
        (
            {"runs": False},
            r"in /home/pi/\.pi-pareto-nas none may \(noexec\): .*`export BOARD_FOLDER=/var/tmp/pi",
        ),
        ({"writable": False, "refused": "Read-only file system", "spare": None}, "Read-only.*BOARD_FOLDER=/PATH/"),
    ],
)
def test_a_board_that_cannot_be_set_up_is_refused_in_one_line(changes: dict[str, Any], reason: str) -> None:
    GOOD.check()
    with pytest.raises(BoardRefusedError, match=reason) as error:
        replace(GOOD, **changes).check()
    assert "\n" not in str(error.value)


def test_warnings_do_not_prevent_it() -> None:
    assert GOOD.warnings == ()
    weak, small, bus = replace(GOOD, i2c=False, throttled=0x50000, memory_mb=512).warnings
    assert "supply" in weak
    assert "512 MB of memory" in small
    assert "do_i2c 0" in bus


@pytest.mark.parametrize(
    "said", ["Can't open device file: /dev/vcio", "", "error=1 error_msg='Command not registered'", "VCHI failed"]
)
def test_a_firmware_that_may_not_be_asked_is_a_warning(said: str) -> None:
    facts = probed(throttled=said)
    assert facts == replace(GOOD, throttled=None)
    facts.check()
    (blind,) = facts.warnings
    assert "cannot be seen" in blind
    assert "sudo usermod -aG video $USER" in blind
    (without,) = replace(facts, vcgencmd=False, sudo=False).warnings
    assert "has no `vcgencmd`" in without
    assert "sudo" not in without


def test_what_is_not_told_is_no_obstacle() -> None:
    facts = probed(df="", memory_kb="?", system="", folder="", libc=None)
    assert (facts.free_mb, facts.memory_mb, facts.musl) == (None, None, False)
    facts.check()
    assert probed(libc=" ").musl


def test_free_space_is_read_whatever_the_file_system_is_called() -> None:
    assert probed(df="//nas/my share 30000000 9520000 20480000 32% /home/pi").free_mb == 20_000
    assert probed(df="- 264212084 26277344 80113568 25% /").free_mb == 78_235


SHELLS = [path for name in ("sh", "bash", "dash", "zsh", "fish", "tcsh", "busybox") if (path := shutil.which(name))]


@pytest.mark.parametrize("shell", SHELLS)
def test_a_script_means_the_same_in_any_login_shell(shell: str) -> None:
    script = "printf '%s\\n' \"it's\" 'a \"\\\\\" !history $HOME `no` %d'\nfor i in 1 2; do echo $i; done\nexit 3"
    words = [shell, "sh"] if shell.endswith("busybox") else [shell]
    done = subprocess.run([*words, "-c", in_sh(script)], capture_output=True, text=True)
    assert (done.stdout, done.returncode) == ('it\'s\na "\\\\" !history $HOME `no` %d\n1\n2\n', 3)


def test_this_machine_answers_the_probe(tmp_path: Path) -> None:
    home = tmp_path / "a home"
    probe = PROBE.replace("FOLDER", f"'{home}'")
    done = subprocess.run(in_sh(probe), shell=True, capture_output=True, text=True)
    facts = BoardFacts.parse(done.stdout)
    assert (facts.bits, facts.writable, facts.runs, facts.folder) == (64, True, True, str(home))
    assert done.stderr == ""
    assert list(home.iterdir()) == []
