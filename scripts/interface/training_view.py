"""Networks that are being trained, in the terminal: a bar for each, and a line when one has ended."""

from __future__ import annotations

from collections.abc import Sequence
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from devices.measurement import Measurement
from moo import events
from moo.formatting import cost, many, percent, short
from moo.storage.trained_network import TrainedNetwork
from scripts.interface.terminal import dashboard_text, plain, say


class TrainingView:
    """Shows what happens; as a context it takes and frees the terminal."""

    def __init__(self, console: Console) -> None:
        self._console = console
        columns = (
            TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(),
            TextColumn("{task.fields[detail]}"),
        )  # fmt: skip
        self._progress = Progress(*columns, console=console, transient=True, disable=not console.is_terminal)
        self._tasks: dict[str, TaskID] = {}
        self._stages: set[str] = set()
        self._loading = self._progress.add_task("images", total=None, detail="")

    def __enter__(self) -> TrainingView:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    def __call__(self, event: events.Event) -> None:
        """Take in one event."""
        match event:
            case events.StageProgress("loading", done, total):
                self._progress.update(self._loading, completed=done, total=total)
            case events.TrainingsStarted(networks, description):
                self._progress.update(self._loading, visible=False)
                self._print(f"{networks} network{'s' * (networks != 1)}, {description}")
            case events.AdaptationStarted():
                self._progress.update(self._loading, visible=False)
                self._print_adaptation(event)
            case events.StageProgress(stage, done, total, detail):
                self._show_stage(stage, done, total, detail)
            case events.ExitsTrained(name, exits, accuracies):
                self._remove(name)
                self._print(f"{name}: {_exits_text(exits, accuracies)}")
            case events.PassingMeasured():
                self._print(_passing(event))
            case events.SlowdownExceeded():
                self._print(_exceeded(event))
            case events.NetworkDeployed():
                self._remove(event.name)
                self._print(_deployed(event))
            case events.TrainersStarted(workers, threads, dashboard_url):
                self._print(f"{workers} at a time, {threads} CPU thread{'s' * (threads != 1)} each")
                if dashboard_url is not None:
                    self._print(f"Ray dashboard: {dashboard_text(dashboard_url)}")
            case events.TrainingProgress():
                self._move(event)
            case events.TrainingDiverged(name, divergence):
                self._console.print(f"[yellow]{plain(f'{name} {divergence}')}[/]")
            case events.TrainingFinished(network):
                self._remove(network.name)
                self._print(_ended(network))
            case events.TrainingFailed(name, reason):
                self._remove(name)
                self._console.print(f"[red]{plain(name)} could not be trained:[/] {plain(reason)}", soft_wrap=True)
            case events.PretrainedMissing(name, reason):
                self._print(f"{name} is not compared: {reason}")
            case events.NetworkMeasured(network, measurement):
                self._print(f"{network}: {_costs(measurement)}")
            case events.MeasuringFailed(network, reason):
                self._print(f"{network}: not measured, {reason}")
            case events.BoardUnreachable(device, reason):
                self._print(f"{device} does not answer: {reason}")
            case events.BoardBack(device):
                self._print(f"{device} is back")

    def _move(self, moved: events.TrainingProgress) -> None:
        if moved.name not in self._tasks:
            self._tasks[moved.name] = self._progress.add_task(plain(moved.name), detail="")
        self._progress.update(self._tasks[moved.name], completed=moved.step, total=moved.total_steps)
        if moved.epoch is not None:
            record = moved.epoch.record
            detail = f"epoch {record.epoch} of {moved.epoch.epochs:.3g}, accuracy {percent(record.accuracy)}"
            self._progress.update(self._tasks[moved.name], detail=detail)

    def _print_adaptation(self, started: events.AdaptationStarted) -> None:
        self._print(f"{many(started.networks, 'network', 'networks')} with exits, {started.description}")
        for name, reason in started.passed_over:
            self._print(f"{name} stays as it is: {reason}")
        if started.untrained:
            near = many(started.untrained, "network as near the front is", "networks as near the front are")
            self._print(f"{near} not trained, and left out; train_front.py trains those of the front, --near N others")

    def _show_stage(self, stage: str, done: int, total: int, detail: str) -> None:
        """One bar for the stage that goes on; it goes when the next begins."""
        for other in [name for name in self._tasks if name in self._stages and name != stage]:
            self._remove(other)
        self._stages.add(stage)
        if stage not in self._tasks:
            self._tasks[stage] = self._progress.add_task(stage, detail="")
        self._progress.update(self._tasks[stage], completed=done, total=total, detail=plain(detail))

    def _remove(self, name: str) -> None:
        if name in self._tasks:
            self._progress.remove_task(self._tasks.pop(name))

    def _print(self, text: str) -> None:
        say(self._console, text)


def _costs(measurement: Measurement) -> str:
    latency = cost(measurement.latency_ms, "ms", measurement.latency_source)
    return f"{latency}, {cost(measurement.energy_mj, 'mJ', measurement.energy_source)}"


def _ended(network: TrainedNetwork) -> str:
    int8 = network.file("int8")
    loss = "" if int8 is None else f"; in int8 {percent(int8.top1)}"
    return (
        f"{network.name}: test top-1 {percent(network.top1)}, top-3 {percent(network.top3)}{loss}; "
        f"{network.epochs:.3g} epochs, {network.seconds:.0f} s"
    )


def _exits_text(exits: Sequence[str], accuracies: Sequence[float]) -> str:
    parts = [f"{label} {percent(accuracy)}" for label, accuracy in zip(exits, accuracies[:-1], strict=True)]
    return f"accuracy of exits: {', '.join(parts)}; of the network {percent(accuracies[-1])}"


def _passing(event: events.PassingMeasured) -> str:
    parts = [f"{short(passing_us)} us ({label})" for label, passing_us in event.passing_us]
    measured = many(event.samples, "network in segments tells", "networks in segments tell")
    return f"passing an exit takes {', '.join(parts)}, as {measured}"


def _exceeded(event: events.SlowdownExceeded) -> str:
    parts = [f"by {percent(slowdown)} ({label})" for label, slowdown in event.slowdowns]
    then = "it keeps none" if event.everywhere else "it is used without them there"
    limit = short(100 * event.limit)
    return f"{event.name}: passing all exits takes longer {', '.join(parts)}, over `--max-slowdown {limit}`; {then}"


def _deployed(event: events.NetworkDeployed) -> str:
    if event.lost is None:
        how = "as they were trained on the frozen network"
    else:
        change = f"the last exit {'lost' if event.lost > 0 else 'gained'} {short(100 * abs(event.lost))} points"
        how = f"{'trained together' if event.jointly_trained else 'joint training dropped'}: {change}"
    return f"{event.name}: exits at {', '.join(event.exits)}, {how}"
