"""Give the trained networks of a run early exits, search how to use them on the board, and write the front.

Example:
    python scripts/adapt_front.py runs/first --max-exits 2
"""

from __future__ import annotations

import sys
from typing import NoReturn

from moo.adaptation.config import AdaptFrontConfig
from scripts.command_line import parse, run_watched
from scripts.help_pages import ADAPT_FRONT


def main() -> int:
    """Parse the options, adapt, print the front and what it gains."""
    config = parse(AdaptFrontConfig, sys.argv[1:], page=ADAPT_FRONT)

    # Late, so that `--help` and mistakes in the options are answered at once.
    from scripts.adaptation_view import adapt_with_view

    return adapt_with_view(config)


def command() -> NoReturn:
    """The console command of this script."""
    run_watched(main)


if __name__ == "__main__":
    command()
