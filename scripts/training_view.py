"""Networks that are being trained, in the terminal: a bar for each, and a line when one has ended."""

from __future__ import annotations

from types import TracebackType

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from evaluation.training.loop import TrainRecord
from moo.deployment.finished_run import FinishedRun
from moo.deployment.training import BoardWent, FileMeasured, Happening, TrainingEnded, TrainingMoved
from moo.formatting import percent, short
from moo.storage.trained_network import TrainedNetwork


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
        self._loading = self._progress.add_task("images", total=None, detail="")
        self.records: dict[str, tuple[TrainRecord, ...]] = {}
        """Figures of all epochs of each network that is trained, by name."""

    def __enter__(self) -> TrainingView:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    def loading(self, done: int, total: int) -> None:
        """Show how many images are decoded."""
        self._progress.update(self._loading, completed=done, total=total)

    def start(self, run: FinishedRun, networks: int) -> None:
        """Say what is to be trained."""
        self._progress.remove_task(self._loading)
        images = len(run.splits.weights) + len(run.splits.theta)
        self._print(f"{networks} network{'s' * (networks != 1)}, {images:,} images of {run.config.dataset}")

    def trainer(self, workers: int, threads: int, dashboard_url: str | None) -> None:
        """Say where they are trained."""
        self._print(f"{workers} at a time, {threads} CPU thread{'s' * (threads != 1)} each")
        if dashboard_url is not None:
            self._print(f"Ray dashboard: {dashboard_url}")

    def show(self, happening: Happening) -> None:
        """Show one thing that happened."""
        if isinstance(happening, TrainingMoved):
            self._move(happening)
            return
        if isinstance(happening, TrainingEnded):
            network = happening.network
            self.records[network.name] = happening.records
            self._remove(network.name)
            self._print(_ended(network))
        elif isinstance(happening, FileMeasured):
            measured = happening.measured
            measurement = measured.measurement
            cost = measured.reason if measurement is None else f"{short(measurement.latency_ms)} ms"
            self._print(f"{measured.architecture_id}: {'measured' if measurement else 'not measured'}, {cost}")
        elif isinstance(happening, BoardWent):
            state = happening.state
            self._print(f"{state.device} {f'does not answer: {state.unreachable}' if state.unreachable else 'is back'}")
        else:
            self._remove(happening.name)
            self._print(f"[red]{happening.name} could not be trained:[/] {escape(happening.reason)}", markup=True)

    def _move(self, moved: TrainingMoved) -> None:
        if moved.name not in self._tasks:
            self._tasks[moved.name] = self._progress.add_task(moved.name, detail="")
        self._progress.update(self._tasks[moved.name], completed=moved.step, total=moved.total_steps)
        if moved.epoch is not None:
            record = moved.epoch.record
            detail = f"epoch {record.epoch} of {moved.epoch.epochs:.3g}, accuracy {record.accuracy:.2%}"
            self._progress.update(self._tasks[moved.name], detail=detail)

    def _remove(self, name: str) -> None:
        if name in self._tasks:
            self._progress.remove_task(self._tasks.pop(name))

    def _print(self, text: str, *, markup: bool = False) -> None:
        self._console.print(text, highlight=False, soft_wrap=True, markup=markup)


def _ended(network: TrainedNetwork) -> str:
    int8 = network.file("int8")
    loss = "" if int8 is None else f"; in int8 {percent(int8.top1)}"
    return (
        f"{network.name}: test top-1 {percent(network.top1)}, top-3 {percent(network.top3)}{loss}; "
        f"{network.epochs:.3g} epochs, {network.seconds:.0f} s"
    )
