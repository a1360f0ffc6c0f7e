"""Further architectures from a trial of a run: the most probable ones by its theta, or drawn from it.

Examples:
    python scripts/sample_architectures.py runs/first --trial 3 --count 10
    python scripts/sample_architectures.py runs/first --trial 3 --seed 0 --out drawn.json
"""

from __future__ import annotations

import json
from contextlib import closing
from dataclasses import dataclass
from typing import NoReturn

from tyro.conf import Positional

from scripts.interface.command_line import parse, run
from scripts.interface.help_pages import SAMPLE_ARCHITECTURES
from search_space.boundary.reading import local_path
from search_space.boundary.text import command_line

OF_IMAGES = ("train_split", "test_split", "image_column", "label_column", "resize", "skip_broken")
"""Settings of a run that say which images, and how these are brought to size."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SampleConfig:
    """Further architectures from a trial of a run: the most probable ones by its theta, or drawn from it."""

    run: Positional[str]
    """Folder of a run."""
    trial: int
    """Number of the trial, as reports and `search.sqlite` have it."""
    count: int = 10
    """How many architectures, none of them twice."""
    seed: int | None = None
    """Draw them at random by theta's probabilities, from this seed; by default the most probable ones."""
    json: bool = False
    """Print JSON instead of a table."""
    out: str | None = None
    """File to write the same JSON to."""


def main() -> None:
    """Parse the options, sample, print."""
    config = parse(SampleConfig, page=SAMPLE_ARCHITECTURES)

    # Late, so that `--help` and mistakes in the options are answered at once.
    from moo.analysis.drawn import drawn_architectures, theta_probs
    from moo.config import SearchConfig
    from moo.measurement.boards import read_run_tables
    from moo.report.selected import table_lines
    from moo.storage.run_folder import RunFolder
    from moo.storage.store import read_store
    from search_space.architectures import architecture_from_indices
    from search_space.boundary.writing import write_atomically

    folder = RunFolder(local_path(config.run))
    settings, origin = folder.read_config(option="RUN")
    table = read_run_tables(folder.cost_table, settings.given_configurations).base
    with closing(read_store(folder.store, as_of_now=True)) as store:
        drawn = drawn_architectures(theta_probs(store, config.trial), config.count, seed=config.seed)
        errors = {one.indices: one.error for one in store.evaluated(origin.space)}
    items = [
        {
            "architecture": architecture_from_indices(origin.space, one.indices).to_json(),
            "probability": one.probability,
            "latency_ms": table.latency_of(one.indices),
            "energy_mj": table.energy_of(one.indices),
            "costs_source": "modelled",
            "error": errors.get(one.indices),
            "trial": config.trial,
        }
        for one in drawn
    ]
    text = json.dumps(items, indent=2)
    if config.out is not None:
        write_atomically(local_path(config.out), f"{text}\n".encode())
    if config.json:
        print(text)
        return
    head = ("architecture", "probability", "latency, modelled", "energy above idle, modelled", "error, selection split")
    ids = [architecture_from_indices(origin.space, one.indices).id for one in drawn]
    rows = [
        (
            identifier,
            f"{one.probability:.3g}",
            f"{table.latency_of(one.indices):.4g} ms",
            f"{table.energy_of(one.indices):.4g} mJ",
            "not evaluated" if one.indices not in errors else f"{100 * errors[one.indices]:.1f} %",
        )
        for identifier, one in zip(ids, drawn, strict=True)
    ]
    for line in table_lines(list(zip(head, *rows, strict=True))):
        print(line)
    words = ["--space", settings.space or origin.space.name, "--architecture", ids[0], "--dataset", settings.dataset]
    for name in ("size", *OF_IMAGES, "seed"):
        if (value := getattr(settings, name)) != getattr(SearchConfig(), name):
            words += [f"--{name.replace('_', '-')}", *([] if value is True else [str(value)])]
    print(f"Train one: {command_line(['python', 'scripts/train_architecture.py', *words])}")


def command() -> NoReturn:
    """The console command of this script."""
    run(main)


if __name__ == "__main__":
    command()
