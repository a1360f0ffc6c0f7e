"""Logins by the configuration of a user, against one sshd: what `ssh` reaches is reached, the right one is blamed."""

from __future__ import annotations

import shlex
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import pytest

from devices.agent.ssh_address import BoardAddress, SshOptions
from devices.agent.ssh_connection import SshConnection
from devices.errors import BoardRefusedError, BoardUnreachableError
from tests.devices.conftest import SSHD, LoopbackBoard, make_key

pytestmark = pytest.mark.slow

RELAY = """
import os, select, socket, sys
end = socket.create_connection((sys.argv[1], int(sys.argv[2])))
print("a word to stderr", file=sys.stderr, flush=True)
while True:
    for one in select.select([0, end], [], [])[0]:
        data = os.read(0, 4096) if one == 0 else end.recv(4096)
        if not data:
            sys.exit()
        end.sendall(data) if one == 0 else os.write(1, data)
"""
GREETS = 'printf "Welcome to the lab\\nNo newline:"; exec sh -c "$SSH_ORIGINAL_COMMAND"'


class Lab:
    """A home with keys and a configuration, and an sshd that runs other commands for other keys."""

    def __init__(self, board: LoopbackBoard, home: Path) -> None:
        self.board, self.ssh = board, home / ".ssh"
        self.ssh.mkdir()
        self.known = self.ssh / "known_hosts"
        keys = [board.authorized_keys.read_text()]
        for name, command in {"greets": GREETS, "closed": "echo This account is closed."}.items():
            public = Path(f"{make_key(self.ssh / name)}.pub").read_text()
            escaped = command.replace('"', '\\"')
            keys.append(f'command="{escaped}" {public}')
        for number in range(7):
            make_key(self.ssh / f"wrong{number}")
        board.authorized_keys.write_text("".join(keys))
        (home / "relay.py").write_text(RELAY)
        self.relay = shlex.join([sys.executable, str(home / "relay.py")])
        self.public = " ".join(Path(f"{board.host_key}.pub").read_text().split()[:2])

    def open(self, config: str, known: str, alias: str) -> SshConnection:
        names = {
            "PORT": self.board.port,
            "USER": self.board.user,
            "KEY": self.board.key,
            "SSH": self.ssh,
            "RELAY": self.relay,
        }
        for name, value in names.items():
            config = config.replace(name, str(value))
        (self.ssh / "config").write_text(config)
        self.known.write_text(known.replace("PORT", str(self.board.port)).replace("PUBLIC", self.public))
        options = SshOptions(folder=PurePosixPath(self.board.board_folder))
        return SshConnection.open(BoardAddress.parse(f"ssh://{alias}"), options)


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    if SSHD is None:
        pytest.skip("needs sshd: `apt-get install openssh-server`")
    board = LoopbackBoard(tmp_path_factory.mktemp("board"))
    home = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HOME", str(home))
        patch.delenv("SSH_AUTH_SOCK", raising=False)
        yield Lab(board, home)
    board.stop()


HERE = "Host MyPi\n HostName 127.0.0.1\n Port PORT\n User USER\n IdentityFile ~/.ssh/none\n IdentityFile KEY\n"
GATE = "Host gate\n HostName 127.0.0.1\n Port PORT\n User USER\n IdentityFile KEY\n HostKeyAlias gatekey\n"
KNOWN = "[127.0.0.1]:PORT PUBLIC\n"
REACHED = {
    "alias": (HERE, KNOWN),
    "words that nobody knows": (f"Colour blue\n{HERE} ForwardX11 maybe\n", KNOWN),
    "another name of the key": (
        f"{HERE} HostKeyAlias lab\n UserKnownHostsFile ~/.ssh/none ~/.ssh/known_hosts\n",
        "lab PUBLIC\n",
    ),
    "proxy": (f"{HERE} ProxyCommand RELAY %h %p\n", KNOWN),
    "two jumps": (
        f"{HERE} ProxyJump gate,USER@gate2\n{GATE}{GATE.replace('gate', 'gate2', 1)}",
        f"{KNOWN}gatekey PUBLIC\n",
    ),
    "greeting": (HERE.replace("KEY", "SSH/greets"), KNOWN),
    "old algorithms": (f"{HERE} KexAlgorithms +no-such-one,diffie-hellman-group14-sha1\n Ciphers none-such\n", KNOWN),
}


@pytest.mark.parametrize("name", REACHED)
def test_what_ssh_reaches_is_reached(lab: Lab, name: str) -> None:
    config, known = REACHED[name]
    connection = lab.open(config, known, "MyPi")
    try:
        path = PurePosixPath(lab.board.board_folder) / "models" / "it's.onnx"
        content = bytes(range(256)) * 4096
        connection.put(path, content)
        assert Path(path).read_bytes() == content
        done = connection.command("echo out; echo error >&2; exit 3")
        assert (done.code, done.output) == (3, "out\nerror\n")
        connection.clear(path.parent)
        assert list(Path(path.parent).iterdir()) == []
    finally:
        connection.close()


REFUSED = {
    "unknown jump host": (
        f"{HERE} ProxyJump gate\n{GATE}",
        KNOWN,
        r"^the host key of the jump host gate \(.*\) is not known: .*`ssh -o StrictHostKeyChecking=ask gate true`",
    ),
    "jump host to nowhere": (
        f"{HERE.replace('PORT', '1')} ProxyJump gate\n{GATE}",
        f"{KNOWN}gatekey PUBLIC\n",
        r"^ssh://MyPi \(.*\) could not be reached through the jump host gate, which says: .*refused",
    ),
    "jump host that is off": (
        f"{HERE} ProxyJump gate\n{GATE.replace('PORT', '1')}",
        KNOWN,
        r"^the jump host gate \(.*\) refuses the connection",
    ),
    "jump host that refuses the key": (
        f"{HERE} ProxyJump gate\n{GATE.replace('KEY', 'SSH/wrong0', 1)}",
        f"{KNOWN}gatekey PUBLIC\n",
        r"^the jump host gate \(.*\) does not accept your SSH key for .*/wrong0\. Run `ssh-copy-id gate`",
    ),
    "proxy that fails": (
        f"{HERE} ProxyCommand echo no way >&2; exit 1\n",
        KNOWN,
        "its `ProxyCommand` 'echo no way >&2; exit 1' leads nowhere; its last words: no way. Try",
    ),
    "forced command": (
        HERE.replace("KEY", "SSH/closed"),
        KNOWN,
        r"lets us in, but runs no commands for user .*; it said: This account is closed\. Give",
    ),
    "too many keys": (
        "".join(f"IdentityFile ~/.ssh/wrong{number}\n" for number in range(7)) + HERE,
        KNOWN,
        "gave up before the right key came: it was offered .*wrong0, .* and 2 more",
    ),
    "revoked": (HERE, f"{KNOWN}@revoked * PUBLIC\n", "is revoked by line 2 of .*known_hosts"),
    "changed behind another name": (
        f"{HERE} HostKeyAlias lab\n",
        "lab ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl\n",
        "has changed: .* line 1 of .*`ssh-keygen -R lab -f",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_who_is_to_blame_is_blamed(lab: Lab, name: str) -> None:
    config, known, message = REFUSED[name]
    with pytest.raises(BoardUnreachableError, match=message) as error:
        lab.open(config, known, "MyPi")
    assert "\n" not in str(error.value)


def test_a_certified_host_is_known_by_its_authority(lab: Lab) -> None:
    authority = make_key(lab.ssh / "authority")
    sign = ["ssh-keygen", "-q", "-s", str(authority), "-I", "board", "-h", "-n", "127.0.0.1"]
    subprocess.run([*sign, f"{lab.board.host_key}.pub"], check=True)
    lab.board.stop()
    lab.board.start(f"HostCertificate={lab.board.host_key}-cert.pub")
    public = " ".join(Path(f"{authority}.pub").read_text().split()[:2])
    lab.open(HERE, f"@cert-authority *]:PORT {public}\n", "MyPi").close()


def test_a_server_that_takes_passwords_only(lab: Lab) -> None:
    lab.board.stop()
    lab.board.start("PubkeyAuthentication=no")
    with pytest.raises(BoardRefusedError, match="does not take keys from user .* Passwords are not used"):
        lab.open(HERE, KNOWN, "MyPi")


def test_what_is_no_ssh_server_says_what_it_is(lab: Lab) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            for _ in range(2):
                end, _ = server.accept()
                with end:
                    end.recv(1024)
                    end.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

        threading.Thread(target=serve, daemon=True).start()
        with pytest.raises(BoardUnreachableError, match="is no SSH server, but says 'HTTP/1.1 400 Bad Request"):
            lab.open(HERE.replace("PORT", str(server.getsockname()[1])), KNOWN, "MyPi")
