"""How far a supernet's ranking of architectures can be trusted: the shared supernet against separate weights.

    python benchmarks/supernet_rank.py [--dataset DATASET | --run RUN] [--out DIR] [--quick] [--json] [--threads N]

Both supernets are pre-trained for equal wall time: the default one, a shared superkernel of which each step trains one
sampled path, and FBNet's as published, separate weights and all paths mixed. The same random architectures, spread
over MACs, are evaluated with the weights inherited from each, and once trained alone from random weights. Kendall's
tau between inherited and trained accuracy (selection split) says how well each supernet ranks them, with its 95 %
interval: twelve architectures leave it wide. `rank of its best`: place by trained accuracy of the architecture that
the supernet puts first, 1 at best. Claim: the shared supernet ranks better. Any machine; one seed a run.

`--run` takes the trained networks of a run of pareto_search.py instead, with its data set, space and seed. All that
has been trained is kept in `--out`: the same command goes on after an interruption.
"""

from __future__ import annotations

import dataclasses
import json
import multiprocessing
import signal
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from multiprocessing.sharedctypes import Synchronized
from pathlib import Path

import numpy as np
import torch
from matplotlib.figure import Figure
from rich.progress import Progress

from benchmarks.timed_batches import TimedBatches
from devices.profiling.profile import random_networks
from dnas.build import WeightSharing, build_supernet
from dnas.pretraining import Forward, Pretraining, PretrainSettings, mixed_paths, sampled_path
from dnas.supernet import Supernet
from evaluation.accuracy import classification, inherited_network
from evaluation.image_data import load_images
from evaluation.splits import Augmentation, ImageBatches, Splits, split_data
from evaluation.training.allocator import keep_freed_memory
from evaluation.training.config import TrainSettings
from evaluation.training.job import TrainJob, new_training
from evaluation.training.loop import use_quick_depthwise
from evaluation.work_folder import check_same_values, write_json
from moo.analysis.rank_correlation import LEAST_PAIRS, RankCorrelation, kendall_tau
from moo.storage.run_folder import RunFolder
from moo.storage.store import open_store
from moo.visualization.style import BLUE, INK, VERMILION, dress, new_figure
from scripts.command_line import parse, run
from search_space.architectures import Architecture, architecture_from_indices, operator_indices, parse_architecture
from search_space.counts import count
from search_space.spaces import FBNetSpace, space_named

CANDIDATES = 64
"""Random networks of which one is chosen."""
SUPERNETS: dict[WeightSharing, tuple[str, Forward, str]] = {
    "shared": ("shared superkernel, sampled paths", sampled_path, BLUE),
    "separate": ("separate weights, mixed paths", mixed_paths, VERMILION),
}
"""Name, what a step trains, and colour."""
FREE_SETTINGS = frozenset({"threads", "out", "quick", "json"})
"""Settings that may differ when a benchmark goes on."""
Show = Callable[[str, float, float], None]
"""Called with what is done, how much of it, and all of it."""


@dataclass(frozen=True)
class SupernetRankConfig:
    """Compare how two supernets rank architectures."""

    dataset: str | None = None
    """`digits`, a local path, or a name on the Hugging Face hub; by default `digits`, or that of the run."""
    image_column: str | None = None
    """Column of images, where the data set has several."""
    label_column: str | None = None
    """Column of labels, where the data set has several."""
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
    """CPU threads; so many architectures are trained at once, one thread each."""
    out: str = "runs/supernet-rank"
    """Folder to write into, or to go on in."""
    quick: bool = False
    """Six architectures, five epochs, 20 s for each supernet."""
    json: bool = False
    """Print JSON."""

    def __post_init__(self) -> None:
        for name, least in (("architectures", LEAST_PAIRS), ("seed", 0), ("threads", 1)):
            if getattr(self, name) < least:
                raise ValueError(f"`--{name.replace('_', '-')} >= {least}` must hold, but got {getattr(self, name)}.")
        for name in ("supernet_seconds", "epochs"):
            if not getattr(self, name) > 0:
                raise ValueError(f"`--{name.replace('_', '-')} > 0` must hold, but got {getattr(self, name)}.")


@dataclass(frozen=True)
class Networks:
    """What is ranked."""

    space: FBNetSpace
    splits: Splits
    architectures: tuple[Architecture, ...]
    macs: tuple[int, ...]
    known: dict[str, float]
    """Trained accuracies that a run holds already, by id."""


@dataclass(frozen=True)
class Inherited:
    """What a supernet says of the networks."""

    steps: int
    """Steps of its pre-training."""
    seconds: float
    """Time that these took."""
    accuracies: list[float]
    """With inherited weights, on the selection split, in [0, 1]."""


@dataclass(frozen=True)
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


def main() -> None:
    """Train what is not trained yet, compare, draw, print."""
    config = parse(SupernetRankConfig)
    if config.quick:
        config = dataclasses.replace(config, architectures=6, supernet_seconds=20.0, epochs=5)
    config = settings_of_run(config)
    folder = Path(config.out).expanduser()
    torch.set_num_threads(config.threads)
    keep_freed_memory()
    with Progress(transient=True) as progress:
        bars = {}

        def show(what: str, done: float, total: float) -> None:
            if what not in bars:
                bars[what] = progress.add_task(what)
            progress.update(bars[what], completed=done, total=total)

        networks = load_networks(config, show)
        begin(folder, config, networks)
        trained = trained_accuracies(folder, networks, config, show)
        inherited = {kind: inherited_accuracies(folder, kind, networks, config, show) for kind in SUPERNETS}
    rows = {kind: row_of(SUPERNETS[kind][0], found, trained) for kind, found in inherited.items()}
    table = [
        {"id": item.id, "macs": networks.macs[number], "trained": trained[number]}
        | {f"inherited, {kind}": found.accuracies[number] for kind, found in inherited.items()}
        for number, item in enumerate(networks.architectures)
    ]
    content = {"settings": asdict(config), "supernets": [asdict(row) for row in rows.values()], "architectures": table}
    write_json(folder / "results.json", content)
    picture(config, rows, trained, inherited).savefig(folder / "supernet_rank.png")
    if config.json:
        print(json.dumps(content, indent=1))
    else:
        print_rows(list(rows.values()))
        print(f"Everything: {folder}")


def settings_of_run(config: SupernetRankConfig) -> SupernetRankConfig:
    """The settings with those of the run that `--run` names.

    Raises:
        ValueError: if there is no run.
    """
    if config.run is None:
        return dataclasses.replace(config, dataset=config.dataset or "digits")
    searched, _ = RunFolder(Path(config.run).expanduser()).read_config()
    return dataclasses.replace(
        config,
        dataset=config.dataset or searched.dataset,
        image_column=searched.image_column,
        label_column=searched.label_column,
        space=searched.space,
        seed=searched.seed,
    )


def load_networks(config: SupernetRankConfig, show: Show) -> Networks:
    """Images and architectures.

    Raises:
        ValueError: if they cannot be had, or a run's images are not those that it was made with.
    """
    assert config.dataset is not None
    space = space_named(config.space)
    data = load_images(
        config.dataset,
        size=space.input_size,
        image_column=config.image_column,
        label_column=config.label_column,
        on_progress=lambda done, total: show("images", done, total),
    )
    splits = split_data(data, config.seed)
    space = space.with_classes(len(splits.class_names))
    known: dict[str, float] = {}
    if config.run is None:
        architectures = spread_architectures(space, config.architectures, config.seed)
    else:
        known = trained_in_run(RunFolder(Path(config.run).expanduser()), splits)
        architectures = tuple(parse_architecture(space, name) for name in known)
    macs = tuple(count(space.graph(item.operators)).macs for item in architectures)
    return Networks(space, splits, architectures, macs, known)


def spread_architectures(space: FBNetSpace, number: int, seed: int) -> tuple[Architecture, ...]:
    """Different random architectures, one of each stretch of the order by MACs, fewest first."""
    rows_NL = np.unique(random_networks(space, number * CANDIDATES, seed), axis=0)
    drawn = [architecture_from_indices(space, tuple(map(int, row_L))) for row_L in rows_NL]
    drawn.sort(key=lambda item: (count(space.graph(item.operators)).macs, item.id))
    rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(17,)))
    return tuple(drawn[int(rng.choice(part))] for part in np.array_split(np.arange(len(drawn)), number))


def trained_in_run(folder: RunFolder, splits: Splits) -> dict[str, float]:
    """Trained accuracies on the selection split of a run's networks, by id.

    Raises:
        ValueError: if the run was made with other images, or has too few trained networks.
    """
    _, origin = folder.read_config()
    if origin["dataset"]["fingerprint"] != splits.fingerprint:
        raise ValueError(f"the images must be those of the run, but {str(folder.path)!r} was made with others.")
    store = open_store(folder.store)
    try:
        known = {network.name: 1 - network.error for network in store.trained(baselines=False)}
    finally:
        store.close()
    if len(known) < LEAST_PAIRS:
        raise ValueError(
            f"a run must have at least {LEAST_PAIRS} trained networks to be ranked by, but {str(folder.path)!r} has "
            f"{len(known)}."
        )
    return known


def begin(folder: Path, config: SupernetRankConfig, networks: Networks) -> None:
    """Write the settings, or check that the benchmark that is there has the same.

    Raises:
        ValueError: naming the setting that differs, or if something else is there.
    """
    path = folder / "config.json"
    given = asdict(config) | {"images": networks.splits.fingerprint}
    if path.exists():
        saved = json.loads(path.read_text())
        rule = f"{str(folder)!r} must be gone on with as it was begun, with"
        check_same_values(given, saved, free=FREE_SETTINGS, rule=rule, remedy="choose another --out")
    elif folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ValueError(f"`--out` must be a new folder or one of this benchmark, but {str(folder)!r} is not.")
    else:
        write_json(path, given)


def trained_accuracies(folder: Path, networks: Networks, config: SupernetRankConfig, show: Show) -> list[float]:
    """Accuracy of each architecture trained alone, those that are not known yet in processes of their own."""
    paths = {item.id: folder / "trained" / f"{item.id}.json" for item in networks.architectures}
    missing = [item for item in networks.architectures if item.id not in networks.known and not paths[item.id].exists()]
    context = multiprocessing.get_context("spawn")
    steps = context.Value("q", 0)
    images = len(networks.splits.weights) + len(networks.splits.theta)
    total = len(missing) * config.epochs * (images // TrainSettings().batch_size)
    waiting, running = missing[::-1], list[SpawnProcess]()
    try:
        while waiting or running:
            while waiting and len(running) < config.threads:
                item = waiting.pop()
                graph, settings = networks.space.graph(item.operators), TrainSettings(epochs=config.epochs)
                job = TrainJob(name=item.id, graph=graph, settings=settings, flip=None, seed=config.seed)
                receiver, sender = context.Pipe(duplex=False)
                running.append(context.Process(target=train_alone, args=(job, receiver, paths[item.id], steps)))
                _start_without_interrupts(running[-1])
                receiver.close()
                sender.send(networks.splits)
            wait([process.sentinel for process in running], timeout=0.5)
            show("training alone", steps.value, total)
            ended = [process for process in running if process.exitcode is not None]
            if any(process.exitcode for process in ended):
                raise RuntimeError("training an architecture failed; what it printed says why.")
            running = [process for process in running if process not in ended]
    finally:
        for process in running:
            process.terminate()
            process.join()
    kept = {name: json.loads(path.read_text())["accuracy"] for name, path in paths.items() if path.exists()}
    return [(networks.known | kept)[item.id] for item in networks.architectures]


def train_alone(job: TrainJob, receiver: Connection, path: Path, steps: Synchronized[int]) -> None:
    """Train one architecture from random weights in this process, with splits that are sent; write its accuracy."""
    torch.set_num_threads(1)
    keep_freed_memory()
    training = new_training(job, receiver.recv())
    while not training.done:
        for _ in training.epoch():
            with steps.get_lock():
                steps.value += 1
    write_json(path, {"accuracy": training.records[-1].accuracy, "seconds": training.seconds})


def inherited_accuracies(
    folder: Path, kind: WeightSharing, networks: Networks, config: SupernetRankConfig, show: Show
) -> Inherited:
    """Accuracies with weights of a supernet, pre-trained now or before."""
    path = folder / f"inherited-{kind}.json"
    if not path.exists():
        supernet, steps, seconds = pretrained(kind, networks, config, show)
        splits = networks.splits
        recalibration, selection = ImageBatches(splits.weights, splits), ImageBatches(splits.selection, splits)
        accuracies = []
        for item in networks.architectures:
            state = supernet.sub_network_state(operator_indices(networks.space, item))
            network = inherited_network(networks.space.graph(item.operators), state, recalibration)
            accuracies.append(1 - classification(network, selection)[0])
        write_json(path, asdict(Inherited(steps, seconds, accuracies)))
    return Inherited(**json.loads(path.read_text()))


def pretrained(
    kind: WeightSharing, networks: Networks, config: SupernetRankConfig, show: Show
) -> tuple[Supernet, int, float]:
    """A supernet after so many seconds of pre-training, the number of its steps, and the very seconds."""
    name, forward, _ = SUPERNETS[kind]
    splits, space = networks.splits, networks.space
    torch.manual_seed(config.seed)
    supernet = build_supernet(space, kind)
    use_quick_depthwise(supernet)
    augmentation = Augmentation(crop_padding=space.input_size // 16, flip=not splits.grey)

    def keep_pace(share: float) -> None:
        show(name, 100 * share, 100)
        if pretraining.step:
            pretraining.total_steps = max(pretraining.step + 1, round(pretraining.step / share))

    images = ImageBatches(splits.weights, splits, augmentation=augmentation)
    source = TimedBatches(images, [config.supernet_seconds], keep_pace, lambda over: None)
    pretraining = Pretraining(supernet, source, PretrainSettings(epochs=1), seed=config.seed, forward=forward)
    start = time.monotonic()
    pretraining.run_epoch()
    return supernet, pretraining.step, round(time.monotonic() - start, 1)


def row_of(name: str, found: Inherited, trained: Sequence[float]) -> Row:
    """How well a supernet ranks."""
    accuracies = found.accuracies
    tau = kendall_tau(accuracies, trained) if len(set(accuracies)) > 1 else None
    best = trained[int(np.argmax(accuracies))]
    rank = 1 + sum(accuracy > best for accuracy in trained)
    return Row(name, found.steps, found.seconds, float(np.mean(accuracies)), tau, rank)


def print_rows(rows: Sequence[Row]) -> None:
    """One line a supernet."""
    head = f"{'supernet':<34} {'seconds':>8} {'steps':>7} {'inherited':>10} {'tau':>6} {'95 %':>14}"
    print(f"{head} {'rank of its best':>17}")
    for row in rows:
        tau = "none" if row.tau is None else f"{row.tau.tau:.2f}"
        print(
            f"{row.supernet:<34} {row.seconds:>8.0f} {row.steps:>7} {row.mean_inherited:>10.1%} {tau:>6} "
            f"{_interval(row.tau):>14} {row.rank_of_best:>17}"
        )


def picture(
    config: SupernetRankConfig,
    rows: dict[WeightSharing, Row],
    trained: Sequence[float],
    inherited: dict[WeightSharing, Inherited],
) -> Figure:
    """Trained against inherited accuracy, a panel for each supernet."""
    how = f"{config.epochs:g} epochs each" if config.run is None else f"as in {config.run}"
    subtitle = (
        f"{len(trained)} architectures of {config.space} on {config.dataset}, selection split; trained alone: {how}; "
        f"{config.supernet_seconds:g} s for each supernet"
    )
    figure = new_figure(10, 4.6, "Accuracy inherited from a supernet, and trained alone", subtitle)
    panels = figure.subplots(1, 2, sharey=True)
    for axes, (kind, row) in zip(panels, rows.items(), strict=True):
        x = [100 * accuracy for accuracy in inherited[kind].accuracies]
        axes.scatter(x, [100 * accuracy for accuracy in trained], s=42, color=SUPERNETS[kind][2], edgecolor="white")
        tau = "no ranking" if row.tau is None else f"tau {row.tau.tau:.2f}, 95 %: {_interval(row.tau)}"
        axes.set_title(f"{row.supernet}\n{tau}; {row.steps} steps", fontsize=10, color=INK, loc="left")
        dress(axes, "inherited accuracy (%)", "trained accuracy (%)")
    return figure


def _start_without_interrupts(process: SpawnProcess) -> None:
    """Start a process that Ctrl-C leaves alone, even while it imports: its parent ends it."""
    handler = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        process.start()
    finally:
        signal.signal(signal.SIGINT, handler)


def _interval(tau: RankCorrelation | None) -> str:
    return "" if tau is None else f"{tau.low:.2f} to {tau.high:.2f}"


if __name__ == "__main__":
    run(main)
