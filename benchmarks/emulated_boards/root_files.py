"""Root file systems of emulated boards: Debian's arm64 packages, unpacked, and what /proc and /sys of the board have.

Start with `build`. Nothing is configured by the packages' own scripts: they would have to be emulated.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

from benchmarks.emulated_boards.systems import EmulatedSystem

PACKAGES = (
    *("python3", "python3-minimal", "python3-venv", "libstdc++6", "libgcc-s1", "libgomp1", "libatomic1"),
    *("bash", "dash", "coreutils", "mawk", "sed", "grep", "findutils", "libc-bin", "procps", "tar", "gzip"),
    *("hostname", "ncurses-base", "util-linux", "passwd", "login", "dropbear-bin", "fish", "zsh", "tcsh"),
)
"""What a Raspberry Pi OS Lite has, as far as it matters here, and the shells and servers of the boards."""
KEYS = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
DENIED = "Can't open device file: /dev/vcio"


def build(system: EmulatedSystem, folder: Path) -> Path:
    """The root folder of a board, made anew.

    Args:
        system: the board.
        folder: for it and for packages, which boards with the same suite share.
    """
    root = folder / "root"
    shutil.rmtree(root, ignore_errors=True)
    for name in ("bin", "lib", "sbin"):
        (root / "usr" / name).mkdir(parents=True)
        (root / name).symlink_to(f"usr/{name}")
    for package in _downloaded(system.suite, folder.parent / system.suite):
        unpacked = subprocess.Popen(["dpkg-deb", "--fsys-tarfile", package], stdout=subprocess.PIPE)
        subprocess.run(["tar", "-x", "--keep-directory-symlink", "-C", root], stdin=unpacked.stdout, check=True)
    (root / "usr/bin/awk").symlink_to("mawk")
    for name in ("proc", ".proc", "sys", "dev", "tmp", "run", "root", "home", "etc/ssl/certs", f"home/{system.user}"):
        (root / name).mkdir(parents=True, exist_ok=True)
    os.chown(root / "home" / system.user, 1000, 1000)
    _write(root, _etc(system) | _board(system))
    for name in (
        "self",
        "thread-self",
        "mounts",
        "meminfo",
        "stat",
        "uptime",
        "loadavg",
        "version",
        "sys",
        "filesystems",
    ):
        (root / "proc" / name).symlink_to(f"../.proc/{name}")
    (root / "sys/devices/system/cpu/cpu0").mkdir(parents=True)
    (root / "sys/devices/system/cpu/cpu0/cpufreq").symlink_to("../cpufreq/policy0")
    shutil.copy("/etc/ssl/certs/ca-certificates.crt", root / "etc/ssl/certs/ca-certificates.crt")
    return root


def accounts(system: EmulatedSystem) -> dict[str, str]:
    """Lines of /etc/passwd, group and shadow for the board's user."""
    name = system.user
    return {
        "passwd": f"{name}:x:1000:1000::/home/{name}:{system.shell}\n",
        "group": f"{name}:x:1000:\n",
        "shadow": f"{name}:*:19000:0:99999:7:::\n",
    }


def _downloaded(suite: str, folder: Path) -> list[Path]:
    """Debian's packages of a suite for 64-bit Arm, with all that they need."""
    for name in ("state/lists/partial", "cache/archives/partial", "empty"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    (folder / "status").touch()
    (folder / "sources.list").write_text(f"deb [signed-by={KEYS}] http://deb.debian.org/debian {suite} main\n")
    settings = {
        "APT::Architecture": "arm64",
        "APT::Architectures": "arm64",
        "APT::Sandbox::User": "root",
        "Dir::State": folder / "state",
        "Dir::State::status": folder / "status",
        "Dir::Cache": folder / "cache",
        "Dir::Etc::sourcelist": folder / "sources.list",
        "Dir::Etc::sourceparts": folder / "empty",
        "Debug::NoLocking": 1,
    }
    apt = ["apt-get", "-qq", *(word for name, value in settings.items() for word in ("-o", f"{name}={value}"))]
    if not list((folder / "cache/archives").glob("*.deb")):
        subprocess.run([*apt, "update"], check=True)
        install = ["install", "--download-only", "--yes", "--no-install-recommends", *PACKAGES]
        subprocess.run([*apt, *install], check=True, stdout=subprocess.DEVNULL)
    return sorted((folder / "cache/archives").glob("*.deb"))


def _etc(system: EmulatedSystem) -> dict[str, str]:
    groups = "video:x:44:\n" if system.firmware == "denied" else f"video:x:44:{system.user}\n"
    added = accounts(system)
    return {
        "etc/os-release": f'PRETTY_NAME="{system.os_release}"\n',
        "etc/passwd": f"root:x:0:0:root:/root:/bin/bash\nsshd:x:100:65534::/run/sshd:/bin/false\n{added['passwd']}",
        "etc/group": f"root:x:0:\n{groups}{added['group']}",
        "etc/shells": f"/bin/sh\n/bin/bash\n{system.shell}\n",
        "etc/hosts": "127.0.0.1 localhost\n",
        "etc/resolv.conf": Path("/etc/resolv.conf").read_text() if system.internet else "nameserver 127.0.0.1\n",
        # What this machine needs to reach a package index, its emulated boards need, too.
        "etc/pip.conf": "[global]\ncert = /etc/ssl/certs/ca-certificates.crt\n",
        "etc/locale.conf": "LANG=de_DE.UTF-8\n",
    }


def _board(system: EmulatedSystem) -> dict[str, str]:
    cores = "".join(
        f"processor\t: {core}\nBogoMIPS\t: 108.00\nFeatures\t: {system.processor.features}\nCPU implementer\t: 0x41\n"
        f"CPU architecture: 8\nCPU variant\t: 0x0\nCPU part\t: {system.processor.part}\nCPU revision\t: 3\n\n"
        for core in range(4)
    )
    khz = [mhz * 1000 for mhz in system.clocks_mhz]
    policy = "sys/devices/system/cpu/cpufreq/policy0"
    clocks = {"cpuinfo_min": khz[0], "cpuinfo_max": khz[-1], "scaling_min": khz[0], "scaling_max": khz[-1]}
    files = {
        "proc/cpuinfo": f"{cores}Model\t\t: {system.model}\n",
        "proc/device-tree/model": f"{system.model}\0",
        "sys/class/thermal/thermal_zone0/temp": "48312\n",
        "sys/devices/system/cpu/online": "0-3\n",
        "sys/devices/system/cpu/possible": "0-3\n",
        f"{policy}/scaling_available_frequencies": " ".join(map(str, khz)) + " \n",
        f"{policy}/scaling_governor": "ondemand\n",
        f"{policy}/scaling_cur_freq": f"{khz[0]}\n",
        **{f"{policy}/{name}_freq": f"{value}\n" for name, value in clocks.items()},
    }
    if system.firmware == "denied":
        files["usr/bin/vcgencmd"] = f'#!/bin/sh\necho "{DENIED}"\nexit 255\n'
    elif system.firmware == "answers":
        files["usr/bin/vcgencmd"] = f"""#!/bin/sh
case "$1" in
get_throttled) echo "throttled=0x0" ;;
measure_clock) echo "frequency(0)={khz[-1]}000" ;;
measure_volts) echo "volt=0.8450V" ;;
*) echo "VDD_CORE_V volt(15)=0.87650000V" ;;
esac
"""
        files["sys/devices/platform/soc/soc:firmware/get_throttled"] = "0\n"
    if system.sudo:
        files["usr/bin/sudo"] = '#!/bin/sh\nexec "$@"\n'
    return files


def _write(root: Path, files: dict[str, str]) -> None:
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        path.write_text(content)
        path.chmod(0o755 if name.startswith("usr/bin/") else 0o644)
