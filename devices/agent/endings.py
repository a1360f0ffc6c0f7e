"""Why the agent ended by itself: signals, and imports that failed, with what to do. Start with `AgentEnd`."""

from __future__ import annotations

import re
from dataclasses import dataclass

from search_space.boundary.text import last_line, one_line

RUNS_EVERYWHERE = "1.20.1"
"""A version of ONNX Runtime that runs on the processors of all 64-bit Raspberry Pis."""
SHELLS_SIGNAL = 128
"""What a shell, or Dropbear, adds to the number of a signal."""
SIGNALS = {4: "ILL", 6: "ABRT", 7: "BUS", 8: "FPE", 9: "KILL", 11: "SEGV", 15: "TERM", 31: "SYS"}
"""Those of Linux on Arm and x86 that a process may die of."""
NOISE = re.compile(
    r"\[[WIV]:onnxruntime|GPU device discovery failed|/sys/class/drm|Unknown CPU vendor|Error in cpuinfo"
    r"|Warning: |^\s*warnings\.warn\(|pthread_setaffinity_np failed",
    re.IGNORECASE,
)
"""What ONNX Runtime and numpy write on boards where they work."""
CAUSE = re.compile(r"Original error was: (.+)")
"""Where numpy, whose message has thirty lines, says what went wrong."""


@dataclass(frozen=True, kw_only=True, slots=True)
class AgentEnd:
    """How a process on a board ended."""

    code: int | None
    """Its exit code; None where a signal ended it."""
    signal: str | None
    """As in `KILL`."""
    words: str
    """What it had to say, in one line."""

    @classmethod
    def of(cls, code: int | None, signal: str | None, stderr: str) -> AgentEnd:
        """An ending as a client of SSH gets to know it.

        Args:
            code: exit code.
            signal: without `SIG`.
            stderr: what it wrote.
        """
        if signal is None and code is not None:
            number = -code if code < 0 else code - SHELLS_SIGNAL
            signal = SIGNALS.get(number)
        return cls(code=code, signal=None if signal is None else one_line(signal, most=20), words=telling_line(stderr))

    @property
    def refuses(self) -> bool:
        """Whether it would end like this again, until somebody has changed something on the board."""
        return self.signal == "ILL" or bool(re.search(r"(ImportError|ModuleNotFoundError|OSError: lib)", self.words))

    def reason(self, python: str) -> str:
        """What happened and what to do, as a sentence without a subject.

        Args:
            python: the interpreter on the board.
        """
        end = f"code {self.code}" if self.signal is None else f"signal {self.signal}"
        remedy = _remedy(self.signal, f'`{python} -m pip install "onnxruntime=={RUNS_EVERYWHERE}"` there')
        words = f" Its last words: {self.words}" if self.words else ""
        return f"ended with {end}{': ' if remedy else ''}{remedy}.{words}"


def telling_line(text: str) -> str:
    """The line of a program's output that says why it failed: the last one, but what libraries always say."""
    found = CAUSE.search(text)
    if found is not None:
        return one_line(f"ImportError: {found.group(1)}")
    lines = [line for line in text.splitlines() if not NOISE.search(line)]
    return one_line(last_line("\n".join(lines)))


def import_remedy(words: str) -> str | None:
    """What to do about an import that failed on a board; None where setting it up anew is the remedy.

    Args:
        words: the line that tells it.
    """
    if "failed to map segment" in words or "Operation not permitted" in words:
        return "its folder is on a file system that runs no programs (noexec): choose one that does in BOARD_FOLDER"
    library = re.search(r"(lib(?:stdc\+\+|gomp|atomic|gcc_s)[\w.+-]*): cannot open shared object", words)
    if library is not None:
        package = {"libstdc++": "libstdc++6", "libgomp": "libgomp1", "libatomic": "libatomic1", "libgcc_s": "libgcc-s1"}
        names = [name for prefix, name in package.items() if library.group(1).startswith(prefix)]
        return f"it lacks {library.group(1)}: run `sudo apt-get install -y {' '.join(names)}` there"
    if re.search(r"version `(GLIBC|GLIBCXX|CXXABI)_", words):
        return "its system is older than the runtime: write a newer Raspberry Pi OS to its card (docs/boards.md)"
    return None


def _remedy(signal: str | None, other_runtime: str) -> str:
    remedies = {
        "ILL": "ONNX Runtime, as it is installed there, does not run on this processor, as 1.21.0 does not on those of "
        f"Raspberry Pi 3 and 4: install another version by {other_runtime}",
        "KILL": "the board has run out of memory, most likely: see `dmesg` there, end other programs, or take smaller "
        "networks",
        "BUS": "its card could not be read, or its disk or memory is full: see `dmesg` and `df -h` there",
        "SEGV": f"ONNX Runtime has crashed: if it does so again, install another version by {other_runtime}",
    }
    return remedies.get(signal or "", "")
