"""Boards that are emulated, and what each of them has and lacks. Start with `BOARDS`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, kw_only=True, slots=True)
class Processor:
    """What /proc/cpuinfo says of a core, and what qemu calls it."""

    qemu: str
    part: str
    features: str


CORTEX_A53 = Processor(qemu="cortex-a53", part="0xd03", features="fp asimd evtstrm crc32 cpuid")
CORTEX_A72 = Processor(qemu="cortex-a72", part="0xd08", features="fp asimd evtstrm crc32 cpuid")
CORTEX_A76 = Processor(
    qemu="cortex-a76",
    part="0xd0b",
    features="fp asimd evtstrm aes pmull sha1 sha2 crc32 atomics fphp asimdhp cpuid asimdrdm lrcpc dcpop asimddp",
)


@dataclass(frozen=True, kw_only=True, slots=True)
class EmulatedSystem:
    """A board with its system."""

    model: str
    """As /proc/device-tree/model has it."""
    processor: Processor
    clocks_mhz: tuple[int, ...]
    suite: Literal["bookworm", "trixie"]
    """Of Debian, whose packages it is made of."""
    os_release: str
    """`PRETTY_NAME` of /etc/os-release."""
    user: str
    shell: str = "/bin/bash"
    """Of the user, at login."""
    server: Literal["openssh", "dropbear"] = "openssh"
    firmware: Literal["answers", "denied", "missing"] = "answers"
    """What becomes of `vcgencmd`; without it the kernel's own file of the flags is missing, too."""
    internet: bool = True
    home_runs: bool = True
    """Whether programs in the home directory may be run."""
    sudo: bool = True


BOARDS = {
    "pi3b+-bookworm": EmulatedSystem(
        model="Raspberry Pi 3 Model B Plus Rev 1.3",
        processor=CORTEX_A53,
        clocks_mhz=tuple(range(600, 1401, 100)),
        suite="bookworm",
        os_release="Debian GNU/Linux 12 (bookworm)",
        user="pi",
    ),
    "pi4-bookworm": EmulatedSystem(
        model="Raspberry Pi 4 Model B Rev 1.4",
        processor=CORTEX_A72,
        clocks_mhz=tuple(range(600, 1801, 100)),
        suite="bookworm",
        os_release="Debian GNU/Linux 12 (bookworm)",
        user="pi",
    ),
    "pi5-trixie": EmulatedSystem(
        model="Raspberry Pi 5 Model B Rev 1.0",
        processor=CORTEX_A76,
        clocks_mhz=tuple(range(1500, 2401, 100)),
        suite="trixie",
        os_release="Debian GNU/Linux 13 (trixie)",
        user="pi",
    ),
    "pi4-ubuntu": EmulatedSystem(
        model="Raspberry Pi 4 Model B Rev 1.5",
        processor=CORTEX_A72,
        clocks_mhz=tuple(range(600, 1801, 100)),
        suite="trixie",
        os_release="Ubuntu 24.04.3 LTS",
        user="ubuntu",
        firmware="missing",
    ),
    "zero2-dietpi": EmulatedSystem(
        model="Raspberry Pi Zero 2 W Rev 1.0",
        processor=CORTEX_A53,
        clocks_mhz=tuple(range(600, 1001, 100)),
        suite="bookworm",
        os_release="Debian GNU/Linux 12 (bookworm)",
        user="dietpi",
        shell="/bin/dash",
        server="dropbear",
        firmware="denied",
        sudo=False,
    ),
    "pi4-offline": EmulatedSystem(
        model="Raspberry Pi 4 Model B Rev 1.2",
        processor=CORTEX_A72,
        clocks_mhz=tuple(range(600, 1801, 100)),
        suite="bookworm",
        os_release="Debian GNU/Linux 12 (bookworm)",
        user="pi",
        shell="/usr/bin/fish",
        internet=False,
        home_runs=False,
    ),
}
"""By name. The one with Ubuntu is made of Debian's packages, as Ubuntu's are in another archive."""
