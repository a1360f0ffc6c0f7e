from pathlib import Path, PurePosixPath

import pytest

from devices.agent.ssh_address import BoardAddress, SshOptions


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("ssh://pi@raspberrypi.local", BoardAddress("pi", "raspberrypi.local")),
        ("ssh://pi@192.168.1.20:2222/", BoardAddress("pi", "192.168.1.20", 2222)),
        ("ssh://pi@[fe80::1]:23", BoardAddress("pi", "fe80::1", 23)),
    ],
)
def test_addresses(text: str, address: BoardAddress) -> None:
    assert BoardAddress.parse(text) == address
    assert BoardAddress.parse(str(address)) == address


@pytest.mark.parametrize(
    "text",
    [
        "ssh://",
        "ssh://host",
        "ssh://@host",
        "ssh://pi@",
        "ssh://pi@host:port",
        "ssh://pi@host:0",
        "ssh://pi@host:70000",
        "ssh://pi@host/folder",
        "ssh://pi@host?query",
        "http://pi@host",
        "pi@host",
        "ssh://-oProxy@host",
        "ssh://[pi@host",
    ],
)
def test_a_bad_address_is_refused_in_one_line(text: str) -> None:
    with pytest.raises(ValueError, match="must be ssh://USER@HOST or ssh://USER@HOST:PORT, but got") as error:
        BoardAddress.parse(text)
    assert "\n" not in str(error.value)


def test_names_for_the_programs_of_openssh() -> None:
    usual, other = BoardAddress("pi", "raspberrypi.local"), BoardAddress("pi", "192.168.1.20", 2222)
    assert (usual.port_option, usual.known_hosts_name) == ("", "raspberrypi.local")
    assert (other.port_option, other.known_hosts_name) == ("-p 2222 ", "[192.168.1.20]:2222")


def test_options_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("IDENTITY_FILE", "KNOWN_HOSTS", "SSH_CONFIG", "FOLDER", "PYTHON"):
        monkeypatch.delenv(f"BOARD_{name}", raising=False)
    assert SshOptions.from_environment() == SshOptions()
    assert SshOptions().board_python == ".pi-pareto-nas/venv/bin/python"
    monkeypatch.setenv("BOARD_IDENTITY_FILE", "~/.ssh/board")
    monkeypatch.setenv("BOARD_FOLDER", "/opt/board")
    options = SshOptions.from_environment()
    assert options == SshOptions(identity_file=Path("~/.ssh/board"), folder=PurePosixPath("/opt/board"))
    assert options.board_python == "/opt/board/venv/bin/python"
    monkeypatch.setenv("BOARD_PYTHON", "python3")
    assert SshOptions.from_environment().board_python == "python3"
