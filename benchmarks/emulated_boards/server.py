"""SSH into an emulated board: this machine's sshd, or the board's own Dropbear, in namespaces of its own.

Start with `EmulatedBoard`. All that it mounts and starts is in a mount and a PID namespace, and ends with it.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import shutil
import socket
import subprocess
import threading
from pathlib import Path
from types import TracebackType

from benchmarks.emulated_boards.root_files import accounts
from benchmarks.emulated_boards.systems import EmulatedSystem

QEMU = "qemu-aarch64-static"
BINFMT = Path("/proc/sys/fs/binfmt_misc")
ARM_PROGRAM = (
    r":emulated-board:M::\x7fELF\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\xb7\x00:"
    r"\xff\xff\xff\xff\xff\xff\xff\x00\xff\xff\xff\xff\xff\xff\xff\xff\xfe\xff\xff\xff:"
)
"""How a program of a 64-bit Arm begins, for binfmt_misc."""
SERVER_ACCOUNTS = {
    "passwd": "root:x:0:0:root:/root:/bin/bash\nsshd:x:100:65534::/run/sshd:/usr/sbin/nologin\n",
    "group": "root:x:0:\nnogroup:x:65534:\n",
    "shadow": "root:*:19000:0:99999:7:::\nsshd:*:19000:0:99999:7:::\n",
}
"""Whom this machine's sshd knows besides the board's user."""


def missing() -> str | None:
    """What this machine lacks to emulate a board, as the end of a sentence; None if it has everything."""
    if os.geteuid() != 0:
        return "it takes root, for namespaces"
    programs = (QEMU, "apt-get", "dpkg-deb", "sshd", "ssh-keygen", "unshare", "nsenter")
    lacks = [name for name in programs if not shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin")]
    if lacks:
        return f"it takes {', '.join(lacks)}: apt-get install qemu-user-static openssh-server util-linux"
    return None


def register_programs() -> None:
    """Let this machine's kernel run programs of 64-bit Arm."""
    if not (BINFMT / "register").exists():
        subprocess.run(["mount", "-t", "binfmt_misc", "binfmt_misc", BINFMT], check=True)
    if not any(BINFMT.glob("*aarch64*")) and not (BINFMT / "emulated-board").exists():
        # F: opened now, so that it is found in other root folders, too.
        (BINFMT / "register").write_text(f"{ARM_PROGRAM}{shutil.which(QEMU)}:F")


class EmulatedBoard:
    """A running board; a context that ends it."""

    def __init__(self, system: EmulatedSystem, root: Path, folder: Path) -> None:
        """A board; it runs within the context.

        Args:
            system: what it is.
            root: its root folder.
            folder: for the keys of both sides.
        """
        self._system, self._root, self._folder = system, root, folder
        self._keeper: subprocess.Popen[str] | None = None
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._socket.getsockname()[1]
        self.home = folder / "client"
        """Home directory of its client, with a key that the board accepts."""

    def __enter__(self) -> EmulatedBoard:
        register_programs()
        self._make_keys()
        network = [] if self._system.internet else ["--net"]
        command = ["unshare", "--mount", "--pid", "--fork", "--kill-child", *network, "sh", "-ec", self._mounts()]
        self._keeper = subprocess.Popen(command, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True)
        assert self._keeper.stdout is not None
        if self._keeper.stdout.readline() != "ready\n":
            raise RuntimeError("the namespaces of an emulated board could not be made")
        threading.Thread(target=self._serve, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._socket.close()
        if self._keeper is not None:
            self._keeper.kill()
            self._keeper.wait()

    def _make_keys(self) -> None:
        keys = self.home / ".ssh"
        shutil.rmtree(self._folder, ignore_errors=True)
        keys.mkdir(parents=True, mode=0o700)
        for path in (keys / "id_ed25519", self._folder / "host_key"):
            subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", path], check=True)
        authorized = self._folder / "authorized_keys"
        shutil.copy(keys / "id_ed25519.pub", authorized)
        self._folder.chmod(0o755)
        # A folder of its own: a file mounted over /etc/passwd is gone when somebody replaces that one.
        (self._folder / "etc").mkdir()
        for name in ("nsswitch.conf", "ld.so.cache", "ld.so.conf"):
            shutil.copy(Path("/etc", name), self._folder / "etc" / name)
        for name, lines in accounts(self._system).items():
            (self._folder / "etc" / name).write_text(SERVER_ACCOUNTS[name] + lines)
        home = self._root / "home" / self._system.user
        if self._system.server == "dropbear":
            (home / ".ssh").mkdir(exist_ok=True)
            shutil.copy(authorized, home / ".ssh" / "authorized_keys")
            os.chown(home / ".ssh", 1000, 1000)
            os.chown(home / ".ssh" / "authorized_keys", 1000, 1000)

    def _mounts(self) -> str:
        root, home = shlex.quote(str(self._root)), shlex.quote(f"{self._root}/home")
        lines = [
            f"mount --rbind /dev {root}/dev",
            f"mount -t proc proc {root}/.proc",
            "mount -t proc proc /proc",
            f"mount -t tmpfs -o mode=1777 tmpfs {root}/tmp",
            "mkdir -p /run/sshd",
            f"mount --bind {shlex.quote(str(self._folder / 'etc'))} /etc",
        ]
        if not self._system.home_runs:
            lines += [f"mount --bind {home} {home}", f"mount -o remount,bind,noexec {home}"]
        if not self._system.internet:
            lines += ["ip link set lo up || true"]
        return "\n".join([*lines, "echo ready", "exec sleep infinity"])

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._socket.accept()
                with client:
                    descriptor = client.fileno()
                    subprocess.Popen(self._session(), stdin=descriptor, stdout=descriptor, stderr=subprocess.DEVNULL)

    def _session(self) -> list[str]:
        assert self._keeper is not None
        (child,) = Path(f"/proc/{self._keeper.pid}/task/{self._keeper.pid}/children").read_text().split()
        network = [] if self._system.internet else ["--net"]
        inside = ["nsenter", "--target", child, "--mount", "--pid", *network]
        variables = ["env", "-i", "PATH=/usr/sbin:/usr/bin:/sbin:/bin", f"QEMU_CPU={self._system.processor.qemu}"]
        if self._system.server == "dropbear":
            # In its own format, made there.
            key = "/root/dropbear_key"
            make = f"[ -e {key} ] || dropbearkey -t ed25519 -f {key} >/dev/null 2>&1"
            return [
                *inside,
                *variables,
                "chroot",
                str(self._root),
                "sh",
                "-c",
                f"{make}; exec dropbear -i -e -s -r {key}",
            ]
        settings = {
            "HostKey": self._folder / "host_key",
            "AuthorizedKeysFile": self._folder / "authorized_keys",
            "ChrootDirectory": self._root,
            "Subsystem": "sftp internal-sftp",
            "StrictModes": "no",
            "UsePAM": "no",
            "PidFile": "none",
            "SetEnv": f"QEMU_CPU={self._system.processor.qemu} LANG=de_DE.UTF-8 PATH=/usr/local/bin:/usr/bin:/bin",
        }
        options = [word for name, value in settings.items() for word in ("-o", f"{name}={value}")]
        return [*inside, *variables, "/usr/sbin/sshd", "-i", "-e", "-f", "/dev/null", *options]
