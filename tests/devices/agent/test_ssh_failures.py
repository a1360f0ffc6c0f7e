"""Each failure of a login has one line, which docs/boards.md lists."""

import asyncio
import base64
import errno
import hashlib
import hmac
import re
import socket
import struct
from collections.abc import Callable
from pathlib import Path, PurePosixPath

import asyncssh
import pytest

from devices.agent import ssh_failures
from devices.agent.ssh_address import BoardAddress, SshOptions
from devices.agent.ssh_config import ConfigError
from devices.agent.ssh_connection import SshConnection
from devices.agent.ssh_failures import Attempt
from devices.agent.ssh_host_keys import HostKeys
from devices.agent.ssh_keys import KeyRing, Offer, UnusedKey
from devices.agent.ssh_route import Hop, route_to
from devices.errors import BoardRefusedError

DOCUMENT = Path("docs/boards.md")
CONFIG = "Host mypi\n HostName 10.0.0.4\n Port 2222\n User pi\n UserKnownHostsFile KNOWN\nHost far\n ProxyJump gate\n"
KEY = asyncssh.generate_private_key("ssh-ed25519")
OTHER = asyncssh.generate_private_key("ssh-ed25519")


class Given:
    """An attempt to log in to `mypi`, and what is known here."""

    def __init__(self, folder: Path) -> None:
        self.known = folder / "known hosts"
        (folder / "config").write_text(CONFIG.replace("KNOWN", f'"{self.known}"'))
        self.options = SshOptions(config=folder / "config")
        self.hop = self.route("ssh://mypi")[-1]
        self.ring = KeyRing()

    def route(self, address: str) -> tuple[Hop, ...]:
        return route_to(BoardAddress.parse(address), self.options)

    def attempt(self, *, accepted_before: bool = False) -> Attempt:
        return Attempt(self.hop, self.ring, HostKeys.of(self.hop), accepted_before=accepted_before)

    def knows(self, line: str, key: asyncssh.SSHKey = OTHER) -> None:
        self.known.write_text(line.replace("KEY", key.export_public_key().decode().strip()) + "\n")

    def fails(self, error: Exception, greeting: bytes = b"", **seen: object) -> str:
        attempt = self.attempt()
        for name, value in seen.items():
            setattr(attempt, name, value)
        return str(ssh_failures.of_login(attempt, error, greeting, seconds=10.0))

    def refuses(self, **seen: object) -> str:
        return self.fails(asyncssh.PermissionDenied("no"), b"", **seen)


def answered() -> object:
    class Connection:
        def get_extra_info(self, name: str) -> str:
            return "SSH-2.0-OpenSSH"

    return Connection()


def host_key(given: Given, line: str, reason: str = "Host key is not trusted for host mypi") -> str:
    given.knows(line)
    return given.fails(asyncssh.HostKeyNotVerifiable(reason), shown_key=None if "revoked" in reason else KEY)


def named_key(given: Given) -> str:
    given.options = SshOptions(config=given.options.config, identity_file=Path("/no/key"))
    given.hop = given.route("ssh://mypi")[-1]
    given.ring.unused.append(UnusedKey(Path("/no/key"), "missing"))
    with pytest.raises(BoardRefusedError) as error:
        ssh_failures.check_key(given.attempt())
    return str(error.value)


def bad_configuration(given: Given) -> str:
    assert given.options.config is not None
    given.options.config.write_text("Port abc")
    with pytest.raises(BoardRefusedError) as error:
        SshConnection.open(BoardAddress.parse("ssh://mypi"), given.options)
    return str(error.value)


def bad_file_of_keys(given: Given) -> str:
    given.known.mkdir()
    with pytest.raises(BoardRefusedError) as error:
        given.attempt()
    return str(error.value)


def through(given: Given) -> str:
    given.hop = given.route("ssh://far")[-1]
    return given.fails(asyncssh.ChannelOpenError(2, "Connection refused"))


def of_file(given: Given, reason: str, free: int | None = None, home: str | None = None) -> str:
    path = PurePosixPath("agent.py")
    return str(ssh_failures.of_file(given.hop, path, reason, size=10**6, free=free, missing_home=home))


CASES: dict[str, tuple[Callable[[Given], str], str]] = {
    "name": (
        lambda given: str(ssh_failures.of_name(given.hop, socket.gaierror(-2, "Name or service not known"))),
        "the name 10.0.0.4 cannot be found (Name or service not known)",
    ),
    "silence": (
        lambda given: str(ssh_failures.of_network(given.hop, asyncio.TimeoutError(), seconds=10.0)),
        "within 10 s",
    ),
    "no route": (
        lambda given: str(ssh_failures.of_network(given.hop, OSError(errno.ENETUNREACH, "x"), seconds=10.0)),
        "no network leads to 10.0.0.4, port 2222",
    ),
    "refused": (
        lambda given: str(ssh_failures.of_network(given.hop, ConnectionRefusedError(), seconds=10.0)),
        "refuses the connection: it is booting, or SSH is not enabled there on port 2222",
    ),
    "HTTP": (
        lambda given: given.fails(asyncssh.ConnectionLost("lost"), b"HTTP/1.1 400 Bad Request\r\nServer: x"),
        "what answers at port 2222 is no SSH server, but says 'HTTP/1.1 400 Bad Request\\r'",
    ),
    "closed at once": (lambda given: given.fails(asyncssh.ConnectionLost("lost")), "too many logins at once"),
    "open but silent": (
        lambda given: given.fails(asyncio.TimeoutError()),
        "port 2222 is open, but says nothing within 10 s",
    ),
    "through a jump host": (through, "through the jump host gate, which says: Connection refused."),
    "proxy": (
        lambda given: str(ssh_failures.of_proxy(given.hop, "nc: not found.", OSError("x"))),
        "leads nowhere; its last words: nc: not found. Try",
    ),
    "unknown": (
        lambda given: host_key(given, ""),
        "`ssh-keyscan -t ed25519 -p 2222 10.0.0.4 >> '",
    ),
    "changed": (lambda given: host_key(given, "other KEY\n[10.0.0.4]:2222 KEY"), "line 2 of"),
    "revoked": (
        lambda given: host_key(given, "@revoked * KEY", "Host key is revoked for host mypi"),
        "is revoked by line 1 of",
    ),
    "certificate": (
        lambda given: given.fails(asyncssh.HostKeyNotVerifiable("Certificate has expired for host mypi")),
        "certificate that is not good: Certificate has expired. Have",
    ),
    "file of keys": (bad_file_of_keys, "cannot be checked by"),
    "not accepted": (
        lambda given: given.refuses(wants_key=True, offered=["/a", "work of the SSH agent"]),
        "for user pi: it was offered /a, work of the SSH agent. Run `ssh-copy-id mypi`",
    ),
    "nothing to offer": (lambda given: given.refuses(wants_key=True), "`ssh-keygen -t ed25519` if there is none"),
    "named key": (named_key, "cannot be read: /no/key does not exist. Or name another key in BOARD_IDENTITY_FILE."),
    "too many": (
        lambda given: given.fails(asyncssh.ProtocolError("Too many authentication failures"), offered=list("abcdef")),
        "it was offered a, b, c, d and 2 more. Name the right one",
    ),
    "passwords only": (lambda given: given.refuses(wants_password=True), "does not take keys from user pi"),
    "two factors": (
        lambda given: given.refuses(wants_key=True, wants_more=True, offered=["/a", "/b"]),
        "accepts the key /b",
    ),
    "booting": (
        lambda given: str(
            ssh_failures.of_login(
                given.attempt(accepted_before=True), asyncssh.PermissionDenied("no"), b"", seconds=10.0
            )
        ),
        "does not let us in at the moment, but did before",
    ),
    "expired": (
        lambda given: given.fails(
            asyncssh.ConnectionLost("lost"), _connection=answered(), was_let_in=True, banner="Your account has expired"
        ),
        "ended the connection after our key was accepted: lost. It said: Your account has expired.",
    ),
    "old": (
        lambda given: given.fails(
            asyncssh.KeyExchangeFailed("no match, sent a,b and received c,d"), _connection=answered()
        ),
        "too old or too new for this program: it has only c,d. Update",
    ),
    "no shell": (
        lambda given: str(ssh_failures.of_shell(given.hop, "This account is currently not available.")),
        "it said: This account is currently not available. Give",
    ),
    "configuration": (bad_configuration, "config line 1: `port` cannot be 'abc'."),
    "file": (lambda given: of_file(given, "Read-only file system"), "on ssh://mypi: Read-only file system. See"),
    "home": (lambda given: of_file(given, "x", home="/home/pi"), "the home /home/pi does not exist there (x)"),
    "full": (lambda given: of_file(given, "x", free=10), "needs 1,000,000 bytes, but 10 are free"),
}


def documented() -> list[str]:
    """What the lines say, as regular expressions."""
    section = DOCUMENT.read_text().partition("### Logging in")[2].partition("\n\nWhat a board")[0]
    rows = [re.match(r"\| (`+)(.+?)\1 \|", line) for line in section.splitlines()]
    says = [found.group(2) for found in rows if found is not None]
    return [".*".join(re.escape(part) for part in re.split(r"\.\.\. ?", text)) for text in says]


def test_the_document_lists_all_lines_and_no_others(tmp_path: Path) -> None:
    said: dict[str, str] = {}
    for number, (name, (fail, _)) in enumerate(CASES.items()):
        (tmp_path / str(number)).mkdir()
        said[name] = fail(Given(tmp_path / str(number)))
    lines = documented()
    assert {
        name for name, text in said.items() if sum(re.match(line, text) is not None for line in lines) != 1
    } == set()
    assert [line for line in lines if not any(re.match(line, text) for text in said.values())] == []


@pytest.mark.parametrize("name", CASES)
def test_a_line_says_what_to_type(tmp_path: Path, name: str) -> None:
    fail, words = CASES[name]
    line = fail(Given(tmp_path))
    assert words in line
    assert "\n" not in line
    assert line.endswith(".")
    assert ("ssh://mypi (pi@10.0.0.4:2222)" in line) == (
        name not in ("configuration", "file", "home", "full", "through a jump host")
    )


# Host keys


def judged(given: Given, name: str = "ssh://mypi") -> HostKeys:
    return HostKeys.of(given.route(name)[-1])


@pytest.mark.parametrize(
    ("line", "known"),
    [
        ("[10.0.0.4]:2222 KEY", True),
        ("# a comment\n\nrubbish\nx ssh-ed25519 AAAA\n*,!x ssh-unknown AAAA\n[10.0.0.*]:2222 KEY", True),
        ("10.0.0.4 KEY", True),
        ("mypi KEY", False),
        ("[10.0.0.4]:2222,!*.4]:2222 KEY", False),
        ("10.0.0.5,[10.0.0.4]:2222 KEY a comment", True),
    ],
)
def test_host_keys_are_found_as_ssh_finds_them(tmp_path: Path, line: str, known: bool) -> None:
    given = Given(tmp_path)
    given.knows(line)
    assert bool(judged(given).keys()) == known


def test_hashed_names_and_markers(tmp_path: Path) -> None:
    given = Given(tmp_path)
    digest = hmac.new(b"salt", b"[10.0.0.4]:2222", hashlib.sha1).digest()
    hashed = "|1|" + base64.b64encode(b"salt").decode() + "|" + base64.b64encode(digest).decode()
    given.knows(f"{hashed} KEY\n@cert-authority *.0.4]:2222 KEY\n@revoked * KEY\n@other * KEY\n|1|rubbish KEY")
    keys = judged(given)
    assert [(one.marker, one.line) for one in keys.known] == [("", 1), ("cert-authority", 2), ("revoked", 3)]
    assert keys.algorithms[0].endswith("-cert-v01@openssh.com")


def test_a_key_behind_jump_hosts_or_another_name_is_accepted_by_ssh(tmp_path: Path) -> None:
    """`ssh-keyscan` would not get there, or write another name."""
    given = Given(tmp_path)
    assert given.options.config is not None
    given.options.config.write_text(
        "Host gate\n HostName 10.0.0.1\nHost far\n ProxyJump gate\nHost named\n HostKeyAlias lab\n"
        "Host kept\n UserKnownHostsFile /dev/null\n"
    )
    said = {name: str(judged(given, f"ssh://{name}").refusal(KEY, "")) for name in ("far", "named", "kept", "gate")}
    ssh = f"run `ssh -F {given.options.config} -o StrictHostKeyChecking=ask"
    assert f"{ssh} far true` here" in said["far"]
    assert f"{ssh} named true` here" in said["named"]
    assert f"-o UserKnownHostsFile={Path.home()}/.ssh/known_hosts kept true`" in said["kept"]
    assert f"also set BOARD_KNOWN_HOSTS={Path.home()}/.ssh/known_hosts." in said["kept"]
    assert f"run `ssh-keyscan -t ed25519 10.0.0.1 >> {Path.home()}/.ssh/known_hosts` here" in said["gate"]


# Ways


def test_jump_hosts_have_their_own_configuration(tmp_path: Path) -> None:
    given = Given(tmp_path)
    assert given.options.config is not None
    given.options.config.write_text(
        "Host far\n ProxyJump me@gate:2222,inner\nHost gate\n HostName 10.0.0.1\n ProxyJump outer\n"
        "Host inner\n User root\n ProxyJump none\nHost outer\n ProxyCommand nc %h %p\nHost *\n User pi\n"
    )
    given.options = SshOptions(config=given.options.config, identity_file=Path("/key"), known_hosts=Path("/known"))
    route = given.route("ssh://far")
    assert [hop.real for hop in route] == ["pi@outer", "me@10.0.0.1:2222", "root@inner", "pi@far"]
    assert [hop.through for hop in route] == [
        "its `ProxyCommand`",
        "the jump host outer",
        "the jump host gate",
        "the jump host inner",
    ]
    assert [hop.config.identity_files == (Path("/key"),) for hop in route] == [False, False, False, True]
    assert [hop.config.user_known_hosts == (Path("/known"),) for hop in route] == [False, False, False, True]
    assert route[1].label == "the jump host gate (me@10.0.0.1:2222)"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("Host *\n ProxyJump gate", "must not lead in a circle, but leads to 'gate'"),
        ("Host mypi\n ProxyJump gate:port", "must name hosts as USER@HOST:PORT, but names 'gate:port'"),
        ("Host mypi\n ProxyJump -oProxyCommand=x", "must name hosts as USER@HOST:PORT"),
    ],
)
def test_ways_that_lead_nowhere(tmp_path: Path, text: str, message: str) -> None:
    given = Given(tmp_path)
    assert given.options.config is not None
    given.options.config.write_text(text)
    with pytest.raises(ConfigError, match=message):
        given.route("ssh://mypi")


# Keys


def ring_of(given: Given) -> KeyRing:
    return asyncio.run(KeyRing.of(given.route("ssh://mypi")[-1].config))


def locked_key(key: asyncssh.SSHKey) -> bytes:
    """A private key with a passphrase, as far as it can be read without."""
    parts = [b"aes256-ctr", b"bcrypt", struct.pack(">I", 4) + b"salt" + struct.pack(">I", 1)]
    blob = b"openssh-key-v1\0" + b"".join(struct.pack(">I", len(part)) + part for part in parts) + struct.pack(">I", 1)
    for part in (key.public_data, bytes(64)):
        blob += struct.pack(">I", len(part)) + part
    body = base64.encodebytes(blob)
    return b"-----BEGIN OPENSSH PRIVATE KEY-----\n" + body + b"-----END OPENSSH PRIVATE KEY-----\n"


def test_keys_that_cannot_be_used_are_told_apart(tmp_path: Path) -> None:
    given = Given(tmp_path)
    names = ["missing", "locked", "open", "public", "key.ppk", "rubbish", "folder", "good"]
    for name, content in {
        "locked": locked_key(KEY),
        "open": KEY.export_private_key(),
        "public": KEY.export_public_key(),
        "key.ppk": b"PuTTY-User-Key-File-3: ssh-ed25519\n",
        "rubbish": b"-----BEGIN OPENSSH PRIVATE KEY-----\n!\n-----END OPENSSH PRIVATE KEY-----\n",
        "good": OTHER.export_private_key(),
    }.items():
        (tmp_path / name).write_bytes(content)
        (tmp_path / name).chmod(0o644 if name == "open" else 0o600)
    (tmp_path / "folder").mkdir()
    assert given.options.config is not None
    given.options.config.write_text(
        "IdentityAgent none\n" + "".join(f"IdentityFile {tmp_path}/{name}\n" for name in names)
    )
    ring = ring_of(given)
    assert [offer.name for offer in ring.offers] == [str(tmp_path / "good")]
    said = [str(one).removeprefix(f"{tmp_path}/") for one in ring.unused]
    assert [text.split(" ", 1)[0] for text in said] == names[:-1]
    for text, words in zip(
        said,
        ["does not exist", "run `ssh-add", "run `chmod 600", "is a public key", "run `puttygen", "is no", "is no"],
        strict=True,
    ):
        assert words in text
    assert ring.agent_fault is None


class Agent:
    """An SSH agent that holds some keys, at a socket of a folder."""

    def __init__(self, folder: Path, *keys: asyncssh.SSHKey) -> None:
        self.path = str(folder / "agent")
        self._keys = keys

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        size = int.from_bytes(await reader.readexactly(4), "big")
        await reader.readexactly(size)
        keys = [struct.pack(">I", len(key.public_data)) + key.public_data + b"\0\0\0\x04work" for key in self._keys]
        body = b"\x0c" + struct.pack(">I", len(keys)) + b"".join(keys)
        writer.write(struct.pack(">I", len(body)) + body)
        await writer.drain()
        writer.close()

    async def ring(self, given: Given) -> KeyRing:
        async with await asyncio.start_unix_server(self._answer, self.path):
            return await KeyRing.of(given.route("ssh://mypi")[-1].config)


@pytest.mark.parametrize(("only", "count"), [("yes", 2), ("no", 3)])
def test_keys_come_in_the_order_of_ssh(tmp_path: Path, only: str, count: int) -> None:
    """First those that agent and configuration name, then the agent's others, then files."""
    given = Given(tmp_path)
    locked, file = tmp_path / "locked", tmp_path / "file"
    third = asyncssh.generate_private_key("ssh-ed25519")
    locked.write_bytes(locked_key(KEY))
    file.write_bytes(third.export_private_key())
    file.chmod(0o600)
    agent = Agent(tmp_path, OTHER, KEY)
    assert given.options.config is not None
    given.options.config.write_text(
        f"IdentityAgent {agent.path}\nIdentityFile {file}\nIdentityFile {locked}\nIdentitiesOnly {only}\n"
    )
    names = [offer.name for offer in asyncio.run(agent.ring(given)).offers]
    assert names == [str(locked), *["work of the SSH agent"] * (count - 2), str(file)]


def test_an_agent_that_is_dead_is_named(tmp_path: Path) -> None:
    given = Given(tmp_path)
    assert given.options.config is not None
    given.options.config.write_text(f"IdentityAgent {tmp_path}/none\nIdentityFile /no/key\n")
    given.ring = ring_of(given)
    assert f"the SSH agent at {tmp_path}/none does not answer" in given.refuses(wants_key=True)


def test_all_keys_are_offered_one_by_one(tmp_path: Path) -> None:
    given = Given(tmp_path)
    pairs = asyncssh.load_keypairs([KEY, OTHER])
    given.ring.offers = [Offer("first", pairs[0]), Offer("second", pairs[1])]
    attempt = given.attempt()
    assert [attempt.public_key_auth_requested() for _ in range(3)] == [*pairs, None]
    assert attempt.offered == ["first", "second"]
    attempt.password_auth_requested()
    assert not attempt.wants_more
    attempt = given.attempt()
    attempt.public_key_auth_requested()
    attempt.kbdint_auth_requested()
    assert attempt.wants_more
