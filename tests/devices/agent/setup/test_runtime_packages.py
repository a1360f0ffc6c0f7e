from pathlib import Path

import pytest

from devices.agent.setup.runtime_packages import WheelTarget, download_command, failure_of

OFFLINE = """WARNING: Retrying (Retry(total=0)) after connection broken by 'NewConnectionError('<pip...>: Failed to \
establish a new connection: [Errno -3] Temporary failure in name resolution')': /simple/smbus2/
ERROR: Could not find a version that satisfies the requirement smbus2>=0.4 (from versions: none)
ERROR: No matching distribution found for smbus2>=0.4
"""


def test_a_board_without_internet_is_told_from_one_without_a_wheel() -> None:
    offline = failure_of(OFFLINE)
    assert offline.offline
    assert "Could not find a version" in str(offline)
    assert "NewConnectionError: it reaches no package index" in str(offline)
    none = failure_of("\n".join(OFFLINE.splitlines()[2:]).replace("smbus2", "onnxruntime"))
    assert not none.offline
    assert "no wheel of this package for its Python" in str(none)


@pytest.mark.parametrize(
    ("output", "code", "remedy"),
    [
        ("ERROR: Could not install packages due to an OSError: [Errno 28] No space left on device", 1, "df -h"),
        (
            "ERROR: Could not install packages due to an OSError: [Errno 122] Disk quota exceeded",
            1,
            "quota of its user",
        ),
        ("OSError: [Errno 30] Read-only file system: '/home/pi'", 1, "read-only: see `dmesg`"),
        ("ERROR: SSLError(SSLCertVerificationError(1, 'certificate is not yet valid'))", 1, "`date`"),
        ("Collecting numpy", None, "out of memory"),
        ("Collecting numpy", 137, "out of memory"),
        ("The virtual environment was not created successfully because ensurepip is not available.", 1, "python3-venv"),
    ],
)
def test_what_pip_says_has_a_remedy(output: str, code: int | None, remedy: str) -> None:
    failure = failure_of(output, code)
    assert not failure.offline
    assert remedy in str(failure)
    assert "\n" not in str(failure)


def test_other_failures_are_told_as_they_are() -> None:
    assert str(failure_of("Traceback\nValueError: odd\n")) == "ValueError: odd."
    assert str(failure_of("", 3)) == "it ended with code 3."


def test_wheels_are_fetched_for_the_board_that_is_there() -> None:
    command = download_command(Path("wheels"), WheelTarget((3, 13), "aarch64", 41))
    assert command.startswith(
        "pip download --dest wheels --only-binary=:all: --implementation cp --python-version 3.13 "
    )
    assert "manylinux_2_34_aarch64" in command
    assert "'onnxruntime>=1.18,!=1.21.0,<2'" in command
    old = download_command(Path("a b"), WheelTarget((3, 9), "x86_64", 28))
    assert "'a b'" in old
    assert "manylinux_2_28_x86_64" in old
    assert "2_31" not in old
