"""The cost tables of a board in several runtime configurations. Start with `profile_family`.

The base has a full profile. Other threads and precisions are adapted to it by about ten networks each, at the top
clock; lower clocks follow by a law with one coefficient (`clock_law`).
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from devices.configuration import RuntimeConfiguration
from devices.cost_tables.cost_table import CostTable
from devices.cost_tables.family import CostTables
from devices.device import Device
from devices.energy.fitted_power import fitted_where_metered
from devices.energy.power_model import PowerModel, power_model_of
from devices.measurement import Board, MeasureSettings
from devices.profiling.family_plan import LAW_NETWORKS, LAW_NETWORKS_OF_OTHERS, Plan
from devices.profiling.journal import JournaledDevice, measurements_kept, profile_path
from devices.profiling.lower_clocks import ConfigurationProfile, FittedLaw, MeasuredNetworks
from devices.profiling.operator_costs import PASSES, number_of_graphs
from devices.profiling.profile import (
    FEW,
    NETWORKS_A_LAYER,
    Profile,
    Profiler,
    Progress,
    adapted_profile,
    mean_power_w,
    measured_runs,
    networks_to_adapt_with,
    profile,
)
from search_space.spaces import FBNetSpace

Array = npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, slots=True)
class FamilyProfile:
    """Result of profiling a board in several configurations."""

    base: Profile
    """That of the first configuration."""
    members: tuple[ConfigurationProfile, ...]
    """One for each configuration, the base first."""
    seconds: float
    """That all took together."""
    power_model: PowerModel
    """Of this board: fitted where a meter measured its energies, else that of its model."""

    @property
    def tables(self) -> CostTables:
        """The cost tables, the base's first."""
        return CostTables([member.table for member in self.members])


def profile_family(
    device: Device,
    space: FBNetSpace,
    configurations: Sequence[RuntimeConfiguration],
    *,
    power_model: PowerModel | None = None,
    method: Profiler = profile,
    networks: int | None = None,
    seed: int = 0,
    passes: int = PASSES,
    on_progress: Progress = lambda done, total, name: None,
) -> FamilyProfile:
    """Make a cost table for each configuration of a board.

    The least configuration is the base, which has a full profile. For each other pair of threads and precision, ten
    whole networks are measured at the highest of the given clocks (and at the governor's, where that is asked for too),
    and adapt the base's table. Of the lower clocks only the lowest is measured: by ten networks for the base's threads
    and precision, by three for each other pair. The rest follows from these.

    Args:
        device: the board.
        space: the search space.
        configurations: each once, in any order.
        power_model: how power changes between two clocks that were measured, by default that of the board's model;
            where a meter measured energies, it is fitted to them.
        method: how the base is profiled: `profile`, or `few_shot_profile` with its source.
        networks: number of whole networks of the base's profile; by default what the method takes.
        seed: chooses networks.
        passes: how often everything is measured, with all else in between; the quickest counts.
        on_progress: called after each measurement with the number done, the number of all, and a name that begins with
            the configuration.

    Raises:
        ValueError: if there are no configurations, or one is given twice; as the method.
        MeasurementError: if the board fails, or throttled at every measurement of something.
    """
    plan = Plan.of(configurations)
    start = time.perf_counter()
    base_total = 0

    expected = networks or (NETWORKS_A_LAYER * space.num_layers)

    def on_base(done: int, total: int, name: str) -> None:
        nonlocal base_total
        base_total = total
        on_progress(done, total + passes * plan.whole_networks(expected), f"{plan.base.label}: {name}")

    base = method(
        device,
        space,
        configuration=plan.base,
        networks=networks,
        seed=seed,
        passes=passes,
        on_progress=on_base,
    )
    base_seconds = time.perf_counter() - start
    board = device.describe()
    prior = power_model or power_model_of(board.model, shares_host=device.shares_host, clocks_mhz=board.frequencies_mhz)
    # One idle power for all, so that their gross energies compare.
    idle_w = prior.idle_w if base.table.idle_w is None else base.table.idle_w
    base = replace(base, table=replace(base.table, idle_w=idle_w))
    typical_NL = _middling(base.table, base.networks_NL, LAW_NETWORKS)
    common_NL = _middling(base.table, typical_NL, LAW_NETWORKS_OF_OTHERS)
    chosen_NL = np.concatenate(
        [
            common_NL,
            networks_to_adapt_with(base.table, space, FEW - len(common_NL), seed, besides=common_NL.tolist()),
        ]
    )
    runs = dict.fromkeys(plan.adapted, chosen_NL)
    for number, clocks in enumerate(plan.clocks):
        of_first = typical_NL if clocks.top == plan.base else chosen_NL
        runs[clocks.lowest] = common_NL if number else of_first
    measured = _measured(
        device, space, runs, passes, lambda done, total, name: on_progress(base_total + done, base_total + total, name)
    )

    members = {plan.base: _of_profile(base, base_seconds)}
    for configuration in plan.adapted:
        found = measured[configuration]
        adapted = adapted_profile(
            base.table, space, chosen_NL, found.measurements, board=board, configuration=configuration, seed=seed
        )
        members[configuration] = _of_profile(_adapted_to(adapted, base.table), found.seconds)
    everything = [*base.measurements, *(item for found in measured.values() for item in found.measurements)]
    model = fitted_where_metered(everything, prior)
    first: FittedLaw | None = None
    for clocks in plan.clocks:
        fitted = FittedLaw.of(members[clocks.top], clocks, measured[clocks.lowest], first)
        first = first or fitted
        for configuration in clocks.lower:
            members[configuration] = fitted.scaled(members[clocks.top], configuration, model)
    return FamilyProfile(
        base=base,
        members=tuple(members[configuration] for configuration in plan.configurations),
        seconds=time.perf_counter() - start,
        power_model=model,
    )


def remembered_family(
    device: Device,
    space: FBNetSpace,
    configurations: Sequence[RuntimeConfiguration],
    settings: MeasureSettings,
    *,
    power_model: PowerModel | None = None,
    method: Profiler = profile,
    fresh: bool = False,
    networks: int | None = None,
    seed: int = 0,
    passes: int = PASSES,
    on_progress: Progress = lambda done, total, name: None,
) -> FamilyProfile:
    """A family for which nothing is measured twice: what was measured before, on this board in this way, is read.

    It shares its file with `remembered_profile`, so that a base that was profiled before is there at once.

    Args:
        device: the board.
        space: the search space.
        configurations: as for `profile_family`.
        settings: those of the device.
        power_model: as for `profile_family`.
        method: as for `profile_family`.
        fresh: whether to forget what was measured before.
        networks: as for `profile_family`.
        seed: as for `profile_family`.
        passes: as for `profile_family`.
        on_progress: as for `profile_family`.

    Raises:
        ValueError: as `profile_family`.
        MeasurementError: as `profile_family`; what was measured by then is kept.
    """
    path = profile_path(device.describe(), space, settings)
    if fresh:
        path.unlink(missing_ok=True)
    return profile_family(
        JournaledDevice.open(device, path),
        space,
        configurations,
        power_model=power_model,
        method=method,
        networks=networks,
        seed=seed,
        passes=passes,
        on_progress=on_progress,
    )


SECONDS_AROUND = 0.15
"""What each measurement takes besides its timed inferences: the model is built and sent, the runtime is started."""


def seconds_each(settings: MeasureSettings, *, metered: bool) -> float:
    """About how long one measurement takes, in s, of a network that is quick.

    Args:
        settings: how the board measures.
        metered: whether a meter reads its energy.
    """
    return SECONDS_AROUND + (settings.metered_seconds if metered else settings.min_seconds)


def measurements_left(
    board: Board, space: FBNetSpace, configurations: Sequence[RuntimeConfiguration], settings: MeasureSettings
) -> int:
    """How many measurements of a family were not made before, on this board in this way.

    Args:
        board: that is profiled.
        space: the search space.
        configurations: as for `profile_family`.
        settings: how the board measures.
    """
    plan, of_base = Plan.of(configurations), NETWORKS_A_LAYER * space.num_layers
    wanted = {plan.base: number_of_graphs(space) + of_base} | plan.networks_in(of_base)
    kept = measurements_kept(board, space, settings)
    # What is kept of one configuration is of no use for another.
    return sum(max(0, PASSES * count - kept[configuration.label]) for configuration, count in wanted.items())


def number_of_measurements(
    space: FBNetSpace,
    configurations: Sequence[RuntimeConfiguration],
    *,
    whole_profile: bool = True,
    networks: int | None = None,
    passes: int = PASSES,
) -> int:
    """How many measurements a family takes, if none has to be repeated.

    Args:
        space: the search space.
        configurations: as for `profile_family`.
        whole_profile: whether the base is measured operator by operator, or adapted to another board's table.
        networks: as for `profile_family`.
        passes: as for `profile_family`.
    """
    plan = Plan.of(configurations)
    of_base = networks or (NETWORKS_A_LAYER * space.num_layers if whole_profile else FEW)
    graphs = number_of_graphs(space) if whole_profile else 0
    return passes * (graphs + of_base + plan.whole_networks(of_base))


def _measured(
    device: Device,
    space: FBNetSpace,
    runs: dict[RuntimeConfiguration, npt.NDArray[np.intp]],
    passes: int,
    on_progress: Progress,
) -> dict[RuntimeConfiguration, MeasuredNetworks]:
    """Networks in several configurations, in passes over all of them, clock by clock."""
    ordered = sorted(runs, key=lambda item: -(item.frequency_mhz or 10**9))
    everything = [(item, indices) for item in ordered for indices in runs[item].tolist()]
    names = [f"{item.label}: network {number + 1}" for item in ordered for number in range(len(runs[item]))]
    seconds = dict.fromkeys(runs, 0.0)
    last = time.perf_counter()

    def tell(done: int, total: int, number: int) -> None:
        nonlocal last
        now = time.perf_counter()
        seconds[everything[number][0]] += now - last
        last = now
        on_progress(done, total, names[number])

    found = iter(measured_runs(device, space, everything, passes, tell))
    return {
        item: MeasuredNetworks(runs[item], tuple(next(found) for _ in range(len(runs[item]))), seconds[item])
        for item in ordered
    }


def _middling(table: CostTable, networks_NL: npt.NDArray[np.intp], count: int) -> npt.NDArray[np.intp]:
    """The networks that are neither small nor large, by the table: at most `count`."""
    order = np.argsort([table.latency_of(indices) for indices in networks_NL.tolist()], kind="stable")
    first = max(0, len(order) - count) // 2
    return networks_NL[order[first : first + count]]


def _of_profile(found: Profile, seconds: float) -> ConfigurationProfile:
    return ConfigurationProfile(
        table=found.table,
        networks_NL=found.networks_NL,
        measurements=found.measurements,
        predicted_ms_N=found.predicted_ms_N,
        law=None,
        seconds=seconds,
    )


def _adapted_to(adapted: Profile, base: CostTable) -> Profile:
    """The same, whose table says that it was adapted from the board's own, and has its idle power."""
    table = adapted.table
    power_w = mean_power_w(adapted.measurements)
    method = (
        f"adapted from the table of {base.configuration.label} by {len(adapted.measurements)} networks measured in "
        f"this configuration; energy: {power_w:.3g} W times latency"
    )
    return replace(adapted, table=replace(table, method=method, idle_w=base.idle_w))
