"""Profiles of one or several boards at once, as files: cost tables and their pictures."""

from __future__ import annotations

import io
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import CancelledError, ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path

from devices.configuration import BASE, RuntimeConfiguration
from devices.device import Device
from devices.measurement import MeasureSettings
from devices.profiling.operator_costs import PASSES
from devices.profiling.profile import Profile, Profiler, profile, remembered_profile
from evaluation.work_folder import write_atomically, write_json
from moo.formatting import percent
from moo.visualization.profile import profile_figure
from search_space.spaces import FBNetSpace


@dataclass(frozen=True)
class BoardProfile:
    """The profile of one board."""

    device: str
    """How the user names the board."""
    profile: Profile
    table: Path
    picture: Path

    @property
    def summary(self) -> str:
        """How well the table predicts, in one sentence."""
        error = self.profile.table.error
        assert error is not None, "a profile always has an error"
        ranks = "" if error.spearman is None else f", rank correlation {error.spearman:.3f}"
        return (
            f"{error.networks} networks measured whole, each predicted from the others: mean error "
            f"{percent(error.mean_relative)}, {percent(error.within_10_percent)} within 10 %{ranks}"
        )


def profile_boards(
    devices: Sequence[tuple[str, Device]],
    space: FBNetSpace,
    settings: MeasureSettings,
    *,
    configuration: RuntimeConfiguration = BASE,
    method: Profiler = profile,
    out: Path | None = None,
    networks: int | None = None,
    seed: int = 0,
    passes: int = PASSES,
    fresh: bool = False,
    on_progress: Callable[[str, int, int, str], None] = lambda device, done, total, name: None,
) -> list[BoardProfile]:
    """Profile boards at the same time, and write the table and the picture of each; Ctrl-C ends after a measurement.

    Args:
        devices: names and boards.
        space: the search space.
        settings: those that the boards measure with.
        configuration: how networks are run.
        method: as for `devices.profiling.profile.remembered_profile`.
        out: a .json file for one board, a folder for several; by default `profiles/`.
        networks: whole networks measured on each board.
        seed: chooses these networks.
        passes: how often everything is measured; the quickest counts.
        fresh: whether to forget what was measured before.
        on_progress: called from several threads with the board's name, measurements done and in all, and what it was.

    Raises:
        ValueError: as `devices.profiling.profile.profile`.
        MeasurementError: if a board fails; what was measured until then is kept, and the others' profiles are written.
    """
    stopped = threading.Event()

    def one(name: str, device: Device) -> Profile:
        def tell(done: int, total: int, what: str) -> None:
            if stopped.is_set():
                raise CancelledError
            on_progress(name, done, total, what)

        return remembered_profile(
            device,
            space,
            settings,
            configuration=configuration,
            method=method,
            fresh=fresh,
            networks=networks,
            seed=seed,
            passes=passes,
            on_progress=tell,
        )

    with ThreadPoolExecutor(max_workers=len(devices)) as threads:
        tasks = [threads.submit(one, name, device) for name, device in devices]
        try:
            wait(tasks)
        finally:
            stopped.set()
    names = [name for name, _ in devices]
    ended = zip(names, tasks, strict=True)
    profiles = [_written(name, task.result(), space, out) for name, task in ended if task.exception() is None]
    for task in tasks:
        task.result()
    return profiles


def _written(device: str, profile: Profile, space: FBNetSpace, out: Path | None) -> BoardProfile:
    table = out
    if table is None or table.suffix != ".json":
        plain = "".join(letter if letter.isalnum() else "-" for letter in device.removeprefix("ssh://"))
        table = (out or Path("profiles")) / f"{plain}-{space.name}.json"
    write_json(table, profile.table.to_json())
    picture, content = table.with_suffix(".png"), io.BytesIO()
    profile_figure(profile, space).savefig(content, format="png")
    write_atomically(picture, content.getvalue())
    return BoardProfile(device, profile, table, picture)
