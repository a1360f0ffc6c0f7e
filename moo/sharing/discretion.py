"""What of a user's machine and boards never goes out: paths, addresses, tokens. Start with `discretion_of`."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from devices.agent.ssh_address import BoardAddress
from moo.sharing.finished import OWN_IMAGES, FinishedFront
from search_space.boundary.text import markdown, one_line, shown

WITHHELD = "…"
"""What stands where something was taken out."""
_LABEL = re.compile(r"(?P<name>.+?) \((?P<model>.+)\)")
"""As `devices.measurement.Board.label` writes it."""
_TOKENS = (r"hf_[A-Za-z0-9]{20,}", r"gh[pousr]_[A-Za-z0-9]{20,}", r"AKIA[A-Z0-9]{16}", r"-----BEGIN [A-Z ]*PRIVATE KEY")
_IN_ANY_FILE = re.compile(
    "|".join(
        (r"/(?:home|Users)/[\w.-]", "/root/", r"[A-Za-z]:\\{1,2}Users\\", r"ssh://[\w\[]", r"file://[\w/]", *_TOKENS)
    ).encode()
)
"""What no file may hold, of whichever kind; in weights it does not come by chance."""
_NO_CHANCE = 6
"""Letters of a text that does not come by chance among weights."""
_REST = r"[^\s`\"'|)]+"
_IN_TEXT = re.compile(
    "|".join(
        (
            r"(?<![\w.:/<-])/(?:[\w.@+~-]+/)+[\w.@+~-]*",  # /mnt/photos/a.jpg, but neither links nor a/b
            r"(?<![\w.:/<-])~[\w-]*/[\w./@+-]+",
            rf"\b[A-Za-z]:\\{_REST}",
            rf"\\\\[\w.$-]+\\{_REST}",
            rf"\b(?:ssh|file|sftp|smb)://{_REST}",
            r"\b[\w.+-]+@(?!\d+(?![\w.]))[\w-]+(?:\.[\w-]+)*",  # pi@host, but not fbnet-micro@32
            r"\b[\w-]+\.(?:local|lan|home|internal)\b",
            r"(?<![\w.])(?:\d{1,3}\.){3}\d{1,3}(?![\w.])",
            *_TOKENS,
        )
    )
)
"""What texts may not hold: paths, addresses of boards and users, hosts of a home network, tokens."""


@dataclass(frozen=True)
class Discretion:
    """What of a run is private, and what stands for it."""

    known: tuple[tuple[str, str], ...]
    """Each private text with what stands for it, the longest first."""

    def text(self, text: str) -> str:
        """A text of ours, in Markdown, without what is private."""
        for private, public in self.known:
            for form in dict.fromkeys((private, markdown(private), one_line(private))):
                text = text.replace(form, public)
        return _IN_TEXT.sub(WITHHELD, text)

    def command(self, command: str) -> str:
        """A command line of ours, with placeholders for what is private."""
        for private, public in self.known:
            command = command.replace(shlex.quote(private), "IMAGES" if public == OWN_IMAGES else public)
        return self.text(command)

    def check(self, name: str, content: bytes) -> None:
        """Check that a file has nothing private.

        Args:
            name: of the file, for messages.
            content: of the file.

        Raises:
            ValueError: if it has.
        """
        found = _IN_ANY_FILE.search(content)
        private = next((text for text, _ in self.known if len(text) >= _NO_CHANCE and text.encode() in content), None)
        held = private or (found[0].decode("ascii", "replace") if found else None)
        if held is not None:
            raise ValueError(
                f"a file that is published must have no paths, addresses or tokens of yours, but {name} has "
                f"{shown(held)}: take it out, or have the run write the file anew."
            )


def discretion_of(run: FinishedFront) -> Discretion:
    """What of a run is private: its folder, images, boards and earlier runs by their places, and the user's home."""
    config = run.config
    known = {str(run.folder.path.absolute()): "RUN", str(Path.home()): WITHHELD}
    if run.hub_dataset is None and run.dataset == OWN_IMAGES:
        known[config.dataset] = OWN_IMAGES
    for place, name in ((config.from_run, "EARLIER_RUN"), (config.cost_table, "COST_TABLE"), (config.space, "SPACE")):
        if place is not None and ("/" in place or "\\" in place):
            known[place] = name
    known |= {place: "BOARD" for place in config.device if "/" in place or "\\" in place}
    for address in (BoardAddress.parse(place) for place in config.device if place.startswith("ssh://")):
        known |= {str(address): "BOARD", str(address).removeprefix("ssh://"): "BOARD"}
        # A bare word may be any word.
        known |= {address.host: "BOARD"} if "." in address.host else {}
    if ":" in config.meter:
        known[config.meter] = config.meter.partition(":")[0]
    known |= {label: model for label in _labels(run) if (model := public_board(label)) != label}
    longest_first = sorted(known.items(), key=lambda pair: -len(pair[0]))
    return Discretion(tuple((private, public) for private, public in longest_first if len(private) > 3))


def public_board(label: str) -> str:
    """A board for everybody's eyes: its model, without the address by which its owner reaches it."""
    found = _LABEL.fullmatch(label)
    model = found["model"] if found and (found["name"] == "host" or "://" in found["name"]) else label
    return "a board" if _IN_TEXT.search(model) else model


def _labels(run: FinishedFront) -> Iterable[str]:
    if run.origin.board is not None:
        yield run.origin.board.label
    if run.archive.tables is not None:
        yield from (table.board for table in run.archive.tables)
    trained = [entry.trained for entry in run.archive.entries if entry.trained is not None]
    for entry in run.archive.entries:
        yield from (measurement.board for measurement in entry.measurements)
    for network in [*trained, *run.baselines]:
        yield from (file.measurement.board for file in network.files if file.measurement is not None)
