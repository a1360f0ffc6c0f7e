"""OpenSSH's client configuration: what it says about one host. Start with `read_host`.

Read as `ssh` does (https://man.openbsd.org/ssh_config), of which asyncssh's own reader departs where files of users go:
comments at the end of a line, `Include` within a block or beside the system's file, times such as `1m`, `%k` and `%j`.
What needs a terminal, forwards ports or shares connections is passed over, as is a word that nobody knows.
"""

from __future__ import annotations

import getpass
import glob
import hashlib
import os
import re
import socket
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from devices.agent.ssh_patterns import is_like, like_one_of, words_of
from search_space.boundary.reading import local_path, read_bytes
from search_space.boundary.text import one_line, reason_of, shown

Value = TypeVar("Value")

SYSTEM_CONFIG = Path("/etc/ssh/ssh_config")
DEEPEST_INCLUDE = 16
EXEC_SECONDS = 10.0
"""Time for a command of `Match exec`."""
USUAL_KEYS = tuple(f"~/.ssh/id_{kind}" for kind in ("rsa", "ecdsa", "ecdsa_sk", "ed25519", "ed25519_sk"))
USUAL_USER_KNOWN_HOSTS = ("~/.ssh/known_hosts", "~/.ssh/known_hosts2")
USUAL_SYSTEM_KNOWN_HOSTS = ("/etc/ssh/ssh_known_hosts", "/etc/ssh/ssh_known_hosts2")
_FIRST = frozenset(
    (
        "addressfamily",
        "bindaddress",
        "ciphers",
        "connecttimeout",
        "hostkeyalgorithms",
        "hostkeyalias",
        "hostname",
        "identitiesonly",
        "identityagent",
        "kexalgorithms",
        "macs",
        "port",
        "proxycommand",
        "proxyjump",
        "tag",
        "user",
    )
)
"""Options of which the first value counts."""
_LISTS = frozenset(("globalknownhostsfile", "userknownhostsfile"))
"""Options of several values, of which the first line counts."""
_GATHERED = frozenset(("certificatefile", "identityfile"))
"""Options of which all lines count."""
_WHOLE_LINE = frozenset(("proxycommand", "localcommand", "remotecommand", "knownhostscommand"))
"""Options whose value is the rest of the line."""
_FAMILIES = {"any": socket.AF_UNSPEC, "inet": socket.AF_INET, "inet6": socket.AF_INET6}
_SECONDS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}


class ConfigError(ValueError):
    """A configuration that cannot be followed; the message names file and line."""


@dataclass(frozen=True)
class ConfigFile:
    """A file of the configuration."""

    path: Path
    folder: Path
    """Where what it includes is, unless that is named from the root."""
    must_exist: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class HostConfig:
    """What `ssh` would use for a host."""

    alias: str
    """The host as it was typed."""
    host: str
    """Its name for the network."""
    user: str
    port: int
    host_key_alias: str | None
    """The name of its key in files of known hosts, where that is another one."""
    identity_files: tuple[Path, ...]
    """Private keys, or public ones whose private half the SSH agent holds."""
    certificate_files: tuple[Path, ...]
    identities_only: bool
    """Whether the agent's other keys are left alone."""
    identity_agent: str | None
    """Socket of the SSH agent; None for none."""
    user_known_hosts: tuple[Path, ...]
    system_known_hosts: tuple[Path, ...]
    jumps: tuple[str, ...]
    """Hosts on the way, the first one first."""
    proxy_command: str | None
    family: int
    bind_address: str | None
    connect_seconds: float | None
    key_exchanges: str | None
    ciphers: str | None
    macs: str | None
    host_key_algorithms: str | None


@dataclass(frozen=True)
class _Setting:
    words: tuple[str, ...]
    place: str


def read_host(alias: str, *, user: str | None, port: int | None, files: Sequence[ConfigFile]) -> HostConfig:
    """What `ssh` would use for a host.

    Args:
        alias: the host as it was typed.
        user: who logs in; None asks the configuration.
        port: of its SSH server; None asks the configuration.
        files: configuration files; what comes first counts.

    Raises:
        ConfigError: if a file cannot be read or followed.
    """
    reader = _Reader(alias, user, port)
    reader.read(files)
    if reader.wants_final_pass:
        reader.final = True
        reader.read(files)
    return reader.result()


def files_of(path: Path | None) -> tuple[ConfigFile, ...]:
    """The configuration files that `ssh -F PATH` reads: those of user and system for None, none for a path of `none`.

    Raises:
        ConfigError: if the path begins with a home that nobody knows.
    """
    if path is not None and str(path) in ("none", os.devnull):
        return ()
    try:
        folder = local_path("~/.ssh")
        if path is not None:
            return (ConfigFile(local_path(path), folder, must_exist=True),)
    except ValueError as error:
        raise ConfigError(str(error)) from None
    return ConfigFile(folder / "config", folder), ConfigFile(SYSTEM_CONFIG, SYSTEM_CONFIG.parent)


class _Reader:
    """Goes through the files; what was set first stays."""

    def __init__(self, alias: str, user: str | None, port: int | None) -> None:
        self._alias = alias
        self._settings: dict[str, list[_Setting]] = {}
        self._place = ""
        self.final = False
        self.wants_final_pass = False
        if user is not None:
            self._settings["user"] = [_Setting((user,), "the address")]
        if port is not None:
            self._settings["port"] = [_Setting((str(port),), "the address")]

    def read(self, files: Sequence[ConfigFile]) -> None:
        for file in files:
            self._read_file(file, matches=True, depth=0)

    # Lines

    def _read_file(self, file: ConfigFile, *, matches: bool, depth: int) -> None:
        if depth > DEEPEST_INCLUDE:
            raise self._error(f"`Include` must lead at most {DEEPEST_INCLUDE} files deep, but leads deeper")
        if not file.must_exist and not file.path.exists():
            return
        try:
            text = read_bytes(file.path, what="an SSH configuration").decode("utf-8", "surrogateescape")
        except (ValueError, OSError) as error:
            raise ConfigError(f"{reason_of(error)}.") from None
        active = matches
        for number, line in enumerate(text.split("\n"), 1):
            self._place = f"{file.path} line {number}"
            found = re.match(r'\s*"?([^\s="#]+)"?(?:\s*=\s*|\s+|$)(.*)', line, re.DOTALL)
            if found is None:
                continue
            option, rest = found.group(1).lower(), found.group(2).strip()
            if option == "host":
                active = matches and self._host_matches(self._words(rest))
            elif option == "match":
                active = matches and self._match_holds(self._words(rest))
            elif option == "include":
                for path in self._included(self._words(rest), file.folder):
                    self._read_file(ConfigFile(path, file.folder), matches=active, depth=depth + 1)
            elif active:
                self._set(option, rest)

    def _words(self, text: str) -> list[str]:
        try:
            return words_of(text)
        except ValueError as error:
            raise self._error(str(error)) from None

    def _included(self, patterns: list[str], folder: Path) -> list[Path]:
        paths: list[Path] = []
        for pattern in patterns:
            full = os.path.join(folder, os.path.expanduser(self._environment(pattern)))
            paths += [Path(path) for path in sorted(glob.glob(full)) if os.path.isfile(path)]
        return paths

    def _set(self, option: str, rest: str) -> None:
        known = option in _FIRST or option in _LISTS or option in _GATHERED
        if not known or (option in self._settings and option not in _GATHERED):
            return
        words = [rest] if option in _WHOLE_LINE else self._words(rest)
        if not words or not words[0]:
            raise self._error(f"`{one_line(option)}` must have a value, but has none")
        if option == "proxyjump" and "proxycommand" in self._settings:
            return
        if option == "proxycommand" and "proxyjump" in self._settings:
            return
        setting = _Setting(tuple(words if option in _LISTS else words[:1]), self._place)
        gathered = self._settings.setdefault(option, [])
        # The final pass goes through the same lines once more.
        if setting.words not in [one.words for one in gathered]:
            gathered.append(setting)

    # Blocks

    def _host_matches(self, patterns: list[str]) -> bool:
        if not patterns:
            raise self._error("`Host` must have a pattern, but has none")
        host = self._host() if self.final else self._alias
        found = False
        for pattern in patterns:
            if is_like(host, pattern.removeprefix("!")):
                if pattern.startswith("!"):
                    return False
                found = True
        return found

    def _match_holds(self, words: list[str]) -> bool:
        if not words:
            raise self._error("`Match` must have a criterion, but has none")
        holds = True
        rest = list(words)
        while rest:
            word = rest.pop(0)
            negated, (criterion, equals, value) = word.startswith("!"), word.removeprefix("!").partition("=")
            criterion = criterion.lower()
            if criterion == "all":
                result = True
            elif criterion == "canonical":
                # Names are not made canonical here.
                result = False
            elif criterion == "final":
                self.wants_final_pass = True
                result = self.final
            else:
                if not equals and not rest:
                    raise self._error(f"`Match {one_line(criterion)}` must have a value, but has none")
                argument = value if equals else rest.pop(0)
                # As in OpenSSH, nothing is run or asked once the line cannot hold any more.
                result = holds and self._criterion_holds(criterion, argument)
            holds = holds and result != negated
        return holds

    def _criterion_holds(self, criterion: str, argument: str) -> bool:
        if criterion == "host":
            return like_one_of(self._host().lower(), argument.lower())
        if criterion == "originalhost":
            return like_one_of(self._alias.lower(), argument.lower())
        if criterion == "user":
            return like_one_of(self._user(), argument)
        if criterion == "localuser":
            return like_one_of(_local_user(), argument)
        if criterion == "tagged":
            return like_one_of(self._first("tag") or "", argument)
        if criterion == "sessiontype":
            return like_one_of("exec", argument)
        if criterion in ("command", "version"):
            return False
        if criterion == "exec":
            return self._runs(self._expanded(argument))
        raise self._error(
            f"`Match {one_line(criterion)}` cannot be followed here; write what is in it as a `Host` block"
        )

    def _runs(self, command: str) -> bool:
        shell = os.environ.get("SHELL") or "/bin/sh"
        quiet = subprocess.DEVNULL
        try:
            done = subprocess.run(
                [shell, "-c", command], stdin=quiet, stdout=quiet, stderr=quiet, timeout=EXEC_SECONDS, check=False
            )
        except (OSError, ValueError, subprocess.TimeoutExpired) as error:
            raise self._error(f"`Match exec` must run {shown(command)}, but cannot: {reason_of(error)}") from None
        return done.returncode == 0

    # Values

    def result(self) -> HostConfig:
        alias = self._value("hostkeyalias")
        files = [setting.words[0] for setting in self._settings.get("identityfile", ())] or list(USUAL_KEYS)
        certificates = [setting.words[0] for setting in self._settings.get("certificatefile", ())]
        return HostConfig(
            alias=self._alias,
            host=self._host().lower(),
            user=self._user(),
            port=self._port(),
            host_key_alias=alias.lower() if alias else None,
            identity_files=self._paths(files, "identityfile"),
            certificate_files=self._paths(certificates, "certificatefile"),
            identities_only=self._yes("identitiesonly"),
            identity_agent=self._agent(),
            user_known_hosts=self._known_hosts("userknownhostsfile", USUAL_USER_KNOWN_HOSTS),
            system_known_hosts=self._known_hosts("globalknownhostsfile", USUAL_SYSTEM_KNOWN_HOSTS),
            jumps=self._jumps(),
            proxy_command=self._proxy_command(),
            family=self._converted("addressfamily", "any", lambda text: _FAMILIES[text.lower()]),
            bind_address=self._value("bindaddress"),
            connect_seconds=self._converted("connecttimeout", "none", _seconds),
            key_exchanges=self._first("kexalgorithms"),
            ciphers=self._first("ciphers"),
            macs=self._first("macs"),
            host_key_algorithms=self._first("hostkeyalgorithms"),
        )

    def _first(self, option: str) -> str | None:
        settings = self._settings.get(option)
        return settings[0].words[0] if settings else None

    def _value(self, option: str) -> str | None:
        """The first value; None also where it is `none`."""
        value = self._first(option)
        return None if value is None or value.lower() == "none" else value

    def _converted(self, option: str, usual: str, convert: Callable[[str], Value]) -> Value:
        text = self._first(option)
        try:
            return convert(usual if text is None else text)
        except (ValueError, LookupError):
            self._place = self._settings[option][0].place
            raise self._error(f"`{option}` cannot be {shown(text)}") from None

    def _host(self) -> str:
        name = self._first("hostname")
        return self._expanded(name, {"h": self._alias}) if name else self._alias

    def _user(self) -> str:
        return self._first("user") or _local_user()

    def _port(self) -> int:
        return self._converted("port", "22", _port)

    def _yes(self, option: str) -> bool:
        return self._converted(option, "no", lambda text: _YES[text.lower()])

    def _jumps(self) -> tuple[str, ...]:
        value = self._value("proxyjump")
        return tuple(self._expanded(hop.strip()) for hop in value.split(",") if hop.strip()) if value else ()

    def _proxy_command(self) -> str | None:
        value = self._value("proxycommand")
        return self._expanded(value) if value else None

    def _agent(self) -> str | None:
        value = self._first("identityagent")
        if value is None or value == "SSH_AUTH_SOCK":
            return os.environ.get("SSH_AUTH_SOCK") or None
        if value.lower() == "none":
            return None
        if value.startswith("$") and not value.startswith("${"):
            return os.environ.get(value[1:]) or None
        return str(self._path(value, "identityagent"))

    def _known_hosts(self, option: str, usual: tuple[str, ...]) -> tuple[Path, ...]:
        settings = self._settings.get(option)
        words = settings[0].words if settings else usual
        return self._paths([word for word in words if word != os.devnull], option)

    def _paths(self, words: list[str], option: str) -> tuple[Path, ...]:
        paths = [self._path(word, option) for word in words if word.lower() != "none"]
        return tuple(dict.fromkeys(paths))

    def _path(self, text: str, option: str) -> Path:
        settings = self._settings.get(option)
        self._place = settings[0].place if settings else self._place
        try:
            return local_path(self._expanded(self._environment(text)))
        except ConfigError:
            raise
        except ValueError as error:
            raise self._error(reason_of(error)) from None

    def _environment(self, text: str) -> str:
        def value(found: re.Match[str]) -> str:
            try:
                return os.environ[found.group(1)]
            except KeyError:
                raise self._error(f"the variable {one_line(found.group(1))} must be set, but is not") from None

        return re.sub(r"\$\{(.*?)\}", value, text)

    def _expanded(self, text: str, tokens: dict[str, str] | None = None) -> str:
        def value(found: re.Match[str]) -> str:
            known = {"%": "%", **(self._tokens() if tokens is None else tokens)}
            try:
                return known[found.group(1)]
            except KeyError:
                raise self._error(f"%{one_line(found.group(1))} stands for nothing here") from None

        return re.sub(r"%(.?)", value, text, flags=re.DOTALL) if "%" in text else text

    def _tokens(self) -> dict[str, str]:
        local = socket.gethostname()
        host, port, user, jump = self._host().lower(), str(self._port()), self._user(), self._value("proxyjump") or ""
        return {
            "C": hashlib.sha1("".join((local, host, port, user, jump)).encode(errors="replace")).hexdigest(),
            "d": os.path.expanduser("~"),
            "h": host,
            "i": str(os.getuid()) if hasattr(os, "getuid") else "",
            "j": jump,
            "k": self._value("hostkeyalias") or host,
            "L": local.partition(".")[0],
            "l": local,
            "n": self._alias,
            "p": port,
            "r": user,
            "u": _local_user(),
        }

    def _error(self, what: str) -> ConfigError:
        return ConfigError(f"{one_line(self._place, most=1000)}: {what}.")


_YES = {"yes": True, "true": True, "no": False, "false": False}


def _port(text: str) -> int:
    port = int(text)
    if not 0 < port < 65536:
        raise ValueError
    return port


def _seconds(text: str) -> float | None:
    """A time such as `90`, `1m30s` or `none`."""
    if text.lower() == "none":
        return None
    parts = re.findall(r"(\d{1,9})([smhdw]?)", text.lower())
    if "".join(number + unit for number, unit in parts) != text.lower() or not parts:
        raise ValueError
    return float(sum(int(number) * _SECONDS[unit] for number, unit in parts)) or None


def _local_user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        raise ConfigError(
            "the address of a board must name a user where this machine does not know who you are: ssh://USER@HOST."
        ) from None
