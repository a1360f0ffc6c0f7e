"""The report of a run as Markdown: what was asked, what came out, under which conditions, and how to do it again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from pathlib import PurePosixPath

from devices.cost_tables.family import CostTables
from evaluation.errors import ERROR_NAMES
from moo.analysis.adaptation import AdaptiveResults
from moo.analysis.errors import error_kind
from moo.config import EXECUTION_SETTINGS, SearchConfig, option_of
from moo.formatting import many
from moo.report.adaptive import adaptive_section
from moo.report.baselines import comparison_section
from moo.report.choices import choices_section, next_step, verdict
from moo.report.conditions import adaptive_trials, conditions, effort, hypervolume, pictures, splits
from moo.report.networks import baselines_section, files_table, front_table, models_table, trust_section
from moo.report.transfer import transfer_section
from moo.storage.archive import Archive, networks_of
from moo.storage.origin import RunOrigin
from moo.storage.run_folder import RunFolder
from moo.storage.store import StoreReader
from moo.storage.trained_network import TrainedNetwork
from moo.visualization.gallery import CAPTIONS, why_not_in_space
from search_space.boundary.text import code, command_line, markdown
from search_space.spaces import FBNetSpace

FIRST_PICTURE = "front_latency_error"
"""The picture that the report begins with."""


def report_markdown(
    archive: Archive,
    store: StoreReader,
    config: SearchConfig,
    origin: RunOrigin,
    space: FBNetSpace,
    plots: Sequence[str],
    *,
    source_tables: CostTables | None = None,
    note: str = "",
    folder: RunFolder | None = None,
    adaptive: AdaptiveResults | None = None,
    unreadable: str = "",
) -> str:
    """The text of report.md: the answer, a comparison with baselines, and how it came about.

    Args:
        archive: all evaluated architectures.
        store: of the same run.
        config: settings of the run.
        origin: what the run was made from.
        space: that was searched.
        plots: paths of the pictures, relative to the report.
        source_tables: cost tables of the run that this one started from, if it started from one.
        note: what stands at the top, if anything.
        folder: of the run, whose files are named; None where they are not looked at.
        adaptive: networks with early exits; None where the run has none.
        unreadable: why these could not be read, as a sentence, where they could not.
    """
    trained, baselines = store.trained(baselines=False), store.trained(baselines=True)
    trained.sort(key=lambda network: network.error)
    scratch = [network for network in baselines if network.pretrained is None]
    first = [path for path in plots if PurePosixPath(path).stem == FIRST_PICTURE]
    named = "RUN" if folder is None else str(folder.path)
    sections = {
        "Networks to choose from": _join(
            choices_section(archive, space, folder=folder), "" if note else next_step(archive, named)
        ),
        "Beside what you would use otherwise": comparison_section(archive, baselines, space)
        or ("" if note else _no_baselines(named)),
        "What was asked": _join(_question(archive, config, origin, space), adaptive_trials(store)),
        "Board and conditions": conditions(archive, origin.board),
        "Accuracy, latency and energy": models_table(archive, baselines, front_size=config.front_size),
        "The front": _join(front_table(archive, space, front_size=config.front_size), _explore(archive, folder)),
        "Early exits": adaptive_section(adaptive, archive, run=named, front_size=config.front_size)
        or markdown(unreadable),
        "On the board that it started from": transfer_section(archive, store, origin, source_tables),
        "The trained files": files_table(trained + baselines, origin.dataset),
        "Baselines": baselines_section(archive, scratch),
        "Trust in the supernet": trust_section(archive),
        "Pictures": _pictures([path for path in plots if path not in first], archive),
        "Hypervolume": hypervolume(archive),
        "What it cost to find": effort(archive, store, config, origin),
        "What the splits are for": pictures(origin.dataset, space.input_size)
        + splits(origin.dataset.images, trained=bool(trained or baselines)),
        "How to do it again": _again(config, origin, trained, baselines),
    }
    parts = [f"## {title}\n\n{text}" for title, text in sections.items() if text]
    title = f"# Pareto front of {markdown(space.name)} on {markdown(config.dataset)}"
    head = [title, note, verdict(archive), *map(_picture, first)]
    return "\n\n".join([*(part for part in head if part), *parts]) + "\n"


def command_of(config: SearchConfig) -> str:
    """The command line that gives these settings; what a run finds depends on nothing else."""
    words = ["python", "scripts/pareto_search.py"]
    always = ("dataset", "space", "seed")
    for field in fields(SearchConfig):
        value = getattr(config, field.name)
        if field.name in EXECUTION_SETTINGS or (field.name not in always and value == field.default):
            continue
        option = option_of(field.name)
        if isinstance(value, bool) and isinstance(field.default, bool):
            words.append(f"--{option}" if value else f"--no-{option}")
        elif field.name == "device":
            words += [word for board in config.device for word in (f"--{option}", board)]
        else:
            words += [f"--{option}", *(str(part) for part in (value if isinstance(value, tuple) else (value,)))]
    return command_line(words)


def _question(archive: Archive, config: SearchConfig, origin: RunOrigin, space: FBNetSpace) -> str:
    board = origin.board
    if board is not None:
        where = f"on {markdown(board.label)}"
    else:
        table = "" if archive.tables is None else f" of {markdown(archive.tables.base.board)}"
        where = f"by the figures of a cost table{table} (nothing was measured)"
    error = ERROR_NAMES[error_kind(archive.data)]
    return (
        f"Which networks of the search space {code(space.name)} ({space.num_architectures:,} architectures) classify "
        f"{code(config.dataset)} with the lowest {error} for their latency and energy {where}? "
        f"{_answer(archive)}"
    )


def _answer(archive: Archive) -> str:
    front = archive.front()
    points, number = len(front), len(networks_of(front))
    has = f"{many(number, 'is', 'are')} dominated by none"
    if len(archive.configurations) > 1:
        in_points = many(points, "operating point", "operating points")
        has = f"{number} in {in_points} {'is' if points == 1 else 'are'} dominated by none"
    nearest = ""
    if not archive.keeps_limits:
        nearest = " None keeps the limits that were given; this is the nearest."
    if not archive.is_retrained:
        return f"Of {len(archive)} evaluated architectures, {has}.{nearest}"
    trained = sum(entry.trained is not None for entry in archive.entries)
    return (
        f"Of {len(archive)} evaluated architectures, {many(trained, 'was', 'were')} trained for deployment; of these, "
        f"{has}.{nearest}"
    )


def _pictures(plots: Sequence[str], archive: Archive) -> str:
    if not plots:
        return ""
    pictures = [_picture(path) for path in plots]
    if why := why_not_in_space(archive):
        pictures.append(why)
    return "\n\n".join(pictures)


def _picture(path: str) -> str:
    caption = CAPTIONS.get(PurePosixPath(path).stem, PurePosixPath(path).stem)
    return f"![{caption}]({path})\n\n*{caption}*"


def _join(*parts: str) -> str:
    return "\n\n".join(part for part in parts if part)


def _explore(archive: Archive, folder: RunFolder | None) -> str:
    """Where all of it can be looked at more closely; empty where there is nothing, or files are not named."""
    if folder is None or not archive.front():
        return ""
    name = folder.explore.name
    return f"[{name}]({name}) shows all evaluated networks in a browser: limits, choices, a table, 3-D."


def _no_baselines(run: str) -> str:
    command = command_line(["python", "scripts/compare_baselines.py", run])
    return (
        f"Nothing was compared yet: {code(command, most=len(command))} trains and measures other networks, a "
        "pre-trained one at 224 pixels first."
    )


def _again(
    config: SearchConfig,
    origin: RunOrigin,
    trained: Sequence[TrainedNetwork],
    baselines: Sequence[TrainedNetwork],
) -> str:
    packages = ", ".join(f"{name} {version}" for name, version in origin.packages.items())
    machine = "an unknown machine"
    if origin.machine is not None:
        machine = f"system {origin.machine.system}, python {origin.machine.python}"
    versions = f"It was run with {markdown(packages or 'unknown packages', most=1000)} on {markdown(machine)}."
    commands = [command_of(config)]
    if trained:
        commands.append(" ".join(["python scripts/train_front.py RUN", *_training_options(trained)]))
    scratch = [network for network in baselines if network.pretrained is None]
    if baselines:
        commands.append(" ".join(["python scripts/compare_baselines.py RUN", *_epochs_option(scratch)]))
    after = ""
    if len(commands) > 1:
        after = " `RUN` is the folder of the run; add the other settings of training where they were not the defaults."
    lines = "\n".join(commands)
    return (
        f"```bash\n{lines}\n```\n\n{versions}{after} What is searched depends on the seed, the images and the cost "
        "table; a board that is profiled again gives a slightly different table. To start from this run's table, add "
        "`--cost-table` with the path of its `cost_table.json`."
    )


def _training_options(networks: Sequence[TrainedNetwork]) -> list[str]:
    return _epochs_option(networks) + ["--fine-tune"] * all(network.fine_tuned for network in networks)


def _epochs_option(networks: Sequence[TrainedNetwork]) -> list[str]:
    epochs = {network.epochs for network in networks}
    return [f"--epochs {epochs.pop():g}"] if len(epochs) == 1 else []
