"""What a board has before it is set up: asked in any shell, and told in `BoardFacts`. Start with `PROBE`."""

from __future__ import annotations

import re
from dataclasses import dataclass

from devices.errors import BoardRefusedError
from search_space.boundary.text import one_line, shown

LEAST_PYTHON = (3, 9)
LEAST_GLIBC = 27
"""Minor version of glibc 2 that the oldest wheels of the runtime need."""
LEAST_FREE_MB = 600
"""What the virtual environment, the packages and their download take, with room to spare."""
SEARCHED = "PATH=$PATH:/usr/local/bin:/usr/bin:/bin:/usr/local/sbin:/usr/sbin:/sbin; export PATH; "

PROBE = (
    SEARCHED
    + r"""
LC_ALL=C; export LC_ALL; unset PYTHONPATH PYTHONHOME
limited=$(command -v timeout >/dev/null 2>&1 && echo timeout 5)
echo machine=$(uname -m)
echo system=$(. /etc/os-release 2>/dev/null && echo "$PRETTY_NAME")
class=$(head -c 5 /bin/sh | tail -c 1 | od -An -tu1 | tr -d ' ')
echo bits=$(getconf LONG_BIT 2>/dev/null || echo $((class * 32)))
for python in python3 python3.14 python3.13 python3.12 python3.11 python3.10 python3.9; do
    found=$($python -c 'import platform, struct, sys
print("python=%d %d" % sys.version_info[:2])
print("bits=%d" % (8 * struct.calcsize("P")))
print("libc=%s %s" % platform.libc_ver())
if sys.version_info >= (3, 9):
    print("suits=yes")
    import venv, ensurepip
    print("venv=yes")' 2>/dev/null)
    case "$found" in
    *venv=yes*) echo "$found"; echo interpreter=$python; break ;;
    *python=*) [ -n "$first" ] || first=$found ;;
    esac
    found=
done
[ -n "$found" ] || echo "$first"
mkdir -p FOLDER 2>&1 | sed 's/^/refused=/'
mark=FOLDER/runs.$$
if printf '#!/bin/sh\nexit 0\n' >"$mark" 2>/dev/null; then
    echo writable=yes
    chmod 700 "$mark" && "$mark" 2>/dev/null && echo runs=yes
    rm -f "$mark"
fi
echo df=$(df -Pk FOLDER 2>/dev/null | tail -n 1)
echo folder=$(cd FOLDER 2>/dev/null && pwd)
mark=/var/tmp/runs.$$
printf '#!/bin/sh\nexit 0\n' 2>/dev/null >"$mark" && chmod 700 "$mark" && "$mark" 2>/dev/null && echo spare=/var/tmp
rm -f "$mark"
echo memory_kb=$(sed -n 's/^MemTotal: *\([0-9]*\).*/\1/p' /proc/meminfo 2>/dev/null)
test -e /dev/i2c-1 && echo i2c=yes
command -v sudo >/dev/null 2>&1 && echo sudo=yes
test -r /sys/class/thermal/thermal_zone0/temp && echo temperature=yes
test -w /sys/devices/system/cpu/cpufreq/policy0/scaling_max_freq && echo settable=yes
cat /proc/device-tree/model 2>/dev/null | tr -d '\0' | grep -q 'Raspberry Pi' && echo firmware=yes
command -v vcgencmd >/dev/null 2>&1 && echo vcgencmd=yes
flags=$(cat /sys/devices/platform/soc*/*firmware/get_throttled 2>/dev/null)
[ -n "$flags" ] || flags=$($limited vcgencmd get_throttled 2>/dev/null)
echo throttled=$flags
$limited vcgencmd pmic_read_adc 2>/dev/null | grep -q 'current(' && echo pmic=yes
test -d /proc && echo asked=yes
"""
)
"""Asks a board, with its folder in the place of FOLDER; it needs no more than busybox has."""


@dataclass(frozen=True, kw_only=True, slots=True)
class BoardFacts:
    """What a board has before it is set up; None where it does not tell."""

    bits: int
    """32 or 64, of its programs: a 64-bit kernel may run 32-bit programs."""
    machine: str
    """Processor, as in `aarch64`."""
    python: tuple[int, int] | None
    """Version of its Python; None if it has none."""
    venv: bool
    """Whether it can make virtual environments."""
    free_mb: int | None
    i2c: bool
    """Whether its I2C bus, for meters, is switched on."""
    firmware: bool
    """Whether it has the firmware of a Raspberry Pi."""
    throttled: int | None
    """The firmware's flags (`Conditions.throttled`); None if it has none, or this user may not ask it."""
    interpreter: str = "python3"
    """The first of its Pythons that will do."""
    glibc: int | None = None
    """Minor version of its glibc 2."""
    musl: bool = False
    """Whether it has another C library."""
    system: str = ""
    """Name and version of the system."""
    folder: str = ""
    """Where the runtime is to lie, in full."""
    writable: bool = True
    """Whether that folder can be written to."""
    refused: str = ""
    """Why not."""
    runs: bool = True
    """Whether programs in it may be run."""
    spare: str | None = None
    """Another folder where they may."""
    memory_mb: int | None = None
    sudo: bool = True
    """Whether it has `sudo`."""
    temperature: bool = True
    """Whether its temperature can be read."""
    clock_settable: bool = False
    """Whether this user may set its clock."""
    vcgencmd: bool = True
    """Whether it has the program that asks the firmware."""
    pmic: bool = False
    """Whether the sensors of a Pi 5's power chip can be read."""

    @classmethod
    def parse(cls, text: str) -> BoardFacts:
        """Facts from what `PROBE` prints.

        Raises:
            BoardRefusedError: if the board printed something else.
        """
        found = dict(line.strip().split("=", 1) for line in text.splitlines() if "=" in line)
        try:
            version = tuple(int(part) for part in re.findall(r"\b\d{1,3}\b", found.get("python", "")[:40]))
            flags = re.fullmatch(r"(?:throttled=)?((?:0x)?[0-9a-fA-F]{1,8})", found.get("throttled", "").strip())
            free_kb = re.search(r"\s(\d{1,18})\s+\d{1,3}%", found.get("df", ""))
            libc = re.match(r"glibc 2\.(\d{1,3})", found.get("libc", ""))
            memory_kb = found.get("memory_kb", "")
            return cls(
                bits=int(found["bits"].split()[0][:4]),
                machine=one_line(found["machine"], most=40),
                python=(version[0], version[1]) if version else None,
                venv="venv" in found,
                free_mb=int(free_kb.group(1)) // 1024 if free_kb else None,
                i2c="i2c" in found,
                firmware="firmware" in found or "vcgencmd" in found,
                throttled=int(flags.group(1), 16) if flags else None,
                interpreter=one_line(found.get("interpreter", "python3"), most=20),
                glibc=int(libc.group(1)) if libc else None,
                musl="libc" in found and libc is None,
                system=one_line(found.get("system", ""), most=60),
                folder=one_line(found.get("folder", ""), most=200),
                writable="writable" in found,
                refused=one_line(found.get("refused", ""), most=200),
                runs="runs" in found,
                spare=one_line(found["spare"], most=40) if "spare" in found else None,
                memory_mb=int(memory_kb) // 1024 if re.fullmatch(r"\d{1,12}", memory_kb) else None,
                sudo="sudo" in found,
                temperature="temperature" in found,
                clock_settable="settable" in found,
                vcgencmd="vcgencmd" in found,
                pmic="pmic" in found,
            )
        except (KeyError, ValueError, IndexError):
            raise BoardRefusedError(
                f"a board must run Linux with a shell, but this one answered {shown(one_line(text))}."
            ) from None

    def check(self) -> None:
        """Check that the board can be set up.

        Raises:
            BoardRefusedError: if it cannot; the message says what to do.
        """
        for refusal in (self._system_refusal, self._python_refusal, self._folder_refusal):
            reason = refusal()
            if reason is not None:
                raise BoardRefusedError(reason)

    def _system_refusal(self) -> str | None:
        card = "write Raspberry Pi OS Lite (64-bit) to its card (docs/boards.md)"
        if self.bits != 64:
            return (
                f"a board must run a 64-bit system, but this one runs a {self.bits}-bit one ({self.machine}): "
                f"there is no ONNX Runtime for it; {card}."
            )
        if self.machine not in ("aarch64", "x86_64"):
            return f"a board must be aarch64 or x86_64, but this one is {self.machine}."
        if self.musl:
            named = f" ({self.system})" if self.system else ""
            return (
                f"a board must have glibc, but this one{named} has another C library, which there is no ONNX Runtime "
                f"for: {card}."
            )
        if self.glibc is not None and self.glibc < LEAST_GLIBC:
            return f"a board needs glibc 2.{LEAST_GLIBC}, but this one has 2.{self.glibc}: {card}."
        return None

    def _python_refusal(self) -> str | None:
        if self.python is not None and self.python < LEAST_PYTHON:
            return (
                f"a board needs Python {LEAST_PYTHON[0]}.{LEAST_PYTHON[1]}, but this one has {self.python[0]}."
                f"{self.python[1]}: install a newer one beside it (`python3.9`, say, with its venv), or write a newer "
                "Raspberry Pi OS to its card (docs/boards.md)."
            )
        if self.python is None or not self.venv:
            install = self.as_root("apt-get update && apt-get install -y python3 python3-venv")
            return f"a board needs Python with venv, but this one lacks it: run {install} there."
        return None

    def _folder_refusal(self) -> str | None:
        folder = self.folder or "its folder"
        elsewhere = f"BOARD_FOLDER={self.spare or '/PATH'}/pi-pareto-nas"
        remedy = f"choose another one by `export {elsewhere}`, here, for set-up and all that follows"
        if not self.writable:
            why = f" ({self.refused})" if self.refused else ""
            return f"the folder of the runtime must be one that can be written, but {folder} cannot{why}: {remedy}."
        if not self.runs:
            return (
                f"programs in the folder of the runtime must be allowed to run, but in {folder} none may (noexec): "
                f"{remedy}."
            )
        if self.free_mb is not None and self.free_mb < LEAST_FREE_MB:
            return (
                f"a board needs {LEAST_FREE_MB} MB of free space, but this one has {self.free_mb}: make room, for "
                f"example with {self.as_root('apt-get clean')}."
            )
        return None

    def as_root(self, commands: str) -> str:
        """Commands as a user of the board may type them.

        Args:
            commands: with `&&` in between.
        """
        if self.sudo:
            return f"`{' && '.join(f'sudo {one}' for one in commands.split(' && '))}`"
        return f"`{commands}` as root (`su -`)"

    @property
    def warnings(self) -> tuple[str, ...]:
        """What does not prevent measuring, but should be known to the user."""
        weak = "The supply has been too weak since the board was booted: use the one made for it (docs/boards.md)."
        bus = (
            f"I2C is off: for an INA219 or INA226, run {self.as_root('raspi-config nonint do_i2c 0')} on the board, or "
            "write `dtparam=i2c_arm=on` into /boot/firmware/config.txt."
        )
        how = (
            f"run {self.as_root('usermod -aG video $USER')} on the board, and log in anew"
            if self.vcgencmd
            else "its system has no `vcgencmd`, and its kernel does not tell (on Ubuntu, "
            f"{self.as_root('apt-get install -y libraspberrypi-bin')} and the group `video`)"
        )
        blind = f"Throttling and a weak supply cannot be seen, as this user may not ask the firmware: {how}."
        small = (
            f"The board has {self.memory_mb or 0} MB of memory: large networks may not fit, and are then reported as "
            "not measured."
        )
        found = (
            (self.under_voltage, weak),
            (self.firmware and self.throttled is None, blind),
            (self.memory_mb is not None and self.memory_mb < 700, small),
            (not self.i2c, bus),
        )
        return tuple(warning for holds, warning in found if holds)

    @property
    def meters(self) -> str:
        """Where energy can be measured."""
        chip = ["the sensors of its power chip (`--meter pmic`)"] if self.pmic else []
        bus = ["I2C is on, for an INA219 or INA226"] if self.i2c else []
        return "; ".join([*chip, *bus]) or "none on the board, so energy is modelled (docs/meters.md)"

    @property
    def under_voltage(self) -> bool:
        """Whether its power supply is known to have been too weak at any time since it was booted."""
        return bool((self.throttled or 0) & 0x10001)


def in_sh(script: str) -> str:
    """A command that runs a script in `sh`, whichever shell the user logs in with: fish, tcsh, zsh or dash.

    They agree on what single quotes hold but for quotes, backslashes, line ends and exclamation marks, so these are
    written as numbers.

    Args:
        script: for a POSIX shell.
    """
    text = re.sub(rb"[^A-Za-z0-9 _./=,:;@+-]", lambda found: b"\\0%03o" % found.group()[0], script.encode())
    return f"""/bin/sh -c 'eval "$(printf %b "{text.decode()}")"'"""
