"""The way to a board: what `ssh` would use for the board, and for each jump host before it. Start with `route_to`."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import Path

from devices.agent.ssh_address import BoardAddress, SshOptions
from devices.agent.ssh_config import ConfigError, ConfigFile, HostConfig, files_of, read_host
from search_space.boundary.reading import local_path
from search_space.boundary.text import command_line, one_line, shown

MOST_JUMPS = 8
USUAL_PORT = 22


@dataclass(frozen=True, kw_only=True, slots=True)
class Hop:
    """A host on the way, or the board at its end."""

    config: HostConfig
    title: str
    """As it is called in messages: the board's address, or `the jump host NAME`."""
    words: tuple[str, ...]
    """Port and name by which OpenSSH's programs reach it."""
    config_file: Path | None
    """The file of BOARD_SSH_CONFIG."""
    through: str | None
    """What leads there and is not the network: a jump host or `ProxyCommand`; None for the network."""
    only_key: bool
    """Whether BOARD_IDENTITY_FILE names the one key."""
    only_known_hosts: bool
    """Whether BOARD_KNOWN_HOSTS names the one file of host keys."""

    @property
    def label(self) -> str:
        """Its title, with where that really is if it differs."""
        config, real = self.config, self.real
        typed = self.words[-1].rpartition("@")[2]
        return self.title if typed == config.host else f"{self.title} ({real})"

    @property
    def real(self) -> str:
        """User, host and port as they are used."""
        config = self.config
        host = f"[{config.host}]" if ":" in config.host else config.host
        return f"{config.user}@{host}" + (f":{config.port}" if config.port != USUAL_PORT else "")

    @property
    def known_name(self) -> str:
        """The name of its key in files of known hosts."""
        config = self.config
        if config.host_key_alias is not None:
            return config.host_key_alias
        return f"[{config.host}]:{config.port}" if config.port != USUAL_PORT else config.host

    def command(self, program: str, *options: str) -> str:
        """A command of OpenSSH's for this host."""
        file = ("-F", str(self.config_file)) if self.config_file is not None and program == "ssh" else ()
        return command_line((program, *file, *options, *self.words))


def route_to(address: BoardAddress, options: SshOptions) -> tuple[Hop, ...]:
    """The hosts on the way to a board, the board last.

    Raises:
        ConfigError: if the configuration cannot be followed.
    """
    files = files_of(options.config)
    config = read_host(address.host, user=address.user, port=address.port, files=files)
    try:
        if options.identity_file is not None:
            config = replace(
                config, identity_files=(local_path(options.identity_file),), certificate_files=(), identities_only=True
            )
        if options.known_hosts is not None:
            config = replace(config, user_known_hosts=(local_path(options.known_hosts),), system_known_hosts=())
    except ValueError as error:
        raise ConfigError(str(error)) from None
    before = _jumps(config, files, options.config, seen=(config.alias,))
    board = Hop(
        config=config,
        title=str(address),
        words=address.words,
        config_file=options.config,
        through=_through(config, before),
        only_key=options.identity_file is not None,
        only_known_hosts=options.known_hosts is not None,
    )
    return *before, board


def _jumps(
    config: HostConfig, files: tuple[ConfigFile, ...], file: Path | None, *, seen: tuple[str, ...]
) -> tuple[Hop, ...]:
    """The jump hosts before a host; the first one may have some of its own."""
    hops: tuple[Hop, ...] = ()
    for place, text in enumerate(config.jumps):
        jump = _jump(text)
        if jump.host in seen:
            raise ConfigError(
                f"`ProxyJump` must not lead in a circle, but leads to {shown(jump.host)} through itself: write "
                f"`ProxyJump none` into a block for that host."
            )
        seen = (*seen, jump.host)
        if len(seen) > MOST_JUMPS:
            raise ConfigError(f"`ProxyJump` must lead through at most {MOST_JUMPS} hosts, but leads through more.")
        there = read_host(jump.host, user=jump.user, port=jump.port, files=files)
        if place == 0:
            hops = _jumps(there, files, file, seen=seen)
        hops = (
            *hops,
            Hop(
                config=there,
                title=f"the jump host {one_line(jump.host)}",
                words=jump.words,
                config_file=file,
                through=_through(there if place == 0 else replace(there, proxy_command=None), hops),
                only_key=False,
                only_known_hosts=False,
            ),
        )
    return hops


def _jump(text: str) -> BoardAddress:
    """A jump host from `HOST`, `USER@HOST:PORT`, or the same as an address."""
    plain = text.removeprefix("ssh://")
    if plain.count(":") > 1 and "[" not in plain:
        user, at, host = plain.rpartition("@")
        plain = f"{user}{at}[{host}]"
    if re.search(r"[/\s]", plain):
        raise ConfigError(f"`ProxyJump` must name hosts as USER@HOST:PORT, but names {shown(text)}.")
    try:
        return BoardAddress.parse(f"ssh://{plain}")
    except ValueError:
        raise ConfigError(f"`ProxyJump` must name hosts as USER@HOST:PORT, but names {shown(text)}.") from None


def _through(config: HostConfig, before: tuple[Hop, ...]) -> str | None:
    if before:
        return before[-1].title
    return "its `ProxyCommand`" if config.proxy_command is not None else None
