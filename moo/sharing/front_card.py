"""README.md of a published front: the front as a table, how one network is run, how it was found, what files are."""

from __future__ import annotations

from devices.configuration import RuntimeConfiguration
from evaluation.dataset_origin import hub_link
from evaluation.errors import ACCURACY_NAMES
from moo.analysis.choices import three_of
from moo.analysis.errors import INTERVALS, chosen_by_note, error_kind, told_error
from moo.analysis.recipes import how_trained
from moo.analysis.representatives import distinct_front
from moo.formatting import cost, energy_error_note, error_text, many, short, sources_text, table
from moo.report.choices import verdict
from moo.report.conditions import conditions, pictures, splits
from moo.report.report import command_of
from moo.report.snippets import photo_packages, photo_snippet
from moo.sharing.discretion import Discretion
from moo.sharing.finished import OWN_IMAGES, FinishedFront
from moo.storage.archive import OperatingPoint
from moo.storage.network_files import what_is
from moo.storage.run_folder import file_name_for
from search_space.boundary.text import code, markdown
from search_space.counts import count

PICTURE = "pictures/front.png"
MOST_ROWS = 60
"""Operating points that the table shows at most."""


def front_markdown(run: FinishedFront, files: dict[str, list[str]], repo: str, discretion: Discretion) -> str:
    """The text of README.md below its metadata.

    Args:
        run: that is published.
        files: names of each network's files, by its id.
        repo: `user/name` on the hub.
        discretion: what must not go out.
    """
    sections = {
        "The front": _front(run),
        "Run one": _snippet(run, repo),
        "How it was found": _found(run, discretion),
        "Board and conditions": conditions(run.archive, run.origin.board),
        "Images": pictures(run.data, run.space.input_size)
        + splits(run.data.images, trained=any(entry.trained is not None for entry in run.networks)),
        "Files": _files(files),
    }
    body = "\n\n".join(f"## {title}\n\n{text}" for title, text in sections.items() if text)
    return discretion.text(f"{_head(run)}\n\n{body}\n")


def _head(run: FinishedFront) -> str:
    front = run.archive.front()
    dataset = code(run.dataset)
    if run.hub_dataset is not None:
        dataset = f"[{dataset}]({hub_link(run.hub_dataset)})"
    elif run.dataset == OWN_IMAGES:
        dataset = "images of the author's own"
    networks, points = len(run.networks), len(front)
    latencies = sources_text(point.costs.latency_source for point in front)
    energies = sources_text(point.costs.energy_source for point in front)
    return "\n\n".join(
        part
        for part in (
            f"# Pareto front of {markdown(run.space.name)} on {markdown(run.dataset)}",
            f"{many(networks, 'image classifier', 'image classifiers')} for {len(run.data.classes)} classes of "
            f"{dataset}, in {many(points, 'operating point', 'operating points')}: none is worse than another in "
            f"error, latency and energy at once. Latencies are {latencies}, energies {energies}. Each network has its "
            "own folder, with ONNX files and a card that says how to run it on a board.",
            verdict(run.archive),
            f"![Error against latency: the front among all evaluated networks]({PICTURE})",
        )
        if part
    )


def _front(run: FinishedFront) -> str:
    archive, data = run.archive, run.data
    energy = archive.energy.label
    head = (
        "network",
        "runs with",
        "file",
        f"{ACCURACY_NAMES[error_kind(data)]}",
        "images of that",
        "weights",
        "latency",
        energy,
        "parameters",
    )
    front = archive.front()
    shown = sorted(front, key=lambda point: point.objectives)[:MOST_ROWS]
    notes = [INTERVALS[error_kind(data)], chosen_by_note(told_error(point, data).split for point in shown)]
    if note := energy_error_note(point.costs.energy_error for point in shown):
        notes.append(note)
    if len(front) > len(shown):
        notes.append(f"The {MOST_ROWS} most accurate of {len(front)} operating points are shown.")
    return f"{table(head, [_row(run, point) for point in shown])}\n\n{' '.join(notes)}"


def _row(run: FinishedFront, point: OperatingPoint) -> tuple[str, ...]:
    told, costs = told_error(point, run.data), point.costs
    beside = " (not better than guessing)" if told.beats_guessing is False else ""
    images = "" if told.images is None else f"{told.images:,}, "
    file = file_name_for(point.configuration)
    return (
        f"[`{point.id}`](front/{point.id})",
        point.configuration.label,
        f"[`{file}`](front/{point.id}/{file})",
        told.accuracy_text + beside,
        f"{images}{told.split} split",
        weights_of(point),
        cost(costs.latency_ms, "ms", costs.latency_source),
        f"{short(costs.energy_mj)} mJ ({costs.energy_source}{error_text([costs.energy_error])})",
        f"{count(run.space.graph(point.entry.architecture.operators)).params:,}",
    )


def weights_of(point: OperatingPoint) -> str:
    """Whose weights the error of a point is of."""
    return "trained" if point.trained else "inherited from the supernet"


def main_point(run: FinishedFront) -> OperatingPoint:
    """The most accurate of those that can be told apart."""
    front = distinct_front(run.archive)
    told = [told_error(point, run.data) for point in front]
    return front[three_of([point.objectives for point in front], [error.beats_guessing for error in told])[0].place]


def _snippet(run: FinishedFront, repo: str) -> str:
    point = main_point(run)
    configuration: RuntimeConfiguration = point.configuration
    file = file_name_for(configuration)
    text = photo_snippet(run.data, size=run.space.input_size, configuration=configuration)
    text = text.replace(f'"{file}"', "file")
    text = text.replace("\nclasses =", f'\nfile = hf_hub_download("{repo}", "front/{point.id}/{file}")\nclasses =', 1)
    # Where sorted imports have it.
    text = text.replace("from PIL import", "from huggingface_hub import hf_hub_download\nfrom PIL import", 1)
    packages = f"{photo_packages(configuration)} huggingface_hub"
    return (
        f"The most accurate one, downloaded and run on a `photo.jpg` of any size; it needs `{packages}`:\n\n"
        f"```python\n{text}\n```"
    )


def _found(run: FinishedFront, discretion: Discretion) -> str:
    origin, archive = run.origin, run.archive
    command = discretion.command(command_of(run.config))
    packages = ", ".join(f"{name} {version}" for name, version in origin.packages.items())
    when = "" if origin.date is None else f" on {markdown(origin.date[:10])}"
    trained = [entry.trained for entry in run.networks if entry.trained is not None]
    recipes = list(dict.fromkeys(how_trained(network) for network in trained))
    lines = [
        f"A search of the space {code(run.space.name)} ({run.space.num_architectures:,} architectures){when}, which "
        f"evaluated {many(len(archive), 'network', 'networks')}:",
        f"```bash\n{command}\n```",
        f"It ran with {markdown(packages, most=1000)}." if packages else "",
        f"The networks of the front were then trained for deployment: {markdown('; '.join(recipes), most=600)}."
        if recipes
        else "The networks have the weights of the supernet: none was trained by itself.",
    ]
    return "\n\n".join(line for line in lines if line)


def _files(files: dict[str, list[str]]) -> str:
    names = list(dict.fromkeys(name for own in files.values() for name in own))
    rows = [(f"`{name}`", what_is(name)) for name in names]
    return (
        "In `front/`, a folder for each network:\n\n"
        + table(("file", "what it is"), rows)
        + "\n\nAll model files take one image at a time, in float32, RGB, normalised with the mean and std that the "
        "file itself names in its metadata, as JSON (`classes`, `input_size`, `layout`, `mean`, `std`, `scale`, "
        "`resize`, `error`): ONNX files as `images` of (1, 3, height, width), LiteRT files of (1, height, width, 3). "
        "The output `logits` has one score a class, without softmax."
    )
