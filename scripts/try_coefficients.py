"""Search one tuple of loss coefficients on the supernet of a run, beside the run.

Examples:
    python scripts/try_coefficients.py runs/first --alpha 0.3 --beta 1 --gamma 0.05 --delta 1
    python scripts/try_coefficients.py runs/first --alpha 0.3 --configuration "ort 4t 1500MHz fp32" --json
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from typing import NoReturn

from tyro.conf import Positional

from devices.configuration import RuntimeConfiguration
from dnas.losses import Coefficients
from moo.formatting import cost, percent
from scripts.interface.command_line import parse, run
from scripts.interface.help_pages import TRY_COEFFICIENTS
from search_space.boundary.reading import local_path


@dataclass(frozen=True, kw_only=True, slots=True)
class TryConfig:
    """Search one tuple of loss coefficients on the supernet of a run, and show the networks that it gives.

    The run stays as it is, and may go on meanwhile.
    """

    run: Positional[str]
    """Folder of a run whose supernet is pre-trained."""
    alpha: float = 0.1
    """Weight of latency."""
    beta: float = 1.0
    """Exponent of latency."""
    gamma: float = 0.1
    """Weight of energy."""
    delta: float = 1.0
    """Exponent of energy."""
    configuration: str | None = None
    """What networks are searched for, as in "ort 4t 1500MHz int8"; by default the first that the run has."""
    json: bool = False
    """Print JSON instead of text."""


def main() -> int:
    """Search, and print what was found."""
    config = parse(TryConfig, page=TRY_COEFFICIENTS)
    coefficients = Coefficients(config.alpha, config.beta, config.gamma, config.delta)
    configuration = None if config.configuration is None else RuntimeConfiguration.parse(config.configuration)

    # Late, so that `--help` and mistakes in the options are answered at once.
    from moo.search.one_trial import search_coefficients

    # What searches and measures on this machine goes first.
    os.nice(5)
    found = search_coefficients(local_path(config.run), coefficients, configuration)
    if config.json:
        sources = {"latency_source": "modelled", "energy_source": "modelled"}
        networks = [
            {"id": one.architecture.id, "error": one.error, "latency_ms": one.latency_ms, "energy_mj": one.energy_mj}
            | sources
            | {"stands": one.stands}
            for one in found
        ]
        print(json.dumps({"networks": networks}))
        return 0
    for one in found:
        costs = f"{cost(one.latency_ms, 'ms', 'modelled')}, {cost(one.energy_mj, 'mJ', 'modelled')}"
        stands = " (stands for the trial)" if one.stands else ""
        print(f"{one.architecture.id}: error {percent(one.error)} with inherited weights, {costs}{stands}")
    return 0


def command() -> NoReturn:
    """The console command of this script."""
    run(main)


if __name__ == "__main__":
    command()
