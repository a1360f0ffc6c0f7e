"""Files on a board, written and removed by a shell that runs as long as the connection. Start with `BoardFiles`.

No SFTP is needed, and a greeting does no harm. Login shells may be slow to start, so that one is started for all files.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import shlex
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Literal

import asyncssh

from search_space.boundary.text import last_line

MARK = "pi-pareto-nas-begins"
"""Written before what we asked for: what comes before it is the greeting of a shell."""
MOST_GREETING = 2**20
"""Bytes before an answer."""
CHUNK = 2**16
_MARKED_LINE = re.compile(rb"(?:\A|(?<=\n))" + MARK.encode() + rb" ?([^\n]*)\n")
_NO_LINK = (
    'at=${path%/*}; while [ "$at" != "$root" ] && [ "${at#"$root"/}" != "$at" ]; do if [ -L "$at" ]; then '
    'echo "$at must be a folder of its own, but is a link: remove it" >&2; exit 1; fi; at=${at%/*}; done'
)
"""No folder below the board's own is a link: what is written or removed there would be elsewhere."""
_PUT = (
    'part=$path.part; mkdir -p "${path%/*}" || exit 1; '
    f"{_NO_LINK}; "
    'if [ -L "$path" ]; then rm -f "$path" || exit 1; fi; '
    'if [ -d "$path" ]; then echo "$path is a folder" >&2; exit 1; fi; '
    # Made anew: a link in its place is not followed. A lost connection ends the input like a whole file does.
    'rm -f "$part" || exit 1; set -C; cat > "$part" && [ "$(wc -c < "$part")" -eq "$size" ] && '
    'mv -f "$part" "$path" && exit 0; rm -f "$part"; exit 1'
)
_CLEAR = (
    f'path=$path/.; {_NO_LINK}; cd "$path" 2>/dev/null || exit 0; '
    'for one in * .*; do if [ -f "$one" ] || [ -L "$one" ]; then rm -f "./$one"; fi; done'
)
_REMOVE = 'rm -f "$path"'
_WHY = (
    'free=$(df -Pk "$root" 2>/dev/null || df -Pk .); [ -d "$HOME" ] || echo "home=$HOME"; '
    'echo "free=$(echo "$free" | tail -n 1 | tr -s " " | cut -d " " -f 4)"'
)
# What a request brings is taken in whole, also where nobody wants it any more.
_LOOP = (
    f"echo; echo {MARK}; while IFS= read -r verb && IFS= read -r root && IFS= read -r path && IFS= read -r size; do "
    'said=$(head -c "$size" | { (case "$verb" in '
    f"put) {_PUT};; clear) {_CLEAR};; remove) {_REMOVE};; why) {_WHY};; esac) 2>&1; "
    "code=$?; cat > /dev/null; exit $code; }); code=$?; "
    f'echo; echo "{MARK} $code"; echo "$said"; echo "{MARK}"; done'
)

Verb = Literal["put", "clear", "remove", "why"]


@dataclass(frozen=True)
class Finished:
    """A command that has ended on the board."""

    code: int | None
    """None where a signal ended it."""
    output: str
    """What it wrote to stdout and stderr."""


@dataclass(frozen=True)
class _Said:
    before: str
    """What came before a line with the mark."""
    after: str | None
    """What is on that line after it; None if there was no such line."""


class NoShellError(Exception):
    """The board runs no commands; the message is what it says instead."""


class BoardFiles:
    """The shell on the board."""

    def __init__(self, connection: asyncssh.SSHClientConnection, root: PurePosixPath) -> None:
        self._connection = connection
        self._root = root
        self._process: asyncssh.SSHClientProcess[bytes] | None = None
        self._turns = asyncio.Lock()
        self._rest = b""

    async def start(self) -> None:
        """Start it, if it does not run.

        Raises:
            NoShellError: if the board runs no commands.
        """
        if self._process is not None:
            return
        command = f"exec sh -c {shlex.quote(_LOOP)}"
        try:
            process = await self._connection.create_process(command, stderr=asyncssh.STDOUT, encoding=None)
        except asyncssh.ChannelOpenError as error:
            raise NoShellError(str(error)) from None
        self._rest = b""
        said = await self._until_mark(process)
        if said.after is None:
            process.close()
            raise NoShellError(last_line(said.before) or f"code {process.exit_status}")
        self._process = process

    async def ask(self, verb: Verb, path: PurePosixPath, content: bytes = b"") -> Finished:
        """Have something done.

        Args:
            verb: what.
            path: the file, or the folder for `clear`.
            content: of the file for `put`.

        Raises:
            NoShellError: if the board runs no commands.
            asyncssh.ConnectionLost: if the shell ends.
        """
        async with self._turns:
            await self.start()
            process = self._process
            assert process is not None
            # After an interruption nobody knows where an answer begins: another shell is started then.
            self._process = None
            lines = [verb, _anchored(self._root), _anchored(path), str(len(content))]
            with contextlib.suppress(BrokenPipeError):
                process.stdin.write("\n".join([*lines, ""]).encode() + content)
            try:
                begin, end = await self._until_mark(process), await self._until_mark(process)
                if begin.after is None or end.after is None:
                    raise asyncssh.ConnectionLost("its shell ended")
            except BaseException:
                process.close()
                raise
            self._process = process
            return Finished(int(begin.after) if begin.after.isdecimal() else None, end.before)

    async def _until_mark(self, process: asyncssh.SSHClientProcess[bytes]) -> _Said:
        data = self._rest
        while (found := _MARKED_LINE.search(data)) is None:
            chunk = await process.stdout.read(CHUNK)
            if not chunk:
                return _Said(data.decode("utf-8", "replace"), None)
            data += chunk
            if len(data) > MOST_GREETING:
                return _Said("it talks without end", None)
        self._rest = data[found.end() :]
        return _Said(*(part.decode("utf-8", "replace") for part in (data[: found.start()], found.group(1))))


def marked(command: str) -> str:
    """A command whose output `after_mark` finds."""
    return f"echo; echo {MARK}; {command}"


def after_mark(output: str) -> str | None:
    """What a command wrote; None if it did not run at all."""
    _, mark, after = output.partition(f"{MARK}\n")
    return after if mark else None


def _anchored(path: PurePosixPath) -> str:
    """A path that no program takes for an option."""
    return str(path) if path.is_absolute() else f"./{path}"
