"""Speed, memory and use of the default supernet against FBNet's as published, measured in one run.

    python benchmarks/supernet.py [--dataset DATASET] [--seconds 120] [--out DIR] [--quick] [--json] [--threads N]

The default: one shared superkernel a layer, weight steps train one sampled path, theta steps run the masked mixture.
FBNet's: separate weights for each candidate, both kinds of steps run all paths. All have the same batches,
augmentation, optimiser, threads, channels-last layout and kept memory; on a GPU where there is one. FBNet's form runs
with PyTorch's own depthwise gradients (`separate`), and once more with those of the default form (`quick`).
Goals, on two cores, against `separate`: `fbnet-cifar`, batch 32, at least 12 times the weight steps and 4 times the
theta steps; and on CIFAR-10, `fbnet-micro`, at least 2 times the accuracy of sub-networks after 120 s.

Images a second (random images) are medians over rounds of turns, each turn in a process of its own; ratios are medians
over the rounds. Accuracy: all are trained for equal time, by turns; at the end of each turn some random architectures
are evaluated with inherited weights and BatchNorm statistics of their own (selection split). About 20 minutes.
"""

from __future__ import annotations

import dataclasses
import json
import statistics
from dataclasses import asdict
from pathlib import Path

import torch
from matplotlib.figure import Figure
from rich.progress import Progress

from benchmarks.supernet_turns import (
    FORMS,
    REFERENCES,
    Results,
    SupernetBenchmarkConfig,
    Turn,
    device,
    load_tasks,
    random_splits,
    tasks_of,
    theta_steps,
    train_by_turns,
    turns_of,
    weight_steps,
)
from evaluation.work_folder import write_json
from moo.visualization.style import INK, dress, new_figure
from scripts.command_line import parse, run
from search_space.spaces import space_named


def main() -> None:
    """Measure, draw, print."""
    config = parse(SupernetBenchmarkConfig)
    if config.quick:
        config = dataclasses.replace(
            config, rounds=2, turn_seconds=min(config.turn_seconds, 3.0), seconds=min(config.seconds, 20.0),
            architectures=min(config.architectures, 4),
        )  # fmt: skip
    with Progress(transient=True) as progress:
        bars = {}

        def show(what: str, done: float, total: float) -> None:
            if what not in bars:
                bars[what] = progress.add_task(what)
            progress.update(bars[what], completed=done, total=total)

        space = space_named(config.space)
        accuracy_tasks = load_tasks(config, show) if config.seconds else {}
        tasks = tasks_of(config, space, random_splits(space))
        weight_turns = turns_of(weight_steps, tasks, config, lambda *done: show("weight steps", *done))
        theta_turns = turns_of(theta_steps, tasks, config, lambda *done: show("theta steps", *done))
        points = train_by_turns(accuracy_tasks, config, lambda *done: show("training", *done))
    results = Results(weight_turns, theta_turns, points)
    content = {"torch": torch.__version__, "device": str(device()), "settings": asdict(config), **table(results)}
    if config.out is not None:
        folder = Path(config.out).expanduser()
        write_json(folder / "results.json", content)
        picture(config, results).savefig(folder / "supernet.png")
    if config.json:
        print(json.dumps(content, indent=1))
        return
    print_rows(config, results)


def images_ratio(turns: dict[str, list[Turn]], reference: str) -> float:
    """Median over the rounds: images a second of the shared form over those of a reference."""
    pairs = zip(turns["shared"], turns[reference], strict=True)
    return statistics.median(one.images_per_second / other.images_per_second for one, other in pairs)


def accuracy_ratio(results: Results, reference: str) -> float:
    """Mean accuracy of sub-networks at the end: the shared form over a reference."""
    return results.points["shared"][-1].mean / max(results.points[reference][-1].mean, 1e-9)


def median_turn(turns: list[Turn]) -> Turn:
    """Median speed and the most memory."""
    speed = statistics.median(turn.images_per_second for turn in turns)
    return Turn(speed, max(turn.peak_memory_mb for turn in turns))


def table(results: Results) -> dict[str, object]:
    """The figures, for programs."""
    content: dict[str, object] = {}
    for name, turns in (("weight steps", results.weight_turns), ("theta steps", results.theta_turns)):
        content[name] = {form: asdict(median_turn(of_form)) for form, of_form in turns.items()}
        content[f"times {name}"] = {reference: images_ratio(turns, reference) for reference in REFERENCES}
    if results.points:
        content["accuracy"] = {
            form: [asdict(point) | {"mean": point.mean} for point in points] for form, points in results.points.items()
        }
        content["times accuracy"] = {reference: accuracy_ratio(results, reference) for reference in REFERENCES}
    return content


def print_rows(config: SupernetBenchmarkConfig, results: Results) -> None:
    """One line for each thing that is compared."""
    print(
        f"{config.space}, batch {config.batch}, {device()}, {config.threads} thread(s), torch {torch.__version__}; "
        f"medians of {config.rounds} turns of {config.turn_seconds:g} s"
    )
    head = "".join(f"{form:>10}" for form in FORMS) + "".join(f"{'times ' + name:>16}" for name in REFERENCES)
    print(f"{'':<28}{head}")
    for name, turns in (("weight steps", results.weight_turns), ("theta steps", results.theta_turns)):
        medians = [median_turn(turns[form]) for form in FORMS]
        ratios = [images_ratio(turns, reference) for reference in REFERENCES]
        print_row(f"{name}, images/s", [f"{turn.images_per_second:.1f}" for turn in medians], ratios)
        memory = [turn.peak_memory_mb for turn in medians]
        print_row(f"{name}, peak MB", [f"{mb:.0f}" for mb in memory], [memory[0] / other for other in memory[1:]])
    if not results.points:
        return
    print(f"{config.accuracy_space} on {config.dataset}, mean of {config.architectures} architectures")
    for points in zip(*results.points.values(), strict=True):
        means = [point.mean for point in points]
        ratios = [means[0] / max(mean, 1e-9) for mean in means[1:]]
        print_row(f"accuracy after {points[0].seconds:.0f} s", [f"{mean:.1%}" for mean in means], ratios)
    steps = [results.points[form][-1].steps for form in FORMS]
    print_row("steps in that time", [str(number) for number in steps], [steps[0] / other for other in steps[1:]])


def print_row(name: str, values: list[str], ratios: list[float]) -> None:
    """Values of each form, and ratios to each reference."""
    print(f"{name:<28}" + "".join(f"{value:>10}" for value in values) + "".join(f"{ratio:>16.2f}" for ratio in ratios))


def picture(config: SupernetBenchmarkConfig, results: Results) -> Figure:
    """Images a second as bars, and accuracy over training time."""
    subtitle = f"steps: {config.space}, batch {config.batch}, {device()}, {config.threads} thread(s)"
    if results.points:
        subtitle += f"; accuracy: {config.accuracy_space} on {config.dataset}, mean and range"
    figure = new_figure(10, 4.4, "The default supernet against separate weights with all paths mixed", subtitle)
    panels = figure.subplots(1, 2)
    for place, turns in enumerate((results.weight_turns, results.theta_turns)):
        for number, (name, form) in enumerate(FORMS.items()):
            speed = median_turn(turns[name]).images_per_second
            bar = panels[0].bar(place + 0.27 * (number - 1), speed, 0.25, color=form.colour)
            panels[0].bar_label(bar, fmt="%.3g", fontsize=9, color=INK)
    panels[0].set_xticks((0, 1), ("weight steps", "theta steps"))
    dress(panels[0], "", "images a second")
    for name, form in FORMS.items():
        points = results.points.get(name, [])
        seconds = [point.seconds for point in points]
        panels[1].plot(seconds, [100 * point.mean for point in points], "o-", color=form.colour, label=form.label)
        low, high = ([100 * pick(point.accuracies) for point in points] for pick in (min, max))
        panels[1].fill_between(seconds, low, high, color=form.colour, alpha=0.15, linewidth=0)
    figure.legend(
        *panels[1].get_legend_handles_labels(), loc="outside lower center", ncols=3, frameon=False, fontsize=9
    )
    dress(panels[1], "training time (s)", "accuracy of sub-networks (%)")
    return figure


if __name__ == "__main__":
    run(main)
