import sys
import threading
import time
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path, PurePosixPath

import pytest

from devices.agent.setup.board_facts import BoardFacts
from devices.agent.setup.board_setup import LAST_STEP, STEPS, _Installer, guarded, set_up_board
from devices.agent.setup.runtime_packages import REQUIREMENTS
from devices.agent.ssh import SshDevice
from devices.agent.ssh_address import SshOptions
from devices.agent.ssh_connection import SshConnection
from devices.configuration import RuntimeConfiguration
from devices.errors import BoardRefusedError, BoardUnreachableError, MeasurementError
from devices.measurement import MeasureSettings
from tests.devices.conftest import LoopbackBoard, Proxy, command_of, micro_model, processes
from tests.devices.meters.conftest import make_command

DENIED = "Can't open device file: /dev/vcio Try creating a device file with: sudo mknod /dev/vcio c 100 0"


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


def test_litert_is_looked_for_where_it_is_asked_for(board: LoopbackBoard) -> None:
    pytest.importorskip("ai_edge_litert", reason="`ai-edge-litert` is not installed: run `pip install ai-edge-litert`")
    report = set_up_board(board.address, options_of(board), python=sys.executable, litert=True)
    assert report.board.litert is not None
    assert report.board.litert in report.summary[0]
    with SshDevice(board.address, MeasureSettings(min_runs=3, min_seconds=0), options_of(board)) as device:
        measurement = device.measure(micro_model("k3_e1_g2"), RuntimeConfiguration(runtime="litert", precision="int8"))
    assert measurement.runtime == report.board.litert
    with pytest.raises(BoardRefusedError, match="with onnxruntime, ai-edge-litert and numpy, but /no/python said: "):
        set_up_board(board.address, options_of(board), python="/no/python", litert=True)


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
    for name, version in (("onnxruntime", "1.0.0"), ("numpy", "1.99.0"), ("smbus2", "0.99")):
        fake_wheel(tmp_path, name, version)
    with pytest.raises(BoardRefusedError, match="could not install the runtime: .*onnxruntime"):
        set_up_board(board.address, options_of(board), wheels=tmp_path)


def test_a_folder_without_wheels_is_refused(board: LoopbackBoard, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"must name a folder with \.whl files.*pip download"):
        set_up_board(board.address, options_of(board), wheels=tmp_path / "none")


def test_a_folder_without_the_wheel_of_a_package_is_refused_and_clears_nothing(
    board: LoopbackBoard, tmp_path: Path
) -> None:
    for name, version in (("onnxruntime", "1.99.0"), ("numpy", "1.99.0"), ("smbus2", "0.99")):
        fake_wheel(tmp_path, name, version)
    kept = board.board_folder / "venv" / "kept"
    kept.parent.mkdir(parents=True)
    kept.touch()
    with pytest.raises(ValueError, match=r"has none of ai-edge-litert: fill it with `pip download .*litert>=2,<3'`"):
        set_up_board(board.address, options_of(board), wheels=tmp_path, litert=True)
    assert kept.exists()


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
    outcome: list[object] = []

    def run() -> None:
        try:
            # The end of the command may be told before the connection ends.
            if code := guarded(connection, command).code:
                outcome.append(code)
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
        python = PurePosixPath(board.board_folder / "venv" / "bin" / "python")
        facts = BoardFacts.parse("bits=64\nmachine=x86_64\n")
        _Installer(connection, facts, python, board.address, REQUIREMENTS).make_environment()
    finally:
        connection.close()
    assert [path.name for path in precious.iterdir()] == ["file"]
    assert (board.board_folder / "venv" / "bin").is_dir()
