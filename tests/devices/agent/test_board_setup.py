import sys
import threading
import time
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any

import pytest

from devices.agent.board_setup import LAST_STEP, STEPS, BoardFacts, _guarded, _make_environment, set_up_board
from devices.agent.ssh import SshDevice
from devices.agent.ssh_address import SshOptions
from devices.agent.ssh_connection import SshConnection
from devices.errors import BoardRefusedError, BoardUnreachableError, MeasurementError
from devices.measurement import MeasureSettings
from tests.devices.conftest import LoopbackBoard, Proxy, command_of, processes
from tests.devices.meters.conftest import make_command

GOOD = BoardFacts(
    bits=64, machine="aarch64", python=(3, 11), venv=True, free_mb=20_000, i2c=True, firmware=True, throttled=0
)
PROBED = """Welcome to this board = good
bits=64
machine=aarch64
python=3 11
venv=yes
free_kb=20480000
i2c=yes
firmware=yes
throttled=throttled=0x0
"""


def test_facts_are_read_from_the_probe() -> None:
    assert BoardFacts.parse(PROBED) == GOOD
    bare = BoardFacts.parse("bits=32\nmachine=armv7l\npython=\nfree_kb=1024\nthrottled=\n")
    assert bare == BoardFacts(
        bits=32, machine="armv7l", python=None, venv=False, free_mb=1, i2c=False, firmware=False, throttled=None
    )
    assert BoardFacts.parse(PROBED.replace("0x0", "0x50000")).under_voltage


def test_another_answer_is_shown() -> None:
    with pytest.raises(BoardRefusedError, match="answered 'RouterOS v7'"):
        BoardFacts.parse("RouterOS v7\n")


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"bits": 32}, r"64-bit system, but this one runs a 32-bit one \(aarch64\).*Raspberry Pi OS Lite \(64-bit\)"),
        ({"machine": "riscv64"}, "must be aarch64 or x86_64, but this one is riscv64"),
        ({"python": None}, "apt-get install -y python3 python3-venv"),
        ({"venv": False}, "apt-get install -y python3 python3-venv"),
        ({"python": (3, 7)}, r"needs Python 3\.9, but this one has 3\.7"),
        ({"free_mb": 100}, "600 MB of free space, but this one has 100"),
    ],
)
def test_a_board_that_cannot_be_set_up_is_refused_in_one_line(changes: dict[str, Any], reason: str) -> None:
    GOOD.check()
    with pytest.raises(BoardRefusedError, match=reason) as error:
        replace(GOOD, **changes).check()
    assert "\n" not in str(error.value)


def test_warnings_do_not_prevent_it() -> None:
    assert GOOD.warnings == ()
    weak, bus = replace(GOOD, i2c=False, throttled=0x50000).warnings
    assert "supply" in weak
    assert "do_i2c 0" in bus


DENIED = "Can't open device file: /dev/vcio Try creating a device file with: sudo mknod /dev/vcio c 100 0"


@pytest.mark.parametrize(
    "said", [DENIED, "", "error=1 error_msg='Command not registered'", "VCHI initialization failed"]
)
def test_a_firmware_that_may_not_be_asked_is_a_warning(said: str) -> None:
    facts = BoardFacts.parse(PROBED.replace("throttled=0x0", said))
    assert facts == replace(GOOD, throttled=None)
    facts.check()
    (blind,) = facts.warnings
    assert "cannot be seen" in blind
    assert "sudo usermod -aG video $USER" in blind


def test_free_space_that_is_not_told_is_no_obstacle() -> None:
    for free in ("free_kb=", "free_kb=?"):
        facts = BoardFacts.parse(PROBED.replace("free_kb=20480000", free))
        assert facts.free_mb is None
        facts.check()


def test_a_board_whose_firmware_denies_everything_is_set_up(board: LoopbackBoard, tmp_path: Path) -> None:
    programs = tmp_path / "programs"
    programs.mkdir()
    command = make_command(programs, f'echo "{DENIED}"; exit 255')
    board.stop()
    board.start(f"SetEnv=PATH={Path(command).parent}:/usr/local/bin:/usr/bin:/bin")
    report = set_up_board(board.address, options_of(board), python=sys.executable)
    assert any("cannot be seen" in warning for warning in report.warnings)


def options_of(board: LoopbackBoard) -> SshOptions:
    return replace(board.options, python=None)


def test_an_interpreter_that_is_there_is_used(board: LoopbackBoard) -> None:
    steps = []
    report = set_up_board(
        board.address, options_of(board), python=sys.executable, on_step=lambda done, step: steps.append(step)
    )
    assert report.board.runtime.startswith("onnxruntime ")
    assert steps == [*STEPS[:3], LAST_STEP, "ready"]
    with SshDevice(board.address, MeasureSettings(), options_of(board)) as device:
        assert device.describe() == report.board


def test_an_interpreter_without_the_runtime_is_refused(board: LoopbackBoard) -> None:
    with pytest.raises(BoardRefusedError, match="and numpy, but /no/python said: .*(not found|No such)"):
        set_up_board(board.address, options_of(board), python="/no/python")


def fake_wheel(folder: Path, name: str, version: str) -> None:
    info = f"{name}-{version}.dist-info"
    with zipfile.ZipFile(folder / f"{name}-{version}-py3-none-any.whl", "w") as wheel:
        wheel.writestr(f"{name}/__init__.py", f"__version__ = {version!r}\n")
        wheel.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr(f"{info}/RECORD", "")


@pytest.mark.slow
def test_a_virtual_environment_is_made_from_wheels_and_kept(board: LoopbackBoard, tmp_path: Path) -> None:
    wheels = tmp_path / "wheels"
    wheels.mkdir()
    for name, version in (("onnxruntime", "1.99.0"), ("numpy", "1.99.0"), ("smbus2", "0.99")):
        fake_wheel(wheels, name, version)
    board.board_folder.mkdir()
    steps = []
    for _ in range(2):
        report = set_up_board(
            board.address, options_of(board), wheels=wheels, on_step=lambda done, step: steps.append(step)
        )
        assert report.board.runtime == "onnxruntime 1.99.0"
    assert steps == [*STEPS, LAST_STEP, "ready", *STEPS[:3], LAST_STEP, "ready"]
    assert not (board.board_folder / "wheels").exists()


@pytest.mark.slow
def test_what_pip_said_is_told(board: LoopbackBoard, tmp_path: Path) -> None:
    fake_wheel(tmp_path, "numpy", "1.99.0")
    with pytest.raises(BoardRefusedError, match="could not install the runtime: .*onnxruntime"):
        set_up_board(board.address, options_of(board), wheels=tmp_path)


def test_a_folder_without_wheels_is_refused(board: LoopbackBoard, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"must name a folder with \.whl files.*pip download"):
        set_up_board(board.address, options_of(board), wheels=tmp_path / "none")


def test_a_board_that_is_off_is_said_so(board: LoopbackBoard) -> None:
    board.stop()
    with pytest.raises(BoardUnreachableError, match="refuses the connection"):
        set_up_board(board.address, options_of(board))


@pytest.mark.slow
@pytest.mark.parametrize("ending", ["closed", "killed", "silent"])
def test_an_interrupted_set_up_leaves_nothing_running(board: LoopbackBoard, proxy: Proxy, ending: str) -> None:
    """The children of what it runs included, also where the network is cut without a word."""
    command = f"sleep {10**6 + board.port} & sleep {10**6 + board.port}"

    def sleeping() -> list[int]:
        return [pid for pid in processes() if command_of(pid)[:2] == ["sleep", str(10**6 + board.port)]]

    connection = SshConnection.open(replace(board.address, port=proxy.port), board.options)
    outcome: list[BaseException] = []

    def run() -> None:
        try:
            _guarded(connection, command)
        except MeasurementError as error:
            outcome.append(error)

    running = threading.Thread(target=run)
    running.start()
    wait_until(lambda: len(sleeping()) == 2)
    if ending == "closed":
        connection.close()
    elif ending == "killed":
        board.stop()
    else:
        proxy.cut()
    wait_until(lambda: not sleeping())
    proxy.mend()
    connection.close()
    running.join(20)
    assert not running.is_alive()
    assert ending != "killed" or outcome


def wait_until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_link_in_place_of_the_virtual_environment_is_not_followed(board: LoopbackBoard, tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / "file").touch()
    board.board_folder.mkdir()
    (board.board_folder / "venv").symlink_to(precious)
    connection = SshConnection.open(board.address, board.options)
    try:
        _make_environment(connection, PurePosixPath(board.board_folder / "venv"))
    finally:
        connection.close()
    assert [path.name for path in precious.iterdir()] == ["file"]
    assert (board.board_folder / "venv" / "bin").is_dir()
