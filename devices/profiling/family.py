"""Profiles in several configurations."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from devices.configuration import RuntimeConfiguration, configurations_of
from devices.cost_tables.family import CostTables
from devices.device import Device
from devices.measurement import Board, MeasureSettings
from devices.profiling.profile import few_shot_profile, remembered_profile
from search_space.spaces import FBNetSpace


@dataclass(frozen=True)
class FamilyProfile:
    """Tables."""

    tables: CostTables


def remembered_family_profile(
    device: Device,
    space: FBNetSpace,
    settings: MeasureSettings,
    configurations: Sequence[RuntimeConfiguration],
    *,
    on_progress: Callable[[int, int, str], None] = lambda done, total, name: None,
) -> FamilyProfile:
    """Profile."""
    base = remembered_profile(device, space, settings, configuration=configurations[0], on_progress=on_progress).table
    tables = [base]
    for other in configurations[1:]:
        tables.append(
            remembered_profile(
                device,
                space,
                settings,
                configuration=other,
                method=partial(few_shot_profile, source=base),
                passes=2,
                on_progress=on_progress,
            ).table
        )
    return FamilyProfile(CostTables(tables))


def default_configurations(board: Board, *, shares_host: bool) -> tuple[RuntimeConfiguration, ...]:
    """Default."""
    return configurations_of(sorted({1, board.cores or 1}), (None,), ("fp32", "int8"))
