"""Publish a run's front as a model repository on the Hugging Face hub.

Examples:
    python scripts/push_front.py runs/first --repo anna/digits-front
    python scripts/push_front.py runs/first --repo anna/digits-front --folder published
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NoReturn

from tyro.conf import Positional

from scripts.interface.command_line import parse, run_watched
from scripts.interface.endings import goes_on_with, same_command
from scripts.interface.help_pages import PUSH_FRONT
from search_space.boundary.reading import local_path


@dataclass(frozen=True, kw_only=True, slots=True)
class PushConfig:
    """Publish a run's front as a model repository on the Hugging Face hub: cards, files and the picture of its front.

    Paths, addresses of boards and whatever else is yours alone stay here. A later call brings it up to date.
    """

    run: Positional[str]
    """Folder of a run that has ended."""
    repo: str
    """Repository on the hub, as user/name; it is made if it is not there."""
    license: str | None = None
    """License of the networks, by its identifier on the hub, as in apache-2.0."""
    private: bool = False
    """Whether nobody but you may see a repository that is made."""
    folder: str | None = None
    """Write what would be uploaded to this folder, and upload nothing."""


def main() -> None:
    """Parse the options, write the folder, upload it."""
    config = parse(PushConfig, page=PUSH_FRONT)

    # Late, so that `--help` and mistakes in the options are answered at once.
    from rich.console import Console

    from moo.formatting import size_text
    from moo.sharing.finished import read_finished
    from moo.sharing.folder import write_folder
    from moo.sharing.hub import check_repo, upload, upload_command
    from scripts.interface.terminal import plain, say

    console, repo, path = Console(), check_repo(config.repo), local_path(config.run)
    run = read_finished(path)
    folder = local_path(config.folder) if config.folder is not None else path / "hub"
    goes_on_with(same_command(), kept="files that were written or uploaded are not lost")
    sizes: list[int] = []
    with console.status("reading the networks of the front") as status:

        def on_file(name: str, size: int) -> None:
            sizes.append(size)
            status.update(f"{len(sizes)} files written, {plain(name)} last")

        write_folder(run, folder, repo, licence=config.license, on_file=on_file)
    say(console, f"{len(run.networks)} networks, {len(sizes)} files, {size_text(sum(sizes))}: {folder}")
    by_hand = upload_command(repo, folder, private=config.private)
    if config.folder is not None:
        say(console, f"Upload it: {by_hand}")
        return
    with console.status(f"uploading {len(sizes)} files, {size_text(sum(sizes))}, to {plain(repo)}"):
        try:
            address = upload(repo, folder, private=config.private)
        except ValueError as error:
            raise ValueError(f"{error} What was to be uploaded is in {folder}; by hand: {by_hand}") from None
    say(console, f"Published: {address}")


def command() -> NoReturn:
    """The console command of this script."""
    run_watched(main)


if __name__ == "__main__":
    command()
