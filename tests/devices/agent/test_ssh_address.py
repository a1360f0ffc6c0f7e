from pathlib import Path, PurePosixPath

import pytest

from devices.agent.ssh_address import BoardAddress, SshOptions


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("ssh://pi@raspberrypi.local", BoardAddress("pi", "raspberrypi.local")),
        ("ssh://pi@192.168.1.20:2222/", BoardAddress("pi", "192.168.1.20", 2222)),
        ("ssh://pi@[fe80::1]:23", BoardAddress("pi", "fe80::1", 23)),
        ("ssh://MyPi", BoardAddress(None, "MyPi")),
        ("ssh://lab-pi_4:22", BoardAddress(None, "lab-pi_4", 22)),
        ("ssh://me@lab.org@host", BoardAddress("me@lab.org", "host")),
        ("ssh://[fe80::1%eth0]", BoardAddress(None, "fe80::1%eth0")),
    ],
)
def test_addresses(text: str, address: BoardAddress) -> None:
    assert BoardAddress.parse(text) == address
    assert BoardAddress.parse(str(address)) == address


def test_a_zone_may_be_written_as_in_a_web_address() -> None:
    assert BoardAddress.parse("ssh://pi@[fe80::1%25eth0]") == BoardAddress("pi", "fe80::1%eth0")


@pytest.mark.parametrize(
    "text",
    [
        "ssh://",
        "ssh://@host",
        "ssh://pi@",
        "ssh://pi@host:port",
        "ssh://pi@host:0",
        "ssh://pi@host:70000",
        "ssh://pi@host/folder",
        "ssh://pi@host?query",
        "ssh://pi:secret@host",
        "ssh://pi@fe80::1",
        "http://pi@host",
        "pi@host",
        "ssh://-oProxy@host",
        "ssh://-oProxyCommand=x",
        "ssh://[pi@host",
    ],
)
def test_a_bad_address_is_refused_in_one_line(text: str) -> None:
    with pytest.raises(ValueError, match="must be ssh://HOST, ssh://USER@HOST or ssh://USER@HOST:PORT, but") as error:
        BoardAddress.parse(text)
    assert "\n" not in str(error.value)


def test_the_name_in_files_stays_what_it_was() -> None:
    for text in ("ssh://MyPi", "ssh://pi@MyPi:2222", "ssh://pi@[fe80::1]"):
        assert BoardAddress.parse(text).name == text
    assert BoardAddress.parse("ssh://pi@raspberrypi.local:22").name == "ssh://pi@raspberrypi.local"


def test_names_for_the_programs_of_openssh() -> None:
    assert BoardAddress("pi", "raspberrypi.local").words == ("pi@raspberrypi.local",)
    assert BoardAddress(None, "mypi", 2222).words == ("-p", "2222", "mypi")


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
