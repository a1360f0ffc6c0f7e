"""The page: start searches, watch them, explore and compare what they found, in a browser, without any network.

Examples:
    python scripts/pareto_page.py
    python scripts/pareto_page.py --runs runs --boards ssh://pi@raspberrypi.local --datasets digits photos
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NoReturn

from scripts.interface.command_line import parse, run
from scripts.interface.help_pages import PARETO_PAGE
from search_space.boundary.reading import local_path


@dataclass(frozen=True, kw_only=True, slots=True)
class PageConfig:
    """Serve a page on which searches are started and watched, and fronts explored and compared.

    It listens on this machine alone; from another one, go through `ssh -L 8500:127.0.0.1:8500`. Open the address that
    is printed: its token lets you in. Searches that are started go on when the page ends.
    """

    runs: str = "runs"
    """Folder whose runs are shown, and where new ones are made."""
    port: int = 8500
    """Port to listen on; 0 takes any that is free."""
    boards: tuple[str, ...] = ()
    """Boards that searches may be started on, besides this machine and the built-in ones: ssh://pi@raspberrypi.local."""
    datasets: tuple[str, ...] = ("digits",)
    """Data sets that searches may be started on."""

    def __post_init__(self) -> None:
        if not 0 <= self.port < 2**16:
            raise ValueError(f"`--port` must be from 0 to {2**16 - 1}, but got {self.port}.")


def main() -> int:
    """Serve until Ctrl-C."""
    config = parse(PageConfig, page=PARETO_PAGE)
    runs = local_path(config.runs)
    made = "" if runs.is_dir() else f"\nThe folder {config.runs!r} was not there: it was made, and has no runs yet."
    if not runs.is_dir():
        if runs.exists():
            raise ValueError(f"`--runs` must be a folder, but {config.runs!r} is a file.")
        runs.mkdir(parents=True)

    # Late, so that `--help` and mistakes in the options are answered at once.
    from moo.page.server import serve
    from moo.page.settings import PageSettings
    from scripts.interface.search_program import TRYING, search_program

    settings = PageSettings(
        runs=runs.resolve(), boards=config.boards, datasets=config.datasets, program=search_program(), trying=TRYING
    )
    serve(settings, port=config.port, say=lambda address: print(f"Open {address}{made}", flush=True))
    return 0


def command() -> NoReturn:
    """The console command of this script."""
    run(main)


if __name__ == "__main__":
    command()
