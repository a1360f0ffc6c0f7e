"""Files on a board, written and removed by commands of its shell: no SFTP is needed, and a greeting does no harm.

Scripts are one line each, without what a C shell takes for its own: the login shell hands them on to `sh`.
"""

from __future__ import annotations

import shlex
from pathlib import PurePosixPath

MARK = "pi-pareto-nas-begins"
"""Written before a command's output: what comes before it is the greeting of a shell."""
_NO_LINK = (
    'at="$folder"; while [ "$at" != "$root" ] && [ "${at#"$root"/}" != "$at" ]; do if [ -L "$at" ]; then '
    'echo "$at must be a folder of its own, but is a link: remove it" >&2; exit 1; fi; at=${at%/*}; done'
)
"""No folder below the board's own is a link: what is written or removed there would be elsewhere."""
_PUT = (
    'root=$1 path=$2 size=$3 part=$2.part folder=${2%/*}; mkdir -p "$folder" || exit 1; '
    f"{_NO_LINK}; "
    'if [ -L "$path" ]; then rm -f "$path" || exit 1; fi; '
    'if [ -d "$path" ]; then echo "$path is a folder" >&2; exit 1; fi; '
    # Made anew: a link in its place is not followed. A lost connection ends the input like a whole file does.
    'rm -f "$part" || exit 1; set -C; cat > "$part" && [ "$(wc -c < "$part")" -eq "$size" ] && '
    'mv -f "$part" "$path" && exit 0; rm -f "$part"; exit 1'
)
_CLEAR = (
    f'root=$1 folder=$2; {_NO_LINK}; cd "$folder" 2>/dev/null || exit 0; '
    'for one in * .[!.]*; do if [ -f "$one" ] || [ -L "$one" ]; then rm -f "./$one"; fi; done'
)
_REMOVE = 'rm -f "$1"'
_WHY = (
    'root=$1; free=$(df -Pk "$root" 2>/dev/null || df -Pk .); echo "free=$(echo "$free" | tail -n 1 | '
    'tr -s " " | cut -d " " -f 4)"; [ -d "$HOME" ] || echo "home=$HOME"'
)


def put_command(root: PurePosixPath, path: PurePosixPath, size: int) -> str:
    """A command that writes its input to a file, whole or not at all; the folder is created."""
    return _command(_PUT, _anchored(root), _anchored(path), str(size))


def clear_command(root: PurePosixPath, folder: PurePosixPath) -> str:
    """A command that removes the files of a folder, as far as that is possible; it need not exist."""
    return _command(_CLEAR, _anchored(root), _anchored(folder))


def remove_command(path: PurePosixPath) -> str:
    """A command that removes a file if that is possible."""
    return _command(_REMOVE, _anchored(path))


def why_command(root: PurePosixPath) -> str:
    """A command that tells what may be wrong with a disk: free kilobytes, and a home that does not exist."""
    return _command(_WHY, _anchored(root))


def marked(command: str) -> str:
    """A command whose output `after_mark` finds."""
    return f"echo; echo {MARK}; {command}"


def after_mark(output: str) -> str | None:
    """What a command wrote; None if it did not run at all."""
    _, mark, after = output.partition(f"{MARK}\n")
    return after if mark else None


def _command(script: str, *arguments: str) -> str:
    return f"sh -c {shlex.quote(script)} sh {shlex.join(arguments)}"


def _anchored(path: PurePosixPath) -> str:
    """A path that no program takes for an option."""
    return str(path) if path.is_absolute() else f"./{path}"
