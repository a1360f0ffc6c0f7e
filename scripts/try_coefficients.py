"""Which networks a tuple of loss coefficients gives in a run: searched on its supernet, or answered by its surrogate.

Examples:
    python scripts/try_coefficients.py runs/first --coefficients 0.2 1 0 0.5
    python scripts/try_coefficients.py runs/first --coefficients 0.2 1 0 0.5 --surrogate
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, NoReturn

from tyro.conf import Positional

from scripts.interface.command_line import parse, run
from scripts.interface.help_pages import TRY_COEFFICIENTS
from search_space.boundary.reading import local_path

if TYPE_CHECKING:
    from devices.measurement import Source
    from moo.search.coefficient_search import TriedNetwork
    from moo.search.surrogates.answers import SurrogateAnswer


@dataclass(frozen=True, kw_only=True, slots=True)
class TryConfig:
    """Which networks a tuple of loss coefficients gives in a run; the run is only read."""

    run: Positional[str]
    """Folder of a run whose supernet is pre-trained; it may go on meanwhile."""
    coefficients: tuple[float, float, float, float]
    """alpha, beta, gamma and delta of the loss: weight and exponent of latency, then of energy."""
    configuration: str | None = None
    """Runtime configuration that the networks are for, as the run names it: `ort 4t int8`; by default its base."""
    surrogate: bool = False
    """Do not search on the supernet, but answer at once by what the run has evaluated so far."""
    dataset: str | None = None
    """Where the images lie now; by default where they lay in the search."""
    json: bool = False
    """Print JSON instead of text: `networks`, each with `id`, `error`, costs and their sources."""

    def __post_init__(self) -> None:
        if not all(0 <= value < 1e6 for value in self.coefficients):
            given = " ".join(f"{value:g}" for value in self.coefficients)
            raise ValueError(f"`--coefficients` must be four numbers of at least 0 and below 1e6, but got {given}.")


def main() -> None:
    """Parse the options, search or ask, print."""
    config = parse(TryConfig, page=TRY_COEFFICIENTS)

    # Late, so that `--help` and mistakes in the options are answered at once.
    from devices.configuration import RuntimeConfiguration
    from dnas.losses import Coefficients
    from moo.report.selected import table_lines
    from moo.search.coefficient_search import searched_on_supernet
    from moo.search.surrogates.answers import open_answers

    if config.json:
        # What searches and measures on this machine goes first, as whoever asks so is no person who waits.
        os.nice(5)
    label = config.configuration
    configuration = None if label is None else RuntimeConfiguration.parse(label)
    coefficients, path = Coefficients(*config.coefficients), local_path(config.run)
    head = ("architecture", "error, selection split", "latency", "energy")
    if config.surrogate:
        answers = open_answers(path)
        found = answers.answer(coefficients, configuration)
        error = f"{100 * found.error:.1f} %, {found.error_source}"
        latency = f"{found.latency_ms:.4g} ms, {found.latency_source}"
        networks = [_network(found, found.latency_source, found.energy_source)]
        rows = [(found.architecture.id, error, latency, f"{found.energy_mj:.4g} mJ, {found.energy_source}")]
        note = (
            f"Answered in {found.configuration.label} by {answers.architectures} networks that the run has evaluated."
        )
    else:
        search = searched_on_supernet(path, coefficients, configuration=configuration, dataset=config.dataset)
        networks = [_network(one, "modelled", "modelled") for one in search.networks]
        rows = [
            (
                one.architecture.id + (" (stands for them)" if one.chosen else ""),
                f"{100 * one.error:.1f} %",
                f"{one.latency_ms:.4g} ms, modelled",
                f"{one.energy_mj:.4g} mJ, modelled",
            )
            for one in search.networks
        ]
        note = f"Searched in {search.configuration.label} on the run's supernet in {search.seconds:.1f} s."
    if config.json:
        print(json.dumps({"networks": networks}))
        return
    for line in table_lines(list(zip(head, *rows, strict=True))):
        print(line)
    print(note)


def _network(one: SurrogateAnswer | TriedNetwork, latency_source: Source, energy_source: Source) -> dict[str, object]:
    return {
        "id": one.architecture.id,
        "error": one.error,
        "latency_ms": one.latency_ms,
        "energy_mj": one.energy_mj,
        "latency_source": latency_source,
        "energy_source": energy_source,
    }


def command() -> NoReturn:
    """The console command of this script."""
    run(main)


if __name__ == "__main__":
    command()
