import dataclasses
import getpass
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from devices.agent.ssh_config import ConfigError, ConfigFile, HostConfig, files_of, read_host


def host_of(tmp_path: Path, text: str, alias: str = "mypi", *, user: str | None = None) -> HostConfig:
    (tmp_path / "config").write_text(text)
    return read_host(alias, user=user, port=None, files=[ConfigFile(tmp_path / "config", tmp_path)])


def test_without_configuration_a_host_is_what_was_typed() -> None:
    config = read_host("RaspberryPi.local", user=None, port=None, files=())
    assert (config.host, config.port, config.user) == ("raspberrypi.local", 22, getpass.getuser())
    assert Path("~/.ssh/id_ed25519").expanduser() in config.identity_files
    assert config.user_known_hosts[0] == Path("~/.ssh/known_hosts").expanduser()
    assert (config.jumps, config.proxy_command, config.identities_only) == ((), None, False)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Host mypi\n HostName 10.0.0.4\n Port 2222\n User pi", {"host": "10.0.0.4", "port": 2222, "user": "pi"}),
        ("host = mypi # at home\n\tPORT=2222 # there\n", {"port": 2222}),
        ("Port 1\nHost mypi\n Port 2\nHost *\n Port 3", {"port": 1}),
        ("Host MyPi\n Port 2\nHost my?i\n Port 3", {"port": 3}),
        ("Host * !mypi\n Port 2\nHost m*\n Port 3", {"port": 3}),
        ("Host mypi\n HostName %h.lan\nMatch host *.LAN,!other.lan\n User lan", {"host": "mypi.lan", "user": "lan"}),
        ("Match originalhost mypi user root,pi\n Port 2\nMatch all\n Port 3", {"port": 3}),
        ('Match exec "test %h = mypi"\n Port 2', {"port": 2}),
        ('Match host other exec "touch ran"\n Port 2', {"port": 22}),
        ("Match final host mypi\n Port 2\nUser me", {"port": 2, "user": "me"}),
        ("Match !final host mypi\n Port 2", {"port": 2}),
        ("Tag lab\nMatch tagged lab\n Port 2", {"port": 2}),
        ("Match sessiontype shell\n Port 2\nMatch canonical\n Port 3", {"port": 22}),
        ("NoSuchOption yes\nControlMaster auto\nUser me\nCanonicalizeHostname yes", {"user": "me", "host": "mypi"}),
        ("IdentityFile none", {"identity_files": ()}),
        ('IdentityFile "/a key"\nIdentityFile /%n-%r', {"identity_files": (Path("/a key"), Path("/mypi-me"))}),
        ("IdentityFile ${FOLDER}/key", {"identity_files": (Path("/keys/key"),)}),
        ("UserKnownHostsFile /a /b\nUserKnownHostsFile /c", {"user_known_hosts": (Path("/a"), Path("/b"))}),
        ("UserKnownHostsFile /dev/null\nGlobalKnownHostsFile none", {"user_known_hosts": (), "system_known_hosts": ()}),
        ("HostKeyAlias Lab\nUserKnownHostsFile /%k", {"host_key_alias": "lab", "user_known_hosts": (Path("/Lab"),)}),
        ("ProxyCommand nc -X 5 %h %p # all\nProxyJump b", {"proxy_command": "nc -X 5 mypi 22 # all", "jumps": ()}),
        ("ProxyJump a@b:2,c\nProxyCommand nc", {"proxy_command": None, "jumps": ("a@b:2", "c")}),
        ("ProxyJump none\nProxyCommand nc", {"proxy_command": None, "jumps": ()}),
        ("ConnectTimeout 1m30s\nAddressFamily inet", {"connect_seconds": 90.0, "family": 2}),
        ("IdentityAgent none", {"identity_agent": None}),
        ("IdentityAgent $FOLDER", {"identity_agent": "/keys"}),
        ("IdentityAgent ~/agent", {"identity_agent": str(Path("~/agent").expanduser())}),
        ("IdentitiesOnly YES", {"identities_only": True}),
    ],
)
def test_options(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, expected: dict[str, object]) -> None:
    monkeypatch.setenv("FOLDER", "/keys")
    monkeypatch.chdir(tmp_path)
    config = dataclasses.asdict(host_of(tmp_path, text, user="me" if "%r" in text or "root,pi" in text else None))
    assert {name: config[name] for name in expected} == expected
    assert not (tmp_path / "ran").exists()


def test_what_was_typed_comes_before_the_configuration(tmp_path: Path) -> None:
    (tmp_path / "config").write_text("User other\nPort 1\n")
    config = read_host("mypi", user="pi", port=22, files=[ConfigFile(tmp_path / "config", tmp_path)])
    assert (config.user, config.port) == ("pi", 22)


def test_included_files(tmp_path: Path) -> None:
    """Within a block they count there only, and what follows belongs to the block again."""
    (tmp_path / "config.d").mkdir()
    (tmp_path / "config.d" / "1").write_text("User first\nHost other\n Port 1\n")
    (tmp_path / "config.d" / "2").write_text("User second\n")
    config = host_of(tmp_path, "Host mypi\n Include config.d/* missing\n Port 2\nHost other\n Include config.d/2")
    assert (config.user, config.port) == ("first", 2)
    (tmp_path / "loop").write_text("Include loop\n")
    with pytest.raises(ConfigError, match=r"loop line 1: `Include` must lead at most 16 files deep"):
        host_of(tmp_path, "Include loop")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("\nPort abc", "config line 2: `port` cannot be 'abc'"),
        ("Port 70000", "config line 1: `port` cannot be '70000'"),
        ("Port", "config line 1: `port` must have a value"),
        ('User "pi', "config line 1: a quotation must end"),
        ("Match localnetwork 10.0.0.0/8\n Port 2", "config line 1: `Match localnetwork` cannot be followed here"),
        ("Match host", "config line 1: `Match host` must have a value"),
        ("IdentityFile ~/%q", "config line 1: %q stands for nothing here"),
        ("IdentityFile ${NO_SUCH_NAME}/x", "config line 1: the variable NO_SUCH_NAME must be set"),
        ("ConnectTimeout soon", "config line 1: `connecttimeout` cannot be 'soon'"),
        ("Match host mypi\nIdentitiesOnly maybe", "config line 2: `identitiesonly` cannot be 'maybe'"),
    ],
)
def test_what_cannot_be_followed_is_named_with_file_and_line(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message) as error:
        host_of(tmp_path, text)
    assert str(tmp_path) in str(error.value)
    assert "\n" not in str(error.value)


def test_files_that_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert [file.path for file in files_of(None)] == [tmp_path / ".ssh/config", Path("/etc/ssh/ssh_config")]
    assert [file.path for file in files_of(Path("~/other"))] == [tmp_path / "other"]
    assert files_of(Path("none")) == files_of(Path("/dev/null")) == ()
    with pytest.raises(ConfigError, match="an SSH configuration must exist"):
        read_host("mypi", user=None, port=None, files=files_of(tmp_path / "missing"))


ORACLE = """
Host MyPi lab-*
    HostName %h.example.org
    User pi
    IdentityFile "/keys/a b"
Match originalhost lab-1 user pi
    Port = 2200
Host lab-* !lab-2
    IdentityFile /keys/%n-%r-%p # the lab's
    UserKnownHostsFile /known/a /known/%k
    ProxyJump me@gate:2222,inner
Include included
Match host *.example.org exec "true"
    HostKeyAlias cluster
    ConnectTimeout 1m
Match final host mypi.example.org
    GlobalKnownHostsFile /known/final
Host *
    User other
    Port 2022
    IdentitiesOnly yes
    CertificateFile /keys/cert
    ServerAliveInterval 30
"""


@pytest.mark.skipif(shutil.which("ssh") is None, reason="needs the ssh program")
@pytest.mark.parametrize("alias", ["MyPi", "mypi", "lab-1", "lab-2", "inner"])
def test_ssh_itself_says_the_same(tmp_path: Path, alias: str) -> None:
    (tmp_path / "included").write_text("Host inner lab-2\n  Port 7\n  IdentityAgent /agent\n")
    text = ORACLE.replace("Include included", f"Include {tmp_path}/included")
    config = host_of(tmp_path, text, alias)
    run = subprocess.run(["ssh", "-G", "-F", tmp_path / "config", alias], capture_output=True, text=True, check=True)
    lines = [line.partition(" ") for line in run.stdout.splitlines()]

    def says(option: str) -> list[str]:
        return [value for name, _, value in lines if name == option]

    def paths(option: str) -> list[Path]:
        values = says(option) if "file" in option and "hosts" not in option else says(option)[0].split()
        return [Path(value).expanduser() for value in values]

    assert (config.host, config.user, str(config.port)) == tuple(says(name)[0] for name in ("hostname", "user", "port"))
    tokens = {"%n": alias, "%r": config.user, "%p": str(config.port), "%k": config.host_key_alias or config.host}

    def plain(path: Path) -> Path:
        text = os.fspath(path)
        for token, value in tokens.items():
            text = text.replace(token, value)
        return Path(text)

    # Kinds of keys that nobody has any more.
    files = [plain(path) for path in paths("identityfile") if path.name not in ("id_xmss", "id_dsa")]
    assert files == list(config.identity_files)
    assert [plain(path) for path in paths("userknownhostsfile")] == list(config.user_known_hosts)
    assert paths("globalknownhostsfile") == list(config.system_known_hosts)
    assert (config.host_key_alias or "") == "".join(says("hostkeyalias"))
    assert ",".join(config.jumps) == "".join(says("proxyjump"))
    assert [f"{config.connect_seconds or 0:g}"] == [value.replace("none", "0") for value in says("connecttimeout")]
    assert says("identitiesonly") == ["yes" if config.identities_only else "no"]
    assert paths("certificatefile") == list(config.certificate_files)
