"""How far a supernet's ranking of architectures can be trusted: the shared supernet against separate weights.

    python benchmarks/supernets/rank.py [--dataset DATASET | --run RUN] [--out DIR] [--quick] [--json] [--threads N]

Both supernets are pre-trained for equal wall time: the default one, a shared superkernel of which each step trains one
sampled path, and FBNet's as published, separate weights and all paths mixed. The same random architectures, spread
over MACs, are evaluated with the weights inherited from each, and once trained alone from random weights. Kendall's
tau between inherited and trained accuracy (selection split) says how well each supernet ranks them, with its 95 %
interval, which is wide for twelve architectures. `rank of its best`: place by trained accuracy of the architecture that
the supernet puts first, 1 at best. Claim: the shared supernet ranks better. Any machine; one seed a run.

`--run` takes the trained networks of a run of pareto_search.py instead, with its data set, space and seed. What has
been trained is kept in `--out`: after an interruption the same command resumes.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from matplotlib.figure import Figure

from benchmarks.options import BenchmarkConfig, check_at_least, check_positive, read_config
from benchmarks.progress import Show, progress_bars
from benchmarks.results import Column, TextTable, print_results, write_results
from benchmarks.supernets.forms import FORMS, Form
from benchmarks.supernets.inherited import Inherited, inherited_accuracies
from benchmarks.supernets.ranked_networks import RankedNetworks, networks_at_random, networks_of_run
from benchmarks.supernets.trained_alone import trained_accuracies
from evaluation.data.loading import load
from evaluation.data.source import open_source
from evaluation.splits import split_data
from evaluation.training.allocator import keep_freed_memory
from evaluation.work_folder import check_same_values
from moo.analysis.rank_correlation import LEAST_PAIRS, RankCorrelation, kendall_tau
from moo.storage.run_folder import RunFolder
from moo.visualization.style import INK, VERMILION, dress, new_figure
from scripts.interface.command_line import run
from search_space.boundary.writing import write_json
from search_space.spaces import space_named

if TYPE_CHECKING:
    from typing_extensions import Self

RANKED_FORMS: dict[str, Form] = {
    "shared": replace(FORMS["shared"], label="shared superkernel, sampled paths"),
    "separate": replace(FORMS["quick"], label="separate weights, mixed paths", colour=VERMILION),
}
FREE_SETTINGS = frozenset({"threads", "out", "quick", "json"})
"""Settings that may differ when a benchmark resumes."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SupernetRankConfig(BenchmarkConfig):
    """Compare how two supernets rank architectures."""

    dataset: str | None = None
    """`digits`, a local path, or a name on the Hugging Face hub; by default `digits`, or that of the run."""
    image_column: str | None = None
    """Column of images, where the data set has several."""
    label_column: str | None = None
    """Column of labels, where the data set has several."""
    train_split: str | None = None
    """Published split to train on, where names do not tell."""
    test_split: str | None = None
    """Published split to test on, where names do not tell, or `none`."""
    space: str = "fbnet-micro"
    """A preset or a .yaml file."""
    run: str | None = None
    """Folder of a run whose front was trained: its networks, data set, space and seed are taken."""
    architectures: int = 12
    """Random architectures."""
    supernet_seconds: float = 300.0
    """Pre-training of each supernet."""
    epochs: float = 2
    """Training of each architecture alone."""
    seed: int = 0
    """Of splits, weights, and the choice of architectures."""
    threads: int = 2
    """CPU threads; as many architectures are trained at once, one thread each."""
    out: str = "runs/supernet-rank"
    """Folder to write into, or to resume in."""
    quick: bool = False
    """Six architectures, five epochs, 20 s for each supernet."""

    def __post_init__(self) -> None:
        check_at_least(self, architectures=LEAST_PAIRS, seed=0, threads=1)
        check_positive(self, "supernet_seconds", "epochs")

    def quickened(self) -> Self:
        """Few architectures, and a short pre-training."""
        return dataclasses.replace(self, architectures=6, supernet_seconds=20.0, epochs=5)

    @property
    def folder(self) -> Path:
        """Where everything is kept."""
        return Path(self.out).expanduser()

    @property
    def run_folder(self) -> Path | None:
        """The run whose networks are ranked."""
        return None if self.run is None else Path(self.run).expanduser()


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """How well a supernet ranks."""

    supernet: str
    steps: int
    seconds: float
    mean_inherited: float
    """Mean accuracy with inherited weights, in [0, 1]."""
    tau: RankCorrelation | None
    """None where all inherited accuracies are equal."""
    rank_of_best: int
    """Place by trained accuracy of the architecture that it puts first; 1 is the best."""


TABLE = TextTable(
    Column(title="supernet", width=34, left=True),
    Column(title="seconds", width=8, form=".0f"),
    Column(title="steps", width=7),
    Column(title="inherited", width=10, form=".1%"),
    Column(title="tau", width=6),
    Column(title="95 %", width=14),
    Column(title="rank of its best", width=17),
)


def main() -> None:
    """Train what is not trained yet, compare, draw, print."""
    config = settings_of_run(read_config(SupernetRankConfig))
    torch.set_num_threads(config.threads)
    keep_freed_memory()
    with progress_bars() as show:
        networks = load_networks(config, show)
        begin(config, networks)
        trained = trained_accuracies(
            config.folder, networks, epochs=config.epochs, seed=config.seed, processes=config.threads, show=show
        )
        inherited = {
            name: inherited_accuracies(
                config.folder / f"inherited-{name}.json",
                form,
                networks,
                seconds=config.supernet_seconds,
                seed=config.seed,
                on_share=partial(_show_share, show, form.label),
            )
            for name, form in RANKED_FORMS.items()
        }
    rows = {name: row_of(RANKED_FORMS[name].label, found, trained) for name, found in inherited.items()}
    content = {
        "settings": asdict(config),
        "supernets": [asdict(row) for row in rows.values()],
        "architectures": accuracy_table(networks, trained, inherited),
    }
    write_results(config.out, content, {"supernet_rank.png": lambda: picture(config, rows, trained, inherited)})
    print_results(content, lines_of(config, list(rows.values())), as_json=config.json)


def _show_share(show: Show, what: str, share: float) -> None:
    show(what, 100 * share, 100)


def settings_of_run(config: SupernetRankConfig) -> SupernetRankConfig:
    """The settings with those of the run that `--run` names.

    Raises:
        ValueError: if there is no run.
    """
    if config.run_folder is None:
        return dataclasses.replace(config, dataset=config.dataset or "digits")
    searched = RunFolder(config.run_folder).read_settings()
    assert searched.space is not None, "a run's settings name its space"
    return dataclasses.replace(
        config,
        dataset=config.dataset or searched.dataset,
        image_column=searched.image_column,
        label_column=searched.label_column,
        train_split=searched.train_split,
        test_split=searched.test_split,
        space=searched.space if searched.size is None else f"{searched.space}@{searched.size}",
        seed=searched.seed,
    )


def load_networks(config: SupernetRankConfig, show: Show) -> RankedNetworks:
    """Images and architectures.

    Raises:
        ValueError: if they cannot be had, or a run's images are not those that it was made with.
    """
    assert config.dataset is not None
    space = space_named(config.space)
    source = open_source(
        config.dataset,
        image_column=config.image_column,
        label_column=config.label_column,
        train_split=config.train_split,
        test_split=config.test_split,
    )
    shown = partial(show, "images")
    if config.run_folder is None:
        data = load(source, space.input_size, on_progress=shown)
    else:
        searched, origin = RunFolder(config.run_folder).read_config()
        made = origin.dataset
        data = load(
            source,
            space.input_size,
            resize=made.resize,
            rules=made.rules,
            skip_broken=searched.skip_broken,
            on_progress=shown,
        )
    splits = split_data(data, config.seed)
    space = space.with_classes(len(splits.class_names))
    if config.run_folder is None:
        return networks_at_random(space, splits, config.architectures, config.seed)
    return networks_of_run(space, splits, config.run_folder)


def begin(config: SupernetRankConfig, networks: RankedNetworks) -> None:
    """Write the settings, or check that the benchmark that is there has the same.

    Raises:
        ValueError: naming the setting that differs, or if something else is there.
    """
    folder = config.folder
    path = folder / "config.json"
    given = asdict(config) | {"images": networks.splits.fingerprint}
    if path.exists():
        saved = json.loads(path.read_text())
        rule = f"{str(folder)!r} must be resumed as it was begun, with"
        check_same_values(given, saved, free=FREE_SETTINGS, rule=rule, remedy="choose another --out")
    elif folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ValueError(f"`--out` must be a new folder or one of this benchmark, but {str(folder)!r} is not.")
    else:
        write_json(path, given)


def row_of(label: str, found: Inherited, trained: Sequence[float]) -> Row:
    """How well a supernet ranks."""
    accuracies = found.accuracies
    best = trained[int(np.argmax(accuracies))]
    return Row(
        supernet=label,
        steps=found.steps,
        seconds=found.seconds,
        mean_inherited=float(np.mean(accuracies)),
        tau=kendall_tau(accuracies, trained) if len(set(accuracies)) > 1 else None,
        rank_of_best=1 + sum(accuracy > best for accuracy in trained),
    )


def accuracy_table(
    networks: RankedNetworks, trained: Sequence[float], inherited: Mapping[str, Inherited]
) -> list[dict[str, object]]:
    """What is known of each architecture, for programs."""
    return [
        {"id": item.id, "macs": networks.macs[number], "trained": trained[number]}
        | {f"inherited, {name}": found.accuracies[number] for name, found in inherited.items()}
        for number, item in enumerate(networks.architectures)
    ]


def lines_of(config: SupernetRankConfig, rows: Sequence[Row]) -> Iterator[str]:
    """One line a supernet."""
    yield TABLE.head
    for row in rows:
        tau = "none" if row.tau is None else f"{row.tau.tau:.2f}"
        yield TABLE.row(
            row.supernet, row.seconds, row.steps, row.mean_inherited, tau, _interval(row.tau), row.rank_of_best
        )
    yield f"Everything: {config.folder}"


def picture(
    config: SupernetRankConfig,
    rows: Mapping[str, Row],
    trained: Sequence[float],
    inherited: Mapping[str, Inherited],
) -> Figure:
    """Trained against inherited accuracy, a panel for each supernet."""
    how = f"{config.epochs:g} epochs each" if config.run is None else f"as in {config.run}"
    subtitle = (
        f"{len(trained)} architectures of {config.space} on {config.dataset}, selection split; trained alone: {how}; "
        f"{config.supernet_seconds:g} s for each supernet"
    )
    figure = new_figure(10, 4.6, "Accuracy inherited from a supernet, and trained alone", subtitle)
    panels = figure.subplots(1, 2, sharey=True)
    for axes, (name, row) in zip(panels, rows.items(), strict=True):
        x = [100 * accuracy for accuracy in inherited[name].accuracies]
        axes.scatter(
            x, [100 * accuracy for accuracy in trained], s=42, color=RANKED_FORMS[name].colour, edgecolor="white"
        )
        tau = "no ranking" if row.tau is None else f"tau {row.tau.tau:.2f}, 95 %: {_interval(row.tau)}"
        axes.set_title(f"{row.supernet}\n{tau}; {row.steps} steps", fontsize=10, color=INK, loc="left")
        dress(axes, "inherited accuracy (%)", "trained accuracy (%)")
    return figure


def _interval(tau: RankCorrelation | None) -> str:
    return "" if tau is None else f"{tau.low:.2f} to {tau.high:.2f}"


if __name__ == "__main__":
    run(main)
