import pytest

from devices.agent.endings import AgentEnd, import_remedy, telling_line

NUMPY = """Traceback (most recent call last):
  File "agent.py", line 30, in <module>
    import numpy as np
ImportError:

IMPORTANT: PLEASE READ THIS FOR ADVICE ON HOW TO SOLVE THIS ISSUE!

Original error was: libopenblas64_p-r0.so: failed to map segment from shared object

"""
NOISE = """2026-11-30 10:00:00.1 [W:onnxruntime:Default, device_discovery.cc:211 Discover] GPU device \
discovery failed: Failed to open file: "/sys/class/drm/card1/device/vendor"
Error in cpuinfo: prctl(PR_SVE_GET_VL) failed
"""


@pytest.mark.parametrize(
    ("code", "signal", "named", "remedy"),
    [
        (None, "ILL", "signal ILL", 'python -m pip install "onnxruntime==1.20.1"` there'),
        # A shell or Dropbear may tell a signal as an exit code.
        (132, None, "signal ILL", "does not run on this processor"),
        (-4, None, "signal ILL", "does not run on this processor"),
        (137, None, "signal KILL", "out of memory"),
        (None, "BUS", "signal BUS", "df -h"),
        (139, None, "signal SEGV", "has crashed"),
    ],
)
def test_a_signal_has_a_remedy(code: int | None, signal: str | None, named: str, remedy: str) -> None:
    reason = AgentEnd.of(code, signal, NOISE).reason(".pi-pareto-nas/venv/bin/python")
    assert reason.startswith(f"ended with {named}: ")
    assert remedy in reason
    # Nothing that is harmless is blamed.
    assert "last words" not in reason


def test_what_cannot_get_better_by_itself_is_told_apart() -> None:
    assert AgentEnd.of(None, "ILL", "").refuses
    assert AgentEnd.of(1, None, NUMPY).refuses
    assert not AgentEnd.of(None, "KILL", "").refuses
    assert not AgentEnd.of(1, None, "MemoryError").refuses


def test_other_ends_are_told_as_they_are() -> None:
    assert AgentEnd.of(3, None, f"out of memory\n{NOISE}").reason("python") == (
        "ended with code 3. Its last words: out of memory"
    )
    assert AgentEnd.of(None, "USR1\n\x1b[2J", "").signal == "USR1 \ufffd[2J"


def test_the_telling_line_of_numpy_is_not_its_last() -> None:
    line = telling_line(NUMPY + NOISE)
    assert line == "ImportError: libopenblas64_p-r0.so: failed to map segment from shared object"
    assert "BOARD_FOLDER" in str(import_remedy(line))


@pytest.mark.parametrize(
    ("words", "remedy"),
    [
        ("ImportError: libgomp.so.1: cannot open shared object file: No such file or directory", "install -y libgomp1"),
        ("ImportError: libstdc++.so.6: cannot open shared object file", "install -y libstdc++6"),
        ("ImportError: /lib/libm.so.6: version `GLIBC_2.27' not found", "newer Raspberry Pi OS"),
    ],
)
def test_imports_that_a_new_set_up_does_not_mend(words: str, remedy: str) -> None:
    assert remedy in str(import_remedy(words))


def test_an_import_that_setting_up_mends() -> None:
    assert import_remedy("ModuleNotFoundError: No module named 'onnxruntime'") is None
