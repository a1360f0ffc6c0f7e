"""The very folder that is uploaded: made of a list of what belongs, each file checked. Start with `write_folder`."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath

from moo.adaptation.handover import run as run_program
from moo.analysis.networks import evaluated
from moo.report.card import card_markdown, front_card
from moo.sharing.discretion import Discretion, discretion_of
from moo.sharing.finished import OWN_IMAGES, FinishedFront
from moo.sharing.front_card import PICTURE, front_markdown
from moo.sharing.metadata import front_metadata
from moo.storage.adaptive_front import FOLDER
from moo.storage.archive import Entry
from moo.storage.network_files import is_handed_over, names_in, opened_below
from moo.visualization.front import latency_error_figure
from moo.visualization.style import png_of
from search_space.boundary.text import shown
from search_space.boundary.writing import write_atomically

PROGRAMS = (f"{FOLDER}/run.py", f"{FOLDER}/run_litert.py")
"""Published as this project has them, not as a folder does."""
README, NETWORKS = "README.md", "front"
MOST_BYTES = 2**31
"""Of a file that is published."""
_BEGINNINGS = {
    ".png": (0, b"\x89PNG\r\n\x1a\n"),
    ".tflite": (4, b"TFL3"),
    ".json": (0, b"{"),
    ".safetensors": (8, b"{"),
}
"""Bytes that a file of a kind must have, and where."""


def write_folder(
    run: FinishedFront,
    folder: Path,
    repo: str,
    *,
    licence: str | None = None,
    on_file: Callable[[str, int], None] = lambda name, size: None,
) -> None:
    """Write all that is published of a run; files that an earlier call wrote and that do not belong any more go.

    Args:
        run: that is published.
        folder: new, empty, or one that this wrote before.
        repo: `user/name` on the hub.
        licence: by its identifier on the hub; None says nothing of it.
        on_file: called with the name of each file and its bytes.

    Raises:
        ValueError: if the folder holds something else, or a file of the run has what must not go out.
    """
    check_folder(folder)
    discretion, written = discretion_of(run), set()
    files: dict[str, list[str]] = {}

    def write(name: str, content: bytes) -> None:
        discretion.check(name, content)
        write_atomically(folder / name, content)
        written.add(name)
        on_file(name, len(content))

    for entry in run.networks:
        identifier = entry.architecture.id
        files[identifier] = []
        for name, content in _network(run, entry, discretion):
            write(f"{NETWORKS}/{identifier}/{name}", content)
            files[identifier].append(name)
        if not any(name.startswith("model") for name in files[identifier]):
            raise ValueError(
                f"each network of a front must have a model.onnx, but {shown(identifier)} has none in "
                f"{str(run.folder.networks / identifier)!r}: restore it, or have the run write it anew by --resume."
            )
    networks = evaluated(run.archive, run.baselines, front_size=run.config.front_size)
    write(PICTURE, png_of(latency_error_figure(networks, space=run.space.name)))
    metadata = front_metadata(run, repo, discretion, licence=licence)
    write(README, f"---\n{metadata}\n---\n\n{front_markdown(run, files, repo, discretion)}".encode())
    for name in _files_in(folder):
        if name not in written:
            (folder / name).unlink()
            _remove_empty(folder, PurePosixPath(name).parent)


def check_folder(folder: Path) -> None:
    """Check that a folder can take what is published: new, empty, or written by `write_folder`.

    Raises:
        ValueError: if it cannot.
    """
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"`--folder` must name a folder, but {str(folder)!r} is a file: choose another.")
    other = next((name for name in _files_in(folder) if not _belongs(name)), None)
    if other is not None:
        raise ValueError(
            f"`--folder` must be new, empty, or one that push_front.py wrote, but {str(folder)!r} holds "
            f"{shown(other)}: choose another."
        )


def _belongs(name: str) -> bool:
    """Whether a file of this name may be one that `write_folder` wrote."""
    # A write that was interrupted leaves its part.
    name = name.removesuffix(".part")
    parts = PurePosixPath(name).parts
    if parts[0] == NETWORKS and len(parts) > 2:
        return is_handed_over("/".join(parts[2:]))
    return name in (README, PICTURE)


def _files_in(folder: Path) -> list[str]:
    """Names of all files below a folder, links included, sorted; locks of writing left out."""
    found = []
    for root, folders, names in os.walk(folder):
        links = [name for name in folders if (Path(root) / name).is_symlink()]
        found += [(Path(root) / name).relative_to(folder).as_posix() for name in [*names, *links]]
    return sorted(found)


def _remove_empty(folder: Path, parent: PurePosixPath) -> None:
    while parent.parts and not any((folder / parent).iterdir()):
        (folder / parent).rmdir()
        parent = parent.parent


def _network(run: FinishedFront, entry: Entry, discretion: Discretion) -> Iterator[tuple[str, bytes]]:
    """Names and contents of the files of a network: cards and architecture written anew, models as they are."""
    place = PurePosixPath(run.folder.networks.name, entry.architecture.id)
    for name in names_in(run.folder.path / place):
        if name == "curves.png" and run.dataset == OWN_IMAGES:
            # Its subtitle says where the images lie.
            continue
        try:
            with opened_below(run.folder.path, place / name) as handle:
                if os.fstat(handle).st_size > MOST_BYTES:
                    raise ValueError(
                        f"a file that is published must have at most {MOST_BYTES} bytes, but {name} has more."
                    )
                with os.fdopen(os.dup(handle), "rb") as file:
                    content = file.read()
        except FileNotFoundError:
            continue
        if name == "architecture.json":
            content = (json.dumps(entry.architecture.to_json(), indent=1) + "\n").encode()
        elif name == "card.md":
            card = card_markdown(front_card(entry, run.archive, run.space), run.data, dataset=run.dataset)
            content = discretion.text(card).encode()
        elif name == f"{FOLDER}/card.md":
            content = discretion.text(content.decode("utf-8", "replace")).encode()
        elif name in PROGRAMS:
            content = Path(run_program.__file__).with_name(PurePosixPath(name).name).read_bytes()
        else:
            _check_kind(f"{place}/{name}", content)
        yield name, content


def _check_kind(name: str, content: bytes) -> None:
    """Check that a file is of the kind that its name says.

    Raises:
        ValueError: if it is not.
    """
    suffix = PurePosixPath(name).suffix
    start, wanted = _BEGINNINGS.get(suffix, (0, b""))
    right = content[start : start + len(wanted)] == wanted
    if suffix == ".onnx":
        import onnx

        try:
            right = len(onnx.load_from_string(content).graph.node) > 0
        except Exception:
            right = False
    if not right:
        raise ValueError(
            f"a file must be of the kind that its name says, but {name} is not: restore it, or have the run write it "
            "anew by --resume."
        )
