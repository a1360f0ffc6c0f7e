"""Profiles of one or several boards at once, as files: cost tables and their pictures."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import CancelledError, ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path

from devices.configuration import RuntimeConfiguration
from devices.device import Device
from devices.measurement import MeasureSettings
from devices.profiling.default_configurations import (
    check_configurations,
    default_configurations,
    settable_configurations,
)
from devices.profiling.family import FamilyProfile, number_of_measurements, remembered_family, seconds_each
from devices.profiling.operator_costs import PASSES
from devices.profiling.profile import Profiler, profile
from moo.formatting import many, percent
from moo.visualization.family import family_figure
from moo.visualization.profile import profile_figure
from moo.visualization.style import save_figure
from search_space.boundary.writing import check_can_write
from search_space.spaces import FBNetSpace

PROFILES = Path("profiles")
"""Where tables are written by default."""


@dataclass(frozen=True)
class BoardProfile:
    """The profile of one board."""

    device: str
    """How the user names the board."""
    family: FamilyProfile
    table: Path
    """Cost tables of all configurations."""
    picture: Path

    @property
    def summary(self) -> str:
        """How well the base's table predicts, in one sentence."""
        error = self.family.base.table.error
        assert error is not None, "a profile always has an error"
        ranks = "" if error.spearman is None else f", rank correlation {error.spearman:.3f}"
        return (
            f"{error.networks} networks measured whole, each predicted from the others: mean error "
            f"{percent(error.mean_relative)}, {percent(error.within_10_percent)} within 10 %{ranks}"
        )

    @property
    def rows(self) -> list[tuple[str, ...]]:
        """A table of the configurations, its head first: how each is predicted, and how long that took to measure."""
        rows: list[tuple[str, ...]] = [("configuration", "networks", "mean error", "rank correlation", "seconds")]
        for member in self.family.members:
            error = member.table.error
            assert error is not None, "a profile always has an error"
            ranks = "" if error.spearman is None else f"{error.spearman:.3f}"
            networks = str(len(member.measurements)) if len(member.measurements) else "by the clock law"
            rows.append(
                (
                    member.configuration.label,
                    networks,
                    percent(error.mean_relative),
                    ranks,
                    f"{member.seconds:.0f}",
                )
            )
        return rows


def time_needed(
    space: FBNetSpace,
    configurations: Sequence[RuntimeConfiguration],
    settings: MeasureSettings,
    *,
    metered: bool,
    like: bool,
    networks: int | None,
    passes: int,
) -> str:
    """An estimate in words of what a profile takes where nothing was measured before.

    Args:
        space: the search space.
        configurations: that are profiled.
        settings: how the board measures.
        metered: whether a meter reads its energy.
        like: whether the base is adapted to another board's table.
        networks: whole networks of the base's profile.
        passes: how often everything is measured.
    """
    count = number_of_measurements(space, configurations, whole_profile=not like, networks=networks, passes=passes)
    seconds = settings.metered_seconds if metered else settings.min_seconds
    minutes = count * seconds_each(settings, metered=metered) / 60
    return (
        f"{many(len(configurations), 'configuration', 'configurations')}, {count:,} measurements, about "
        f"{math.ceil(minutes)} min if none was made before; longer where a network takes more than "
        f"{1000 * seconds / settings.min_runs:.0f} ms"
    )


def chosen_configurations(
    devices: Sequence[tuple[str, Device]], given: Sequence[RuntimeConfiguration] | None
) -> dict[str, tuple[RuntimeConfiguration, ...]]:
    """The configurations of each board by name: the given ones, or the board's default ones.

    Args:
        devices: names and boards.
        given: those that the user names, if any; clocks that a board may not set are an error then.

    Raises:
        ValueError: if a board cannot be run in a given one.
        MeasurementError: if a board fails.
    """
    if given is not None:
        for _, device in devices:
            check_configurations(device, device.describe(), given)
        return {name: tuple(given) for name, _ in devices}
    return {
        name: settable_configurations(device, default_configurations(device.describe(), shares_host=device.shares_host))
        for name, device in devices
    }


def profile_boards(
    devices: Sequence[tuple[str, Device]],
    space: FBNetSpace,
    settings: MeasureSettings,
    *,
    configurations: dict[str, tuple[RuntimeConfiguration, ...]],
    method: Profiler = profile,
    out: Path | None = None,
    networks: int | None = None,
    seed: int = 0,
    passes: int = PASSES,
    fresh: bool = False,
    on_progress: Callable[[str, int, int, str], None] = lambda device, done, total, name: None,
) -> list[BoardProfile]:
    """Profile boards at the same time, and write tables and picture of each; Ctrl-C ends after a measurement.

    Args:
        devices: names and boards.
        space: the search space.
        settings: those that the boards measure with.
        configurations: of each board, by its name (`chosen_configurations`).
        method: how the base is profiled, as for `devices.profiling.family.remembered_family`.
        out: a .json file for one board, a folder for several; by default `profiles/`.
        networks: whole networks of the base's profile.
        seed: chooses networks.
        passes: how often everything is measured; the quickest counts.
        fresh: whether to forget what was measured before.
        on_progress: called from several threads with the board's name, measurements done and in all, and what it was.

    Raises:
        ValueError: as `devices.profiling.family.profile_family`, or if tables could not be written.
        MeasurementError: if a board fails; what was measured until then is kept, and the others' profiles are written.
    """
    folder = out or PROFILES
    check_can_write(folder.parent if folder.suffix == ".json" else folder, what="the folder of cost tables")
    stopped = threading.Event()

    def one(name: str, device: Device) -> FamilyProfile:
        def tell(done: int, total: int, what: str) -> None:
            if stopped.is_set():
                raise CancelledError
            on_progress(name, done, total, what)

        return remembered_family(
            device,
            space,
            configurations[name],
            settings,
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


def _written(device: str, found: FamilyProfile, space: FBNetSpace, out: Path | None) -> BoardProfile:
    table = out
    if table is None or table.suffix != ".json":
        plain = "".join(letter if letter.isalnum() else "-" for letter in device.removeprefix("ssh://"))
        table = (out or PROFILES) / f"{plain}-{space.name}.json"
    found.tables.write(table)
    picture = table.with_suffix(".png")
    figure = family_figure(found, space) if len(found.members) > 1 else profile_figure(found.base, space)
    save_figure(figure, picture)
    return BoardProfile(device, found, table, picture)
