"""Our own files with a seal within them: a digest of all that they hold, so that damage is named, never taken for data.

The seal is written with the content it is of, in one rename; a second file would be torn from the first by a kill
between the two. Files of earlier versions and of others have none and are read as they are; what looks like a seal
under another name is a damaged one, so that no single damage makes a sealed file an unsealed one.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors

from search_space.boundary.reading import parse_json, read_bytes, read_json
from search_space.boundary.text import reason_of
from search_space.boundary.writing import write_atomically

SEAL = "seal"
"""Name of the member that has it, in JSON and in the `__metadata__` of safetensors."""
MOST_STATE_BYTES = 2**36
"""Of weights and states of training."""
_FORM = re.compile(r"sha256-[0-9a-f]{64}")
_METADATA = "__metadata__"
_MAGIC = b"SEALED 1\n"
_ZIP = b"PK"
"""What states of earlier versions begin with, as PyTorch writes them."""


def sealed(content: Mapping[str, Any]) -> dict[str, Any]:
    """Plain values with their seal, the last member."""
    return {**content, SEAL: _seal_of(json.loads(json.dumps(content)))}


def unsealed(content: Any) -> Any:
    """What `sealed` was given, once it is known to be that; anything without a seal is as it is.

    Raises:
        ValueError: if contents and seal do not belong together, in words that follow the name of the file.
    """
    if not isinstance(content, dict):
        return content
    rest = {name: value for name, value in content.items() if name != SEAL}
    if SEAL in content and content[SEAL] != _seal_of(rest):
        raise ValueError(f"its contents do not match its `{SEAL}`, which must go if they were changed on purpose")
    if SEAL not in content:
        _check_no_other(rest)
    return rest


def write_sealed_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write plain values as a JSON file with their seal.

    Raises:
        OSError: as `search_space.boundary.writing.write_atomically`.
    """
    write_atomically(path, (json.dumps(sealed(content), indent=1) + "\n").encode())


def read_sealed_json(path: Path, *, what: str, remedy: str) -> Any:
    """What a JSON file holds, without its seal.

    Args:
        path: of the file.
        what: what the file should be, as in `the settings of a run`, for messages.
        remedy: a sentence, for messages.

    Raises:
        ValueError: if it is missing, no JSON, or damaged.
    """
    try:
        content = read_json(path, what=what)
    except ValueError as error:
        raise ValueError(f"{error} {remedy}") from None
    try:
        return unsealed(content)
    except ValueError as error:
        raise _damaged(path, what, error, remedy) from None


def is_sealed(path: Path, *, what: str) -> bool:
    """Whether there is a JSON file with a seal, as all have that this version wrote.

    Args:
        path: of the file.
        what: as for `read_sealed_json`.

    Raises:
        ValueError: if it is no JSON.
    """
    if not path.exists():
        return False
    content = read_json(path, what=what)
    return isinstance(content, dict) and SEAL in content


def sealed_tensors(content: bytes) -> bytes:
    """A safetensors file with its seal in its header, where every reader of that format passes it over."""
    header, metadata, data = _parts_of(content)
    metadata.pop(SEAL, None)
    whole = {_METADATA: {**metadata, SEAL: _seal_of([header, metadata], data)}, **header}
    text = json.dumps(whole, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text + data


def read_tensors(path: Path, *, what: str, remedy: str, most: int = MOST_STATE_BYTES) -> bytes:
    """A safetensors file, of ours or of others, known to be whole.

    Args:
        path: of the file.
        what: what the file should be, for messages.
        remedy: a sentence, for messages.
        most: bytes that it may have.

    Raises:
        ValueError: if it is missing, no safetensors file, or damaged.
    """
    content = _bytes_of(path, what, remedy, most)
    try:
        header, metadata, data = _parts_of(content)
        if SEAL not in metadata:
            _check_no_other(metadata)
            safetensors.deserialize(content)  # type: ignore[no-untyped-call]
        elif metadata.pop(SEAL) != _seal_of([header, metadata], data):
            raise ValueError(f"its contents do not match its `{SEAL}`")
    except Exception as error:
        # Of a header that is wrong, the library raises whatever comes of it.
        raise _damaged(path, what, error, remedy) from None
    return content


def sealed_state(state: bytes) -> bytes:
    """A state of training, as PyTorch saves it, behind its seal."""
    return _MAGIC + hashlib.sha256(state).digest() + state


def read_sealed_state(path: Path, *, what: str, remedy: str) -> bytes:
    """The state of training that `sealed_state` was given, known to be that.

    Args:
        path: of the file.
        what: what the file should be, for messages.
        remedy: a sentence, for messages.

    Raises:
        ValueError: if it is missing or damaged; whether a state of an earlier version is whole, PyTorch tells.
    """
    content = _bytes_of(path, what, remedy)
    if content.startswith(_ZIP):
        return content
    head = len(_MAGIC) + hashlib.sha256().digest_size
    if content[:head] != _MAGIC + hashlib.sha256(content[head:]).digest():
        raise _damaged(path, what, ValueError("its contents do not match its seal"), remedy)
    return content[head:]


def seal_of(path: Path, *, what: str) -> str | None:
    """The seal of a JSON or safetensors file that is known to be whole; None if it has none.

    Args:
        path: of the file.
        what: what the file should be, for messages.

    Raises:
        ValueError: if it is neither, or cannot be read.
    """
    content = read_bytes(path, what=what, most=MOST_STATE_BYTES)
    members = parse_json(content) if content.startswith(b"{") else _parts_of(content)[1]
    seal = members.get(SEAL) if isinstance(members, dict) else None
    return None if seal is None else str(seal)


def digest_of(content: bytes) -> str:
    """The digest of a file that another one of ours keeps, in the form of seals."""
    return f"sha256-{hashlib.sha256(content).hexdigest()}"


def _bytes_of(path: Path, what: str, remedy: str, most: int = MOST_STATE_BYTES) -> bytes:
    try:
        return read_bytes(path, what=what, most=most)
    except ValueError as error:
        raise ValueError(f"{error} {remedy}") from None


def _parts_of(content: bytes) -> tuple[dict[str, Any], dict[str, Any], bytes]:
    """The header of a safetensors file without its metadata, these, and its data."""
    end = 8 + int.from_bytes(content[:8], "little")
    if not 8 <= end <= len(content):
        raise ValueError("it is cut")
    header = parse_json(content[8:end])
    metadata = header.pop(_METADATA, {}) if isinstance(header, dict) else None
    if not isinstance(metadata, dict):
        raise ValueError("it has no header of a safetensors file")
    return header, metadata, content[end:]


def _seal_of(content: Any, data: bytes = b"") -> str:
    digest = hashlib.sha256(json.dumps(content, sort_keys=True, separators=(",", ":")).encode())
    digest.update(data)
    return f"sha256-{digest.hexdigest()}"


def _check_no_other(members: Mapping[str, Any]) -> None:
    for name, value in members.items():
        if isinstance(value, str) and _FORM.fullmatch(value):
            raise ValueError(f"its `{SEAL}` is called {name!r}")


def _damaged(path: Path, what: str, error: Exception, remedy: str) -> ValueError:
    return ValueError(f"{what} must be whole, but {str(path)!r} is not: {reason_of(error)}. {remedy}")
